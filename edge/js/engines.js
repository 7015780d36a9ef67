// @ts-check
/**
 * The engines of a worker, one for each device: finds a device, changes from the CPU to WebGPU when that is ready, and
 * back when it must. One engine at a time answers.
 */

import { findAdapter } from "./adapter.js";
import { mix, nameOf } from "./mix.js";
import { failure, isGpuFailure } from "./thrown.js";

/** @typedef {import("./adapter.js").Adapter} Adapter */
/** @typedef {import("./line.js").Line} Line */
/** @typedef {"cpu" | "webgpu"} Kind */
/**
 * A device, and in bytes the most that it takes in one buffer.
 * @typedef {{ kind: Kind, runtime: any, module: any, words: string, most: number | undefined }} Engine
 */
/**
 * A model to load: a pack, or what a recipe makes of several, the one at `url` being their base. `lines` lead to the
 * packs, by their addresses. `weights` are what the recipe made, for further devices.
 * @typedef {{ url: string, recipe: import("./types.js").Recipe | null, lines: Map<string, Line>, weights: Uint8Array[] | null }} Wanted
 */
/**
 * What a worker lends its engines: `instantiate` starts a module, `modules` has them, `sealed` says whether a policy
 * forbids it to connect, `tell` says something to the page that belongs to no call.
 * @typedef {object} Means
 * @property {(kind: Kind) => Promise<any>} instantiate
 * @property {import("./modules.js").Modules} modules
 * @property {Promise<boolean>} sealed
 * @property {(message: { type: string, [name: string]: unknown }) => void} tell
 */

/** Bytes of a model above which it is not held twice, on the CPU while the GPU gets ready. */
const HELD_TWICE = 64e6;

/** How long another engine may take to come in the place of one that was lost, in milliseconds. */
const REPLACED = 5000;

