// @ts-check
/**
 * The message box and the controls around it.
 *
 * @import { Level, Mode } from "./types.js"
 * @import { Words } from "./words.js"
 * @typedef {object} ComposerEvents
 * @property {(text: string) => void} onSend
 * @property {() => void} onStop
 * @property {(on: boolean) => void} onPrivate what the person wants; the switch moves only by `show`
 * @property {(level: Level) => void} onLevel likewise
 * @property {(mode: Mode) => void} onMode
 * @property {(length: number) => void} onTooLong
 */
import { icon, make } from "./dom.js";

/** Many times what any model of a page reads; a browser freezes for seconds laying out a few megabytes. */
export const MOST_CHARACTERS = 200_000;

/** @type {Mode[]} */
const MODES = ["auto", "device", "prefer-cloud", "cloud"];
/** @type {Level[]} */
const LEVELS = ["open", "ask", "private"];

const BOX = { rows: "1", part: "input", autocomplete: "off", enterkeyhint: "send" };
const SWITCH = { type: "checkbox", role: "switch", autocomplete: "off" };

export class Composer {
  #lane = make("div", { class: "lane", part: "lane" });
  #laneWords = make("span", { id: "lane" });
  #level = make("select", { part: "level", autocomplete: "off", "aria-describedby": "lane" });
  #message = make("textarea", { ...BOX, "aria-describedby": "lane" });
  #private = make("input", { ...SWITCH, id: "private", "aria-describedby": "private-help" });
  #privateWords = make("span");
  #privateHelp = make("span", { id: "private-help", hidden: "" });
  #mode = make("select", { part: "mode", autocomplete: "off" });
  #send = make("button", { type: "submit", class: "primary", part: "send" });
  #stop = make("button", { type: "button", class: "primary stop", part: "stop", hidden: "" });
  #busy = false;
  #typed = "";

  /** @param {ComposerEvents} events */
  constructor(events) {
    this.events = events;
    this.#lane.append(this.#level, icon("lock"), this.#laneWords);
    for (const level of LEVELS) this.#level.append(make("option", { value: level }));
    for (const mode of MODES) this.#mode.append(make("option", { value: mode }));
    const label = make("label", { class: "switch", part: "private", for: "private" }, this.#private, this.#privateWords);
    const row = make("div", { class: "row" }, label, this.#privateHelp, this.#mode, this.#send, this.#stop);
    this.element = make("form", { class: "composer", part: "composer", autocomplete: "off" }, this.#lane, this.#message, row);
    this.#listen();
  }

  #listen() {
    const { events } = this;
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#message.addEventListener("keydown", (event) => this.#key(event));
    this.#message.addEventListener("input", () => this.#changed());
    this.#message.addEventListener("beforeinput", (event) => this.#limit(event));
    this.#stop.addEventListener("click", () => {
      events.onStop();
      this.focus();
    });
    this.#private.addEventListener("change", () => {
      const on = this.#private.checked;
      // Off may need a question to the person first.
      if (!on) this.#private.checked = true;
      events.onPrivate(on);
    });
    this.#level.addEventListener("change", () => events.onLevel(/** @type {Level} */ (this.#level.value)));
    this.#mode.addEventListener("change", () => events.onMode(/** @type {Mode} */ (this.#mode.value)));
  }

  /** @param {Words} words */
  translate(words) {
    this.#message.setAttribute("aria-label", words.say("message"));
    this.#message.placeholder = words.say("placeholder");
    this.#privateWords.textContent = words.say("private");
    this.#privateHelp.textContent = words.say("private.help");
    this.#private.title = words.say("private.help");
    this.#level.setAttribute("aria-label", words.say("level"));
    for (const option of this.#level.options) option.textContent = words.say(`level.${/** @type {Level} */ (option.value)}`);
    this.#mode.setAttribute("aria-label", words.say("mode"));
    for (const option of this.#mode.options) option.textContent = words.say(`mode.${/** @type {Mode} */ (option.value)}`);
    label(this.#send, icon("up"), words.say("send"));
    label(this.#stop, icon("square"), words.say("stop"));
  }

  /**
   * @param {{ level: Level, mode: Mode, choice: boolean, lane: string, sealed: boolean }} now `choice`: whether there is a
   *   level and a mode to choose; `lane`: where questions go, in words; `sealed`: whether nothing leaves the device
   */
  show(now) {
    const isPrivate = now.level === "private";
    this.#private.checked = isPrivate;
    this.#level.value = now.level;
    this.#mode.value = now.mode;
    this.#level.hidden = this.#mode.hidden = !now.choice;
    this.#lane.classList.toggle("sealed", now.sealed);
    this.#laneWords.textContent = now.lane;
    this.element.classList.toggle("is-private", isPrivate);
    // Some browsers check spelling and finish sentences on servers of their own.
    this.#message.spellcheck = !isPrivate;
    this.#message.setAttribute("writingsuggestions", String(!isPrivate));
  }

  /** @param {boolean} busy while an answer is on its way, Stop stands where Send was */
  setBusy(busy) {
    const root = /** @type {ShadowRoot} */ (this.element.getRootNode());
    const hadFocus = root.activeElement === this.#send || root.activeElement === this.#stop;
    this.#busy = busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (hadFocus) this.focus();
  }

  /** @param {FocusOptions} [options] */
  focus(options = { preventScroll: true }) {
    this.#message.focus(options);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape" && this.#busy) this.events.onStop();
    // While an input method composes, Enter accepts its suggestion; Safari tells so only by the code.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.#message.value.trim();
    if (this.#busy || text === "") {
      this.focus();
      return;
    }
    this.#message.value = "";
    this.#changed();
    this.events.onSend(text);
  }

  /**
   * Typed, pasted or dropped: refused before the browser starts to lay it out.
   *
   * @param {InputEvent} event
   */
  #limit(event) {
    const { length } = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
    if (length <= MOST_CHARACTERS) return;
    event.preventDefault();
    this.events.onTooLong(length);
  }

  #changed() {
    const { length } = this.#message.value;
    if (length > MOST_CHARACTERS) {
      // It grew bit by bit, or a script set it; what stood there before comes back.
      this.#message.value = this.#typed;
      this.events.onTooLong(length);
    }
    this.#typed = this.#message.value;
    // By its own text; while it is empty the placeholder follows the page.
    this.#message.dir = this.#typed === "" ? "" : "auto";
    if (!CSS.supports("field-sizing", "content")) this.#grow();
  }

  /** As high as its text, in browsers that cannot do so by a style sheet; which sets the limit. */
  #grow() {
    this.#message.style.blockSize = "auto";
    this.#message.style.blockSize = `${this.#message.scrollHeight}px`;
  }
}

/**
 * A narrow chat shows the drawing alone.
 *
 * @param {HTMLElement} button
 * @param {Element} drawing
 * @param {string} words
 */
function label(button, drawing, words) {
  button.replaceChildren(drawing, make("span", { class: "wide-only" }, words));
  button.setAttribute("aria-label", words);
  button.title = words;
}
