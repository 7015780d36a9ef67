// @ts-check
/**
 * The worker's shell: picks the module and the device, numbers the calls, and changes from WebGPU
 * to the CPU when it must. What is computed is computed in Rust (`Runtime`).
 */

/** @typedef {"cpu" | "webgpu"} Kind */
/** @typedef {{ kind: Kind, runtime: any, module: any, words: string }} Engine */

/**
 * This worker. The page's library of types, which the other files need, has no name for it.
 * @type {{ onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown): void }}
 */
const worker = self;

/** Stops for the calls that go on. @type {Map<number, AbortController>} */
const running = new Map();

/** The engine that answers; replaced when WebGPU fails. @type {Promise<Engine> | null} */
let engine = null;
/** @type {{ url: string, settings: string } | null} */
let wanted = null;

worker.onmessage = async ({ data }) => {
  const { id, type } = data;
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
  async load({ url, device, settings }, signal, emit) {
    wanted = { url, settings };
    emit(JSON.stringify({ type: "progress", stage: "engine", loaded: 0, total: 0, message: "Starting" }));
    engine = begin(device, settings, emit);
    let ready;
    try {
      ready = await engine;
    } catch (error) {
      // Without the device that was asked for, what needs none still works.
      if (isGpuFailure(error)) engine = boot("cpu", "", settings).then((engine) => giveUp(engine, error));
      throw error;
    }
    try {
      return await load(ready, signal, emit);
    } catch (error) {
      if (ready.kind !== "webgpu" || device === "webgpu" || !isGpuFailure(error)) {
        giveUp(ready, error);
        throw error;
      }
      // The adapter looked good and computes wrongly, or not at all.
      warn(emit, error);
    }
    ready = await change(ready);
    try {
      return await load(ready, signal, emit);
    } catch (error) {
      giveUp(ready, error);
      throw error;
    }
  },

  /** @type {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} */
  async chat({ ask }, signal, emit) {
    for (;;) {
      const current = await engine;
      if (!current) throw { code: "model_missing", message: "loading was stopped before it began" };
      try {
        return await current.runtime.chat(ask, signal, emit);
      } catch (error) {
        // Nothing has been answered yet; the engine that replaced this one does it.
        if (failure(error).code !== "retired") throw error;
      }
    }
  },

  async stored() {
    return JSON.parse(await (await instantiate("cpu")).stored());
  },

  /** @type {(data: any) => Promise<boolean>} */
  async forget({ url }) {
    return (await instantiate("cpu")).forget(url);
  },
};

/**
 * Brings up the device that was asked for, or the best there is.
 * @param {"auto" | Kind} device
 * @param {string} settings
 * @param {(event: string) => void} emit
 * @returns {Promise<Engine>}
 */
async function begin(device, settings, emit) {
  if (device === "cpu") return boot("cpu", "", settings);
  const adapter = await findAdapter();
  if (device === "webgpu") {
    if (!adapter) throw { code: "webgpu_unavailable", message: "this browser offers no WebGPU adapter", hint: 'Use device "auto" or "cpu".' };
    return boot("webgpu", adapter.words, settings);
  }
  // Our CPU path is many times faster than any software adapter.
  if (!adapter || adapter.software) return boot("cpu", "", settings);
  try {
    return await boot("webgpu", adapter.words, settings);
  } catch (error) {
    warn(emit, error);
    return boot("cpu", "", settings);
  }
}

/**
 * Instantiates a module and opens its device.
 * @param {Kind} kind
 * @param {string} words
 * @param {string} settings
 * @returns {Promise<Engine>}
 */
async function boot(kind, words, settings) {
  const module = await instantiate(kind);
  const runtime = new module.Runtime(settings);
  await runtime.open(kind, words);
  return { kind, runtime, module, words: runtime.words };
}

/**
 * @param {Kind} kind
 * @returns {Promise<any>}
 */
async function instantiate(kind) {
  let module;
  try {
    // A variable address: the modules are built, not written, and only one of them is fetched.
    module = await import(new URL(`./${kind}/sprat_edge.js`, import.meta.url).href);
    await module.default();
  } catch (error) {
    const code = kind === "webgpu" ? "webgpu_unavailable" : "unsupported";
    throw { code, message: `the ${kind} module cannot be started: ${error}`, hint: "Use a current browser; WebAssembly with SIMD is needed." };
  }
  return module;
}

/**
 * Fetches the model, unless it is stored, and loads it.
 * @param {Engine} ready
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 */
async function load(ready, signal, emit) {
  const { kind, runtime, words } = ready;
  const device = { kind, words };
  emit(JSON.stringify({ type: "device", ...device }));
  await alone(`sprat ${wanted?.url}`, signal, () => runtime.fetch(wanted?.url, signal, emit));
  const model = JSON.parse(await runtime.load(signal, emit));
  if (kind === "webgpu") runtime.lost().then((/** @type {string} */ reason) => lost(ready, reason));
  return { device, model };
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
 * The GPU went away: the CPU takes over for the next question.
 * @param {Engine} old
 * @param {string} reason
 */
async function lost(old, reason) {
  if ((await engine) !== old) return;
  worker.postMessage({ type: "warning", code: "webgpu_lost", message: `The GPU was lost (${reason}); the CPU takes over.` });
  const ready = await change(old);
  worker.postMessage({ type: "status", state: "loading", device: { kind: ready.kind, words: ready.words }, model: null });
  try {
    const { device, model } = await load(ready, new AbortController().signal, () => {});
    worker.postMessage({ type: "status", state: "ready", device, model });
  } catch (error) {
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
  engine = boot("cpu", "", wanted?.settings ?? "");
  old.runtime.retire();
  return engine;
}

/**
 * The adapter that WebGPU would use, in words, and whether it is software.
 * @returns {Promise<{ words: string, software: boolean } | null>}
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
    return { words: `WebGPU: ${name || "an adapter without a name"}`, software };
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
