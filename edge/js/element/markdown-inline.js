// @ts-check
/**
 * Markdown within a line, as plain values.
 *
 * @typedef {{ kind: "text" | "code", text: string }
 *   | { kind: "strong" | "em" | "del", spans: Span[] }
 *   | { kind: "link", href: string, spans: Span[] }} Span
 */

/** Emphasis in emphasis: deeper than this is text. */
const MAX_DEPTH = 4;
/** A link further away than this from its bracket is none; it keeps the search short. */
const MAX_LINK = 2000;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

/**
 * @param {string} text
 * @param {boolean} [open] more is coming: marks that have not closed yet count as if they closed at the end, so that the
 *   text doesn't jump when they do
 * @returns {Span[]}
 */
export function parseSpans(text, open = false) {
  return new Parser(text, open, 0).parse();
}

class Parser {
  /** @type {Span[]} */
  #spans = [];
  #plain = "";
  /** Marks that were looked for to the end in vain: they need not be looked for again. @type {Set<string>} */
  #missing = new Set();

  /**
   * @param {string} text
   * @param {boolean} open
   * @param {number} depth
   */
  constructor(text, open, depth) {
    this.text = text;
    this.open = open;
    this.depth = depth;
  }

  parse() {
    let at = 0;
    while (at < this.text.length) at = this.#special(at) ?? this.#take(at);
    this.#flush();
    return this.#spans;
  }

