// @ts-check
/**
 * The engines of a page, one for each device: finds a device, changes from the CPU to WebGPU when that is ready, and
 * back when it must. One engine at a time answers.
 */

import { findAdapter } from "./adapter.js";
import { alone } from "./alone.js";
import { check, checkAdapter, look } from "./budget.js";
import { putOver } from "./lora.js";
import { Mixer, nameOf } from "./mix.js";
import { Proof } from "./proof.js";
import { failure, isGpuFailure } from "./thrown.js";
import { closeLines, nothing } from "./wanted.js";

/** @typedef {import("./adapter.js").Adapter} Adapter */
/** @typedef {import("./line.js").Line} Line */
/** @typedef {"cpu" | "webgpu"} Kind */
/**
 * A device, in bytes the most that it takes in one buffer, and the adapter that is over its model, at which scale.
 * @typedef {{ kind: Kind, runtime: any, module: any, words: string, most: number | undefined, over: string | null, scale: number }} Engine
 */
/**
 * How a model is to be loaded: on which device, with which settings of the runtime (JSON), how large it may be, whether a
 * GPU has to prove itself, and what was measured before, by `adapter model`.
 * @typedef {object} How
 * @property {"auto" | Kind} device
 * @property {import("./crew.js").Threads} threads that the CPU is to have
 * @property {string} settings
 * @property {import("./budget.js").Limits} limits
 * @property {boolean} canary
 * @property {Record<string, import("./types.js").Figures>} figures
 */
/** @typedef {import("./wanted.js").Wanted} Wanted */
/** What the page gets to know of a loaded model. @typedef {{ device: import("./types.js").DeviceInfo, model: import("./types.js").ModelInfo | null }} Loaded */
/**
 * What engines are lent: their modules, the CPU's threads, whether a policy forbids them to connect, and what tells the page something that
 * belongs to no call.
 * @typedef {object} Means
 * @property {import("./modules.js").Modules} modules
 * @property {import("./crew.js").Crew} crew
 * @property {Promise<boolean>} sealed
 * @property {(message: { type: string, id?: never, [name: string]: unknown }) => void} tell
 */

/** Bytes of a model above which it is not held twice, on the CPU while the GPU gets ready. */
const HELD_TWICE = 64e6;

/** What is thrown to whoever still waits for an engine when nobody needs it any more. */
const CLOSED = { code: "aborted", message: "this engine was closed" };

/** How long another engine may take to come in the place of one that was lost, in milliseconds. */
const REPLACED = 5000;

export class Engines {
  #means;
  #proof;
  #mixer;
  /** The engine that answers; replaced when WebGPU is ready, and when it fails. @type {Promise<Engine> | null} */
  #engine = null;
  /** What the engine has, or loads. @type {Wanted} */
  #wanted = nothing();
  /** @type {How} */
  #how = { device: "auto", threads: { count: 1, from: 0 }, settings: "", limits: { maxBytes: null, why: "" }, canary: false, figures: {} };
  /** The last of the loads that wait for each other. @type {Promise<unknown>} */
  #loads = Promise.resolve();
  /** The runtimes that may be computing. @type {Map<Kind, any>} */
  #runtimes = new Map();
  #paused = false;
  #closed = false;
  /** How many risks were taken. */
  #risks = 0;

  /** @param {Means} means */
  constructor(means) {
    this.#means = means;
    this.#proof = new Proof(means.tell);
    this.#mixer = new Mixer(means.modules);
  }

  /**
   * Has the engine that answers now do something.
   * @template T
   * @param {(engine: Engine) => Promise<T>} work
   * @returns {Promise<T>}
   */
  ask(work) {
    return this.#proof.aside(async () => work(await this.#current()));
  }

  async #current() {
    const engine = await this.#engine;
    if (this.#closed) throw CLOSED;
    if (!engine) throw { code: "model_missing", message: "loading was stopped before it began" };
    return engine;
  }

