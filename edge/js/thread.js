// @ts-check
/**
 * A thread of an engine: multiplies the rows of matrices that it was dealt, until its worker is ended.
 */

import { Board } from "./board.js";

/** What a thread is given. @typedef {{ module: WebAssembly.Module, buffer: SharedArrayBuffer, member: number, members: number }} Place */

/**
 * Serves the engine at the other end of `port`, which sends the thread's place, and then that it may begin.
 * @param {MessagePort} port
 * @param {Promise<unknown>} sealed nothing is started before
 * @param {(() => Promise<any>) | undefined} script of the module
 */
export function serveThread(port, sealed, script) {
  /** @type {(() => void) | undefined} */
  let begin;
  port.onmessageerror = () => port.postMessage({ error: "a compiled module cannot pass between workers here" });
  port.onmessage = async ({ data }) => {
    if (data === "begin") return begin?.();
    const { module, buffer, member, members } = /** @type {Place} */ (data);
    const board = new Board(members, buffer);
    try {
      const isSealed = await sealed;
      const engine = await script?.();
      await engine.default({ module_or_path: module });
      engine.beThread(member, members);
      begin = () => serve(board, member, engine);
      port.postMessage({ sealed: isSealed });
    } catch (error) {
      port.postMessage({ error: `${error}` });
    }
  };
}

/**
 * Does one job after the other. It never returns, so that no message is heard any more.
 * @param {Board} board
 * @param {number} member
 * @param {{ work(job: Uint32Array, answer: Float32Array): void }} engine
 */
function serve(board, member, engine) {
  try {
    const answer = board.answerOf(member);
    for (let number = 0; ; ) {
      let job;
      [number, job] = board.next(number);
      engine.work(job, answer);
      board.done(member, number);
    }
  } catch (error) {
    board.gone(member);
    throw error;
  }
}
