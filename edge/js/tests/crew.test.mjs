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

/** A crew, what it has told the page, and a module that takes its board. `threads` are what a page's threads say at once. */
function setUp(threads) {
  const told = [];
  const crew = new Crew({ compiled: async () => "compiled" }, (message) => {
    told.push(message);
    if (message.type !== "threads" || !threads) return;
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
  const module = { board: null, dealTo: (board) => (module.board = board) };
  return { crew, module, told };
}

const LARGE = 100e6;

test("threads are asked for once, and begin when all are there", async () => {
  const { crew, module, told } = setUp(["ready", "ready"]);
  assert.equal(crew.threads, 1);
  await crew.gather(module, { count: 3, from: LARGE }, LARGE);
  assert.equal(crew.threads, 3);
  assert.equal(module.board.members, 3);
  await crew.gather(module, { count: 3, from: LARGE }, LARGE);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const places = told.filter(({ member }) => member).map(({ member, members, module }) => ({ member, members, module }));
  assert.deepEqual(places, [1, 2].map((member) => ({ member, members: 3, module: "compiled" })));
  assert.equal(told.filter((message) => message === "begin").length, 2);
  assert.deepEqual(told.filter(({ type }) => type), [{ type: "threads", count: 2 }]);
});

test("a small model has one, and so has whoever asks for one", async () => {
  const { crew, module, told } = setUp(["ready"]);
  await crew.gather(module, { count: 2, from: LARGE }, LARGE - 1);
  await crew.gather(module, { count: 1, from: 0 }, LARGE);
  assert.deepEqual([crew.threads, module.board, told], [1, null, []]);
});

test("without its threads an engine goes on alone, and says so once", async () => {
  for (const threads of [["no module here"], null]) {
    const { crew, module, told } = setUp(threads);
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout"] });
    const gathered = crew.gather(module, { count: 2, from: 0 }, LARGE);
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(5000);
    await gathered;
    await crew.gather(module, { count: 2, from: 0 }, LARGE);
    assert.deepEqual([crew.threads, module.board], [1, null]);
    const types = told.filter(({ type }) => type).map(({ type, count, code }) => `${type} ${count ?? code}`);
    // The workers are ended.
    assert.deepEqual(types, ["threads 1", "threads 0", "warning threads_unavailable"]);
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
