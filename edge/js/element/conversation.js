// @ts-check
/**
 * One conversation. It lives in memory only: removing the page or starting a new one drops it.
 *
 * @import { Level, Message, Turn } from "./types.js"
 */
import { highest } from "../taint.js";
import { begin, kept } from "./turn.js";

export class Conversation {
  /** @type {Turn[]} */
  #turns = [];
  #level;

  /** @param {Level} [level] */
  constructor(level = "open") {
    this.#level = level;
  }

  /** A one-way door: there is no method that lowers it. */
  get level() {
    return this.#level;
  }

  get private() {
    return this.#level === "private";
  }

  get empty() {
    return this.#turns.length === 0;
  }

  /** True when something of this conversation was sent to the cloud. */
  get sent() {
    return this.#turns.some(
      (turn) => turn.source === "cloud" || turn.handover !== null || (turn.receipt?.bytes_sent ?? 0) > 0,
    );
  }

  /** @param {Level} level a lower one than it has changes nothing */
  raise(level) {
    this.#level = highest(this.#level, level);
  }

  /**
   * Adds a question and returns the index of its turn.
   *
   * @param {string} question
   */
  ask(question) {
    return this.#turns.push(begin(question)) - 1;
  }

  /**
   * Forgets what came for a turn, to ask it once more.
   *
   * @param {number} index
   */
  again(index) {
    this.update(index, begin(this.turn(index).question));
  }

  /** @param {number} index */
  turn(index) {
    const turn = this.#turns[index];
    if (turn === undefined) throw new RangeError(`no turn ${index} in this conversation`);
    return turn;
  }

  /**
   * @param {number} index
   * @param {Turn} turn
   */
  update(index, turn) {
    this.turn(index);
    this.#turns[index] = turn;
  }

  /**
   * The messages for the turn at `index`: what was said before it, then its question. A turn that brought no text is
   * left out with its question, so that roles keep alternating as chat templates expect.
   *
   * @param {number} index
   * @returns {Message[]}
   */
  messages(index) {
    /** @type {Message[]} */
    const messages = [];
    for (const turn of this.#turns.slice(0, index)) {
      const answer = kept(turn);
      if (answer === "") continue;
      messages.push({ role: "user", content: turn.question }, { role: "assistant", content: answer });
    }
    messages.push({ role: "user", content: this.turn(index).question });
    return messages;
  }
}
