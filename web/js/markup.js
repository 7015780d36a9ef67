/**
 * The little formatting the page knows: paragraphs, fenced code and `code` in a line. Model output is always set as
 * text, never parsed as HTML.
 *
 * @typedef {{ kind: "text" | "code", text: string }} Block
 * @typedef {{ code: boolean, text: string }} Span
 */

/**
 * Splits text into blocks. An open fence at the end counts as code, so a streaming answer doesn't jump when it closes.
 *
 * @param {string} text
 * @returns {Block[]}
 */
export function parseBlocks(text) {
  /** @type {Block[]} */
  const blocks = [];
  /** @type {string[]} */
  let lines = [];
  let fence = "";

  const flush = (/** @type {Block["kind"]} */ kind) => {
    const body = kind === "code" ? lines.join("\n") : lines.join("\n").trim();
    if (body !== "" || kind === "code") blocks.push({ kind, text: body });
    lines = [];
  };

  for (const line of text.split("\n")) {
    const mark = /^ {0,3}(`{3,})/.exec(line)?.[1] ?? "";
    if (fence === "" && mark !== "") {
      flush("text");
      fence = mark;
    } else if (fence !== "" && mark.length >= fence.length && line.trim() === mark) {
      flush("code");
      fence = "";
    } else if (fence === "" && line.trim() === "") {
      flush("text");
    } else {
      lines.push(line);
    }
  }
  flush(fence === "" ? "text" : "code");
  return blocks;
}

/**
 * @param {string} text
 * @returns {Span[]}
 */
export function parseSpans(text) {
  return text
    .split(/(`[^`\n]+`)/)
    .filter((part) => part !== "")
    .map((part) =>
      part.length > 2 && part.startsWith("`") && part.endsWith("`")
        ? { code: true, text: part.slice(1, -1) }
        : { code: false, text: part },
    );
}

/**
 * Shows text in an element and leaves untouched the blocks that did not change: a streaming answer then costs only its
 * last paragraph per frame, and a selection in an earlier one survives.
 */
export class TextView {
  /** @type {Block[]} */
  #shown = [];

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text */
  show(text) {
    const blocks = parseBlocks(text);
    blocks.forEach((block, index) => {
      const old = this.#shown[index];
      if (old !== undefined && old.kind === block.kind && old.text === block.text) return;
      const node = renderBlock(block);
      const place = this.element.children[index];
      if (place === undefined) this.element.append(node);
      else place.replaceWith(node);
    });
    while (this.element.children.length > blocks.length) this.element.lastElementChild?.remove();
    this.#shown = blocks;
  }
}

/** @param {Block} block */
function renderBlock(block) {
  if (block.kind === "code") {
    const pre = document.createElement("pre");
    const code = document.createElement("code");
    code.textContent = block.text;
    // A long line scrolls inside the block; without this the keyboard could not reach it.
    pre.tabIndex = 0;
    pre.append(code);
    return pre;
  }
  const p = document.createElement("p");
  for (const span of parseSpans(block.text)) {
    if (!span.code) {
      p.append(span.text);
      continue;
    }
    const code = document.createElement("code");
    code.textContent = span.text;
    p.append(code);
  }
  return p;
}
