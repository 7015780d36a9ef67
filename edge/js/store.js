// @ts-check
/**
 * What this site keeps on the device, for a page that has no model loaded: `Sprat`'s calls that need no `Sprat`.
 */

import { SpratError } from "./error.js";
import { folder, resolve, source, title } from "./given.js";
import { planOf } from "./plan.js";
import { Port } from "./port.js";

export { persist } from "./plan.js";

/** @typedef {import("./types.js").Recipe} Recipe */
/** @typedef {import("./types.js").SavedConversation} SavedConversation */
/** @typedef {import("./types.js").StoragePlan} StoragePlan */
/** @typedef {import("./types.js").StoredPack} StoredPack */
/** Where the engine's modules are, as in `LoadOptions`; and what stops the call. @typedef {{ wasm?: string | URL, signal?: AbortSignal }} StoreOptions */

/**
 * The model packs that this site has stored on the device.
 * @param {StoreOptions} [options]
 * @returns {Promise<StoredPack[]>} rejects with a {@link SpratError}, as the others here
 */
export function stored(options = {}) {
  return once({ type: "stored" }, options);
}

/**
 * What it would take to have a model on the device. Its manifest is fetched, and nothing else.
 *
 *     const { missing, room } = await Sprat.plan("models/sprat-tiny/");
 *
 * @param {string | URL | Recipe} model
 * @param {StoreOptions} [options]
 * @returns {Promise<StoragePlan>}
 */
export async function plan(model, options = {}) {
  const { packs } = source(model);
  return planOf(packs, (url) => once({ type: "plan", url }, options, url));
}

/**
 * Removes a stored model pack, and the conversations that were saved with it.
 * @param {string | URL} model the address it was loaded from
 * @param {StoreOptions} [options]
 * @returns {Promise<boolean>} whether there was one
 */
export async function forget(model, options = {}) {
  return once({ type: "forget", url: resolve(model) }, options);
}

/**
 * The conversations that this site has saved on the device, the last used first.
 * @param {StoreOptions} [options]
 * @returns {Promise<SavedConversation[]>}
 */
export function saved(options = {}) {
  return once({ type: "saved" }, options);
}

/**
 * Removes a saved conversation.
 * @param {string} name
 * @param {StoreOptions} [options]
 * @returns {Promise<boolean>} whether there was one
 */
export async function forgetSaved(name, options = {}) {
  return once({ type: "forgetSaved", name: title(name) }, options);
}

/**
 * One call to an engine that lives only for it.
 * @param {Record<string, unknown>} request
 * @param {StoreOptions} options
 * @param {string} [url] of a pack that a line is laid to
 */
async function once(request, { wasm, signal }, url) {
  const port = new Port(folder(wasm), () => {}, () => {});
  try {
    if (url === undefined) return await port.call(request, undefined, signal);
    const line = port.pack(url);
    return await port.call({ ...request, port: line }, undefined, signal, [line]);
  } finally {
    port.close(new SpratError({ code: "internal", message: "closed" }));
  }
}
