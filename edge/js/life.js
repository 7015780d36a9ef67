// @ts-check
/**
 * What the page knows of the engine's life: whether anybody sees it, what it risks, what was measured.
 */

import { Ledger } from "./ledger.js";
import { Strikes } from "./strikes.js";
import { watchVisibility } from "./visibility.js";

/** @typedef {import("./types.js").LoadOptions} LoadOptions */
/** @typedef {import("./types.js").Figures} Figures */
/** @typedef {{ ledger: Ledger, strikes: Strikes, watch: typeof watchVisibility, now: () => number }} World */

/** One for all engines of a page: each must know which marks are those of a living one. @type {World | null} */
let shared = null;

/** @returns {World} */
function world() {
  if (!shared) {
    const ledger = new Ledger();
    shared = { ledger, strikes: new Strikes(ledger), watch: watchVisibility, now: Date.now };
  }
  return shared;
}

export class Life {
  #options;
  #world;
  #unwatch;
  #pause;
  #hidden = false;
  /** Ends of what is being risked, by its number. @type {Map<number, () => void>} */
  #risks = new Map();
  /** What was measured on this device. @type {Figures | null} */
  capability = null;

  /**
   * @param {LoadOptions} options
   * @param {(paused: boolean) => void} pause stops the engine between two tokens, or lets it go on
   * @param {World} [given]
   */
  constructor(options, pause, given = world()) {
    this.#options = options;
    this.#world = given;
    this.#pause = pause;
    const hide = (/** @type {boolean} */ hidden) => {
      this.#hidden = hidden;
      given.strikes.hide(hidden);
      this.resume();
    };
    this.#unwatch = given.watch(hide, () => given.strikes.hide(true));
  }

  /** Tells a new engine that nobody looks, or the present one that somebody does again. */
  resume() {
    if (this.#options.pauseHidden !== false) this.#pause(this.#hidden);
  }

  /**
   * How a model is to be loaded, after all that has happened.
   * @param {"auto" | "cpu" | "webgpu"} device
   */
  plan(device) {
    const { canary = true, strikes = true, maxBytes = null, onWarning } = this.#options;
    const caution = strikes ? this.#world.strikes.look() : { cpu: false, maxBytes: null };
    const isCautious = device === "auto" && caution.cpu;
    if (isCautious) {
      onWarning?.({ code: "tab_killed", message: "The browser closed this tab while the model was being loaded; this time the CPU is used." });
    }
    const least = Math.min(maxBytes ?? Infinity, caution.maxBytes ?? Infinity);
    const isStrike = caution.maxBytes === least;
    const limits = {
      maxBytes: least === Infinity ? null : least,
      why: isStrike ? "the browser has closed this tab twice while such a model was being loaded" : "",
    };
    return { device: isCautious ? /** @type {const} */ ("cpu") : device, limits, canary, figures: this.#world.ledger.read().figures };
  }

  /**
   * What the engine says of itself.
   * @param {any} note
   */
  heard(note) {
    const { type, number, step, bytes, key, figures } = note;
    if (type === "risk") {
      this.#risks.get(number)?.();
      this.#risks.delete(number);
      if (step && this.#options.strikes !== false) this.#risks.set(number, this.#world.strikes.risk(step, bytes));
    }
    if (type === "figures") {
      const { adapter, model, cpu, webgpu } = figures;
      this.capability = { adapter, model, cpu, webgpu };
      if (key) this.#world.ledger.learn(key, figures, this.#world.now());
    }
  }

  /** The engine is gone, and the page lives: whatever it risked, the tab was not killed. */
  survived() {
    for (const end of this.#risks.values()) end();
    this.#risks.clear();
  }

  /** Nobody needs the engine any more. */
  end() {
    this.survived();
    this.#unwatch();
  }
}
