// @ts-check
/**
 * Reads a streaming answer to a screen reader in whole sentences, some seconds apart. A live region on the answer itself
 * would speak every token.
 */

const EVERY_MS = 2000;

/**
 * Splits off what can be spoken now: everything up to the last end of a sentence or line.
 *
 * @param {string} text
 * @returns {{ now: string, later: string }}
 */
export function splitSpeakable(text) {
  const end = /^[\s\S]*(?:[.!?…]["')\]]?(?=\s)|[。！？]|\n)/.exec(text)?.[0].length ?? 0;
  return { now: text.slice(0, end).trim(), later: text.slice(end) };
}

export class Announcer {
  #spoken = 0;
  #text = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {{ textContent: string | null }} region an element with aria-live */
  constructor(region) {
    this.region = region;
  }

  /** @param {string} words */
  say(words) {
    this.region.textContent = words;
  }

  /**
   * The answer so far.
   *
   * @param {string} text
   */
  stream(text) {
    this.#text = text;
    this.#timer ??= setTimeout(() => this.#flush(), EVERY_MS);
  }

  /** What came so far was only a draft, or is over: the text starts again. */
  restart() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#spoken = 0;
    this.#text = "";
  }

  /**
   * The rest of the answer, then closing words.
   *
   * @param {string} text
   * @param {string} closing
   */
  finish(text, closing) {
    this.say(`${text.slice(this.#spoken)} ${closing}`.trim());
    this.restart();
  }

  #flush() {
    this.#timer = undefined;
    const { now, later } = splitSpeakable(this.#text.slice(this.#spoken));
    this.#spoken = this.#text.length - later.length;
    if (now !== "") this.say(now);
  }
}
