// @ts-check
/**
 * Whether anybody sees the page.
 */

/**
 * Tells now and whenever it changes.
 * @param {(hidden: boolean) => void} told
 * @param {() => void} left called when the page is being left
 * @param {{ document?: Document, window?: EventTarget }} [page] where there is none, as in a worker, nothing is told
 * @returns {() => void} stops it
 */
export function watchVisibility(told, left, { document: page = globalThis.document, window = page?.defaultView ?? page } = {}) {
  if (!page?.addEventListener) return () => {};
  const look = () => told(page.visibilityState === "hidden");
  page.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", left);
  look();
  return () => {
    page.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", left);
  };
}
