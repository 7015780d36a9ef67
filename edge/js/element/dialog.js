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

  constructor() {
    count += 1;
    this.#heading.id = `dialog-heading-${count}`;
    this.#words.id = `dialog-words-${count}`;
    const actions = make("div", { class: "actions" }, this.#no, this.#yes);
    const body = make("div", { class: "body" }, this.#heading, this.#words, this.#shown, actions);
    const labels = { "aria-labelledby": this.#heading.id, "aria-describedby": this.#words.id };
    this.element = make("dialog", { part: "dialog", ...labels }, body);
    // The body covers the dialog, which has no padding: a click on the dialog itself is one on the backdrop.
    this.element.addEventListener("click", ({ target }) => target === this.element && this.element.close(""));
    this.#yes.addEventListener("click", () => this.element.close("yes"));
    this.#no.addEventListener("click", () => this.element.close(""));
  }

  /**
   * @param {{ heading: string, words: string, yes: string, no: string, shown?: string[] }} question
   * @returns {Promise<boolean>}
   */
  ask({ heading, words, yes, no, shown = [] }) {
    this.#heading.textContent = heading;
    this.#words.textContent = words;
    this.#shown.hidden = shown.length === 0;
    this.#shown.ariaLabel = words;
    this.#shown.replaceChildren(...shown.map((text) => make("li", { dir: "auto" }, text)));
    this.#yes.textContent = yes;
    this.#no.textContent = no;
    return new Promise((resolve) => {
      this.element.returnValue = "";
      this.element.onclose = () => resolve(this.element.returnValue === "yes");
      this.element.showModal();
      // The answer that changes nothing has the focus.
      this.#no.focus();
    });
  }

  /** Taken for a no. */
  close() {
    if (this.element.open) this.element.close("");
  }
}
