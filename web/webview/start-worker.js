/**
 * Starts the workers from what the page brings along: where there is no server, a worker has no address, and neither it
 * nor the page can fetch. Takes the place of the package's start-worker.js.
 */

/** What data.js leaves: the workers' scripts, and the other files as base64 of gzip, by their addresses in the page. */
const { engine, link, files } = /** @type {{ spratBundle: { engine: string, link: string, files: Record<string, string> } }} */ (
  /** @type {unknown} */ (globalThis)
).spratBundle;

/** Blobs, because every link that is started gets them, and copies of blobs cost nothing. */
const blobs = new Map(Object.entries(files).map(([path, base64]) => [path, new Blob([bytesOf(base64)])]));
// The texts are larger than what they stand for, and are not needed again.
Reflect.deleteProperty(globalThis, "spratBundle");

/** @returns {Worker} */
export function startEngine() {
  return start(engine, "sprat");
}

/** @returns {Worker} */
export function startLink() {
  const worker = start(link, "sprat-link");
  worker.postMessage({ type: "files", base: new URL(".", document.baseURI).href, blobs });
  return worker;
}

/**
 * @param {string} script
 * @param {string} name
 */
function start(script, name) {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  // A classic script: from a file, browsers load no modules.
  const worker = new Worker(url, { name });
  // Starting fetches the address at once; the worker does not need it again.
  URL.revokeObjectURL(url);
  return worker;
}

/** @param {string} base64 */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
