// @ts-check
/**
 * Proof that a GPU is worth its while: both devices are timed with a model once, and the page keeps the figures.
 */

import { isGpuBetter, measure, patience } from "./canary.js";

/** @typedef {import("./adapter.js").Adapter} Adapter */
/** @typedef {import("./budget.js").About} About */
/** @typedef {import("./types.js").Figures} Figures */
/** @typedef {import("./types.js").Speed} Speed */

export class Proof {
  #tell;
  #isWanted = false;
  /** @type {import("./crew.js").Threads} */ #threads = { count: 1, from: 0 };
  /** What was measured, by adapter and model. @type {Record<string, Figures>} */
  #figures = {};
  /** Questions that are being answered. */
  #busy = 0;
  #paused = false;
  /** Stops what is being measured. @type {AbortController | null} */
  #measuring = null;

  /** @param {(message: { type: string, [name: string]: unknown }) => void} tell says figures to the page */
  constructor(tell) {
    this.#tell = tell;
  }

  /**
   * @param {boolean} isWanted whether anything is to be measured, or known
   * @param {Record<string, Figures>} figures what was measured before
   * @param {import("./crew.js").Threads} threads of the CPU
   */
  begin(isWanted, figures, threads) {
    this.#isWanted = isWanted;
    this.#threads = threads;
    this.#figures = { ...figures };
  }

  /**
   * Whoever asks something need not wait for a measurement, and spoils it.
   * @template T
   * @param {() => Promise<T>} work
   */
  async aside(work) {
    this.#busy += 1;
    this.#measuring?.abort();
    try {
      return await work();
    } finally {
      this.#busy -= 1;
    }
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.#paused = paused;
    // The clock goes on.
    if (paused) this.#measuring?.abort();
  }

  /**
   * Whether an adapter is better than the CPU: by what was measured, or else if it is hardware.
   * @param {Adapter} adapter
   * @param {About | null} about the model
   */
  isBetter(adapter, about) {
    // Our CPU path is many times faster than any software adapter.
    if (adapter.software) return false;
    const known = this.#isWanted ? this.#figures[this.#keyOf(adapter, about)] : null;
    if (!known) return true;
    this.#tell({ type: "figures", key: null, figures: known });
    return isGpuBetter(known.cpu, known.webgpu);
  }

  /**
   * How fast an engine is; `null` if that is not to be found out, or somebody asked something meanwhile.
   * @param {any} runtime
   * @param {Adapter} adapter
   * @param {About | null} about
   * @param {number} [most] milliseconds after which it is given up
   * @returns {Promise<Speed | null>}
   */
  async measure(runtime, adapter, about, most) {
    const isKnown = this.#figures[this.#keyOf(adapter, about)] !== undefined;
    if (!this.#isWanted || !about || isKnown || this.#busy > 0 || this.#paused) return null;
    const stop = new AbortController();
    this.#measuring = stop;
    const speed = await measure(runtime, stop.signal, most);
    return stop.signal.aborted ? null : speed;
  }

  /**
   * Whether the GPU is the better one now that it can be measured as well; so it is where nothing was found out.
   * @param {any} runtime the GPU's
   * @param {Speed | null} cpu
   * @param {Adapter} adapter
   * @param {About | null} about
   */
  async compare(runtime, cpu, adapter, about) {
    const webgpu = cpu && (await this.measure(runtime, adapter, about, patience(cpu)));
    if (!webgpu || !about) return true;
    const key = this.#keyOf(adapter, about);
    const figures = { adapter: adapter.words, model: about.name, cpu, webgpu };
    this.#figures[key] = figures;
    this.#tell({ type: "figures", key, figures });
    return isGpuBetter(cpu, webgpu);
  }

  /**
   * What an adapter's figures for a model are kept under.
   * @param {Adapter} adapter
   * @param {About | null} about
   */
  #keyOf({ words }, about) {
    const { count, from } = this.#threads;
    const threads = count > 1 && about && about.bytes >= from ? `, ${count} threads` : "";
    return `${words}, ${about?.name}, ${about?.bytes} bytes${threads}`;
  }
}
