// @ts-check
/**
 * Which texts were private, so that they stay so in calls that forget to say it. Each worker knows it too (`Taint` in
 * sprat-route, with the same rule), but a worker may crash, and a GPU may go away with all that its engine knew.
 */

/** @typedef {import("./types.js").Message} Message */

/** Turns of at least this many characters are recognized wherever they stand. */
const DISTINCT = 16;

export class Taint {
  /** Fingerprints of whole private threads. @type {Set<number>} */
  #threads = new Set();
  /** Fingerprints of single private turns. @type {Set<number>} */
  #turns = new Set();

  /**
   * Remembers a private thread.
   * @param {Message[]} messages
   */
  remember(messages) {
    const turns = spoken(messages);
    const whole = beginnings(turns).at(-1);
    if (whole !== undefined) this.#threads.add(whole);
    for (const print of distinct(turns)) this.#turns.add(print);
  }

  /**
   * Whether these messages begin like a private thread, or repeat one of its turns.
   * @param {Message[]} messages
   */
  touches(messages) {
    const turns = spoken(messages);
    return beginnings(turns).some((print) => this.#threads.has(print)) || distinct(turns).some((print) => this.#turns.has(print));
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
 * (cyrb53, by bryc; public domain)
 * @param {string} text
 * @param {number} seed
 */
function fingerprint(text, seed) {
  let high = 0xdeadbeef ^ seed;
  let low = 0x41c6ce57 ^ (seed / 2 ** 21);
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 2 ** 32 * (2097151 & low) + (high >>> 0);
}
