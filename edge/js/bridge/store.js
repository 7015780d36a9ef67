// @ts-check
/** The methods of the bridge that are about what the page's site keeps on the device, whether or not a model is loaded. */

import { CODES, RpcError } from "./rpc.js";

/** @typedef {import("../types.js").LoadOptions} LoadOptions */
/** @typedef {import("./rpc.js").Call} Call */
/** @typedef {import("./rpc.js").Handler} Handler */
/** What the bridge needs of the store. @typedef {Pick<typeof import("../store.js"), "stored" | "plan" | "persist" | "forget" | "saved" | "forgetSaved">} Store */

/**
 * @param {Store} store
 * @param {Partial<LoadOptions>} defaults what the host does not say
 * @returns {Record<string, Handler>} by the methods' names
 */
export function storeHandlers(store, { model: usual, wasm }) {
  const options = (/** @type {Call} */ { stop: { signal } }) => (wasm === undefined ? { signal } : { wasm, signal });
  return {
    async "sprat.plan"({ model = usual }, call) {
      if (!model) throw new RpcError(CODES.params, "params.model is missing");
      return store.plan(model, options(call));
    },
    "sprat.stored": async (_, call) => ({ models: await store.stored(options(call)) }),
    "sprat.forget": async ({ model }, call) => ({ removed: await store.forget(model, options(call)) }),
    "sprat.saved": async (_, call) => ({ conversations: await store.saved(options(call)) }),
    "sprat.forgetSaved": async ({ name }, call) => ({ removed: await store.forgetSaved(name, options(call)) }),
    "sprat.persist": async () => ({ persisted: await store.persist() }),
  };
}
