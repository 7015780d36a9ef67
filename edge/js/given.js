// @ts-check
/**
 * What callers give: made whole and plain, or refused as their mistake.
 */

import { SpratError } from "./error.js";
import { inPlace } from "./in-place.js";

/** @typedef {import("./types.js").Recipe} Recipe */

/**
 * A model as the worker takes it, and the packs it is made of. A recipe's base, or its first model without one, gives
 * what is not weights.
 * @param {string | URL | Recipe} model
 * @returns {{ url: string, recipe: Recipe | null, packs: string[] }}
 */
export function source(model) {
  if (typeof model === "string" || model instanceof URL) {
    const url = resolve(model);
    return { url, recipe: null, packs: [url] };
  }
  // A copy, in which URLs are texts.
  const recipe = JSON.parse(write(model ?? null));
  const models = Array.isArray(recipe?.models) ? recipe.models : [];
  if (typeof (recipe?.base_model ?? models[0]?.model) !== "string") {
    throw new SpratError({ code: "bad_request", message: "a recipe must have models, each with its address as model" });
  }
  if (recipe.base_model !== undefined) recipe.base_model = resolve(recipe.base_model);
  for (const entry of models) entry.model = resolve(entry.model);
  const url = recipe.base_model ?? models[0].model;
  return { url, recipe, packs: [...new Set([url, ...models.map((/** @type {any} */ { model }) => model)])] };
}

/**
 * The name of a saved conversation.
 * @param {unknown} name
 */
export function title(name) {
  if (typeof name === "string" && name !== "" && name.length <= 200) return name;
  throw new SpratError({ code: "bad_request", message: "a saved conversation's name must be a text of 1 to 200 characters" });
}

/** The most of an adapter that can be asked for, and with a minus the least: beyond that nothing is left of the model. */
export const MAX_SCALE = 10;

/** More only get into each other's way. */
const MAX_THREADS = 16;
/** Bytes of a model below which one thread is quicker than several that wait for each other. */
const WORTH_THREADS = 16e6;
/** @type {import("./crew.js").Threads} */
export const ONE_THREAD = { count: 1, from: 0 };

/**
 * How much of an adapter is wanted.
 * @param {unknown} scale
 */
export function scaleOf(scale) {
  if (typeof scale === "number" && Math.abs(scale) <= MAX_SCALE) return scale;
  throw new SpratError({ code: "bad_request", message: `an adapter's scale must be a number from -${MAX_SCALE} to ${MAX_SCALE}` });
}

/**
 * How many threads the CPU is to have, for models of so many bytes or more. Only isolated pages may share memory between
 * workers. By default half the cores: the slower ones of a phone would hold the others up; four fill a memory's bus.
 * @param {unknown} threads
 * @returns {import("./crew.js").Threads}
 */
export function threadsOf(threads) {
  if (threads !== undefined && !(Number.isInteger(threads) && Number(threads) >= 1 && Number(threads) <= MAX_THREADS)) {
    throw new SpratError({ code: "bad_request", message: `options.threads must be a whole number from 1 to ${MAX_THREADS}` });
  }
  if (!globalThis.crossOriginIsolated || inPlace) return ONE_THREAD;
  if (threads !== undefined) return { count: Number(threads), from: 0 };
  return { count: Math.min(4, Math.ceil((navigator.hardwareConcurrency ?? 1) / 2)), from: WORTH_THREADS };
}

/**
 * The address of a folder, with the slash at its end.
 * @param {string | URL | undefined} url
 */
export function folder(url) {
  return url === undefined ? undefined : `${resolve(url).replace(/\/+$/, "")}/`;
}

/**
 * Whether an address is this machine's, which is there even when the network is not.
 * @param {string} url
 */
export function isHere(url) {
  return /^(localhost|127\..*|\[::1\])$/.test(new URL(url).hostname);
}

/**
 * An absolute URL, seen from the page.
 * @param {string | URL} url
 */
export function resolve(url) {
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw new SpratError({ code: "bad_request", message: "not a URL: a model or the option cloud" });
  }
}

/**
 * JSON of what a caller gave; what has no JSON is the caller's mistake.
 * @param {unknown} value
 */
export function write(value) {
  try {
    return JSON.stringify(value);
  } catch {
    throw new SpratError({ code: "bad_request", message: "the messages, options or recipe cannot be written as JSON" });
  }
}

/**
 * Headers that can be sent.
 * @param {Record<string, string> | undefined} headers
 */
export function headersOf(headers = {}) {
  try {
    return new Headers(headers);
  } catch {
    throw new SpratError({ code: "bad_request", message: "cloudHeaders holds a header that cannot be sent" });
  }
}
