// @ts-check
/**
 * Tabs that load the same model wait for the one that downloads it. Here they hear how far it is: from page to page,
 * because the engine's worker may talk to its own page only.
 */

/**
 * What the engine says while it loads, and what other tabs say of the same download as long as this one waits.
 *
 * @param {string[]} packs addresses of what is loaded
 * @param {(notice: any) => void} tell
 * @returns {{ tell: (notice: unknown) => void, close: () => void }} `tell` takes what this tab's engine says
 */
export function shareProgress(packs, tell) {
  // In pages that are made for one origin only, and in old webviews, there may be none.
  if (!globalThis.BroadcastChannel) return { tell, close() {} };
  const channel = new BroadcastChannel(`sprat ${packs.join(" ")}`);
  let waits = true;
  channel.onmessage = ({ data }) => {
    const progress = downloadOf(data);
    if (waits && progress) tell(progress);
  };
  return {
    tell(notice) {
      const { stage } = /** @type {{ stage?: string }} */ (notice);
      const progress = downloadOf(notice);
      // Who loads waits no more.
      if (progress || stage === "load") waits = false;
      if (progress) channel.postMessage(progress);
      tell(notice);
    },
    close: () => channel.close(),
  };
}

/**
 * How far a download is, and nothing else that may be in a notice.
 * @param {any} notice
 */
function downloadOf(notice) {
  const { type, stage, loaded, total, message } = notice ?? {};
  if (type !== "progress" || stage !== "download" || !(loaded >= 0 && loaded <= total)) return null;
  return { type, stage, loaded, total, message: String(message) };
}
