// @ts-check
/**
 * The worker of the engine: picks the module and the device, numbers the calls, and changes from the CPU to
 * WebGPU when that is ready, and back when it must. What is computed is computed in Rust (`Runtime`).
 *
 * It has no network. What comes from outside comes over lines from the worker that has one (`link.js`), and the page
 * lays them: one for each model that is to be loaded, one for each question that may leave.
 */

import { Line } from "./line.js";
import { mix, nameOf } from "./mix.js";
import { Modules } from "./modules.js";
import { Retelling } from "./retell.js";
import * as saved from "./saved.js";
import { seal } from "./seal.js";

/** @typedef {"cpu" | "webgpu"} Kind */
/**
 * A device, and in bytes the most that it takes in one buffer.
 * @typedef {{ kind: Kind, runtime: any, module: any, words: string, most: number | undefined }} Engine
 */
/** @typedef {{ words: string, software: boolean, most: number | undefined }} Adapter */
/**
 * A model to load: a pack, or what a recipe makes of several, the one at `url` being their base. `lines` lead to the
 * packs, by their addresses. `weights` are what the recipe made, for further devices.
 * @typedef {{ url: string, recipe: import("./types.js").Recipe | null, lines: Map<string, Line>, weights: Uint8Array[] | null }} Wanted
 */

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

/** The engine that answers; replaced when WebGPU fails. @type {Promise<Engine> | null} */
let engine = null;
/** What the engine has, or loads. @type {Wanted} */
let wanted = { url: "", recipe: null, lines: new Map(), weights: null };
let settings = "";
/** The engine's modules, which another worker fetches. */
const modules = new Modules();
/** The last of the loads that wait for each other. @type {Promise<unknown>} */
let loads = Promise.resolve();

