// @ts-check
/** A question to the person: a modal dialog with two answers. Escape and the backdrop mean no. */
import { make } from "./dom.js";

let count = 0;

export class Dialog {
  #heading = make("p", { class: "title" });
  #words = make("p");
  /** What the question is about, word for word. */
  #shown = make("ul", { class: "shown", tabindex: "0" });
  #yes = make("button", { type: "button", class: "primary" });
  #no = make("button", { type: "button", class: "secondary" });
  /** Tells whoever asked. @type {((yes: boolean) => void) | null} */
  #settle = null;

  constructor() {
    count += 1;
    this.#heading.id = `dialog-heading-${count}`;
    this.#words.id = `dialog-words-${count}`;
    const actions = make("div", { class: "actions" }, this.#no, this.#yes);
    const body = make("div", { class: "body" }, this.#heading, this.#words, this.#shown, actions);
    const labels = { "aria-labelledby": this.#heading.id, "aria-describedby": this.#words.id };
    this.element = make("dialog", { part: "dialog", ...labels }, body);
    closeOnBackdrop(this.element);
    // Behind a question that took the place of this one, nothing has been closed.
    this.element.addEventListener("close", () => !this.element.open && this.#answer(false));
    this.#yes.addEventListener("click", () => this.#answer(true));
    this.#no.addEventListener("click", () => this.#answer(false));
  }

  /**
   * @param {{ heading: string, words: string, yes: string, no: string, shown?: string[] }} question
   * @param {AbortSignal} [over] when nobody waits for the answer any more, which is then no
   * @returns {Promise<boolean>}
   */
  ask({ heading, words, yes, no, shown = [] }, over) {
    this.close();
    if (over?.aborted) return Promise.resolve(false);
    this.#heading.textContent = heading;
    this.#words.textContent = words;
    this.#shown.hidden = shown.length === 0;
    this.#shown.setAttribute("aria-label", words);
    this.#shown.replaceChildren(...shown.map((text) => make("li", { dir: "auto" }, text)));
    this.#yes.textContent = yes;
    this.#no.textContent = no;
    return new Promise((resolve) => {
      this.#settle = resolve;
      over?.addEventListener("abort", () => this.#settle === resolve && this.close(), { once: true });
      this.element.showModal();
      // The answer that changes nothing has the focus.
      this.#no.focus();
    });
  }

  /** Taken for a no. */
  close() {
    this.#answer(false);
  }

  /** @param {boolean} yes */
  #answer(yes) {
    const settle = this.#settle;
    this.#settle = null;
    if (this.element.open) this.element.close();
    settle?.(yes);
  }
}

/**
 * A click beside a dialog closes it.
 *
 * @param {HTMLDialogElement} dialog without padding of its own: a click on the dialog itself is then one on the backdrop
 */
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
}
