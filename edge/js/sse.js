// @ts-check
/**
 * Server-sent events, read from bytes that arrive in any split: the one field that chat streams use, `data`.
 */

/** The longest event that is read, in characters. */
const LIMIT = 1 << 20;

/** An incremental decoder. Throws a `TypeError` for what is not UTF-8 and a `RangeError` for an event without end. */
export class SseDecoder {
  #utf8 = new TextDecoder("utf-8", { fatal: true });
  #limit;
  #line = "";
  /** The data lines of the event being read. @type {string[]} */ #data = [];
  #size = 0;
  /** The last character was a carriage return, so that a line feed now ends no second line. */
  #afterReturn = false;

  constructor(limit = LIMIT) {
    this.#limit = limit;
  }

  /**
   * Takes the next bytes and returns the data of the events that they complete.
   * @param {Uint8Array} bytes
   * @returns {string[]}
   */
  push(bytes) {
    return this.#read(this.#utf8.decode(bytes, { stream: true }));
  }

  /**
   * Ends the stream. An event without its closing blank line may be cut short and is dropped; only `[DONE]` counts, which
   * cannot be.
   * @returns {string[]}
   */
  finish() {
    if (this.#line !== "") this.#endLine();
    return this.#data.length === 1 && this.#data[0] === "[DONE]" ? ["[DONE]"] : [];
  }

  /** @param {string} text */
  #read(text) {
    const events = [];
    let from = 0;
    for (let at = 0; at < text.length; at += 1) {
      const character = text[at];
      if (character !== "\n" && character !== "\r") {
        this.#afterReturn = false;
        continue;
      }
      if (!(character === "\n" && this.#afterReturn)) {
        this.#line += text.slice(from, at);
        const event = this.#endLine();
        if (event !== null) events.push(event);
      }
      this.#afterReturn = character === "\r";
      from = at + 1;
    }
    this.#line += text.slice(from);
    if (this.#line.length + this.#size > this.#limit) throw new RangeError("one event is too long");
    return events;
  }

  /** @returns {string | null} */
  #endLine() {
    const line = this.#line;
    this.#line = "";
    if (line === "") {
      const data = this.#data;
      this.#data = [];
      this.#size = 0;
      return data.length > 0 ? data.join("\n") : null;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    // A comment has an empty field name, so it falls out here as other fields do.
    if (field !== "data") return null;
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    this.#data.push(value);
    this.#size += value.length + 1;
    return null;
  }
}
