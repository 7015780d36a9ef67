// @ts-check
/**
 * Which texts were private, so that they stay so in calls that forget to say it. Each worker knows it too (`Taint` in
 * sprat-route, with the same rule), but a worker may crash, and a GPU may go away with all that its engine knew.
 */

/** @typedef {import("./types.js").Message} Message */

/** @typedef {import("./types.js").Level} Level */

/** From the lowest to the highest. @type {Level[]} */
const LEVELS = ["open", "ask", "private"];

/**
 * The highest of some levels. What is no level counts for nothing: the worker will refuse it.
 * @param {...unknown} levels
 * @returns {Level}
 */
export function highest(...levels) {
  return LEVELS[Math.max(0, ...levels.map((level) => LEVELS.indexOf(/** @type {Level} */ (level))))];
}

/** Turns of at least this many characters are recognized wherever they stand. */
const DISTINCT = 16;

export class Taint {
  /** Fingerprints of whole threads, with their levels. @type {Map<number, Level>} */
  #threads = new Map();
  /** Fingerprints of single turns. @type {Map<number, Level>} */
  #turns = new Map();

  /**
   * Remembers a thread that has this level. A turn keeps the highest that it ever had.
   * @param {Message[]} messages
   * @param {Level} level
   */
  remember(messages, level) {
    if (level === "open") return;
    const turns = spoken(messages);
    const raise = (/** @type {Map<number, Level>} */ map, /** @type {number} */ print) => map.set(print, highest(level, map.get(print)));
    const whole = beginnings(turns).at(-1);
    if (whole !== undefined) raise(this.#threads, whole);
    for (const print of distinct(turns)) raise(this.#turns, print);
  }

  /**
   * The level that these messages have because they begin like a thread that is remembered, or repeat one of its turns.
   * @param {Message[]} messages
   */
  level(messages) {
    const turns = spoken(messages);
    return highest(...beginnings(turns).map((print) => this.#threads.get(print)), ...distinct(turns).map((print) => this.#turns.get(print)));
  }
}

/**
 * What was said, without the instructions that every conversation shares. What is no conversation says nothing: the
 * worker will refuse it.
 * @param {unknown} messages
 * @returns {string[]}
 */
function spoken(messages) {
  if (!Array.isArray(messages)) return [];
  return messages.filter((one) => one?.role !== "system" && typeof one?.content === "string").map(({ content }) => content.trim());
}

/**
 * A fingerprint of the first turn, of the first two, and so on.
 * @param {string[]} turns
 * @returns {number[]}
 */
function beginnings(turns) {
  let before = 0;
  return turns.map((turn) => (before = fingerprint(turn, before)));
}

/**
 * @param {string[]} turns
 * @returns {number[]}
 */
function distinct(turns) {
  return turns.filter((turn) => [...turn].length >= DISTINCT).map((turn) => fingerprint(turn, 0));
}

/**
 * 53 bits of a text; the text itself is not kept. A collision can make an open call private, never a private one open.
 * Two hashes of Fowler, Noll and Vo: FNV-1 for the upper bits, FNV-1a for the lower.
 * @param {string} text
 * @param {number} seed
 */
function fingerprint(text, seed) {
  const [basis, prime] = [0x811c9dc5, 0x01000193];
  let upper = basis ^ Math.floor(seed / 2 ** 32);
  let lower = basis ^ (seed >>> 0);
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    upper = Math.imul(upper, prime) ^ unit;
    lower = Math.imul(lower ^ unit, prime);
  }
  // The last step spreads what the last characters changed.
  upper = Math.imul(upper ^ (upper >>> 15), prime);
  return (upper >>> 11) * 2 ** 32 + ((lower ^ (lower >>> 13)) >>> 0);
}
