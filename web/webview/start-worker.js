/**
 * Starts the engine's worker from what the page brings along: where there is no server, a worker has no address, and
 * neither it nor the page can fetch. Takes the place of the package's start-worker.js.
 */

/** What data.js leaves: the worker's script, and the other files as base64 of gzip, by their addresses in the page. */
const { worker, files } = /** @type {{ spratBundle: { worker: string, files: Record<string, string> } }} */ (
  /** @type {unknown} */ (globalThis)
).spratBundle;

const script = new Blob([worker], { type: "text/javascript" });
/** Blobs, because every worker that is started gets them, and copies of blobs cost nothing. */
const blobs = new Map(Object.entries(files).map(([path, base64]) => [path, new Blob([bytesOf(base64)])]));
// The texts are larger than what they stand for, and are not needed again.
Reflect.deleteProperty(globalThis, "spratBundle");

/** @returns {Worker} */
export function startWorker() {
  const url = URL.createObjectURL(script);
  // A classic script: from a file, browsers load no modules.
  const started = new Worker(url, { name: "sprat" });
  started.postMessage({ type: "files", base: new URL(".", document.baseURI).href, blobs });
  // Starting fetches the address at once; the worker does not need it again.
  URL.revokeObjectURL(url);
  return started;
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
