// @ts-check
/** What keeps a rude peer from costing the page its memory or its time. */

/**
 * @typedef {object} Limits
 * @property {number} length longest message, in UTF-16 units
 * @property {number} depth deepest nesting of arrays and objects
 * @property {number} batch most messages in one batch
 * @property {number} inFlight most loads and chats at a time
 * @property {number} burst most messages at once
 * @property {number} perSecond most messages per second after that
 * @property {number} askPatience longest wait for a person's answer to `host.ask`, in milliseconds
 * @property {number} fetchWindow most bytes of a `host.fetch` body that wait for their reader
 * @property {number} fetchSilence longest wait for the host's next word about a `host.fetch`, in milliseconds
 */

/** @type {Readonly<Limits>} */
export const DEFAULT_LIMITS = Object.freeze({
  length: 4 << 20,
  depth: 32,
  batch: 32,
  inFlight: 8,
  burst: 2000,
  perSecond: 1000,
  askPatience: 300_000,
  fetchWindow: 1 << 20,
  fetchSilence: 60_000,
});

/**
 * Whether a JSON text nests deeper than `most`. It is asked before the text is parsed, so that a hostile one makes no
 * objects at all.
 *
 * @param {string} text
 * @param {number} most
 */
export function isTooDeep(text, most) {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text[at];
    if (quoted) {
      if (unit === "\\") at += 1;
      else if (unit === '"') quoted = false;
    } else if (unit === '"') {
      quoted = true;
    } else if (unit === "[" || unit === "{") {
      depth += 1;
      if (depth > most) return true;
    } else if (unit === "]" || unit === "}") {
      depth -= 1;
    }
  }
  return false;
}

/** A token bucket: `burst` messages at once, then `perSecond`. */
export class Bucket {
  #burst;
  #perSecond;
  #now;
  #tokens;
  #since;

  /**
   * @param {number} burst
   * @param {number} perSecond
   * @param {() => number} now in milliseconds
   */
  constructor(burst, perSecond, now) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = burst;
    this.#since = now();
  }

  /**
   * Takes so many tokens, if they are there.
   * @param {number} count
   */
  take(count) {
    const now = this.#now();
    this.#tokens = Math.min(this.#burst, this.#tokens + (Math.max(0, now - this.#since) * this.#perSecond) / 1000);
    this.#since = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
