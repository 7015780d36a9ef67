// @ts-check
/**
 * Starts the two workers. In a file of its own, so that a page made of one file can bring another way.
 *
 * Bundlers look for exactly these expressions: they bundle a worker and put its address here.
 */

/**
 * The worker of the engine, which has no network.
 * @returns {Worker} throws where none can be started, as in a service worker
 */
export function startEngine() {
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "sprat" });
}

/**
 * The worker with the network.
 * @returns {Worker}
 */
export function startLink() {
  return new Worker(new URL("./link.js", import.meta.url), { type: "module", name: "sprat-link" });
}