  /**
   * Stops all that computes tokens, or lets it go on.
   * @param {boolean} paused
   */
  pause(paused) {
    this.#paused = paused;
    this.#proof.pause(paused);
    for (const runtime of this.#runtimes.values()) runtime.pause(paused);
  }

  /** Gives back what the engines hold; nothing is asked any more. */
  close() {
    this.#closed = true;
    closeLines(this.#wanted);
    this.#mixer.close();
    for (const runtime of this.#runtimes.values()) runtime.retire();
  }

  /**
   * Finds a device and loads a model onto it.
   * @param {How} how
   * @param {Wanted} wanted
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  load(how, wanted, signal, emit) {
    const { device } = how;
    this.#wanted = wanted;
    this.#how = how;
    this.#proof.begin(how.canary, how.figures, how.threads);
    look(wanted);
    const finding = device === "cpu" || !this.#means.modules.has("webgpu") ? Promise.resolve(null) : findAdapter();
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
      if (wanted.url === "") {
        const loaded = { device: await this.#describe(ready), model: null };
        this.#tellReady(loaded);
        giveUp(ready, { code: "model_missing", message: "no model was asked for, because only the cloud is to answer" });
        return loaded;
      }
      try {
        const better = device === "auto" && adapter && this.#proof.isBetter(adapter, await look(wanted)) ? adapter : null;
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
    look(next);
    return this.#inTurn(async () => {
      try {
        for (;;) {
          const ready = await this.#current();
          const loaded = await this.#load(ready, next, signal, emit);
          if (this.#wanted !== next) closeLines(this.#wanted);
          this.#wanted = next;
          // Meanwhile another device may have taken over, with the model before this one.
          if ((await this.#engine) === ready) return loaded;
        }
      } catch (error) {
        if (this.#wanted !== next) closeLines(next);
        throw error;
      }
    });
  }

  /**
   * Puts an adapter over the model, in the place of the one before, or takes that off.
   * @param {Pick<Wanted, "adapter" | "scale" | "lines">} over the adapter, and the line to its pack
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  adapt({ adapter, scale, lines }, signal, emit) {
    return this.#inTurn(async () => {
      const { above, ...before } = this.#wanted;
      const isSame = adapter === before.adapter;
      /** @type {Wanted} */
      const next = { ...before, adapter, scale, ...(isSame && { above }) };
      // They are closed with the model: another device may be about to fetch an adapter that is not wanted any more.
      for (const [url, line] of lines) {
        if (next.lines.has(url)) line.close();
        else next.lines.set(url, line);
      }
      if (!isSame) await checkAdapter(next, this.#how.limits);
      for (;;) {
        const ready = await this.#current();
        try {
          await putOver(ready, next, signal, emit);
        } catch (error) {
          // Meanwhile another device has taken over, with the adapter before this one.
          if (failure(error).code !== "retired" || (await this.#engine) === ready) throw error;
          continue;
        }
        this.#wanted = next;
        if ((await this.#engine) === ready) return;
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
    if (!adapter) throw { code: "webgpu_unavailable", message: "there is no WebGPU adapter here", hint: 'Use device "auto" or "cpu".' };
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
    const module = await this.#means.modules.start(kind);
    const runtime = new module.Runtime(this.#how.settings);
    const open = () => runtime.open(kind, adapter?.words ?? "");
    await (kind === "webgpu" ? this.#risk("gpu", 0, open) : open());
    if (this.#closed) throw CLOSED;
    this.#runtimes.set(kind, runtime);
    runtime.pause(this.#paused);
    return { kind, runtime, module, words: runtime.words, most: adapter?.most, over: null, scale: 1 };
  }

  /**
   * Fetches a model, unless it is stored, and loads it.
   * @param {Engine} ready
   * @param {Wanted} model
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  async #load(ready, model, signal, emit) {
    const bytes = await this.#fetch(ready, model, signal, emit);
    return this.#put(ready, model, bytes, signal, emit);
  }

  /**
   * Does what may end the tab; the page keeps a mark meanwhile.
   * @template T
   * @param {"gpu" | "memory"} step
   * @param {number} bytes of the model
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #risk(step, bytes, work) {
    const { tell } = this.#means;
    const number = (this.#risks += 1);
    tell({ type: "risk", number, step, bytes });
    try {
      return await work();
    } finally {
      tell({ type: "risk", number, step: null });
    }
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
    await check(model, this.#how.limits);
    /** @type {(url: string, work: (line: Line) => Promise<unknown>) => Promise<any>} */
    const once = (url, work) => alone(`sprat ${url}`, signal, () => work(/** @type {Line} */ (lines.get(url))));
    const bytes = await once(url, (line) => runtime.fetch(url, line, most, signal, emit));
    if (recipe) {
      model.weights ??= await this.#mixer.mix(runtime, recipe, once, signal, emit);
      await runtime.mixed(nameOf(recipe), model.weights);
    }
    return bytes;
  }

  /**
   * Loads the fetched model onto the engine's device, with its adapter over it, and lets it answer. The page hears of that
   * before the first answer, if the engine is the one that answers.
   * @param {Engine} ready
   * @param {Wanted} wanted
   * @param {number} bytes of the model
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  async #put(ready, wanted, bytes, signal, emit) {
    const { kind, runtime, module } = ready;
    if (kind === "cpu") await this.#means.crew.gather(module, this.#how.threads, bytes);
    const device = await this.#describe(ready);
    emit(JSON.stringify({ type: "device", ...device }));
    const step = kind === "webgpu" ? "gpu" : "memory";
    const model = JSON.parse(await this.#risk(step, bytes, () => runtime.load(signal, emit)));
    ready.over = null;
    await putOver(ready, wanted, signal, emit);
    if (this.#closed) {
      runtime.retire();
      throw CLOSED;
    }
    if (kind === "webgpu") runtime.lost().then((/** @type {string} */ reason) => this.#lost(ready, reason));
    const loaded = { device, model };
    if ((await this.#engine) === ready) this.#tellReady(loaded);
    runtime.offer();
    return loaded;
  }

  /** @param {Loaded} loaded */
  #tellReady(loaded) {
    this.#means.tell({ type: "status", state: "ready", ...loaded });
  }

  /**
   * The engine's device, as the page gets to know it.
   * @param {Engine} engine
   */
  async #describe({ kind, words }) {
    const { crew, sealed } = this.#means;
    return { kind, words, threads: kind === "cpu" ? crew.threads : 1, sealed: (await sealed) && crew.isSealed };
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
      const loaded = await this.#put(first, this.#wanted, bytes, signal, emit);
      void this.#moveOver(first, second, adapter);
      return loaded;
    }
    try {
      const ready = await second;
      const loaded = await this.#load(ready, this.#wanted, signal, emit);
      this.#takeOver(first, ready, loaded);
      return loaded;
    } catch (error) {
      if (!isGpuFailure(error)) throw error;
      // The adapter looked good and computes wrongly, or not at all.
      emit(JSON.stringify(withoutGpu(error)));
      return this.#put(first, this.#wanted, bytes, signal, emit);
    }
  }

  /**
   * Puts the model onto the GPU, and the GPU's engine in the place of `first`, unless it turns out to be the slower one.
   * @param {Engine} first
   * @param {Promise<Engine>} second
   * @param {Adapter} adapter
   * @returns {Promise<void>}
   */
  async #moveOver(first, second, adapter) {
    const { signal } = new AbortController();
    let loaded = this.#wanted;
    if (this.#closed) return;
    try {
      const ready = await second;
      const measured = this.#wanted;
      const cpu = await this.#proof.measure(first.runtime, adapter, await look(measured));
      let told;
      do {
        loaded = this.#wanted;
        told = await this.#load(ready, loaded, signal, () => {});
        const known = loaded === measured ? cpu : null;
        if (!(await this.#proof.compare(ready.runtime, known, adapter, await look(loaded)))) return ready.runtime.retire();
        if ((await this.#engine) !== first) return;
        // While the GPU got it the page may have asked for another one. Nothing is awaited from here on.
      } while (loaded !== this.#wanted);
      this.#takeOver(first, ready, told);
    } catch (error) {
      // Its lines were closed, because another model has come.
      if (loaded !== this.#wanted) return this.#moveOver(first, second, adapter);
      this.#means.tell(withoutGpu(error));
    }
  }

  /**
   * Whoever asks from now on asks `ready`; answers that `old` has begun it ends.
   * @param {Engine} old
   * @param {Engine} ready
   * @param {Loaded} loaded
   */
  #takeOver(old, ready, loaded) {
    this.#tellReady(loaded);
    this.#engine = Promise.resolve(ready);
    old.runtime.retire();
    if (old.kind === "cpu") void this.#means.crew.dismiss(old.module);
  }

  /**
   * The GPU went away: the CPU takes over for the next question.
   * @param {Engine} old
   * @param {string} reason
   */
  async #lost(old, reason) {
    if (this.#closed || (await this.#engine) !== old) return;
    const { tell } = this.#means;
    tell({ type: "warning", code: "webgpu_lost", message: `The GPU was lost (${reason}); the CPU takes over.` });
    const ready = await this.#change(old);
    tell({ type: "status", state: "loading", device: await this.#describe(ready), model: null });
    let loaded = this.#wanted;
    try {
      do {
        loaded = this.#wanted;
        await this.#load(ready, loaded, new AbortController().signal, () => {});
      } while (loaded !== this.#wanted);
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
