// @ts-check
/**
 * The engine's threads: asks the page for workers, which the engine's own worker cannot start, and gives them their places.
 */

import { Board } from "./board.js";

/** How long they may take to come, in milliseconds; the model is loaded without them then. */
const PATIENCE = 5000;

/** How many threads there are to be, for models of how many bytes or more. @typedef {{ count: number, from: number }} Threads */

export class Crew {
  #modules;
  #tell;
  /** @type {Board | null} */ #board = null;
  /** Called with the lines to workers that the page has started. @type {(ports: MessagePort[]) => void} */
  come = () => {};
  /** They did not come, or cannot be had. */
  #isAlone = false;

  /**
   * @param {import("./modules.js").Modules} modules
   * @param {import("./engines.js").Means["tell"]} tell
   */
  constructor(modules, tell) {
    this.#modules = modules;
    this.#tell = tell;
  }

  /** How many threads there are, the engine's own included. */
  get threads() {
    return this.#board?.members ?? 1;
  }

  /**
   * Has a module deal the matrices of the model that it loads next out among threads, if they are wanted.
   * @param {{ dealTo(board: Board, members: number, jobWords: number, answerFloats: number): void }} module
   * @param {Threads} threads
   * @param {number} bytes of the model
   */
  async gather(module, { count, from }, bytes) {
    if (this.#board || this.#isAlone || count < 2 || bytes < from) return;
    try {
      this.#board = await this.#start(count);
      const { members, jobWords, answerFloats } = this.#board;
      module.dealTo(this.#board, members, jobWords, answerFloats);
    } catch (error) {
      this.#isAlone = true;
      this.#ask(0);
      const message = `The engine's threads cannot be started (${error}); it has one.`;
      this.#tell({ type: "warning", code: "threads_unavailable", message });
    }
  }

  /** @param {number} threads */
  async #start(threads) {
    const board = new Board(threads);
    const module = await this.#modules.compiled("cpu");
    const gaveUp = new Promise((_, reject) => setTimeout(reject, PATIENCE, "they did not come in time"));
    gaveUp.catch(() => {});
    const ports = await Promise.race([this.#ask(threads - 1), gaveUp]);
    const ready = ports.map((/** @type {MessagePort} */ port, /** @type {number} */ index) => {
      const answer = new Promise((resolve, reject) => {
        port.onmessage = ({ data }) => (data === "ready" ? resolve(port) : reject(data));
        port.onmessageerror = () => reject("a compiled module cannot pass between workers here");
      });
      port.postMessage({ module, buffer: board.buffer, member: index + 1, members: threads });
      return answer;
    });
    for (const port of await Promise.race([Promise.all(ready), gaveUp])) port.postMessage("begin");
    return board;
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
