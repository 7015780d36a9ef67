/**
 * The message box and the controls around it.
 *
 * @import { Mode } from "./types.d.ts"
 */
import { byId } from "./dom.js";

/** Many times what any model of this page reads; a browser freezes for seconds laying out a few megabytes. */
const MOST_CHARACTERS = 200_000;

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #message = byId("message", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #private = byId("private", HTMLInputElement);
  #mode = byId("mode", HTMLSelectElement);
  #state = byId("private-state", HTMLParagraphElement);
  #words = byId("private-words", HTMLSpanElement);
  #busy = false;

  /**
   * @param {{
   *   onSend: (text: string) => void,
   *   onStop: () => void,
   *   onPrivate: (on: boolean) => void,
   *   onMode: () => void,
   *   onTooLong: (length: number, most: number) => void,
   * }} callbacks `onPrivate` says what the person wants; the switch moves only by `showPrivate`
   */
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#message.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#busy) callbacks.onStop();
      // While an input method composes, Enter accepts its suggestion.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#message.addEventListener("input", () => this.#grow());
    this.#message.addEventListener("paste", (event) => this.#limit(event, event.clipboardData));
    this.#message.addEventListener("drop", (event) => this.#limit(event, event.dataTransfer));
    this.#stop.addEventListener("click", () => {
      callbacks.onStop();
      this.focus();
    });
    this.#private.addEventListener("change", () => {
      const on = this.#private.checked;
      // Off may need a question to the person first.
      if (!on) this.#private.checked = true;
      callbacks.onPrivate(on);
    });
    this.#mode.addEventListener("change", () => callbacks.onMode());
    // Some browsers bring back what a form held before a reload.
    this.#form.reset();
  }

  /** @returns {Mode} */
  get mode() {
    const { value } = this.#mode;
    return value === "device" || value === "cloud" ? value : "auto";
  }

  set mode(mode) {
    this.#mode.value = mode;
    this.callbacks.onMode();
  }

  /** @param {boolean} busy while an answer is on its way, Stop stands where Send was */
  setBusy(busy) {
    const hadFocus = document.activeElement === this.#send || document.activeElement === this.#stop;
    this.#busy = busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (hadFocus) this.focus();
  }

  /**
   * @param {boolean} on
   * @param {string} words what is true now, shown above the message box
   */
  showPrivate(on, words) {
    this.#private.checked = on;
    this.#state.hidden = !on;
    this.#words.textContent = words;
    document.body.classList.toggle("is-private", on);
  }

  focus() {
    this.#message.focus({ preventScroll: true });
  }

  #submit() {
    const text = this.#message.value.trim();
    if (this.#busy || text === "") {
      this.focus();
      return;
    }
    this.#message.value = "";
    this.#grow();
    this.callbacks.onSend(text);
  }

  /**
   * @param {Event} event
   * @param {DataTransfer | null} data
   */
  #limit(event, data) {
    const length = data?.getData("text").length ?? 0;
    if (length <= MOST_CHARACTERS) return;
    event.preventDefault();
    this.callbacks.onTooLong(length, MOST_CHARACTERS);
  }

  /** As high as its text; the style sheet sets the limit. */
  #grow() {
    if (this.#message.value.length > 20_000) {
      // Far past the limit, and measuring it would cost a second layout of all that text.
      this.#message.style.blockSize = "100vh";
      return;
    }
    this.#message.style.blockSize = "auto";
    const border = this.#message.offsetHeight - this.#message.clientHeight;
    this.#message.style.blockSize = `${this.#message.scrollHeight + border}px`;
  }
}
