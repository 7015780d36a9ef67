// Finds any of very many short texts in very many bytes, in one pass: the first eight bytes of each text are hashed
// into a bitmap, and only where a place in the bytes falls on a set bit are the texts themselves compared.

/** Shorter texts are found by chance. */
export const SHORTEST = 8;
/** Bits of the map for each text: few places fall on a set one by chance, and the map stays in the processor's cache. */
const SPARSE = 64;
/** The map has two to the power of so many bits, at first and at most. */
const LEAST = 16;
const MOST = 30;

const hashOf = (low, high) => (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 0;

/** @typedef {{ as: string, of: unknown, at: number }} Hit */

export class Search {
  #power = LEAST;
  #bits = new Uint32Array(2 ** (LEAST - 5));
  /** @type {Map<number, number[]>} texts by the hash of their beginning */
  #byHash = new Map();
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
    const hash = hashOf(bytes.readInt32LE(0), bytes.readInt32LE(4));
    const index = this.#texts.push(bytes.latin1Slice()) - 1;
    this.#as.push(as);
    this.#of.push(of);
    const there = this.#byHash.get(hash);
    if (there !== undefined) {
      there.push(index);
      return;
    }
    this.#byHash.set(hash, [index]);
    this.#mark(hash);
    if (this.#byHash.size * SPARSE > 2 ** this.#power && this.#power < MOST) this.#grow();
  }

  #mark(hash) {
    const bit = hash >>> (32 - this.#power);
    this.#bits[bit >>> 5] |= 1 << (bit & 31);
  }

  #grow() {
    this.#power += 1;
    this.#bits = new Uint32Array(2 ** (this.#power - 5));
    for (const hash of this.#byHash.keys()) this.#mark(hash);
  }

  /** @param {Buffer} bytes @returns {Hit[]} */
  in(bytes) {
    /** @type {Hit[]} */
    const hits = [];
    if (bytes.length < SHORTEST) return hits;
    const bits = this.#bits;
    const shift = 32 - this.#power;
    let low = bytes.readInt32LE(0);
    let high = bytes.readInt32LE(4);
    for (let at = 0; ; at += 1) {
      const hash = hashOf(low, high);
      const bit = hash >>> shift;
      if ((bits[bit >>> 5] >>> (bit & 31)) & 1) this.#compare(bytes, at, hash, hits);
      if (at + SHORTEST >= bytes.length) return hits;
      low = (low >>> 8) | (high << 24);
      high = (high >>> 8) | (bytes[at + SHORTEST] << 24);
    }
  }

  #compare(bytes, at, hash, hits) {
    for (const index of this.#byHash.get(hash) ?? []) {
      const text = this.#texts[index];
      const end = at + text.length;
      if (end <= bytes.length && bytes.latin1Slice(at, end) === text) hits.push({ as: this.#as[index], of: this.#of[index], at });
    }
  }
}
