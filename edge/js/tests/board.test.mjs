// The memory between an engine and its threads, with threads of Node's.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Board } from "../board.js";

/** A thread that answers each number of a job with itself and its own number, a thousand each. */
const THREAD = `
import { workerData } from "node:worker_threads";
import { Board } from ${JSON.stringify(new URL("../board.js", import.meta.url))};
const { buffer, member, members, from, until } = workerData;
const board = new Board(members, buffer);
const answer = board.answerOf(member);
for (let number = from; ; ) {
  let job;
  [number, job] = board.next(number);
  if (job[0] === until) {
    board.gone(member);
    break;
  }
  answer.set(job.map((word) => word + 1000 * member));
  board.done(member, number);
}
`;

/** A board with threads, which end at a job that begins with `until`. */
async function setUp(members, { from = 0, until = 0xffffffff } = {}) {
  const board = new Board(members);
  const words = new Int32Array(board.buffer);
  for (let member = 0; member < members; member += 1) words[16 * member] = from;
  const threads = Array.from({ length: members - 1 }, (_, index) => {
    const workerData = { buffer: board.buffer, member: index + 1, members, from, until };
    return new Worker(new URL(`data:text/javascript,${encodeURIComponent(THREAD)}`), { workerData });
  });
  await Promise.all(threads.map((thread) => once(thread, "online")));
  return { board, end: () => Promise.all(threads.map((thread) => thread.terminate())) };
}

/** Has a job of so many words done, whose numbers begin with `first`. */
function run(board, first, length) {
  const job = Uint32Array.from({ length }, (_, index) => first + index);
  board.start(job);
  for (let member = 1; member < board.members; member += 1) {
    const answer = new Float32Array(length);
    board.finish(member, answer);
    assert.deepEqual([...answer], [...job].map((word) => word + 1000 * member));
  }
}

test("every job is done once by every thread, also after they have slept", async () => {
  const { board, end } = await setUp(3);
  for (let job = 0; job < 5000; job += 1) {
    run(board, job % 97, job % 13);
    if (job % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  run(board, 0, 5000);
  await end();
});

test("numbers of jobs go round", async () => {
  const { board, end } = await setUp(2, { from: 0x7fffffff - 2 });
  for (let job = 0; job < 8; job += 1) run(board, job, 3);
  await end();
});

test("a thread that is gone is not waited for", async () => {
  const { board, end } = await setUp(3, { until: 7 });
  run(board, 6, 2);
  board.start(Uint32Array.of(7));
  assert.throws(() => board.finish(1, new Float32Array(1)), /stopped/);
  await end();
});

test("jobs and answers of the largest size fit, and lie beside each other", async () => {
  const { board, end } = await setUp(3);
  board.start(new Uint32Array(board.jobWords).fill(5));
  for (const member of [1, 2]) {
    const answer = new Float32Array(board.jobWords);
    board.finish(member, answer);
    assert.ok(answer.every((number) => number === 5 + 1000 * member));
    assert.equal(board.answerOf(member).length, board.answerFloats);
  }
  await end();
});
