// @ts-check
/**
 * The Markdown that models write, as plain values: paragraphs, headings, lists, quotes, tables, fenced code, rules, and
 * emphasis, code and links within a line. HTML is text like any other, and pictures are only links: a model's answer must
 * not be able to fetch anything by being shown. Time is linear in the text, whatever the text is.
 *
 * @typedef {{ kind: "paragraph", text: string }
 *   | { kind: "heading", level: number, text: string }
 *   | { kind: "code", text: string }
 *   | { kind: "rule" }
 *   | { kind: "quote", blocks: Block[] }
 *   | { kind: "list", start: number | null, items: Block[][] }
 *   | { kind: "table", head: string[], rows: string[][] }} Block
 */

/** Quotes in lists in quotes: deeper than this is text. */
const MAX_DEPTH = 6;

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})[ \t]/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * Splits text into blocks. An open fence at the end counts as code, so that a streaming answer doesn't jump when it
 * closes.
 *
 * @param {string} text
 * @returns {Block[]}
 */
export function parseBlocks(text) {
  return blocksOf(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

/**
 * @param {string[]} lines
 * @param {number} depth
 * @returns {Block[]}
 */
function blocksOf(lines, depth) {
  /** @type {Block[]} */
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (line(lines, at).trim() === "") {
      at += 1;
      continue;
    }
    const [block, next] = blockAt(lines, at, depth);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

/**
 * The block that begins in a line that is not empty, and the line after it.
 *
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @returns {[Block, number]}
 */
function blockAt(lines, at, depth) {
  const first = line(lines, at);
  if (FENCE.test(first)) return fenceAt(lines, at);
  const heading = HEADING.exec(first);
  if (heading) {
    const all = first.slice(heading[0].length).trim();
    const text = all.endsWith(" #") ? all.slice(0, -2).trim() : all;
    return [{ kind: "heading", level: heading[1]?.length ?? 1, text }, at + 1];
  }
  if (RULE.test(first)) return [{ kind: "rule" }, at + 1];
  if (isTable(lines, at)) return tableAt(lines, at);
  if (depth < MAX_DEPTH && QUOTE.test(first)) return quoteAt(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(first)) return listAt(lines, at, depth);

  let end = at + 1;
  while (end < lines.length && !interrupts(lines, end, depth)) end += 1;
  return [{ kind: "paragraph", text: lines.slice(at, end).join("\n").trim() }, end];
}

/**
 * Whether a line ends the paragraph before it.
 *
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 */
function interrupts(lines, at, depth) {
  const text = line(lines, at);
  if (text.trim() === "" || FENCE.test(text) || HEADING.test(text) || RULE.test(text)) return true;
  if (isTable(lines, at)) return true;
  return depth < MAX_DEPTH && (QUOTE.test(text) || (ITEM.test(text) && text.trim().length > 1));
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @returns {[Block, number]}
 */
function fenceAt(lines, at) {
  const mark = FENCE.exec(line(lines, at))?.[1] ?? "```";
  let end = at + 1;
  while (end < lines.length) {
    const closing = FENCE.exec(line(lines, end))?.[1] ?? "";
    if (closing[0] === mark[0] && closing.length >= mark.length && line(lines, end).trim() === closing) break;
    end += 1;
  }
  return [{ kind: "code", text: lines.slice(at + 1, end).join("\n") }, end + 1];
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @returns {[Block, number]}
 */
function quoteAt(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(line(lines, end))) end += 1;
  const inner = lines.slice(at, end).map((text) => text.replace(QUOTE, ""));
  return [{ kind: "quote", blocks: blocksOf(inner, depth + 1) }, end];
}

/**
 * Items go on over lines that are indented at least as far as their text, and over empty lines before such lines.
 *
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @returns {[Block, number]}
 */
function listAt(lines, at, depth) {
  const marker = ITEM.exec(line(lines, at))?.[2] ?? "-";
  const ordered = /^\d/.test(marker);
  /** @type {Block[][]} */
  const items = [];
  let end = at;
  while (end < lines.length) {
    const found = ITEM.exec(line(lines, end));
    if (!found || /^\d/.test(found[2] ?? "") !== ordered || RULE.test(line(lines, end))) break;
    const indent = (found[1]?.length ?? 0) + Math.min(found[2]?.length ?? 1, 2) + 1;
    const inner = [line(lines, end).slice(found[0].length)];
    end += 1;
    while (end < lines.length && belongs(lines, end, indent)) {
      inner.push(dedent(line(lines, end), indent));
      end += 1;
    }
    items.push(blocksOf(inner, depth + 1));
    // Items may stand apart.
    const next = skipEmpty(lines, end);
    if (next < lines.length && ITEM.test(line(lines, next))) end = next;
  }
  return [{ kind: "list", start: ordered ? Number.parseInt(marker, 10) : null, items }, end];
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {number} indent
 */
function belongs(lines, at, indent) {
  const text = line(lines, at);
  if (text.trim() === "") {
    const next = line(lines, at + 1);
    return next.trim() !== "" && indentOf(next) >= indent;
  }
  if (indentOf(text) >= indent) return true;
  // A lazy line: it goes on with the paragraph of the item, if nothing else begins in it.
  return line(lines, at - 1).trim() !== "" && !ITEM.test(text) && !interrupts(lines, at, 0) && indentOf(text) > 0;
}

/**
 * @param {string[]} lines
 * @param {number} at
 */
function skipEmpty(lines, at) {
  while (at < lines.length && line(lines, at).trim() === "") at += 1;
  return at;
}

/** @param {string} text */
function indentOf(text) {
  return /^[ \t]*/.exec(text)?.[0].replaceAll("\t", "    ").length ?? 0;
}

/**
 * @param {string} text
 * @param {number} indent
 */
function dedent(text, indent) {
  return text.replaceAll("\t", "    ").replace(new RegExp(`^ {0,${indent}}`), "");
}

/**
 * @param {string[]} lines
 * @param {number} at
 */
function isTable(lines, at) {
  const [head, below] = [line(lines, at), line(lines, at + 1)];
  return head.includes("|") && below.includes("-") && DELIMITER_ROW.test(below) && cells(head).length === cells(below).length;
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @returns {[Block, number]}
 */
function tableAt(lines, at) {
  const head = cells(line(lines, at));
  let end = at + 2;
  while (end < lines.length && line(lines, end).includes("|")) end += 1;
  const rows = lines.slice(at + 2, end).map((row) => {
    const found = cells(row);
    return head.map((_, index) => found[index] ?? "");
  });
  return [{ kind: "table", head, rows }, end];
}

/** @param {string} row */
function cells(row) {
  const inner = row.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/**
 * @param {string[]} lines
 * @param {number} at
 */
function line(lines, at) {
  return lines[at] ?? "";
}
