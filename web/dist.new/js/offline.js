/** Keeps the page on this device for visits without a network, where the browser and the page allow it. */

/**
 * A page without a manifest is one that an app brings along, and that needs no service worker. Where there can be none, as
 * in a private window of some browsers, the page works all the same.
 */
export async function keepForOffline() {
  if (!("serviceWorker" in navigator) || document.querySelector('link[rel="manifest"]') === null) return;
  // Asks past every cache whether there is a new one.
  await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" }).catch(() => {});
}
