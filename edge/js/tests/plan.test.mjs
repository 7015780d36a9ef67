// What a model takes, told before it is downloaded; and progress that tabs tell each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { persist, planOf } from "../plan.js";
import { shareProgress } from "../shared-progress.js";

/** A storage manager for as long as `work` takes. */
async function withStorage(storage, work) {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { storage }, configurable: true });
  try {
    return await work();
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else Reflect.deleteProperty(globalThis, "navigator");
  }
}

test("the plan of a mix is the sum of its packs", async () => {
  const pack = { name: "m", bytes: 100, stored: 30, room: 500, evictable: 40, store: "opfs" };
  const packs = { a: pack, b: { ...pack, stored: 100, evictable: 10 } };
  const plan = await withStorage({ persisted: async () => true }, () => planOf(["a", "b"], async (url) => packs[url]));
  assert.deepEqual(plan, { bytes: 200, stored: 130, missing: 70, room: 500, evictable: 10, store: "opfs", persisted: true });
});

test("a browser is asked to keep what is stored once, and may refuse or know nothing of it", async () => {
  let asked = 0;
  const storage = (persisted, answer) => ({ persisted: async () => persisted, persist: async () => ((asked += 1), answer) });
  assert.equal(await withStorage(storage(true, false), persist), true);
  assert.equal(asked, 0);
  assert.equal(await withStorage(storage(false, true), persist), true);
  assert.equal(await withStorage(storage(false, false), persist), false);
  assert.equal(asked, 2);
  assert.equal(await withStorage(undefined, persist), false);
  assert.equal(await withStorage({ persisted: () => Promise.reject(new Error("no")) }, persist), false);
});

test("who waits hears of another tab's download, and nothing else that is said there", async () => {
  const heard = [];
  const waits = shareProgress(["a"], (notice) => heard.push(notice));
  const loads = shareProgress(["a"], () => {});
  const other = shareProgress(["b"], () => assert.fail("that is another model"));
  const progress = { type: "progress", stage: "download", loaded: 1, total: 4, message: "m" };
  const told = async (notice) => {
    loads.tell(notice);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await told({ ...progress, more: "what is not said" });
  await told({ type: "warning", code: "evicted", message: "m" });
  await told({ ...progress, loaded: 5 });
  assert.deepEqual(heard, [progress]);
  // Its own download begins.
  waits.tell({ ...progress, loaded: 0 });
  await told({ ...progress, loaded: 2 });
  assert.deepEqual(heard, [progress, { ...progress, loaded: 0 }]);
  for (const one of [waits, loads, other]) one.close();
});
