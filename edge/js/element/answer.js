// @ts-check
/**
 * One answer on the screen: text or draft, what it waits for, its badge and receipt, and what to do when it failed.
 *
 * @import { Turn } from "./types.js"
 * @import { Action, Problem } from "./problem.js"
 * @import { Words } from "./words.js"
 *
 * @typedef {object} Scene what an answer is shown with
 * @property {Words} words
 * @property {string} waiting what it waits for while nothing has come
 * @property {Problem | null} problem
 * @property {boolean} private
 * @property {boolean} latest whether it can be asked again in place
 */
import { make } from "./dom.js";
import { MarkdownView } from "./markdown-view.js";
import { howSure, renderReceipt } from "./receipt.js";
import { kept } from "./turn.js";

let count = 0;

export class AnswerView {
  #text = new MarkdownView(make("div", { class: "text", part: "text" }));
  #draft = new MarkdownView(make("div", { class: "draft" }));
  #draftLine = make("p", { class: "draft-line" });
  #wait = make("p", { class: "wait" });
  #problem = make("div", { class: "problem", part: "problem" });
  #note = make("span", { class: "muted" });
  #badge = make("button", { type: "button", class: "badge", part: "badge", "aria-expanded": "false" });
  #copy = make("button", { type: "button", class: "quiet small", part: "button" });
  #again = make("button", { type: "button", class: "quiet small", part: "button" });
  #receipt = make("div", { class: "receipt", part: "receipt", role: "group", hidden: "" });
  #help = make("span", { hidden: "" });
  /** What the receipt shows. @type {unknown[]} */
  #receiptOf = [];
  /** What the problem shows. */
  #problemOf = "";
  /** @type {Turn | null} */
  #turn = null;
  /** @type {Scene | null} */
  #scene = null;

  /** @param {(action: Action) => void} onAction */
  constructor(onAction) {
    this.onAction = onAction;
    count += 1;
    this.#receipt.id = `receipt-${count}`;
    this.#help.id = `receipt-help-${count}`;
    this.#badge.setAttribute("aria-controls", this.#receipt.id);
    this.#badge.setAttribute("aria-describedby", this.#help.id);
    this.#badge.addEventListener("click", () => this.#toggleReceipt());
    this.#copy.addEventListener("click", () => void this.#copyText());
    this.#again.addEventListener("click", () => onAction("retry"));
    const meta = make("div", { class: "meta" }, this.#badge, this.#help, this.#note, this.#copy, this.#again);
    this.element = make(
      "article",
      { class: "answer", part: "answer", "data-answer": String(count) },
      this.#draft.element,
      this.#draftLine,
      this.#text.element,
      this.#wait,
      this.#problem,
      meta,
      this.#receipt,
    );
  }

  /**
   * @param {Turn} turn
   * @param {Scene} scene
   */
  show(turn, scene) {
    const { words } = scene;
    const streaming = turn.state === "streaming";
    [this.#turn, this.#scene] = [turn, scene];
    this.#mark(turn, words);
    this.#showText(turn, scene);
    this.#wait.hidden = !streaming || turn.text !== "" || turn.draft !== null;
    this.#wait.textContent = scene.waiting;
    this.#note.textContent = note(turn, words);
    this.#copy.hidden = streaming || kept(turn) === "" || !navigator.clipboard;
    this.#copy.textContent = words.say("copy");
    // A problem has a button of its own.
    this.#again.hidden = streaming || !scene.latest || scene.problem !== null;
    this.#again.textContent = words.say("again");
    this.#showReceipt(turn, words);
    this.#showProblem(scene);
  }

  /**
   * @param {Turn} turn
   * @param {Words} words
   */
  #mark(turn, words) {
    const { element } = this;
    element.dataset["state"] = turn.state;
    element.setAttribute("aria-label", words.say("answer"));
    element.setAttribute("aria-busy", String(turn.state === "streaming"));
    if (turn.source === null) delete element.dataset["source"];
    else element.dataset["source"] = turn.source;
  }

  /**
   * The draft gives way to the first words of the cloud, and comes back if those never became an answer.
   *
   * @param {Turn} turn
   * @param {Scene} scene
   */
  #showText(turn, { words, private: isPrivate }) {
    const streaming = turn.state === "streaming";
    const replaced = turn.text !== "" && streaming;
    const draft = turn.draft !== null && !replaced ? turn.draft : "";
    this.#draft.show(draft, { open: false, links: false });
    this.element.classList.toggle("has-draft", draft !== "");
    // While the cloud has not begun, the line stands even for an empty draft: it says why nothing comes yet.
    this.#draftLine.hidden = streaming ? turn.draft === null || replaced : draft === "";
    this.#draftLine.textContent = words.say(streaming ? "wait.handover" : "draft");
    this.#text.show(turn.text, { open: streaming, links: !isPrivate });
  }

