// @ts-check
/**
 * Strikes: a browser that runs out of memory, or whose GPU takes it along, kills the tab and tells nobody. So before a
 * risky step a mark is stored, and taken away behind it; a mark that is found later is a tombstone.
 *
 * The first strike keeps the engine off the GPU, the second lets it load only models that are much smaller than what
 * killed the tab. After a week, or with another version of the engine, they are forgotten.
 */

/** @typedef {import("./ledger.js").Ledger} Ledger */
/** @typedef {import("./ledger.js").Step} Step */
/** @typedef {import("./ledger.js").Strike} Strike */
/** @typedef {{ cpu: boolean, maxBytes: number | null }} Caution whether to stay on the CPU, and the largest model to load */

const WEEK = 7 * 24 * 3600e3;
/** No risky step takes so long: a mark that is older is nobody's, whichever tab made it. In milliseconds. */
const STEP = 600e3;
const TAB = "sprat-tab";

export class Strikes {
  #ledger;
  #now;
  #tab;
  /** Marks of this page, which lives. @type {Map<string, { step: Step, bytes: number }>} */
  #live = new Map();
  #next = 1;
  #hidden = false;

  /**
   * @param {Ledger} ledger
   * @param {{ now?: () => number, tab?: Pick<Storage, "getItem" | "setItem"> | null }} [options] `tab`: what lives as long as
   *   the tab, also when its page is killed
   */
  constructor(ledger, { now = Date.now, tab = tabsStorage() } = {}) {
    this.#ledger = ledger;
    this.#now = now;
    this.#tab = nameOf(tab);
  }

  /**
   * Looks for tombstones, and says how careful to be.
   * @returns {Caution}
   */
  look() {
    const now = this.#now();
    /** @param {import("./ledger.js").Mark} mark */
    const isDead = ({ id, tab, at }) => !this.#live.has(id) && (tab === this.#tab || Math.abs(now - at) > STEP);
    /** @type {Strike[]} */
    let strikes = [];
    this.#ledger.change((kept) => {
      const dead = kept.marks.filter(isDead);
      kept.marks = kept.marks.filter((mark) => !isDead(mark));
      kept.strikes.push(...dead.map(({ step, bytes, at }) => ({ step, bytes, at })));
      // A clock that went back is no reason to remember for ever.
      kept.strikes = kept.strikes.filter(({ at }) => Math.abs(now - at) < WEEK);
      ({ strikes } = kept);
    });
    return caution(strikes);
  }

  /**
   * A risky step begins.
   * @param {Step} step
   * @param {number} bytes of the model; 0 where none is involved yet
   * @returns {() => void} it has ended, however
   */
  risk(step, bytes) {
    const id = `${this.#tab}-${this.#now().toString(36)}-${this.#next++}`;
    this.#live.set(id, { step, bytes });
    if (!this.#hidden) this.#store();
    return () => {
      if (!this.#live.delete(id)) return;
      this.#ledger.change((kept) => (kept.marks = kept.marks.filter((mark) => mark.id !== id)));
    };
  }

  /**
   * A page that nobody sees, or that is left, may be killed for many reasons: its marks are taken away for that time.
   * @param {boolean} hidden
   */
  hide(hidden) {
    this.#hidden = hidden;
    if (!hidden) this.#store();
    else if (this.#live.size > 0) this.#ledger.change((kept) => (kept.marks = kept.marks.filter(({ id }) => !this.#live.has(id))));
  }

  #store() {
    if (this.#live.size === 0) return;
    this.#ledger.change((kept) => {
      const others = kept.marks.filter(({ id }) => !this.#live.has(id));
      const own = [...this.#live].map(([id, { step, bytes }]) => ({ id, tab: this.#tab, step, bytes, at: this.#now() }));
      kept.marks = [...others, ...own];
    });
  }
}

/**
 * How careful to be after these strikes.
 * @param {Strike[]} strikes
 * @returns {Caution}
 */
export function caution(strikes) {
  const sizes = strikes.map(({ bytes }) => bytes).filter((bytes) => bytes > 0);
  const isSecond = strikes.length > 1 && sizes.length > 0;
  return { cpu: strikes.length > 0, maxBytes: isSecond ? Math.floor(Math.min(...sizes) / 2) : null };
}

/** @returns {Storage | null} */
function tabsStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

/**
 * The tab's name, which a page finds again after it was killed.
 * @param {Pick<Storage, "getItem" | "setItem"> | null} storage
 */
function nameOf(storage) {
  const name = Math.random().toString(36).slice(2, 12);
  try {
    const old = storage?.getItem(TAB);
    if (old) return old;
    storage?.setItem(TAB, name);
  } catch {
    // Refused.
  }
  return name;
}
