// @ts-check
/**
 * The engine's WebAssembly modules: their scripts, which are at hand, and what the link has compiled for them.
 */

/** @typedef {"cpu" | "webgpu" | "mix"} Name */
/** The scripts that wasm-bindgen has made for them; not everywhere is there one for a GPU. @typedef {Partial<Record<Name, () => Promise<any>>>} Scripts */

/** What runs already: in a service worker all engines have the same. @type {WeakSet<object>} */
const running = new WeakSet();

export class Modules {
  #scripts;
  #sealed;
  #panicked;
  /** @type {(port: MessagePort) => void} */
  come = () => {};
  /** @type {Promise<MessagePort>} */
  #port = new Promise((resolve) => (this.come = resolve));
  /** @type {Map<Name, Promise<WebAssembly.Module>>} */
  #asked = new Map();

  /**
   * @param {Scripts} scripts
   * @param {Promise<unknown>} sealed nothing is started before
   * @param {(message: string) => void} panicked
   */
  constructor(scripts, sealed, panicked) {
    this.#scripts = scripts;
    this.#sealed = sealed;
    this.#panicked = panicked;
  }

  /**
   * Whether there is such a module.
   * @param {Name} name
   */
  has(name) {
    return name in this.#scripts;
  }

  /**
   * Starts a module, unless it runs.
   * @param {Name} name
   */
  async start(name) {
    try {
      await this.#sealed;
      const module = await this.#scripts[name]?.();
      if (!module) throw "this place has none";
      if (running.has(module)) return module;
      await module.default({ module_or_path: await this.compiled(name) });
      module.onPanic?.(this.#panicked);
      running.add(module);
      return module;
    } catch (error) {
      const code = name === "webgpu" ? "webgpu_unavailable" : "unsupported";
      const hint = name === "mix" ? "Check the connection and that the package is whole." : "Use a current browser; WebAssembly with SIMD is needed.";
      throw { code, message: `the ${name} module cannot be started: ${error}`, hint };
    }
  }

  /**
   * What was compiled; after a failure it is asked for again.
   * @param {Name} name
   * @returns {Promise<WebAssembly.Module>}
   */
  compiled(name) {
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