/** Bytes of a model above which it is not held twice, on the CPU while the GPU gets ready. */
const HELD_TWICE = 64e6;
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
    const { device } = data;
    wanted = want(data);
    settings = data.settings;
    emit(JSON.stringify({ type: "progress", stage: "engine", loaded: 0, total: 0, message: "Starting" }));
    const finding = device === "cpu" ? Promise.resolve(null) : findAdapter();
    // Before anything is awaited: whoever asks at once waits for it.
    const begun = finding.then((adapter) => begin(device, adapter));
    engine = begun;
    return inTurn(async () => {
      const adapter = await finding;
      let ready;
      try {
        ready = await begun;
      } catch (error) {
        // Without the device that was asked for, what needs none still works.
        if (isGpuFailure(error)) engine = boot("cpu", null).then((engine) => giveUp(engine, error));
        throw error;
      }
      try {
        // Our CPU path is many times faster than any software adapter.
        const better = device === "auto" && adapter && !adapter.software ? adapter : null;
        return await (better ? loadTwice(ready, better, signal, emit) : load(ready, wanted, signal, emit));
      } catch (error) {
        giveUp((await engine) ?? ready, error);
        throw error;
      }
    });
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async use(data, signal, emit) {
    return inTurn(async () => {
      const next = want(data);
      try {
        for (;;) {
          const ready = await engine;
          if (!ready) throw { code: "model_missing", message: "loading was stopped before it began" };
          const loaded = await load(ready, next, signal, emit);
          if (wanted !== next) close(wanted);
          wanted = next;
          // Meanwhile another device may have taken over, with the model before this one.
          if ((await engine) === ready) return loaded;
        }
      } catch (error) {
        if (wanted !== next) close(next);
        throw error;
      }
    });
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async chat({ id, ask, port }, signal, emit) {
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
      return await answer(ask, port ? lay(port) : undefined, person, signal, emit);
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
    const current = await engine;
    if (!current) throw { code: "model_missing", message: "loading was stopped before it began" };
    try {
      return await work(current.runtime);
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
    const current = await engine;
    if (!current) throw { code: "model_missing", message: "loading was stopped before it began" };
    try {
      return await current.runtime.chat(ask, line, person, signal, tell);
    } catch (error) {
      const { code } = failure(error);
      if (code === "webgpu_lost" && losses === 0 && (await isReplaced(current))) {
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
 * @param {{ url: string, recipe: import("./types.js").Recipe | null, lines: [string, MessagePort][] }} data
 * @returns {Wanted}
 */
function want({ url, recipe, lines }) {
  return { url, recipe, lines: new Map(lines.map(([url, port]) => [url, new Line(port)])), weights: null };
}

/**
 * Closes the lines of a model that is not wanted any more.
 * @param {Wanted} model
 */
function close({ lines }) {
  for (const line of lines.values()) line.close();
}

/**
 * Runs `load` after the loads that were asked for before it, whatever became of them.
 * @template T
 * @param {() => Promise<T>} load
 * @returns {Promise<T>}
 */
function inTurn(load) {
  const result = loads.then(load);
  loads = result.catch(() => {});
  return result;
}

/**
 * Brings up the device that was asked for, or the one that is there at once.
 * @param {"auto" | Kind} device
 * @param {Adapter | null} adapter
 * @returns {Promise<Engine>}
 */
async function begin(device, adapter) {
  if (device !== "webgpu") return boot("cpu", null);
  if (!adapter) throw { code: "webgpu_unavailable", message: "this browser offers no WebGPU adapter", hint: 'Use device "auto" or "cpu".' };
  return boot("webgpu", adapter);
}

/**
 * Instantiates a module and opens its device.
 * @param {Kind} kind
 * @param {Adapter | null} adapter
 * @returns {Promise<Engine>}
 */
async function boot(kind, adapter) {
  // Whatever ends this worker from here on may be the GPU's doing.
  if (kind === "webgpu") worker.postMessage({ type: "gpu" });
  const module = await instantiate(kind);
  const runtime = new module.Runtime(settings);
  await runtime.open(kind, adapter?.words ?? "");
  return { kind, runtime, module, words: runtime.words, most: adapter?.most };
}

/**
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

/**
 * Fetches a model, unless it is stored, and loads it.
 * @param {Engine} ready
 * @param {Wanted} model
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 */
async function load(ready, model, signal, emit) {
  await fetchModel(ready, model, signal, emit);
  return put(ready, signal, emit);
}

/**
 * Fetches a model, unless it is stored, and mixes it if it is a recipe's; gives its size in bytes.
 * @param {Engine} ready
 * @param {Wanted} model
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 * @returns {Promise<number>}
 */
async function fetchModel({ runtime, most }, model, signal, emit) {
  const { url, recipe, lines } = model;
  /** @type {(url: string, work: (line: Line) => Promise<unknown>) => Promise<any>} */
  const once = (url, work) => alone(`sprat ${url}`, signal, () => work(/** @type {Line} */ (lines.get(url))));
  const bytes = await once(url, (line) => runtime.fetch(url, line, most, signal, emit));
  if (recipe) {
    model.weights ??= await mix(runtime, modules, recipe, once, signal, emit);
    await runtime.mixed(nameOf(recipe), model.weights);
  }
  return bytes;
}

/**
 * Loads the fetched model onto the engine's device.
 * @param {Engine} ready
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 */
async function put(ready, signal, emit) {
  const { kind, runtime, words } = ready;
  const device = { kind, words, sealed: await sealed };
  emit(JSON.stringify({ type: "device", ...device }));
  const model = JSON.parse(await runtime.load(signal, emit));
  if (kind === "webgpu") runtime.lost().then((/** @type {string} */ reason) => lost(ready, reason));
  return { device, model };
}

/**
 * Loads the model on the CPU, which is quick, and on the GPU behind it; a large model only on the GPU, if that
 * can be. The GPU answers from the first question after it is ready.
 * @param {Engine} first
 * @param {Adapter} adapter
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 */
async function loadTwice(first, adapter, signal, emit) {
  // Its module comes while the model does. Whether that failed is asked below.
  const second = boot("webgpu", adapter);
  second.catch(() => {});
  const bytes = await fetchModel(first, wanted, signal, emit);
  if (bytes <= HELD_TWICE) {
    const loaded = await put(first, signal, emit);
    void moveOver(first, second);
    return loaded;
  }
  try {
    const ready = await second;
    const loaded = await load(ready, wanted, signal, emit);
    takeOver(first, ready);
    return loaded;
  } catch (error) {
    if (!isGpuFailure(error)) throw error;
    // The adapter looked good and computes wrongly, or not at all.
    warn(emit, error);
    return put(first, signal, emit);
  }
}

/**
 * Puts the model onto the GPU, and the GPU's engine in the place of `first`.
 * @param {Engine} first
 * @param {Promise<Engine>} second
 */
async function moveOver(first, second) {
  const { signal } = new AbortController();
  let loaded = wanted;
  try {
    const ready = await second;
    let device, model;
    do {
      loaded = wanted;
      ({ device, model } = await load(ready, loaded, signal, () => {}));
      if ((await engine) !== first) return;
      // While the GPU got it the page may have asked for another one. Nothing is awaited from here on.
    } while (loaded !== wanted);
    takeOver(first, ready);
    worker.postMessage({ type: "status", state: "ready", device, model });
  } catch (error) {
    // Its lines were closed, because another model has come.
    if (loaded !== wanted) return moveOver(first, second);
    warn((event) => worker.postMessage(JSON.parse(event)), error);
  }
}

/**
 * Whoever asks from now on asks `ready`; answers that `old` has begun it ends.
 * @param {Engine} old
 * @param {Engine} ready
 */
function takeOver(old, ready) {
  engine = Promise.resolve(ready);
  old.runtime.retire();
}

/**
 * This engine will have no model: whoever waits for it goes on without.
 * @param {Engine} ready
 * @param {unknown} error why
 */
function giveUp(ready, error) {
  const { code, message } = failure(error);
  ready.runtime.fail(code, message);
  return ready;
}

/**
 * Runs `work` in one tab at a time, so that two tabs do not fetch the same model twice.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function alone(name, signal, work) {
  if (!navigator.locks) return work();
  try {
    return await navigator.locks.request(name, { signal }, work);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw { code: "aborted", message: "stopped by the caller" };
    }
    throw error;
  }
}

/**
 * Whether another engine comes in the place of one whose GPU was lost; waits for that.
 * @param {Engine} old
 */
async function isReplaced(old) {
  for (let waited = 0; waited < 5000; waited += 20) {
    if ((await engine) !== old) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

/**
 * The GPU went away: the CPU takes over for the next question.
 * @param {Engine} old
 * @param {string} reason
 */
async function lost(old, reason) {
  if ((await engine) !== old) return;
  worker.postMessage({ type: "warning", code: "webgpu_lost", message: `The GPU was lost (${reason}); the CPU takes over.` });
  const ready = await change(old);
  worker.postMessage({ type: "status", state: "loading", device: { kind: ready.kind, words: ready.words, sealed: await sealed }, model: null });
  let loaded = wanted;
  try {
    let device, model;
    do {
      loaded = wanted;
      ({ device, model } = await load(ready, loaded, new AbortController().signal, () => {}));
    } while (loaded !== wanted);
    worker.postMessage({ type: "status", state: "ready", device, model });
  } catch (error) {
    // Another model has been put here meanwhile.
    if (loaded !== wanted) return;
    giveUp(ready, error);
    const { code, message } = failure(error);
    worker.postMessage({ type: "warning", code, message });
    worker.postMessage({ type: "status", state: "failed", device: null, model: null });
  }
}

/**
 * Puts a CPU engine in the place of `old`; what waits there moves over.
 * @param {Engine} old
 */
async function change(old) {
  engine = boot("cpu", null);
  old.runtime.retire();
  return engine;
}

/**
 * The adapter that WebGPU would use, in words, and whether it is software.
 * @returns {Promise<Adapter | null>}
 */
async function findAdapter() {
  try {
    const gpu = /** @type {any} */ (navigator).gpu;
    const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return null;
    const info = adapter.info ?? {};
    const parts = [info.description || info.device, info.vendor, info.architecture];
    const name = parts.filter((part, at) => part && parts.indexOf(part) === at).join(" ");
    const software =
      Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) ||
      /swiftshader|llvmpipe|lavapipe|software|basic render|\bwarp\b/i.test(parts.join(" "));
    const { maxBufferSize = Infinity, maxStorageBufferBindingSize = Infinity } = adapter.limits ?? {};
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    return { words: `WebGPU: ${name || "an adapter without a name"}`, software, most };
  } catch {
    return null;
  }
}

/** @param {unknown} error */
function isGpuFailure(error) {
  return ["webgpu_unavailable", "webgpu_lost"].includes(failure(error).code);
}

/**
 * @param {(event: string) => void} emit
 * @param {unknown} error
 */
function warn(emit, error) {
  const { message } = failure(error);
  emit(JSON.stringify({ type: "warning", code: "webgpu_unavailable", message: `${message}; the CPU is used.` }));
}

/**
 * A failure of ours as it crosses to the page; anything else is internal.
 * @param {unknown} error
 * @returns {{ code: string, message: string }}
 */
function failure(error) {
  const known = /** @type {any} */ (error);
  if (typeof known?.code === "string" && typeof known.message === "string") {
    return known instanceof Error ? { code: "internal", message: known.message } : known;
  }
  return { code: "internal", message: String(error) };
}
