// @ts-check
/** The methods of the bridge that are about what the page's site keeps on the device, whether or not a model is loaded. */

import { CODES, RpcError } from "./rpc.js";

/** @typedef {import("../types.js").LoadOptions} LoadOptions */
/** @typedef {import("../types.js").Recipe} Recipe */
/** @typedef {import("./rpc.js").Call} Call */
/** What the bridge needs of the store. @typedef {Pick<typeof import("../store.js"), "stored" | "plan" | "persist" | "forget" | "saved" | "forgetSaved">} Store */

export class StoreMethods {
  #store;
  #defaults;

  /**
   * @param {Store} store
   * @param {Partial<LoadOptions>} defaults what the host does not say
   */
  constructor(store, defaults) {
    this.#store = store;
    this.#defaults = defaults;
  }

  /** @param {Call} call */
  #options({ stop: { signal } }) {
    const { wasm } = this.#defaults;
    return wasm === undefined ? { signal } : { wasm, signal };
  }

  /**
   * @param {{ model?: string | Recipe }} params
   * @param {Call} call
   */
  async plan({ model }, call) {
    const wanted = model ?? this.#defaults.model;
    if (!wanted) throw new RpcError(CODES.params, "params.model is missing");
    return this.#store.plan(wanted, this.#options(call));
  }

  /** @param {Call} call */
  async stored(call) {
    return { models: await this.#store.stored(this.#options(call)) };
  }

  /**
   * @param {{ model: string }} params
   * @param {Call} call
   */
  async forget({ model }, call) {
    return { removed: await this.#store.forget(model, this.#options(call)) };
  }

  /** @param {Call} call */
  async saved(call) {
    return { conversations: await this.#store.saved(this.#options(call)) };
  }

  /**
   * @param {{ name: string }} params
   * @param {Call} call
   */
  async forgetSaved({ name }, call) {
    return { removed: await this.#store.forgetSaved(name, this.#options(call)) };
  }

  async persist() {
    return { persisted: await this.#store.persist() };
  }
}
