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
/** Where the engine's modules are, as in `LoadOptions`. @typedef {{ wasm?: string | URL }} StoreOptions */

/**
 * The model packs that this site has stored on the device.
 * @param {StoreOptions} [options]
 * @returns {Promise<StoredPack[]>} rejects with a {@link SpratError}, as the others here
 */
export function stored({ wasm } = {}) {
  return once({ type: "stored" }, wasm);
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
export async function plan(model, { wasm } = {}) {
  const { packs } = source(model);
  return planOf(packs, (url) => once({ type: "plan", url }, wasm, url));
}

/**
 * Removes a stored model pack, and the conversations that were saved with it.
 * @param {string | URL} model the address it was loaded from
 * @param {StoreOptions} [options]
 * @returns {Promise<boolean>} whether there was one
 */
export async function forget(model, { wasm } = {}) {
  return once({ type: "forget", url: resolve(model) }, wasm);
}

/**
 * The conversations that this site has saved on the device, the last used first.
 * @param {StoreOptions} [options]
 * @returns {Promise<SavedConversation[]>}
 */
export function saved({ wasm } = {}) {
  return once({ type: "saved" }, wasm);
}

/**
 * Removes a saved conversation.
 * @param {string} name
 * @param {StoreOptions} [options]
 * @returns {Promise<boolean>} whether there was one
 */
export async function forgetSaved(name, { wasm } = {}) {
  return once({ type: "forgetSaved", name: title(name) }, wasm);
}

/**
 * One call to an engine that lives only for it.
 * @param {Record<string, unknown>} request
 * @param {string | URL | undefined} wasm
 * @param {string} [url] of a pack that a line is laid to
 */
async function once(request, wasm, url) {
  const port = new Port(folder(wasm), () => {}, () => {});
  try {
    if (url === undefined) return await port.call(request);
    const line = port.pack(url);
    return await port.call({ ...request, port: line }, undefined, undefined, [line]);
  } finally {
    port.close(new SpratError({ code: "internal", message: "closed" }));
  }
}
