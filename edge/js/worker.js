// @ts-check
/**
 * The worker of the engine: numbers the calls, and hands them to the engine that there is (`engines.js`). What is
 * computed is computed in Rust (`Runtime`).
 *
 * It has no network. What comes from outside comes over lines from the worker that has one (`link.js`), and the page
 * lays them: one for each model that is to be loaded, one for each question that may leave.
 */

import { alone } from "./alone.js";
import { cloudFirst } from "./cloud-first.js";
import { Engines } from "./engines.js";
import { Line } from "./line.js";
import { Modules } from "./modules.js";
import { Retelling } from "./retell.js";
import * as saved from "./saved.js";
import { seal } from "./seal.js";
import { failure } from "./thrown.js";

/** @typedef {import("./engines.js").Kind} Kind */
/** @typedef {import("./engines.js").Wanted} Wanted */

/**
 * This worker. The page's library of types, which the other files need, has no name for it.
 * @type {{ onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown): void }}
 */
const worker = self;

/** Whether a policy forbids this worker to connect. Nothing is done before that is known. */
const sealed = seal(self);

/** Questions to the person that wait for an answer, by their calls. @type {Map<number, (port: MessagePort | null) => void>} */
const asking = new Map();

/** Stops for the calls that go on. @type {Map<number, AbortController>} */
const running = new Map();

/** The engine's modules, which another worker fetches. */
const modules = new Modules();
const engines = new Engines({ instantiate, modules, sealed, tell: (message) => worker.postMessage(message) });
/** The lock of saved conversations. */
const SAVED = "sprat saved";

worker.onmessage = async ({ data }) => {
  const { id, type } = data;
  if (type === "modules") {
    modules.come(data.port);
    return;
  }
  if (type === "consent") {
    const answer = asking.get(id);
    if (answer) answer(data.port);
    // The answer has ended meanwhile.
    else if (data.port) new Line(data.port).close();
    return;
  }
  if (type === "pause") {
    engines.pause(data.paused);
    return;
  }
  if (type === "abort") {
    running.get(id)?.abort();
    return;
  }
  const stop = new AbortController();
  running.set(id, stop);
  try {
    const handler = handlers[/** @type {keyof typeof handlers} */ (type)];
    /** @param {string} event */
    const emit = (event) => worker.postMessage({ id, event });
    worker.postMessage({ id, value: await handler(data, stop.signal, emit) });
  } catch (error) {
    worker.postMessage({ id, error: failure(error) });
  } finally {
    running.delete(id);
  }
};

