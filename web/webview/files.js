/**
 * The files that the page has brought along, for the worker with the network: as answers to `fetch`, so that it reads a
 * model as it reads one from a server.
 *
 * @typedef {{ base: string, blobs: Map<string, Blob> }} Files `base`: the address of the folder that the page is in
 */

/** Where the bundled scripts believe to be; see xtask/webview.mjs. */
const BUNDLE = "bundle:///";

/** The first message of all; the worker's own handler does not see it. @type {Promise<Files>} */
const arrived = new Promise((resolve) => {
  /** @param {MessageEvent} event */
  const take = (event) => {
    event.stopImmediatePropagation();
    removeEventListener("message", take);
    resolve(event.data);
  };
  addEventListener("message", take);
});

const network = globalThis.fetch;

/**
 * @param {RequestInfo | URL} request
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
globalThis.fetch = async (request, init) => {
  const { base, blobs } = await arrived;
  const address = request instanceof Request ? request.url : String(request);
  const folder = [BUNDLE, base].find((folder) => address.startsWith(folder)) ?? "";
  const path = address.slice(folder.length);
  const blob = blobs.get(path);
  if (!blob) return network(request, init);
  // Without this type, browsers do not compile while they read.
  const headers = path.endsWith(".wasm") ? { "Content-Type": "application/wasm" } : undefined;
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip")), { headers });
};
