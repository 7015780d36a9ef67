// @ts-check
/**
 * What a site keeps about how the engine went on this device: figures, and marks of what is being risked. No text, no
 * address. Where nothing can be stored it goes on without.
 */

/** @typedef {import("./types.js").Figures} Figures */
/** @typedef {"gpu" | "memory"} Step what may end a tab: a GPU's driver, or a model that does not fit */
/** @typedef {{ id: string, tab: string, step: Step, bytes: number, at: number }} Mark a step that was begun; `bytes` of the model */
/** @typedef {{ step: Step, bytes: number, at: number }} Strike a step in which the tab was killed */
/** @typedef {{ version: string, figures: Record<string, Figures & { at: number }>, marks: Mark[], strikes: Strike[] }} Kept */

/** The engine's version: what another one has measured or suffered says nothing of this one. */
export const VERSION = "0.1.0";

const KEY = "sprat";
/** Figures of so many adapters and models are kept. */
const MOST = 16;

/** @returns {Kept} */
const nothing = () => ({ version: VERSION, figures: {}, marks: [], strikes: [] });

export class Ledger {
  #storage;

  /** @param {Pick<Storage, "getItem" | "setItem"> | null} storage */
  constructor(storage = pagesStorage()) {
    this.#storage = storage;
  }

  /**
   * What is kept; nothing, if it is another version's or no longer readable.
   * @returns {Kept}
   */
  read() {
    try {
      const kept = JSON.parse(this.#storage?.getItem(KEY) ?? "null");
      const whole = kept?.version === VERSION && isObject(kept.figures) && Array.isArray(kept.marks) && Array.isArray(kept.strikes);
      if (!whole) return nothing();
      const marks = kept.marks.filter(isStrike);
      return { version: VERSION, figures: figuresOf(kept.figures), marks, strikes: kept.strikes.filter(isStrike) };
    } catch {
      return nothing();
    }
  }

  /**
   * Changes what is kept.
   * @param {(kept: Kept) => void} change
   */
  change(change) {
    const kept = this.read();
    change(kept);
    try {
      this.#storage?.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Full, or refused.
    }
  }

  /**
   * Keeps an adapter's figures for a model.
   * @param {string} key
   * @param {Figures} figures
   * @param {number} at
   */
  learn(key, figures, at) {
    this.change((kept) => {
      kept.figures[key] = { ...figures, at };
      const newest = Object.entries(kept.figures).sort(([, a], [, b]) => b.at - a.at);
      kept.figures = Object.fromEntries(newest.slice(0, MOST));
    });
  }
}

/** The page's own; none in a worker, and where it is refused. */
function pagesStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Those that are whole: anybody on the page's site may have written there.
 * @param {Record<string, any>} figures
 */
function figuresOf(figures) {
  const whole = (/** @type {any} */ speed) => speed === null || (isCount(speed?.prefill) && isCount(speed?.decode));
  return Object.fromEntries(Object.entries(figures).filter(([, one]) => isCount(one?.at) && whole(one.cpu) && whole(one.webgpu)));
}

/** @param {any} entry */
function isStrike(entry) {
  return isObject(entry) && (entry.step === "gpu" || entry.step === "memory") && isCount(entry.bytes) && isCount(entry.at);
}

/** @param {unknown} value */
function isCount(value) {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
