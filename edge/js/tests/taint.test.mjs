// What was private is known again, as sprat-route's own Taint does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Taint } from "../taint.js";

const SECRET = "my diary, page one";
const thread = (...texts) => texts.map((content, at) => ({ role: at % 2 ? "assistant" : "user", content }));

test("private turns are recognized when they come back", () => {
  const taint = new Taint();
  taint.remember(thread("hi", "hello", SECRET, "I see, thank you for telling me"));
  assert.ok(taint.touches(thread("hi", "hello", SECRET, "I see, thank you for telling me", "and now?")));
  assert.ok(taint.touches(thread(SECRET, "ok")));
  assert.ok(taint.touches(thread("new", ` I see, thank you for telling me\n`)));
  // Small talk that anybody may say again.
  assert.ok(!taint.touches(thread("hi", "hello", "what is a sprat?")));
  assert.ok(!taint.touches([]));
  taint.remember(thread("yes", "no"));
  assert.ok(taint.touches(thread("yes", "no", "what is a sprat?")));
  assert.ok(!taint.touches(thread("yes", "indeed")));
  taint.remember([]);
  assert.ok(!taint.touches(thread("something entirely different")));
});

test("characters are counted as people count them, and instructions are left out", () => {
  const taint = new Taint();
  taint.remember([{ role: "system", content: "You are a helpful assistant." }, ...thread("🐟".repeat(9), "魚".repeat(16))]);
  assert.ok(!taint.touches(thread("new", "🐟".repeat(9))), "9 characters, of 18 units");
  assert.ok(taint.touches(thread("魚".repeat(16))));
  assert.ok(!taint.touches([{ role: "system", content: "You are a helpful assistant." }, ...thread("a new question")]));
});

test("a turn's end is no turn's beginning", () => {
  const taint = new Taint();
  taint.remember(thread("ab", "c"));
  assert.ok(!taint.touches(thread("a", "bc")));
});
