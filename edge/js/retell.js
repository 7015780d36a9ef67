// @ts-check
/**
 * An answer that is begun again by another device, told as one: what was told already is not told again.
 */

/** @typedef {import("./types.js").ChatEvent} ChatEvent */

export class Retelling {
  #emit;
  /** What the page shows. */
  #told = "";
  /** What the new device has said so far, while that is only what was told before. @type {string | null} */
  #again = null;

  /** @param {(event: string) => void} emit takes an event as JSON */
  constructor(emit) {
    this.#emit = emit;
  }

  /** From here on the answer comes from its beginning. */
  beginAgain() {
    this.#again = "";
  }

  /** @param {string} json an event */
  tell(json) {
    /** @type {ChatEvent} */
    const event = JSON.parse(json);
    // No part of the answer.
    if (event.type === "level") return this.#emit(json);
    if (this.#again !== null && event.type === "start" && event.source === "device") {
      this.#again = "";
      return;
    }
    if (this.#again !== null && event.type === "delta" && event.source === "device") {
      this.#retell(event.text);
      return;
    }
    this.#again = null;
    if (event.type === "start") this.#told = "";
    if (event.type === "delta") this.#told += event.text;
    this.#emit(json);
  }

  /** @param {string} text */
  #retell(text) {
    const again = (this.#again ?? "") + text;
    if (this.#told.startsWith(again)) {
      this.#again = again;
      return;
    }
    this.#again = null;
    const goesOn = again.startsWith(this.#told);
    const rest = goesOn ? again.slice(this.#told.length) : again;
    // Another device may choose other words where two are as good as equally likely.
    if (!goesOn) this.#emit(JSON.stringify({ type: "start", source: "device" }));
    this.#told = again;
    this.#emit(JSON.stringify({ type: "delta", source: "device", text: rest }));
  }
}
