// When an engine gets threads, and what happens when they do not come.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { Crew } from "../crew.js";
import { threadsOf } from "../given.js";

/** @type {MessagePort[]} */
const open = [];
afterEach(() => {
  mock.timers.reset();
  for (const port of open.splice(0)) port.close();
});

/** What a page's threads say of themselves. */
const SEALED = { sealed: true };
const FAILED = { error: "no module here" };

/** A crew, what it has told the page, and a module that takes its board. `threads` are what a page's threads say at once. */
function setUp(threads) {
  const told = [];
  const crew = new Crew({ compiled: async () => "compiled" }, (message) => {
    told.push(message);
    if (message.type !== "threads" || !threads || message.count === 0) return;
    const ports = threads.map((words) => {
      const { port1, port2 } = new MessageChannel();
      open.push(port1);
      port1.onmessage = ({ data }) => {
        told.push(data);
        if (data !== "begin") port1.postMessage(words);
      };
      return port2;
    });
    setImmediate(() => crew.come(ports));
  });
  const module = {
    board: undefined,
    deals: [],
    matrices: 0,
    dealTo: (board) => (module.board = board),
    deal: (isWanted) => module.deals.push(isWanted),
    dealt: () => module.matrices,
  };
  /** What the page was asked and told. */
  const asked = () => told.filter(({ type }) => type).map(({ type, count, code }) => `${type} ${count ?? code}`);
  return { crew, module, told, asked };
}

const LARGE = 100e6;

test("threads are asked for once, also by two loads at a time, and begin when all are there", async () => {
  const { crew, module, told, asked } = setUp([SEALED, SEALED]);
  assert.equal(crew.threads, 1);
  await Promise.all([1, 2].map(() => crew.gather(module, { count: 3, from: LARGE }, LARGE)));
  assert.deepEqual([crew.threads, crew.isSealed, module.board.members], [3, true, 3]);
  await crew.gather(module, { count: 3, from: LARGE }, LARGE);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const places = told.filter(({ member }) => member).map(({ member, members, module }) => ({ member, members, module }));
  assert.deepEqual(places, [1, 2].map((member) => ({ member, members: 3, module: "compiled" })));
  assert.equal(told.filter((message) => message === "begin").length, 2);
  assert.deepEqual(asked(), ["threads 2"]);
});

test("a small model has one, also after a large one, and so has whoever asks for one", async () => {
  const { crew, module, asked } = setUp([SEALED]);
  const threads = { count: 2, from: LARGE };
  await crew.gather(module, threads, LARGE - 1);
  await crew.gather(module, { count: 1, from: 0 }, LARGE);
  assert.deepEqual([crew.threads, module.board, asked()], [1, undefined, []]);
  await crew.gather(module, threads, LARGE);
  await crew.gather(module, threads, LARGE - 1);
  assert.deepEqual([crew.threads, module.deals], [1, [true, false]]);
});

test("an engine is as sealed as the least of its threads", async () => {
  const { crew, module } = setUp([SEALED, { sealed: false }]);
  await crew.gather(module, { count: 3, from: 0 }, LARGE);
  assert.equal(crew.isSealed, false);
});

test("threads end when no matrix is with them any more, unless they are wanted again", async () => {
  const { crew, module, asked } = setUp([SEALED]);
  const threads = { count: 2, from: 0 };
  await crew.dismiss(module);
  await crew.gather(module, threads, LARGE);
  module.matrices = 5;
  mock.timers.enable({ apis: ["setTimeout"] });
  const turns = async () => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(1000);
  };
  const first = crew.dismiss(module);
  await turns();
  await crew.gather(module, threads, LARGE);
  module.matrices = 0;
  await turns();
  await first;
  assert.deepEqual(asked(), ["threads 1"]);
  await crew.dismiss(module);
  assert.deepEqual([asked(), module.board], [["threads 1", "threads 0"], undefined]);
  await crew.gather(module, threads, LARGE);
  assert.deepEqual([asked().at(-1), module.board.members], ["threads 1", 2]);
});

test("without its threads an engine goes on alone, and says so once", async () => {
  // One that fails, too few, and none that answers.
  for (const threads of [[FAILED], [], null]) {
    const { crew, module, asked } = setUp(threads);
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout"] });
    const gathered = crew.gather(module, { count: 2, from: 0 }, LARGE);
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(5000);
    await gathered;
    await crew.gather(module, { count: 2, from: 0 }, LARGE);
    assert.deepEqual([crew.threads, module.board], [1, undefined]);
    // The workers are ended.
    assert.deepEqual(asked(), ["threads 1", "threads 0", "warning threads_unavailable"]);
  }
});

test("half the cores and at most four, where memory may be shared", () => {
  const of = (isolated, cores, asked) => {
    Object.defineProperty(globalThis, "crossOriginIsolated", { value: isolated, configurable: true });
    Object.defineProperty(globalThis, "navigator", { value: { hardwareConcurrency: cores }, configurable: true });
    return threadsOf(asked);
  };
  assert.deepEqual([1, 2, 4, 8, 16, undefined].map((cores) => of(true, cores).count), [1, 1, 2, 4, 4, 1]);
  assert.equal(of(true, 8).from, 16e6);
  // Who asks for a number gets it, however small the model is.
  assert.deepEqual([of(true, 2, 3), of(true, 16, 1)], [{ count: 3, from: 0 }, { count: 1, from: 0 }]);
  assert.deepEqual([of(false, 16, 8).count, of(false, 16).count], [1, 1]);
  for (const wrong of [0, -1, 1.5, 17, NaN, "2", null, {}]) {
    assert.throws(() => of(true, 8, wrong), { code: "bad_request" }, `${wrong}`);
    assert.throws(() => of(false, 8, wrong), { code: "bad_request" }, `${wrong}`);
  }
  Reflect.deleteProperty(globalThis, "crossOriginIsolated");
});
