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
  #typed = "";

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
    this.#message.addEventListener("input", () => this.#changed());
    this.#message.addEventListener("beforeinput", (event) => this.#limit(event));
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
    // Some browsers check spelling, finish sentences and translate on servers of their own.
    this.#message.spellcheck = !on;
    this.#message.setAttribute("writingsuggestions", String(!on));
    document.documentElement.translate = !on;
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
    this.#changed();
    this.callbacks.onSend(text);
  }

  /**
   * Typed, pasted or dropped: refused before the browser starts to lay it out.
   *
   * @param {InputEvent} event
   */
  #limit(event) {
    const length = (event.data ?? event.dataTransfer?.getData("text/plain") ?? "").length;
    if (length <= MOST_CHARACTERS) return;
    event.preventDefault();
    this.callbacks.onTooLong(length, MOST_CHARACTERS);
  }

  #changed() {
    const { length } = this.#message.value;
    if (length > MOST_CHARACTERS) {
      // It grew bit by bit, or a script set it; what stood there before comes back.
      this.#message.value = this.#typed;
      this.callbacks.onTooLong(length, MOST_CHARACTERS);
    }
    this.#typed = this.#message.value;
    this.#grow();
  }

  /** As high as its text; the style sheet sets the limit. */
  #grow() {
    this.#message.style.blockSize = "auto";
    const border = this.#message.offsetHeight - this.#message.clientHeight;
    this.#message.style.blockSize = `${this.#message.scrollHeight + border}px`;
  }
}
