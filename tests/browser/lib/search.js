// Finds any of very many short texts in very many bytes, in one pass: the first eight bytes of each text are hashed
// into a bitmap, and only where a place in the bytes falls on a set bit are the texts themselves compared.

const SLOTS = 2 ** 28;
/** Shorter texts are found by chance. */
export const SHORTEST = 8;

const slotOf = (low, high) => (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 4;

/** @typedef {{ as: string, of: unknown, at: number }} Hit */

export class Search {
  #bits = new Uint32Array(SLOTS / 32);
  /** @type {Map<number, number[]>} texts by their slot */
  #bySlot = new Map();
  /** Each byte one character. @type {string[]} */
  #texts = [];
  #as = [];
  #of = [];

  /** How many texts are searched for. */
  get size() {
    return this.#texts.length;
  }

  /**
   * @param {{ bytes: Buffer, as: string }} needle
   * @param {unknown} of whose it is
   */
  add({ bytes, as }, of) {
    if (bytes.length < SHORTEST) throw new RangeError(`${bytes.length} bytes are found by chance: ${as}`);
    const slot = slotOf(bytes.readInt32LE(0), bytes.readInt32LE(4));
    this.#bits[slot >>> 5] |= 1 << (slot & 31);
    const index = this.#texts.push(bytes.latin1Slice()) - 1;
    this.#as.push(as);
    this.#of.push(of);
    const there = this.#bySlot.get(slot);
    if (there === undefined) this.#bySlot.set(slot, [index]);
    else there.push(index);
  }

  /** @param {Buffer} bytes @returns {Hit[]} */
  in(bytes) {
    /** @type {Hit[]} */
    const hits = [];
    if (bytes.length < SHORTEST) return hits;
    let low = bytes.readInt32LE(0);
    let high = bytes.readInt32LE(4);
    for (let at = 0; ; at += 1) {
      const slot = slotOf(low, high);
      if ((this.#bits[slot >>> 5] >>> (slot & 31)) & 1) this.#compare(bytes, at, slot, hits);
      if (at + SHORTEST >= bytes.length) return hits;
      low = (low >>> 8) | (high << 24);
      high = (high >>> 8) | (bytes[at + SHORTEST] << 24);
    }
  }

  #compare(bytes, at, slot, hits) {
    for (const index of this.#bySlot.get(slot) ?? []) {
      const text = this.#texts[index];
      const end = at + text.length;
      if (end <= bytes.length && bytes.latin1Slice(at, end) === text) hits.push({ as: this.#as[index], of: this.#of[index], at });
    }
  }
}
