// What goes when saved conversations take too much: what can be computed again first.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eviction } from "../saved.js";

const entries = [
  { key: "new", used: 30, text: 10, cache: 100 },
  { key: "old", used: 10, text: 10, cache: 100 },
  { key: "middle", used: 20, text: 10, cache: 0 },
];

test("nothing goes while there is room", () => {
  assert.deepEqual(eviction(entries, 70, 300), { caches: [], whole: [] });
  assert.deepEqual(eviction([], 70, 300), { caches: [], whole: [] });
});

test("the keys and values of the one unused for longest go first", () => {
  assert.deepEqual(eviction(entries, 71, 300), { caches: ["old"], whole: [] });
  assert.deepEqual(eviction(entries, 171, 300), { caches: ["old", "new"], whole: [] });
});

test("only then conversations, the one unused for longest first", () => {
  assert.deepEqual(eviction(entries, 271, 300), { caches: ["old", "new"], whole: ["old"] });
  assert.deepEqual(eviction(entries, 300, 300), { caches: ["old", "new"], whole: ["old", "middle", "new"] });
});
