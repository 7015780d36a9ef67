// @ts-check
/**
 * Sprat in a service worker, which can start no worker: the engine runs in it.
 *
 *     import { Sprat } from "./sprat/service-worker.js";
 *     const sprat = Sprat.open({ model: "models/sprat-tiny/" });
 *     onmessage = (event) => event.waitUntil(answer(event));
 *
 * It is the same `Sprat`, and with it the other faces work there too. What is different: it runs on the CPU; nothing else runs
 * while a prompt is read or a token computed; no policy keeps what people write from the network (`sprat.device.sealed` is
 * false); and after a panic the engine starts again only with the service worker. Where workers can be started, they are.
 *
 * @module sprat/service-worker
 */

// All of them now: a service worker may import nothing later.
// @ts-ignore: built, not written
import * as cpu from "./cpu/sprat_edge.js";
// @ts-ignore: built, not written
import * as link from "./link/sprat_link.js";
// @ts-ignore: built, not written
import * as mix from "./mix/sprat_mix.js";
import { SpratError } from "./error.js";
import { runInPlace } from "./in-place.js";
import { serveEngine } from "./serve-engine.js";
import { serveLink } from "./serve-link.js";
import * as engine from "./sprat.js";

export * from "./sprat.js";

/** @typedef {import("./serve-engine.js").End} End */
/** @typedef {import("./in-place.js").WorkerLike} WorkerLike */

/** The engines that run here, by their ends. @type {Set<End>} */
const running = new Set();

/** Without the one for a GPU: a module gets one device, and here one module would have to serve all engines, one after another. */
const scripts = { cpu: async () => cpu, mix: async () => mix };

/** Why the modules, of which there is one instance here, cannot be used any more. @type {string | null} */
let panic = null;

const hint = "It starts again with the service worker: a browser ends one that has nothing to do.";

/** @param {string} message */
function panicked(message) {
  panic = message;
  for (const end of running) end.postMessage({ type: "panic", message, hint });
}

/**
 * Hears of traps that are no panics, as when memory runs out: who waits for what they ended would wait for ever.
 * @param {unknown} error
 */
function trapped(error) {
  if (error instanceof WebAssembly.RuntimeError && panic === null) panicked(error.message);
}

function startEngine() {
  if (panic !== null) throw new SpratError({ code: "worker_lost", message: `the engine in this service worker stopped: ${panic}`, hint });
  return start((end) => {
    running.add(end);
    const close = serveEngine(end, { sealed: Promise.resolve(false), scripts, panicked });
    return () => {
      running.delete(end);
      // What has panicked is not called again.
      if (panic === null) close();
    };
  });
}

function startLink() {
  return start((end) => serveLink(end, async () => link));
}

/**
 * Runs one end of a channel as if it were in a worker, of which the other one is the handle.
 * @param {(end: MessagePort) => () => void} serve
 * @returns {WorkerLike}
 */
function start(serve) {
  const { port1, port2 } = new MessageChannel();
  const end = serve(port1);
  const terminate = () => {
    end();
    port1.close();
    port2.close();
  };
  return /** @type {any} */ (Object.assign(port2, { onerror: null, terminate }));
}

if ("WorkerGlobalScope" in globalThis && !("Worker" in globalThis)) {
  addEventListener("error", ({ error }) => trapped(error));
  addEventListener("unhandledrejection", ({ reason }) => trapped(reason));
  runInPlace({ startEngine, startLink, engine });
}
