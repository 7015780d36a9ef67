// @ts-check
/**
 * The engine's WebAssembly modules, compiled by the worker that can fetch them.
 */

/** @typedef {"cpu" | "webgpu" | "mix"} Name */

export class Modules {
  /** @type {(port: MessagePort) => void} */
  come = () => {};
  /** @type {Promise<MessagePort>} */
  #port = new Promise((resolve) => (this.come = resolve));
  /** @type {Map<Name, Promise<WebAssembly.Module>>} */
  #asked = new Map();

  /**
   * A module; after a failure it is asked for again.
   * @param {Name} name
   * @returns {Promise<WebAssembly.Module>}
   */
  get(name) {
    const asked = this.#asked.get(name) ?? this.#ask(name);
    this.#asked.set(name, asked);
    asked.catch(() => this.#asked.delete(name));
    return asked;
  }

  /** @param {Name} name */
  async #ask(name) {
    const port = await this.#port;
    return new Promise((resolve, reject) => {
      const done = new AbortController();
      const heard = (/** @type {MessageEvent} */ { data }) => {
        if (data.kind !== name) return;
        done.abort();
        if (data.module) resolve(data.module);
        else reject(data.error);
      };
      // As between two workers of a page that is a file: browsers let no module pass there.
      const lost = () => (done.abort(), reject("a compiled module cannot pass between workers here"));
      port.addEventListener("message", heard, { signal: done.signal });
      port.addEventListener("messageerror", lost, { signal: done.signal });
      port.start();
      port.postMessage(name);
    });
  }
}