  /**
   * @param {Turn} turn
   * @param {Words} words
   */
  #showReceipt(turn, words) {
    const { receipt, source } = turn;
    this.#badge.hidden = source === null;
    const parts = [source === null ? "" : words.say(`source.${source}`)];
    if (receipt !== null && turn.state === "done") parts.push(summary(receipt, words));
    this.#badge.textContent = parts.filter(Boolean).join(" · ");
    this.#help.textContent = words.say("receipt.help");
    this.#receipt.setAttribute("aria-label", words.say("receipt"));
    const nothingToShow = receipt === null && turn.state !== "streaming";
    this.#badge.disabled = nothingToShow;
    if (nothingToShow) this.#openReceipt(false);
    if (this.#receiptOf[0] === receipt && this.#receiptOf[1] === words) return;
    this.#receiptOf = [receipt, words];
    renderReceipt(this.#receipt, receipt, words);
  }

  /** @param {boolean} open */
  #openReceipt(open) {
    this.#receipt.hidden = !open;
    this.#badge.setAttribute("aria-expanded", String(open));
  }

  #toggleReceipt() {
    const open = this.#receipt.hidden !== false;
    this.#openReceipt(open);
    if (open) this.#receipt.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {Scene} scene */
  #showProblem({ problem, words, latest }) {
    this.#problem.hidden = problem === null;
    const print = JSON.stringify([problem, latest, words.language]);
    // What is there stays, and with it the focus.
    if (print === this.#problemOf) return;
    this.#problemOf = print;
    this.#problem.replaceChildren();
    if (problem === null) return;
    const { heading, words: text, todo, detail, action, calm } = problem;
    this.#problem.classList.toggle("calm", calm);
    this.#problem.append(make("p", { class: "heading" }, heading), make("p", {}, text), make("p", {}, todo));
    if (detail !== "") this.#problem.append(make("p", { class: "muted", lang: "en", dir: "auto" }, detail));
    if (action === null || !latest) return;
    const button = make("button", { type: "button", class: "secondary", part: "button" }, words.say(`action.${action}`));
    button.addEventListener("click", () => this.onAction(action));
    this.#problem.append(button);
  }

  async #copyText() {
    if (this.#turn === null || this.#scene === null) return;
    const { words } = this.#scene;
    try {
      await navigator.clipboard.writeText(kept(this.#turn));
      this.#copy.textContent = words.say("copied");
    } catch {
      this.#copy.textContent = words.say("copyRefused");
    }
    setTimeout(() => (this.#copy.textContent = this.#scene?.words.say("copy") ?? ""), 2000);
  }
}

/**
 * Beside the name of who answered: how sure it was, or what was sent.
 *
 * @param {import("./types.js").Receipt} receipt
 * @param {Words} words
 */
function summary(receipt, words) {
  if (receipt.source === "device" && howSure(receipt, words) !== null) return words.percent(receipt.confidence ?? 0);
  return receipt.bytes_sent > 0 ? words.bytes(receipt.bytes_sent) : "";
}

/**
 * @param {Turn} turn
 * @param {Words} words
 */
function note(turn, words) {
  if (turn.stopped) return words.say("stopped");
  const cameBack = turn.state === "done" && turn.handover !== null && turn.source === "device";
  return cameBack ? words.say("cameBack") : "";
}

/** More than this of a question is of no use on the screen; the whole is still what is asked. */
const SHOWN_CHARACTERS = 4000;

/**
 * @param {string} question
 * @returns {{ element: HTMLElement, show: (words: Words) => void }}
 */
export function questionView(question) {
  const cut = question.length > SHOWN_CHARACTERS;
  const text = make("p", { dir: "auto" }, cut ? `${question.slice(0, SHOWN_CHARACTERS)}…` : question);
  const rest = make("p", { class: "muted" });
  rest.hidden = !cut;
  const element = make("article", { class: "question", part: "question" }, text, rest);
  const show = (/** @type {Words} */ words) => {
    element.setAttribute("aria-label", words.say("question"));
    rest.textContent = words.say("cut", { count: words.count(question.length) });
  };
  return { element, show };
}
