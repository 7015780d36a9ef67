// @ts-check
/**
 * The engine's threads: asks the page for workers, which the engine's own worker cannot start, and gives them their places.
 */

import { Board } from "./board.js";

/** How long they may take to come, in milliseconds; the model is loaded without them then. */
const PATIENCE = 5000;
/** Milliseconds between two looks whether the last model has left threads that are not needed any more. */
const LOOK = 1000;

/** How many threads there are to be, for models of how many bytes or more. @typedef {{ count: number, from: number }} Threads */
/**
 * What a module has for threads.
 * @typedef {object} Module
 * @property {(board: Board | undefined, members: number, jobWords: number, answerFloats: number) => void} dealTo
 * @property {(isWanted: boolean) => void} deal
 * @property {() => number} dealt
 */

export class Crew {
  #modules;
  #tell;
  /** What they share, once all are there; null where they did not come. @type {Promise<Board | null> | null} */
  #board = null;
  /** There will be none, because once they did not come. */
  #isAlone = false;
  /** How often threads were wanted, or not any more. */
  #turns = 0;
  /** How many threads the last model has, the engine's own included. */
  threads = 1;
  /** Whether a policy forbids all of them to connect to anything. */
  isSealed = true;
  /** Called with the lines to workers that the page has started. @type {(ports: MessagePort[]) => void} */
  come = () => {};

  /**
   * @param {import("./modules.js").Modules} modules
   * @param {import("./engines.js").Means["tell"]} tell
   */
  constructor(modules, tell) {
    this.#modules = modules;
    this.#tell = tell;
  }

  /**
   * Has a module deal the matrices of the model that it loads next out among threads, if they are wanted.
   * @param {Module} module
   * @param {Threads} threads
   * @param {number} bytes of the model
   */
  async gather(module, { count, from }, bytes) {
    const isWanted = count > 1 && bytes >= from && !this.#isAlone;
    this.#turns += 1;
    // Of two loads at a time only one starts them.
    if (isWanted) this.#board ??= this.#start(module, count);
    const board = await this.#board;
    if (board) module.deal(isWanted);
    this.threads = board && isWanted ? board.members : 1;
  }

  /**
   * Ends the threads when their module has no model any more, unless they are wanted again by then.
   * @param {Module} module
   */
  async dismiss(module) {
    const turn = (this.#turns += 1);
    if (!(await this.#board)) return;
    while (module.dealt() > 0 && turn === this.#turns) await new Promise((resolve) => setTimeout(resolve, LOOK));
    if (turn !== this.#turns) return;
    module.dealTo(undefined, 1, 0, 0);
    this.#end();
  }

  #end() {
    this.#board = null;
    this.isSealed = true;
    void this.#ask(0);
  }

  /**
   * @param {Module} module
   * @param {number} count
   * @returns {Promise<Board | null>}
   */
  async #start(module, count) {
    try {
      const board = new Board(count);
      const compiled = await this.#modules.compiled("cpu");
      const gaveUp = new Promise((_, reject) => setTimeout(reject, PATIENCE, "they did not come in time"));
      gaveUp.catch(() => {});
      const ports = await Promise.race([this.#ask(count - 1), gaveUp]);
      if (ports.length !== count - 1) throw "no more workers can be started";
      const place = { module: compiled, buffer: board.buffer, members: count };
      const coming = ports.map((/** @type {MessagePort} */ port, /** @type {number} */ index) => seat(port, { ...place, member: index + 1 }));
      const sealed = await Promise.race([Promise.all(coming), gaveUp]);
      for (const port of ports) port.postMessage("begin");
      module.dealTo(board, count, board.jobWords, board.answerFloats);
      this.isSealed = sealed.every(Boolean);
      return board;
    } catch (error) {
      this.#isAlone = true;
      this.#end();
      const message = `The engine's threads cannot be started (${error}); it has one.`;
      this.#tell({ type: "warning", code: "threads_unavailable", message });
      return null;
    }
  }

  /**
   * Asks the page for so many workers, in the place of those before.
   * @param {number} count
   * @returns {Promise<MessagePort[]>} the lines to them
   */
  #ask(count) {
    this.#tell({ type: "threads", count });
    return new Promise((resolve) => (this.come = resolve));
  }
}

/**
 * Gives a thread its place.
 * @param {MessagePort} port
 * @param {import("./thread.js").Place} place
 * @returns {Promise<boolean>} whether it is sealed; rejects with why it cannot begin
 */
function seat(port, place) {
  return new Promise((resolve, reject) => {
    port.onmessage = ({ data }) => ("sealed" in data ? resolve(data.sealed) : reject(data.error));
    port.postMessage(place);
  });
}
