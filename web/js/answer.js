/**
 * One answer on the page: text or draft, what it waits for, its badge and receipt, and what to do when it failed.
 *
 * @import { Action, Words } from "./errors.js"
 * @import { Turn } from "./types.d.ts"
 */
import { make } from "./dom.js";
import { ACTION_WORDS } from "./errors.js";
import { TextView } from "./markup.js";
import { BADGE, renderReceipt } from "./receipt.js";
import { kept } from "./turn.js";

let count = 0;

export class AnswerView {
  #text;
  #draft;
  #draftLine = make("p", { class: "draft-line" });
  #wait = make("p", { class: "wait" });
  #problem = make("div", { class: "problem" });
  #note = make("span", { class: "muted" });
  #badge;
  #copy = make("button", { type: "button", class: "quiet small" }, "Copy");
  #receipt;
  /** @type {unknown} */
  #receiptShown;
  /** @type {Turn | null} */
  #turn = null;

  /** @param {{ onAction: (action: Action) => void }} options */
  constructor(options) {
    this.onAction = options.onAction;
    count += 1;
    const receiptId = `receipt-${count}`;
    this.#text = new TextView(make("div", { class: "text" }));
    this.#draft = new TextView(make("div", { class: "draft" }));
    this.#receipt = make("section", { class: "receipt", id: receiptId, "aria-label": "Receipt", hidden: "" });
    this.#badge = make("button", {
      type: "button",
      class: "badge",
      "aria-expanded": "false",
      "aria-controls": receiptId,
      "aria-describedby": "badge-help",
    });
    this.#badge.addEventListener("click", () => this.#toggleReceipt());
    this.#copy.addEventListener("click", () => void this.#copyText());
    this.element = make(
      "article",
      { class: "answer", "data-answer": String(count), "data-state": "streaming", "aria-label": "Answer" },
      this.#draft.element,
      this.#draftLine,
      this.#text.element,
      this.#wait,
      this.#problem,
      make("div", { class: "meta" }, this.#badge, this.#copy, this.#note),
      this.#receipt,
    );
  }

  /**
   * @param {Turn} turn
   * @param {{ waiting: string, problem: Words | null }} words what it waits for while nothing has come; the failure
   */
  show(turn, words) {
    this.#turn = turn;
    const { element } = this;
    element.dataset["state"] = turn.state;
    element.setAttribute("aria-busy", String(turn.state === "streaming"));
    if (turn.source === null) delete element.dataset["source"];
    else element.dataset["source"] = turn.source;

    // The draft gives way to the first words of the cloud, and comes back if those never became an answer.
    const replaced = turn.text !== "" && turn.state === "streaming";
    const draft = turn.draft !== null && !replaced ? turn.draft : "";
    this.#draft.show(draft);
    element.classList.toggle("has-draft", draft !== "");
    // While the cloud has not begun, the line stands even for an empty draft: it says why nothing comes yet.
    this.#draftLine.hidden = turn.state === "streaming" ? turn.draft === null || replaced : draft === "";
    this.#draftLine.textContent =
      turn.state === "streaming" ? `Handing over to the cloud. ${turn.handover ?? ""}` : "Draft from this device";
    this.#text.show(turn.text);

    this.#wait.hidden = turn.state !== "streaming" || turn.text !== "" || turn.draft !== null;
    this.#wait.textContent = words.waiting;
    this.#note.textContent = note(turn);
    this.#copy.hidden = turn.state === "streaming" || kept(turn) === "" || !navigator.clipboard;
    this.#badge.hidden = turn.source === null;
    this.#badge.textContent = turn.source === null ? "" : BADGE[turn.source];
    this.#showReceipt(turn);
    this.#showProblem(words.problem);
  }

  /** A later question was asked: this one can no longer be asked again in place. */
  retire() {
    this.#problem.querySelector("button")?.remove();
  }

  /** @param {Turn} turn */
  #showReceipt(turn) {
    const nothingToShow = turn.receipt === null && turn.state !== "streaming";
    this.#badge.disabled = nothingToShow;
    if (nothingToShow) {
      this.#receipt.hidden = true;
      this.#badge.setAttribute("aria-expanded", "false");
    }
    if (this.#receiptShown === turn.receipt) return;
    this.#receiptShown = turn.receipt;
    renderReceipt(this.#receipt, turn.receipt);
  }

  #toggleReceipt() {
    const open = this.#receipt.hidden;
    this.#receipt.hidden = !open;
    this.#badge.setAttribute("aria-expanded", String(open));
    if (open) this.#receipt.scrollIntoView({ block: "nearest" });
  }

  /** @param {Words | null} words */
  #showProblem(words) {
    this.#problem.hidden = words === null;
    if (words === null) {
      this.#problem.replaceChildren();
      return;
    }
    const { heading, sentence, todo, action, calm } = words;
    this.#problem.classList.toggle("calm", calm);
    this.#problem.replaceChildren(
      make("h3", {}, heading),
      make("p", {}, sentence),
      make("p", {}, todo),
      ...(action === null ? [] : [this.#actionButton(action)]),
    );
  }

  /** @param {Action} action */
  #actionButton(action) {
    const button = make("button", { type: "button", class: "secondary" }, ACTION_WORDS[action]);
    button.addEventListener("click", () => this.onAction(action));
    return button;
  }

  async #copyText() {
    if (this.#turn === null) return;
    try {
      await navigator.clipboard.writeText(kept(this.#turn));
      this.#copy.textContent = "Copied";
    } catch {
      this.#copy.textContent = "Not allowed to copy";
    }
    setTimeout(() => (this.#copy.textContent = "Copy"), 2000);
  }
}

/** @param {Turn} turn */
function note(turn) {
  if (turn.stopped) return "Stopped";
  // It was handed over and came back.
  const cameBack = turn.state === "done" && turn.handover !== null && turn.source === "device";
  return cameBack ? "The cloud did not finish, so this device's answer stays" : "";
}

/** More than this of a question is of no use on the screen; the whole is still what is sent. */
const SHOWN_CHARACTERS = 4000;

/** @param {string} question */
export function questionElement(question) {
  const cut = question.length > SHOWN_CHARACTERS;
  const text = cut ? `${question.slice(0, SHOWN_CHARACTERS)}…` : question;
  const element = make("article", { class: "question", "aria-label": "Your question" }, make("p", {}, text));
  if (cut) {
    const rest = `${question.length.toLocaleString("en-US")} characters, of which the first are shown`;
    element.append(make("p", { class: "muted" }, rest));
  }
  return element;
}