  /** @param {number} at */
  #take(at) {
    this.#plain += this.text[at];
    return at + 1;
  }

  #flush() {
    if (this.#plain !== "") this.#spans.push({ kind: "text", text: this.#plain });
    this.#plain = "";
  }

  /** @param {Span} span */
  #push(span) {
    this.#flush();
    this.#spans.push(span);
  }

  /**
   * @param {number} at
   * @returns {number | null} where it goes on; null where the character is only a character
   */
  #special(at) {
    const { text } = this;
    switch (text[at]) {
      case "\\":
        if (!ESCAPABLE.test(text[at + 1] ?? "")) return null;
        this.#plain += text[at + 1];
        return at + 2;
      case "`":
        return this.#code(at);
      case "*":
      case "_":
      case "~":
        return this.#emphasis(at);
      case "!":
        return text[at + 1] === "[" ? this.#link(at + 1) : null;
      case "[":
        return this.#link(at);
      case "h":
        return this.#address(at);
      default:
        return null;
    }
  }

  /** @param {number} at */
  #code(at) {
    let mark = "`";
    while (this.text[at + mark.length] === "`") mark += "`";
    const from = at + mark.length;
    const end = this.#missing.has(mark) ? -1 : this.#findRun(mark, from);
    if (end < 0) {
      this.#missing.add(mark);
      if (this.open && from < this.text.length) {
        this.#push({ kind: "code", text: this.text.slice(from) });
        return this.text.length;
      }
      if (!(this.open && from === this.text.length)) this.#plain += mark;
      return from;
    }
    const inner = this.text.slice(from, end);
    this.#push({ kind: "code", text: /^ .*[^ ].* $/s.test(inner) ? inner.slice(1, -1) : inner });
    return end + mark.length;
  }

  /**
   * A run of exactly this many backticks.
   *
   * @param {string} mark
   * @param {number} from
   */
  #findRun(mark, from) {
    for (let at = this.text.indexOf(mark, from); at >= 0; at = this.text.indexOf(mark, at)) {
      let end = at + mark.length;
      while (this.text[end] === "`") end += 1;
      if (end - at === mark.length) return at;
      at = end;
    }
    return -1;
  }

  /** @param {number} at */
  #emphasis(at) {
    const { text } = this;
    const sign = /** @type {string} */ (text[at]);
    const double = text[at + 1] === sign;
    if (sign === "~" && !double) return null;
    const mark = double ? sign + sign : sign;
    const from = at + mark.length;
    // A mark that has only just come may become a longer one, or open something.
    if (this.open && from === text.length && this.depth === 0) return from;
    if (this.depth >= MAX_DEPTH || !this.#opens(at, mark)) {
      this.#plain += mark;
      return from;
    }
    let end = this.#missing.has(mark) ? -1 : this.#findClosing(mark, from);
    if (end < 0) {
      this.#missing.add(mark);
      if (!this.open || !double) {
        this.#plain += mark;
        return from;
      }
      end = text.length;
    }
    const kind = sign === "~" ? "del" : double ? "strong" : "em";
    const inner = text.slice(from, end);
    this.#push({ kind, spans: new Parser(inner, this.open && end === text.length, this.depth + 1).parse() });
    return end + mark.length;
  }

  /**
   * 2 * 3, 2*3*4 and snake_case_names are no emphasis.
   *
   * @param {number} at
   * @param {string} mark
   */
  #opens(at, mark) {
    const after = this.text[at + mark.length] ?? "";
    if (after.trim() === "") return false;
    const inWord = WORD.test(this.text[at - 1] ?? "") && WORD.test(after);
    return !(inWord && (mark === "*" || mark[0] === "_"));
  }

  /**
   * @param {string} mark
   * @param {number} from
   */
  #findClosing(mark, from) {
    const { text } = this;
    const sign = mark[0];
    for (let at = text.indexOf(mark, from + 1); at >= 0; at = text.indexOf(mark, at + 1)) {
      const before = text[at - 1] ?? "";
      const after = text[at + mark.length] ?? "";
      if (before.trim() === "" || before === "\\") continue;
      // A single sign of a double one closes nothing.
      if (mark.length === 1 && (after === sign || before === sign)) continue;
      if (mark.length === 2 && after === sign) continue;
      if (sign === "_" && WORD.test(after)) continue;
      return at;
    }
    return -1;
  }

  /** @param {number} at of the bracket */
  #link(at) {
    const { text } = this;
    const middle = this.#missing.has("](") ? -1 : text.indexOf("](", at);
    if (middle < 0) this.#missing.add("](");
    if (middle < 0 || middle > at + MAX_LINK) return null;
    const window = text.slice(at, at + MAX_LINK);
    const found = /^\[((?:[^\]\\\n]|\\.)*)\]\(<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:[ \t]+"[^"\n]*")?\)/.exec(window);
    if (found) {
      const [whole, label = "", address = ""] = found;
      const href = safe(address);
      const spans = this.depth < MAX_DEPTH ? new Parser(label, false, this.depth + 1).parse() : [];
      const shown = spans.length > 0 ? spans.map(unlinked) : [/** @type {Span} */ ({ kind: "text", text: label || address })];
      if (href === null) this.#plain += whole;
      else this.#push({ kind: "link", href, spans: shown });
      return at + whole.length;
    }
    // While its address is still coming, only its label is shown.
    const partial = this.open ? /^\[((?:[^\]\\\n]|\\.)+)\]\([^\s()]*$/.exec(window) : null;
    if (partial === null) return null;
    this.#plain += partial[1];
    return at + partial[0].length;
  }

  /** @param {number} at */
  #address(at) {
    if (WORD.test(this.text[at - 1] ?? "")) return null;
    const found = /^https?:\/\/[^\s<>"`]+/.exec(this.text.slice(at, at + MAX_LINK))?.[0];
    if (found === undefined) return null;
    let address = found.replace(/[.,;:!?'*_~]+$/, "");
    // "(see https://example.org/a)" ends before its bracket, ".../a_(b)" does not.
    if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
    const href = safe(address);
    if (href === null) return null;
    this.#push({ kind: "link", href, spans: [{ kind: "text", text: address }] });
    return at + address.length;
  }
}

/**
 * Links in links are none.
 *
 * @param {Span} span
 * @returns {Span}
 */
function unlinked(span) {
  return span.kind === "link" ? { kind: "text", text: plain(span.spans) } : span;
}

/**
 * The text alone.
 *
 * @param {Span[]} spans
 * @returns {string}
 */
export function plain(spans) {
  return spans.map((span) => ("text" in span ? span.text : plain(span.spans))).join("");
}

/**
 * An address that may be a link: of the web or of a mailbox, and absolute. Scripts, data and the page's own paths are not.
 *
 * @param {string} address
 * @returns {string | null}
 */
function safe(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) && url.username === "" ? url.href : null;
  } catch {
    return null;
  }
}
