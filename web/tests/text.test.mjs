import assert from "node:assert/strict";
import { test } from "node:test";
import { splitSpeakable } from "../js/announce.js";
import { parseBlocks, parseSpans } from "../js/markup.js";

test("paragraphs and fences", () => {
  assert.deepEqual(parseBlocks("One\nline\n\nTwo\n```js\na\n\nb\n```\nafter"), [
    { kind: "text", text: "One\nline" },
    { kind: "text", text: "Two" },
    { kind: "code", text: "a\n\nb" },
    { kind: "text", text: "after" },
  ]);
});

test("a fence that is still open is code already", () => {
  assert.deepEqual(parseBlocks("See:\n```\nlet a"), [
    { kind: "text", text: "See:" },
    { kind: "code", text: "let a" },
  ]);
  assert.deepEqual(parseBlocks("````\n```\n````"), [{ kind: "code", text: "```" }]);
});

test("a text that grows never changes its earlier blocks", () => {
  const text = "A b.\n\nC `d` e\n\n```\nf\n```\n\ng";
  const whole = parseBlocks(text);
  for (let end = 0; end <= text.length; end += 1) {
    const part = parseBlocks(text.slice(0, end));
    assert.deepEqual(part.slice(0, -1), whole.slice(0, Math.max(0, part.length - 1)), `after ${end} characters`);
  }
});

test("HTML is text like any other", () => {
  assert.deepEqual(parseBlocks("<img onerror=x>"), [{ kind: "text", text: "<img onerror=x>" }]);
});

test("code in a line", () => {
  assert.deepEqual(parseSpans("use `a` or `b"), [
    { code: false, text: "use " },
    { code: true, text: "a" },
    { code: false, text: " or `b" },
  ]);
});

test("only whole sentences are spoken", () => {
  assert.deepEqual(splitSpeakable("One. Two? Thr"), { now: "One. Two?", later: " Thr" });
  assert.deepEqual(splitSpeakable("It costs 3.5"), { now: "", later: "It costs 3.5" });
  assert.deepEqual(splitSpeakable("no end"), { now: "", later: "no end" });
});
