// Models' Markdown as values: what it is, what it never is, and that it holds still while it grows.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBlocks } from "../element/markdown.js";
import { parseSpans, plain } from "../element/markdown-inline.js";

const text = (words) => ({ kind: "text", text: words });
const paragraph = (words) => ({ kind: "paragraph", text: words });

test("blocks", () => {
  assert.deepEqual(parseBlocks("One\nline\n\n# Head #\n---\n> said\n> so\n\n```js\na\n\nb\n```\nafter"), [
    paragraph("One\nline"),
    { kind: "heading", level: 1, text: "Head" },
    { kind: "rule" },
    { kind: "quote", blocks: [paragraph("said\nso")] },
    { kind: "code", text: "a\n\nb" },
    paragraph("after"),
  ]);
});

test("lists, in lists, and with more than a line", () => {
  const [list, after] = parseBlocks("Before\n3. one\n   more\n4. two\n   - in\n   - it\n\n5. three\n\nAfter").slice(1);
  assert.equal(list.start, 3);
  assert.deepEqual(list.items, [
    [paragraph("one\nmore")],
    [paragraph("two"), { kind: "list", start: null, items: [[paragraph("in")], [paragraph("it")]] }],
    [paragraph("three")],
  ]);
  assert.deepEqual(after, paragraph("After"));
});

test("tables, with cells that are missing or hold a bar", () => {
  assert.deepEqual(parseBlocks("| a | b |\n|---|:-:|\n| 1 \\| 2 |\n\nx | y"), [
    { kind: "table", head: ["a", "b"], rows: [["1 | 2", ""]] },
    paragraph("x | y"),
  ]);
});

test("a fence that is still open is code already", () => {
  assert.deepEqual(parseBlocks("See:\n```\nlet a"), [paragraph("See:"), { kind: "code", text: "let a" }]);
  assert.deepEqual(parseBlocks("````\n```\n````"), [{ kind: "code", text: "```" }]);
});

test("a text that grows never changes its earlier blocks", () => {
  const whole = "A b.\n\n# C\n\nD `d` e\n\n```\nf\n```\n\n> g\n\nh";
  const blocks = parseBlocks(whole);
  for (let end = 0; end <= whole.length; end += 1) {
    const part = parseBlocks(whole.slice(0, end));
    assert.deepEqual(part.slice(0, -1), blocks.slice(0, Math.max(0, part.length - 1)), `after ${end} characters`);
  }
});

test("emphasis, code and links in a line", () => {
  assert.deepEqual(parseSpans("a **b *c*** `d*` ~~e~~"), [
    text("a "),
    { kind: "strong", spans: [text("b "), { kind: "em", spans: [text("c")] }] },
    text(" "),
    { kind: "code", text: "d*" },
    text(" "),
    { kind: "del", spans: [text("e")] },
  ]);
  assert.deepEqual(parseSpans("[x](https://e.org/a_(b)) and https://e.org/c."), [
    { kind: "link", href: "https://e.org/a_(b)", spans: [text("x")] },
    text(" and "),
    { kind: "link", href: "https://e.org/c", spans: [text("https://e.org/c")] },
    text("."),
  ]);
  assert.deepEqual(parseSpans("**강조**입니다"), [{ kind: "strong", spans: [text("강조")] }, text("입니다")]);
});

test("sums and names are no emphasis", () => {
  for (const words of ["2 * 3 * 4", "2*3*4", "snake_case_name", "a ** b ** c", "\\*not\\*"]) {
    assert.deepEqual(parseSpans(words), [text(words.replaceAll("\\", ""))], words);
  }
});

test("what could run, or fetch by being shown, is text or a link", () => {
  for (const words of ["<img src=x onerror=x>", "[a](javascript:alert(1))", "[a](data:text/html,x)", "[a](/path)", "[a](https://u:p@e.org/)"]) {
    assert.deepEqual(parseSpans(words), [text(words)], words);
  }
  assert.deepEqual(parseSpans("![p](https://e.org/p.png)").at(-1), { kind: "link", href: "https://e.org/p.png", spans: [text("p")] });
});

test("while more is coming, marks that have not closed don't show", () => {
  const open = (words) => parseSpans(words, true);
  assert.deepEqual(open("so **bo"), [text("so "), { kind: "strong", spans: [text("bo")] }]);
  assert.deepEqual(open("so **"), [text("so ")]);
  assert.deepEqual(open("so `co"), [text("so "), { kind: "code", text: "co" }]);
  assert.deepEqual(open("see [it](https://e.o"), [text("see it")]);
  assert.equal(plain(parseSpans("so **bo")), "so **bo", "at the end they are what they are");
});

test("nothing of a text is lost, and rude texts are read to their end", () => {
  const rude = ["*", "**a ", "_a_", "`", "``` ", "[", "[a](", "![", "> ", "- ", "# ", "| ", "|-", "\\", "http://", "~~", "1. ", "\n", "\t"];
  for (const piece of rude) {
    const long = piece.repeat(20_000);
    assert.ok(parseBlocks(long).length > 0 || long.trim() === "", piece);
    assert.ok(plain(parseSpans(long)).length > 0, piece);
  }
  assert.equal(plain(parseSpans("a *b c _d `e [f](g")), "a *b c _d `e [f](g");
});
