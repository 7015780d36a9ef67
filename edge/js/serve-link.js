// @ts-check
/**
 * The link: the end that has a network. It fetches what the engine, which has none, asks for: the engine's own
 * modules, the files of a model, the cloud's answers. The page lays the lines: one for each model, one for each
 * question that may leave. On a line for files nothing can be said but which chunk of which listed file is wanted.
 */

import { serve } from "./flows.js";
import { hasRelaxedSimd } from "./simd.js";

/**
 * The engine's modules; beside this file at addresses that bundlers can see and move.
 *
 * @typedef {{ file: string, beside: () => URL }} File
 * @type {Record<import("./modules.js").Name, File>}
 */
const MODULES = {
  cpu: { file: "cpu/sprat_edge_bg.wasm", beside: () => new URL("./cpu/sprat_edge_bg.wasm", import.meta.url) },
  webgpu: { file: "webgpu/sprat_edge_bg.wasm", beside: () => new URL("./webgpu/sprat_edge_bg.wasm", import.meta.url) },
  mix: { file: "mix/sprat_mix_bg.wasm", beside: () => new URL("./mix/sprat_mix_bg.wasm", import.meta.url) },
};
/** The CPU's for browsers with relaxed SIMD. @type {File} */
const RELAXED = { file: "cpu/sprat_edge_relaxed_bg.wasm", beside: () => new URL("./cpu/sprat_edge_relaxed_bg.wasm", import.meta.url) };

/**
 * Answers what the page asks on `end`, and what the engine asks on the lines that the page lays.
 * @param {import("./serve-engine.js").End} end
 * @param {() => Promise<any>} script the one that wasm-bindgen has made for the link's own module
 * @returns {() => void} ends what flows; for a worker its end does that
 */
export function serveLink(end, script) {
  const link = new Link(script);
  end.onmessage = ({ data }) => link.hear(data);
  return () => link.close();
}

class Link {
  #script;
  /** Where the modules are instead of beside this file. @type {string | null} */
  #base = null;
  /** The link's own module, once it is needed. @type {Promise<any> | null} */
  #started = null;
  /** The cloud's address and keys, as JSON. @type {string | null} */
  #cloud = null;
  /** What closes the lines that are laid. @type {Set<() => void>} */
  #lines = new Set();

  /** @param {() => Promise<any>} script */
  constructor(script) {
    this.#script = script;
  }

  close() {
    for (const close of this.#lines) close();
  }

  /** @param {any} data */
  hear(data) {
    const { type, port } = data;
    switch (type) {
      case "modules":
        this.#base = data.base;
        port.onmessage = (/** @type {MessageEvent} */ { data: kind }) => this.#module(kind, port);
        this.#lines.add(() => port.close());
        return;
      case "cloud":
        this.#cloud = data.settings;
        return;
      case "pack":
        return this.#servePack(port, data.url);
      case "question":
        this.#serve(port, ({ body }, signal) => this.#ask(body, signal));
    }
  }

  /**
   * @param {MessagePort} port
   * @param {Parameters<typeof serve>[1]} open
   */
  #serve(port, open) {
    const close = serve(port, open, () => this.#lines.delete(close));
    this.#lines.add(close);
  }

  /**
   * @param {MessagePort} port
   * @param {string} url
   */
  #servePack(port, url) {
    /** @type {any} */
    let pack = null;
    this.#serve(port, async ({ file, from, fresh }, signal) => {
      const { Pack } = await this.#ready();
      pack ??= new Pack(url);
      return pack.open(file, from, fresh, signal);
    });
  }

  /**
   * @param {string} body
   * @param {AbortSignal} signal
   */
  async #ask(body, signal) {
    const { Cloud } = await this.#ready();
    if (!this.#cloud) throw new Error("no cloud is configured");
    return new Cloud(this.#cloud).ask(body, signal);
  }

  /** Starts the link's own module, once; after a failure it can be tried again. */
  #ready() {
    this.#started ??= this.#start();
    this.#started.catch(() => (this.#started = null));
    return this.#started;
  }

  async #start() {
    const module = await this.#script();
    await module.default(this.#base ? { module_or_path: new URL("link/sprat_link_bg.wasm", this.#base) } : undefined);
    return module;
  }

  /**
   * Compiles a module for the engine, which cannot fetch it.
   * @param {import("./modules.js").Name} kind
   * @param {MessagePort} port
   */
  async #module(kind, port) {
    try {
      port.postMessage({ kind, module: await this.#best(kind) });
    } catch (error) {
      port.postMessage({ kind, error: String(error) });
    }
  }

  /**
   * The one that this browser is fastest with, of those that can be had: without a network, the page may have kept only
   * the other.
   * @param {import("./modules.js").Name} kind
   */
  async #best(kind) {
    if (kind === "cpu" && hasRelaxedSimd()) {
      try {
        return await this.#compile(RELAXED);
      } catch {
        // What is wrong with the other as well is said of that one.
      }
    }
    return this.#compile(MODULES[kind]);
  }

  /** @param {File} file */
  #compile({ file, beside }) {
    return compile(this.#base ? new URL(file, this.#base) : beside());
  }
}

/** @param {URL} url */
async function compile(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: HTTP status ${response.status}`);
  // Streaming wants a server that knows the type of the file.
  if (response.headers.get("content-type") !== "application/wasm") return WebAssembly.compile(await response.arrayBuffer());
  return WebAssembly.compileStreaming(response);
}
