// @ts-check
/**
 * Starts the two workers. In a file of its own, so that a page made of one file can bring another way.
 *
 * Bundlers look for exactly these expressions: they bundle a worker and put its address here.
 */

import { inPlace } from "./in-place.js";

/** @typedef {import("./in-place.js").WorkerLike} WorkerLike */

/**
 * The worker of the engine, which has no network.
 * @returns {WorkerLike} throws where none can be started, as in a service worker that has not brought another way
 */
export function startEngine() {
  if (inPlace) return inPlace.startEngine();
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "sprat" });
}

/**
 * The worker with the network.
 * @returns {WorkerLike}
 */
export function startLink() {
  if (inPlace) return inPlace.startLink();
  return new Worker(new URL("./link.js", import.meta.url), { type: "module", name: "sprat-link" });
}
