// Chance that can be played again: the same seed gives the same run.

export class Random {
  #state;

  /** @param {number} seed a whole number */
  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `end`. (mulberry32, by Tommy Ettinger; public domain) */
  below(end) {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  /** @template T @param {readonly T[] | string} list @returns {T | string} */
  pick(list) {
    return list[this.below(list.length)];
  }

  /** True in so many of a hundred cases. */
  chance(percent) {
    return this.below(100) < percent;
  }
}
