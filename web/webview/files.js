/**
 * The files that the page has brought along, for the engine's worker: as answers to `fetch`, so that the engine reads a
 * model as it reads one from a server.
 *
 * @typedef {{ base: string, blobs: Map<string, Blob> }} Files `base`: the address of the folder that the page is in
 */

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

// As on pages that are not secure: a model that the page brings along would be on the device twice.
Object.defineProperty(navigator, "storage", { value: undefined });

const network = globalThis.fetch;

/**
 * @param {RequestInfo | URL} request
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
globalThis.fetch = async (request, init) => {
  const { base } = await arrived;
  const address = request instanceof Request ? request.url : String(request);
  const path = address.startsWith(base) ? address.slice(base.length) : null;
  return (path !== null && (await open(path))) || network(request, init);
};

/**
 * A file of the page's; `null` if there is none of that name.
 *
 * @param {string} path relative to the page
 * @returns {Promise<Response | null>}
 */
export async function open(path) {
  const blob = (await arrived).blobs.get(path);
  if (!blob) return null;
  // Without this type, browsers do not compile while they read.
  const headers = path.endsWith(".wasm") ? { "Content-Type": "application/wasm" } : undefined;
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip")), { headers });
}
