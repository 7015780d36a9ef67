// @ts-check
/**
 * The worker that has a network. It fetches what the engine's worker, which has none, asks for: the engine's own
 * modules, the files of a model, the cloud's answers. The page lays the lines: one for each model, one for each
 * question that may leave. On a line for files nothing can be said but which chunk of which listed file is wanted.
 */

import { serve } from "./flows.js";

/** @type {{ onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown): void }} */
const worker = self;

/** The engine's modules; beside this file at addresses that bundlers can see and move. */
const MODULES = {
  cpu: { file: "cpu/sprat_edge_bg.wasm", beside: () => new URL("./cpu/sprat_edge_bg.wasm", import.meta.url) },
  webgpu: { file: "webgpu/sprat_edge_bg.wasm", beside: () => new URL("./webgpu/sprat_edge_bg.wasm", import.meta.url) },
  mix: { file: "mix/sprat_mix_bg.wasm", beside: () => new URL("./mix/sprat_mix_bg.wasm", import.meta.url) },
};

/** Where the modules are instead of beside this file. @type {string | null} */
let base = null;
/** This worker's own module, once it is needed. @type {Promise<any> | null} */
let started = null;
/** The cloud's address and keys, as JSON. @type {string | null} */
let cloud = null;

worker.onmessage = ({ data }) => {
  const { type, port } = data;
  if (type === "modules") {
    base = data.base;
    port.onmessage = modules;
  }
  if (type === "cloud") cloud = data.settings;
  if (type === "pack") {
    /** @type {any} */
    let pack = null;
    serve(port, async ({ file, from, fresh }, signal) => {
      const { Pack } = await ready();
      pack ??= new Pack(data.url);
      return pack.open(file, from, fresh, signal);
    });
  }
  if (type === "question") serve(port, ({ body }, signal) => ask(body, signal));
};

/**
 * @param {string} body
 * @param {AbortSignal} signal
 */
async function ask(body, signal) {
  const { Cloud } = await ready();
  if (!cloud) throw new Error("no cloud is configured");
  return new Cloud(cloud).ask(body, signal);
}

/** Starts this worker's own module, once; after a failure it can be tried again. */
function ready() {
  started ??= start();
  started.catch(() => (started = null));
  return started;
}

async function start() {
  // @ts-ignore: built, not written
  const module = await import("./link/sprat_link.js");
  await module.default(base ? { module_or_path: new URL("link/sprat_link_bg.wasm", base) } : undefined);
  return module;
}

/**
 * Compiles a module for the engine's worker, which cannot fetch it.
 * @param {MessageEvent} event
 */
async function modules({ data: kind, target }) {
  const port = /** @type {MessagePort} */ (target);
  try {
    const { file, beside } = MODULES[/** @type {keyof typeof MODULES} */ (kind)];
    port.postMessage({ kind, module: await compile(base ? new URL(file, base) : beside()) });
  } catch (error) {
    port.postMessage({ kind, error: String(error) });
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
