// @ts-check
/**
 * What a service worker has instead of workers and of imports at run time, neither of which it may use: service-worker.js
 * brings it.
 */

/**
 * As much of a worker as is needed of one.
 * @typedef {Pick<Worker, "onmessage" | "onmessageerror" | "onerror" | "postMessage" | "terminate">} WorkerLike
 */
/**
 * @typedef {object} InPlace
 * @property {() => WorkerLike} startEngine
 * @property {() => WorkerLike} startLink
 * @property {{ Sprat: any }} engine the module of the engine
 */

/** @type {InPlace | null} */
export let inPlace = null;

/** @param {InPlace} means */
export function runInPlace(means) {
  inPlace = means;
}
