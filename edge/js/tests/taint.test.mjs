// What was private is known again, as sprat-route's own Taint does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Taint, highest } from "../taint.js";

const SECRET = "my diary, page one";
const isPrivate = (taint, messages) => taint.level(messages) === "private";
const thread = (...texts) => texts.map((content, at) => ({ role: at % 2 ? "assistant" : "user", content }));

test("private turns are recognized when they come back", () => {
  const taint = new Taint();
  taint.remember(thread("hi", "hello", SECRET, "I see, thank you for telling me"), "private");
  assert.ok(isPrivate(taint, thread("hi", "hello", SECRET, "I see, thank you for telling me", "and now?")));
  assert.ok(isPrivate(taint, thread(SECRET, "ok")));
  assert.ok(isPrivate(taint, thread("new", ` I see, thank you for telling me\n`)));
  // Small talk that anybody may say again.
  assert.ok(!isPrivate(taint, thread("hi", "hello", "what is a sprat?")));
  assert.ok(!isPrivate(taint, []));
  taint.remember(thread("yes", "no"), "private");
  assert.ok(isPrivate(taint, thread("yes", "no", "what is a sprat?")));
  assert.ok(!isPrivate(taint, thread("yes", "indeed")));
  taint.remember([], "private");
  assert.ok(!isPrivate(taint, thread("something entirely different")));
});

test("characters are counted as people count them, and instructions are left out", () => {
  const taint = new Taint();
  taint.remember([{ role: "system", content: "You are a helpful assistant." }, ...thread("🐟".repeat(9), "魚".repeat(16))], "private");
  assert.ok(!isPrivate(taint, thread("new", "🐟".repeat(9))), "9 characters, of 18 units");
  assert.ok(isPrivate(taint, thread("魚".repeat(16))));
  assert.ok(!isPrivate(taint, [{ role: "system", content: "You are a helpful assistant." }, ...thread("a new question")]));
});

test("a turn's end is no turn's beginning", () => {
  const taint = new Taint();
  taint.remember(thread("ab", "c"), "private");
  assert.ok(!isPrivate(taint, thread("a", "bc")));
});

test("a turn keeps the highest level that it ever had", () => {
  const taint = new Taint();
  const turns = thread("my address is 1 Example Street");
  taint.remember(turns, "open");
  assert.equal(taint.level(turns), "open");
  taint.remember(turns, "ask");
  assert.equal(taint.level(turns), "ask");
  taint.remember(turns, "private");
  taint.remember(turns, "ask");
  assert.equal(taint.level(turns), "private");
  assert.equal(taint.level([...turns, ...thread("and now?")]), "private");
});

test("of levels the highest counts, and what is none does not", () => {
  assert.equal(highest("ask", undefined, "open"), "ask");
  assert.equal(highest("open", "private", "ask"), "private");
  assert.equal(highest(), "open");
  assert.equal(highest("secret", 7, false), "open");
});