const handlers = {
  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async load(data, signal, emit) {
    emit(JSON.stringify({ type: "progress", stage: "engine", loaded: 0, total: 0, message: "Starting" }));
    return engines.load(data, want(data), signal, emit);
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async use(data, signal, emit) {
    return engines.use(want(data), signal, emit);
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<void>} */
  async adapt(data, signal, emit) {
    return engines.adapt(want(data), signal, emit);
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async chat({ id, ask, port, cloudFirst: isCloudFirst }, signal, emit) {
    /** @type {Line[]} */
    const lines = [];
    const lay = (/** @type {MessagePort} */ port) => (lines.push(new Line(port)), lines.at(-1));
    /** Shows the person what would be sent; their yes comes with a line. @param {string} shown */
    const person = async (shown) => {
      emit(JSON.stringify({ type: "ask", ...JSON.parse(shown) }));
      const port = await new Promise((resolve) => asking.set(id, resolve));
      return port ? lay(port) : null;
    };
    try {
      const line = port ? lay(port) : undefined;
      /** @type {(ask: string, emit: (event: string) => void) => Promise<any>} */
      const by = (ask, emit) => answer(ask, line, person, signal, emit);
      return await (isCloudFirst ? cloudFirst(by, JSON.parse(ask), emit) : by(ask, emit));
    } finally {
      asking.get(id)?.(null);
      asking.delete(id);
      for (const line of lines) line.close();
    }
  },

  /** @type {(data: any) => Promise<number>} */
  async count({ messages }) {
    return byEngine((runtime) => runtime.count(messages));
  },

  /** @type {(data: any, signal: AbortSignal) => Promise<unknown>} */
  async save({ ask, name, url, model }, signal) {
    const { messages } = JSON.parse(ask);
    const [level, tokens, cache] = await byEngine((runtime) => runtime.save(ask));
    return alone(SAVED, signal, () => saved.keep({ name, model, url, level, tokens, messages }, cache));
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async restore({ name }, signal, emit) {
    const { text, cache } = await alone(SAVED, signal, () => saved.recall(name));
    const { messages, level } = text;
    let tokens = 0;
    try {
      tokens = await byEngine((runtime) => runtime.restore(JSON.stringify({ messages, level }), cache));
    } catch (error) {
      const { code, message } = failure(error);
      if (code !== "saved_corrupt") throw error;
      emit(JSON.stringify({ type: "warning", code, message: `${message}; the model reads its text again` }));
    }
    // What is damaged, or another model's, is of no use.
    if (cache && tokens === 0) await alone(SAVED, signal, () => saved.dropCache(name));
    return { messages, level, tokens };
  },

  /** @type {(data: any, signal: AbortSignal) => Promise<unknown>} */
  async saved(_, signal) {
    return alone(SAVED, signal, saved.list);
  },

  /** @type {(data: any, signal: AbortSignal) => Promise<unknown>} */
  async forgetSaved({ name }, signal) {
    return alone(SAVED, signal, () => saved.forget(name));
  },

  /** @type {(data: any) => Promise<unknown>} */
  async plan({ url, port }) {
    const line = new Line(port);
    try {
      return JSON.parse(await (await instantiate("cpu")).plan(url, line));
    } finally {
      line.close();
    }
  },

  async stored() {
    return JSON.parse(await (await instantiate("cpu")).stored());
  },

  /** @type {(data: any, signal: AbortSignal) => Promise<boolean>} */
  async forget({ url }, signal) {
    await alone(SAVED, signal, () => saved.forgetModel(url));
    return (await instantiate("cpu")).forget(url);
  },
};

/**
 * Asks the engine that answers, and the next one where it is replaced meanwhile.
 * @template T
 * @param {(runtime: any) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function byEngine(work) {
  for (;;) {
    try {
      return await engines.ask(({ runtime }) => work(runtime));
    } catch (error) {
      if (failure(error).code !== "retired") throw error;
    }
  }
}

/**
 * Answers a question, by whichever engine there is.
 * @param {string} ask the call, as JSON
 * @param {Line | undefined} line to the cloud, if the question may leave
 * @param {(shown: string) => Promise<Line | null | undefined>} person asks them whether it may
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 */
async function answer(ask, line, person, signal, emit) {
  const retelling = new Retelling(emit);
  const tell = (/** @type {string} */ event) => retelling.tell(event);
  for (let losses = 0; ; ) {
    /** @type {import("./engines.js").Engine | null} */
    let asked = null;
    try {
      return await engines.ask((engine) => (asked = engine).runtime.chat(ask, line, person, signal, tell));
    } catch (error) {
      const { code } = failure(error);
      if (code === "webgpu_lost" && losses === 0 && asked && (await engines.isReplaced(asked))) {
        // The engine that took its place gives the same answer, and goes on where this one fell silent.
        losses += 1;
        retelling.beginAgain();
        continue;
      }
      // Nothing has been answered yet; the engine that replaced this one does it.
      if (code !== "retired") throw error;
    }
  }
}

/**
 * What to load, as the page asks for it.
 * @param {{ url: string, recipe: import("./types.js").Recipe | null, adapter?: string | null, scale?: number, lines: [string, MessagePort][] }} data
 * @returns {Wanted}
 */
function want({ url, recipe, adapter = null, scale = 1, lines }) {
  return { url, recipe, adapter, scale, lines: new Map(lines.map(([url, port]) => [url, new Line(port)])), weights: null };
}

/**
 * Starts the module for a device.
 * @param {Kind} kind
 * @returns {Promise<any>}
 */
async function instantiate(kind) {
  let module;
  try {
    await sealed;
    const compiled = modules.get(kind);
    // Two addresses and no variable, so that bundlers see them; only one of them is fetched.
    // @ts-ignore: built, not written
    module = await (kind === "webgpu" ? import("./webgpu/sprat_edge.js") : import("./cpu/sprat_edge.js"));
    await module.default({ module_or_path: await compiled });
  } catch (error) {
    const code = kind === "webgpu" ? "webgpu_unavailable" : "unsupported";
    throw { code, message: `the ${kind} module cannot be started: ${error}`, hint: "Use a current browser; WebAssembly with SIMD is needed." };
  }
  return module;
}