export class Engines {
  #means;
  /** The engine that answers; replaced when WebGPU is ready, and when it fails. @type {Promise<Engine> | null} */
  #engine = null;
  /** What the engine has, or loads. @type {Wanted} */
  #wanted = { url: "", recipe: null, lines: new Map(), weights: null };
  #settings = "";
  /** The last of the loads that wait for each other. @type {Promise<unknown>} */
  #loads = Promise.resolve();

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
  }

  /**
   * The engine that answers now.
   * @returns {Promise<Engine>}
   */
  async current() {
    const engine = await this.#engine;
    if (!engine) throw { code: "model_missing", message: "loading was stopped before it began" };
    return engine;
  }

  /**
   * Finds a device and loads a model onto it.
   * @param {"auto" | Kind} device
   * @param {string} settings for the runtime, as JSON
   * @param {Wanted} wanted
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  load(device, settings, wanted, signal, emit) {
    this.#wanted = wanted;
    this.#settings = settings;
    const finding = device === "cpu" ? Promise.resolve(null) : findAdapter();
    // Before anything is awaited: whoever asks at once waits for it.
    const begun = finding.then((adapter) => this.#begin(device, adapter));
    this.#engine = begun;
    return this.#inTurn(async () => {
      const adapter = await finding;
      let ready;
      try {
        ready = await begun;
      } catch (error) {
        // Without the device that was asked for, what needs none still works.
        if (isGpuFailure(error)) this.#engine = this.#boot("cpu", null).then((engine) => giveUp(engine, error));
        throw error;
      }
      try {
        // Our CPU path is many times faster than any software adapter.
        const better = device === "auto" && adapter && !adapter.software ? adapter : null;
        return await (better ? this.#loadTwice(ready, better, signal, emit) : this.#load(ready, wanted, signal, emit));
      } catch (error) {
        giveUp((await this.#engine) ?? ready, error);
        throw error;
      }
    });
  }

  /**
   * Puts another model into the place of the present one.
   * @param {Wanted} next
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  use(next, signal, emit) {
    return this.#inTurn(async () => {
      try {
        for (;;) {
          const ready = await this.current();
          const loaded = await this.#load(ready, next, signal, emit);
          if (this.#wanted !== next) close(this.#wanted);
          this.#wanted = next;
          // Meanwhile another device may have taken over, with the model before this one.
          if ((await this.#engine) === ready) return loaded;
        }
      } catch (error) {
        if (this.#wanted !== next) close(next);
        throw error;
      }
    });
  }

  /**
   * Whether another engine comes in the place of one whose GPU was lost; waits for that.
   * @param {Engine} old
   */
  async isReplaced(old) {
    for (let waited = 0; waited < REPLACED; waited += 20) {
      if ((await this.#engine) !== old) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  }

  /**
   * Runs `load` after the loads that were asked for before it, whatever became of them.
   * @template T
   * @param {() => Promise<T>} load
   * @returns {Promise<T>}
   */
  #inTurn(load) {
    const result = this.#loads.then(load);
    this.#loads = result.catch(() => {});
    return result;
  }

  /**
   * Brings up the device that was asked for, or the one that is there at once.
   * @param {"auto" | Kind} device
   * @param {Adapter | null} adapter
   * @returns {Promise<Engine>}
   */
  async #begin(device, adapter) {
    if (device !== "webgpu") return this.#boot("cpu", null);
    if (!adapter) throw { code: "webgpu_unavailable", message: "this browser offers no WebGPU adapter", hint: 'Use device "auto" or "cpu".' };
    return this.#boot("webgpu", adapter);
  }

  /**
   * Instantiates a module and opens its device.
   * @param {Kind} kind
   * @param {Adapter | null} adapter
   * @returns {Promise<Engine>}
   */
  async #boot(kind, adapter) {
    // Whatever ends this worker from here on may be the GPU's doing.
    if (kind === "webgpu") this.#means.tell({ type: "gpu" });
    const module = await this.#means.instantiate(kind);
    const runtime = new module.Runtime(this.#settings);
    await runtime.open(kind, adapter?.words ?? "");
    return { kind, runtime, module, words: runtime.words, most: adapter?.most };
  }

  /**
   * Fetches a model, unless it is stored, and loads it.
   * @param {Engine} ready
   * @param {Wanted} model
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  async #load(ready, model, signal, emit) {
    await this.#fetch(ready, model, signal, emit);
    return this.#put(ready, signal, emit);
  }

  /**
   * Fetches a model, unless it is stored, and mixes it if it is a recipe's; gives its size in bytes.
   * @param {Engine} ready
   * @param {Wanted} model
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   * @returns {Promise<number>}
   */
  async #fetch({ runtime, most }, model, signal, emit) {
    const { url, recipe, lines } = model;
    /** @type {(url: string, work: (line: Line) => Promise<unknown>) => Promise<any>} */
    const once = (url, work) => alone(`sprat ${url}`, signal, () => work(/** @type {Line} */ (lines.get(url))));
    const bytes = await once(url, (line) => runtime.fetch(url, line, most, signal, emit));
    if (recipe) {
      model.weights ??= await mix(runtime, this.#means.modules, recipe, once, signal, emit);
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
  async #put(ready, signal, emit) {
    const { kind, runtime } = ready;
    const device = await this.#describe(ready);
    emit(JSON.stringify({ type: "device", ...device }));
    const model = JSON.parse(await runtime.load(signal, emit));
    if (kind === "webgpu") runtime.lost().then((/** @type {string} */ reason) => this.#lost(ready, reason));
    return { device, model };
  }

  /**
   * The engine's device, as the page gets to know it.
   * @param {Engine} engine
   */
  async #describe({ kind, words }) {
    return { kind, words, sealed: await this.#means.sealed };
  }

  /**
   * Loads the model on the CPU, which is quick, and on the GPU behind it; a large model only on the GPU, if that
   * can be. The GPU answers from the first question after it is ready.
   * @param {Engine} first
   * @param {Adapter} adapter
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  async #loadTwice(first, adapter, signal, emit) {
    // Its module comes while the model does. Whether that failed is asked below.
    const second = this.#boot("webgpu", adapter);
    second.catch(() => {});
    const bytes = await this.#fetch(first, this.#wanted, signal, emit);
    if (bytes <= HELD_TWICE) {
      const loaded = await this.#put(first, signal, emit);
      void this.#moveOver(first, second);
      return loaded;
    }
    try {
      const ready = await second;
      const loaded = await this.#load(ready, this.#wanted, signal, emit);
      this.#takeOver(first, ready);
      return loaded;
    } catch (error) {
      if (!isGpuFailure(error)) throw error;
      // The adapter looked good and computes wrongly, or not at all.
      emit(JSON.stringify(withoutGpu(error)));
      return this.#put(first, signal, emit);
    }
  }

  /**
   * Puts the model onto the GPU, and the GPU's engine in the place of `first`.
   * @param {Engine} first
   * @param {Promise<Engine>} second
   * @returns {Promise<void>}
   */
  async #moveOver(first, second) {
    const { signal } = new AbortController();
    let loaded = this.#wanted;
    try {
      const ready = await second;
      let device, model;
      do {
        loaded = this.#wanted;
        ({ device, model } = await this.#load(ready, loaded, signal, () => {}));
        if ((await this.#engine) !== first) return;
        // While the GPU got it the page may have asked for another one. Nothing is awaited from here on.
      } while (loaded !== this.#wanted);
      this.#takeOver(first, ready);
      this.#means.tell({ type: "status", state: "ready", device, model });
    } catch (error) {
      // Its lines were closed, because another model has come.
      if (loaded !== this.#wanted) return this.#moveOver(first, second);
      this.#means.tell(withoutGpu(error));
    }
  }

  /**
   * Whoever asks from now on asks `ready`; answers that `old` has begun it ends.
   * @param {Engine} old
   * @param {Engine} ready
   */
  #takeOver(old, ready) {
    this.#engine = Promise.resolve(ready);
    old.runtime.retire();
  }

  /**
   * The GPU went away: the CPU takes over for the next question.
   * @param {Engine} old
   * @param {string} reason
   */
  async #lost(old, reason) {
    if ((await this.#engine) !== old) return;
    const { tell } = this.#means;
    tell({ type: "warning", code: "webgpu_lost", message: `The GPU was lost (${reason}); the CPU takes over.` });
    const ready = await this.#change(old);
    tell({ type: "status", state: "loading", device: await this.#describe(ready), model: null });
    let loaded = this.#wanted;
    try {
      let device, model;
      do {
        loaded = this.#wanted;
        ({ device, model } = await this.#load(ready, loaded, new AbortController().signal, () => {}));
      } while (loaded !== this.#wanted);
      tell({ type: "status", state: "ready", device, model });
    } catch (error) {
      // Another model has been put here meanwhile.
      if (loaded !== this.#wanted) return;
      giveUp(ready, error);
      const { code, message } = failure(error);
      tell({ type: "warning", code, message });
      tell({ type: "status", state: "failed", device: null, model: null });
    }
  }

  /**
   * Puts a CPU engine in the place of `old`; what waits there moves over.
   * @param {Engine} old
   */
  async #change(old) {
    const ready = this.#boot("cpu", null);
    this.#engine = ready;
    old.runtime.retire();
    return ready;
  }
}

/**
 * Closes the lines of a model that is not wanted any more.
 * @param {Wanted} model
 */
function close({ lines }) {
  for (const line of lines.values()) line.close();
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
 * The warning that it goes on without the GPU.
 * @param {unknown} error why
 */
function withoutGpu(error) {
  return { type: "warning", code: "webgpu_unavailable", message: `${failure(error).message}; the CPU is used.` };
}

/**
 * Runs `work` in one tab at a time, so that two tabs do not fetch the same model twice, or save into one place.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(name, signal, work) {
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
