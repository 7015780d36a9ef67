// @ts-check
/** Shows Markdown as elements: each is made by name and holds text, and nothing of an answer is ever parsed as HTML. */
import { make } from "./dom.js";
import { parseBlocks } from "./markdown.js";
import { parseSpans, plain } from "./markdown-inline.js";

/** @typedef {import("./markdown.js").Block} Block */
/** @typedef {import("./markdown-inline.js").Span} Span */
/** @typedef {{ open: boolean, links: boolean }} How more text may come; whether links can be followed */

/**
 * Shows text in an element and leaves untouched the blocks that did not change: a streaming answer then costs only its
 * last paragraph per frame, and a selection in an earlier one survives.
 */
export class MarkdownView {
  /** @type {string[]} */
  #shown = [];

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * @param {string} text
   * @param {How} how
   */
  show(text, { open, links }) {
    const blocks = parseBlocks(text);
    const shown = blocks.map((block, index) => {
      const how = { open: open && index === blocks.length - 1, links };
      const print = JSON.stringify([block, how]);
      if (this.#shown[index] !== print) {
        const place = this.element.children[index];
        const node = renderBlock(block, how);
        if (place === undefined) this.element.append(node);
        else place.replaceWith(node);
      }
      return print;
    });
    while (this.element.children.length > blocks.length) this.element.lastElementChild?.remove();
    this.#shown = shown;
  }
}

/**
 * The direction of each block follows its own text: an answer may hold several scripts.
 *
 * @param {Block} block
 * @param {How} how
 * @returns {HTMLElement}
 */
function renderBlock(block, how) {
  const spans = (/** @type {string} */ text) => renderSpans(parseSpans(text, how.open), how);
  switch (block.kind) {
    case "paragraph":
      return make("p", { dir: "auto" }, ...spans(block.text));
    case "heading":
      // Its level is the answer's own, and the page around has others: it is shown, but makes no outline.
      return make("p", { dir: "auto", class: `heading level-${block.level}` }, ...spans(block.text));
    case "code":
      // A long line scrolls inside the block; without the tab stop the keyboard could not reach it.
      return make("pre", { tabindex: "0", dir: "ltr", translate: "no" }, make("code", {}, block.text));
    case "rule":
      return make("hr");
    case "quote":
      return make("blockquote", { dir: "auto" }, ...block.blocks.map((inner) => renderBlock(inner, how)));
    case "list":
      return renderList(block, how);
    case "table":
      return renderTable(block, spans);
  }
}

/**
 * @param {Extract<Block, { kind: "list" }>} block
 * @param {How} how
 */
function renderList({ start, items }, how) {
  const list = start === null ? make("ul", { dir: "auto" }) : make("ol", { dir: "auto", start: String(start) });
  for (const blocks of items) {
    const item = make("li");
    for (const block of blocks) {
      // The direction of an item is its list's, so that its mark stands beside its text.
      if (block.kind === "paragraph") item.append(make("p", {}, ...renderSpans(parseSpans(block.text, how.open), how)));
      else item.append(renderBlock(block, how));
    }
    list.append(item);
  }
  return list;
}

/**
 * @param {Extract<Block, { kind: "table" }>} block
 * @param {(text: string) => (Node | string)[]} spans
 */
function renderTable({ head, rows }, spans) {
  const header = make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, ...spans(cell))));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, ...spans(cell)))));
  const table = make("table", {}, make("thead", {}, header), make("tbody", {}, ...body));
  return make("div", { class: "wide", tabindex: "0", dir: "auto" }, table);
}

/**
 * @param {Span[]} spans
 * @param {How} how
 * @returns {(Node | string)[]}
 */
function renderSpans(spans, how) {
  return spans.map((span) => {
    switch (span.kind) {
      case "text":
        return span.text;
      case "code":
        return make("code", { dir: "ltr", translate: "no" }, span.text);
      case "link":
        return renderLink(span, how);
      default:
        return make(span.kind, {}, ...renderSpans(span.spans, how));
    }
  });
}

/**
 * @param {Extract<Span, { kind: "link" }>} span
 * @param {How} how
 */
function renderLink({ href, spans }, how) {
  const label = plain(spans);
  if (!how.links) {
    // An address can carry what was said; in a private conversation nobody follows one by a slip.
    return label === href || href === `${label}/` ? label : `${label} (${href})`;
  }
  const apart = { target: "_blank", rel: "noopener noreferrer nofollow", referrerpolicy: "no-referrer" };
  return make("a", { href, title: href, ...apart }, ...renderSpans(spans, how));
}
