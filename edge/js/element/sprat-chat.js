// @ts-check
/**
 * `<sprat-chat>`: the chat as a custom element. `../element.js` registers it.
 *
 * @import { Recipe, UseOptions, Warning } from "../types.js"
 * @import { Answer, AnswerDetail, ErrorDetail, Level, Mode, ReadyDetail, SpratLike, Status, Theme } from "./types.js"
 * @import { Strings } from "./words.js"
 */
import { highest } from "../taint.js";
import { Announcer } from "./announce.js";
import { Composer, MOST_CHARACTERS } from "./composer.js";
import { Dialog } from "./dialog.js";
import { languageOf, make } from "./dom.js";
import { Engine } from "./engine.js";
import { Frame } from "./frame.js";
import { cloudName, laneOf } from "./lane.js";
import { describe } from "./problem.js";
import { styleSheets } from "./styles.js";
import { Talk } from "./talk.js";
import { Words } from "./words.js";

/** Without a DOM, as in a server's rendering, the module can be imported all the same. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/** Properties that a page may have set before the element was defined. */
const UPGRADED = /** @type {const} */ (["cloudHeaders", "strings", "sprat"]);
/** Other names of modes. @type {Record<string, Mode>} */
const SHORT = { "prefer-device": "auto", "only-device": "device", "only-cloud": "cloud" };
/** Under what circumstances a model cannot be loaded. @type {import("./problem.js").Circumstances} */
const LOADING = { private: false, mode: "auto", kept: "nothing", first: false, own: true };
/** What an engine is opened with: a change of one opens another. */
const ENGINE_ATTRIBUTES = new Set(["model", "cloud", "cloud-model", "device"]);

/**
 * A chat with a small language model in the page.
 *
 *     <script type="module" src="sprat/element.js"></script>
 *     <sprat-chat model="models/sprat-tiny/" cloud="/v1"></sprat-chat>
 *
 * Events, all bubbling and composed: `sprat-ready` ({@link ReadyDetail}), `sprat-status` ({@link Status}), `sprat-warning`
 * ({@link Warning}), `sprat-answer` ({@link AnswerDetail}) and `sprat-error` ({@link ErrorDetail}).
 */
export class SpratChat extends Base {
  static observedAttributes = [...ENGINE_ATTRIBUTES, "mode", "level", "private", "theme", "lang"];

  #words = new Words([]);
  /** @type {Partial<Strings>} */
  #strings = {};
  /** @type {Record<string, string>} */
  #cloudHeaders = {};
  /** @type {SpratLike | null} */
  #given = null;
  /** Whether an engine is to be opened once all attributes of this task have changed. */
  #opening = false;
  /** The state before, so that only what is new is told. @type {Status["state"]} */
  #before = "none";
  #root = make("div", { class: "chat", role: "group" });
  #said = make("div", { class: "said", "aria-live": "polite" });
  #scroll = make("div", { class: "scroll", part: "log", role: "log", "aria-live": "off", tabindex: "0" });
  #dialog = new Dialog();
  #announcer = new Announcer(this.#said);
  #engine = new Engine((status) => this.#onStatus(status), (warning) => this.#emit("sprat-warning", warning));
  #frame = new Frame({
    onNew: () => {
      this.clear();
      this.focus();
    },
    onExample: (question) => {
      void this.ask(question);
      this.focus();
    },
    onReload: () => {
      // The button goes away with the failure.
      this.focus();
      this.#engine.reload();
    },
  });
  #composer = new Composer({
    onSend: (text) => void this.ask(text),
    onStop: () => this.stop(),
    onPrivate: (on) => void this.#wantLevel(on ? "private" : this.#openLevel),
    onLevel: (level) => void this.#wantLevel(level),
    onMode: (mode) => (this.mode = mode),
    onTooLong: (length) => this.#tooLong(length),
  });
  #talk = new Talk(this.#scroll, {
    engine: this.#engine,
    announcer: this.#announcer,
    words: () => this.#words,
    level: () => this.level,
    mode: () => this.mode,
    setMode: (mode) => (this.mode = mode),
    setBusy: (busy) => this.#composer.setBusy(busy),
    focus: () => this.focus({ preventScroll: true }),
    changed: () => this.#show(),
    mayAskOpenly: () => this.#askPerson("open"),
    mayLeave: (offer, over) => this.#askToSend(offer, over),
    becamePrivate: () => (this.private = true),
    leavePrivate: () => (this.private = false),
    onAnswer: ({ question, text, receipt }, isPrivate) => {
      const said = isPrivate ? { question: null, text: null } : { question, text };
      this.#emit("sprat-answer", { private: isPrivate, ...said, receipt });
    },
    onFailure: ({ code, message, hint }) => this.#emit("sprat-error", { code, message, hint, during: "answer" }),
  });

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = styleSheets();
    this.#scroll.append(this.#frame.empty);
    const foot = make("div", { class: "foot" }, this.#frame.foot, this.#composer.element);
    this.#root.append(this.#frame.header, this.#scroll, foot, this.#said, this.#dialog.element);
    shadow.append(this.#root);
  }

  connectedCallback() {
    for (const name of UPGRADED) this.#upgrade(name);
    this.#translate();
    if (this.#engine.status.state === "none") this.#open();
  }

  disconnectedCallback() {
    // Moving an element takes it out and puts it in again: only what stays out gives its engine up.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#talk.stop();
      this.#dialog.close();
      this.#announcer.restart();
      if (this.#given === null) this.#engine.close();
    });
  }

  /** Its presence makes `moveBefore` move the element as it is. */
  connectedMoveCallback() {}

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} after
   */
  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (ENGINE_ATTRIBUTES.has(name)) {
      this.#open();
      this.#show();
    }
    if (name === "mode") {
      this.#show();
      this.#talk.redraw();
    }
    if (name === "private" || name === "level") this.#setLevel();
    if (name === "lang") this.#translate();
    // The style sheet reads `theme`.
  }

  /** Address of a model pack's folder. */
  get model() {
    return this.getAttribute("model");
  }
  set model(value) {
    this.#reflect("model", value);
  }

  /** Base address of an OpenAI-compatible API; without it nothing is ever sent. */
  get cloud() {
    return this.getAttribute("cloud");
  }
  set cloud(value) {
    this.#reflect("cloud", value);
  }

  /** The model to ask there. */
  get cloudModel() {
    return this.getAttribute("cloud-model");
  }
  set cloudModel(value) {
    this.#reflect("cloud-model", value);
  }

  /** What the model runs on. @returns {"auto" | "cpu" | "webgpu"} */
  get device() {
    return one(this.getAttribute("device"), ["auto", "cpu", "webgpu"]);
  }
  set device(value) {
    this.#reflect("device", value);
  }

  /** Who answers, by the short names where there are some. The person can change it, too. @returns {Mode} */
  get mode() {
    const name = this.getAttribute("mode") ?? "";
    return one(SHORT[name] ?? name, ["auto", "device", "prefer-cloud", "cloud"]);
  }
  set mode(value) {
    this.#reflect("mode", value);
  }

  /** @returns {Theme} */
  get theme() {
    return one(this.getAttribute("theme"), ["auto", "light", "dark"]);
  }
  set theme(value) {
    this.#reflect("theme", value);
  }

  /** Whether nothing of the conversation leaves the device. Turning it off starts a new conversation. */
  get private() {
    return this.level === "private";
  }
  set private(value) {
    if (!value && this.getAttribute("level") === "private") this.removeAttribute("level");
    this.toggleAttribute("private", Boolean(value));
  }

  /**
   * Who may read a conversation; the attribute `private` is short for the highest. A conversation's own level can be higher,
   * by what is in it. A lower one starts a new conversation.
   * @returns {Level}
   */
  get level() {
    return this.hasAttribute("private") ? "private" : one(this.getAttribute("level"), ["open", "ask", "private"]);
  }
  set level(value) {
    if (value !== "private") this.#reflect("level", value);
    this.private = value === "private";
  }

  /** The level that the person goes back to from Private. @returns {"open" | "ask"} */
  get #openLevel() {
    return one(this.getAttribute("level"), ["open", "ask"]);
  }

  /** More headers for the cloud, such as Authorization: no attribute, because a page's source is no place for a key. */
  get cloudHeaders() {
    return { ...this.#cloudHeaders };
  }
  set cloudHeaders(value) {
    this.#cloudHeaders = { ...value };
    this.#open();
  }

  /** Words in the place of those that are built in; see strings/en.js. */
  get strings() {
    return { ...this.#strings };
  }
  set strings(value) {
    this.#strings = { ...value };
    this.#translate();
  }

  /**
   * A `Sprat` that the page owns: the element asks it, and never disposes of it. Several chats can share one.
   * @returns {SpratLike | null}
   */
  get sprat() {
    return this.#given;
  }
  set sprat(value) {
    const sprat = value ?? null;
    if (sprat === this.#given) return;
    this.#talk.stop();
    this.#given = sprat;
    this.#engine.give(sprat);
    if (sprat === null) this.#open();
    this.#show();
  }

  /** Where loading the model stands; the event `sprat-status` tells of each change. */
  get status() {
    return this.#engine.status;
  }

  /** Whether an answer is on its way. */
  get busy() {
    return this.#talk.busy;
  }

  /**
   * Asks as if the person had typed it.
   *
   * @param {string} text
   * @returns {Promise<Answer | null>} null if it was stopped, or failed (`sprat-error` tells why), or could not be asked:
   *   it is empty or too long, another answer is on its way, or the element is in no page
   */
  async ask(text) {
    const question = String(text).trim();
    if (question === "" || !this.isConnected || this.busy) return null;
    this.#frame.notice("too-long", null);
    if (question.length > MOST_CHARACTERS) {
      this.#tooLong(question.length);
      return null;
    }
    return this.#talk.ask(question);
  }

  /**
   * Puts another model, or a mix of several, into the place of the element's own; the conversation goes on with it.
   *
   * @param {string | URL | Recipe} model
   * @param {UseOptions} [options]
   * @returns {Promise<import("../sprat.js").Sprat>} the element's engine; rejects as `Sprat.use` does, and with code
   *   `model_missing` where the element has no engine of its own
   */
  use(model, options) {
    return this.#engine.use(model, options);
  }

  /** Stops the answer; what has come stays. */
  stop() {
    this.#talk.stop();
  }

  /** Forgets the conversation and starts a new one with the level that the element has. */
  clear() {
    this.#talk.startOver();
  }

  /**
   * Puts the focus into the message box.
   *
   * @param {FocusOptions} [options]
   */
  focus(options) {
    this.#composer.focus(options);
  }

  /** Opens an engine with the attributes as they will be when this task has set them all. */
  #open() {
    if (this.#opening || this.#given !== null) return;
    this.#opening = true;
    queueMicrotask(() => {
      this.#opening = false;
      if (!this.isConnected || this.#given !== null) return;
      const { model, cloud, cloudModel, cloudHeaders, device } = this;
      if (model === null) return this.#engine.open(null);
      const more = cloudModel === null ? {} : { cloudModel };
      this.#engine.open({ model, cloud, cloudHeaders, device, ...more });
    });
  }

  /** @param {Status} status */
  #onStatus(status) {
    const news = status.state !== this.#before;
    this.#before = status.state;
    this.#show();
    this.#emit("sprat-status", status);
    // Progress alone changes nothing in the conversation.
    if (!news) return;
    this.#talk.redraw();
    if (status.state === "ready") {
      if (!this.busy) this.#announcer.say(this.#words.say("ready"));
      this.#emit("sprat-ready", { device: status.device, model: status.model });
    }
    if (status.state === "failed") {
      const { code, message, hint } = status.failure;
      const problem = this.#loadProblem();
      if (problem !== null) this.#announcer.say(`${problem.heading}. ${problem.words} ${problem.todo}`);
      this.#emit("sprat-error", { code, message, hint, during: "load" });
    }
  }

  /** Everything but the conversation. */
  #show() {
    this.#frame.empty.hidden = !this.#talk.empty;
    this.#frame.show(this.#engine.status, this.#words, this.#loadProblem());
    const { level } = this.#talk;
    this.#root.translate = level !== "private";
    this.#composer.show({ level, mode: this.mode, choice: this.#cloudName !== null, ...this.#lane() });
  }

  #loadProblem() {
    const { status } = this.#engine;
    if (status.state !== "failed") return null;
    const problem = describe(status.failure, LOADING, this.#words);
    const answers = this.cloud !== null && !this.private && this.#engine.asks ? ` ${this.#words.say("status.cloudAnswers")}` : "";
    // Whatever it was, a person can try again; but nobody can load an engine of somebody else's again.
    return { ...problem, todo: problem.todo + answers, action: this.#engine.own ? /** @type {const} */ ("reload") : null };
  }

  #lane() {
    const { level, sent } = this.#talk;
    return laneOf({ level, mode: this.mode, cloud: this.#cloudName, sent }, this.#words);
  }

  /** Null where nobody can be asked but the device. */
  get #cloudName() {
    return this.cloud === null && this.#given === null ? null : cloudName(this.cloud, this.#words);
  }

  /** @param {Level} level that the person wants */
  async #wantLevel(level) {
    const { level: before, empty } = this.#talk;
    const lower = highest(level, before) !== level;
    // Until the person has decided, the controls stand where they stood.
    this.#show();
    if (lower && !empty && !(await this.#askPerson(before === "private" ? "leave" : "lower"))) return;
    this.level = level;
    // What is in a conversation may have raised it above what the element says.
    if (this.#talk.level !== level) this.#talk.startOver();
  }

  #setLevel() {
    const { level } = this;
    const before = this.#talk.level;
    if (level === before) return;
    if (highest(level, before) === before) {
      this.#talk.startOver();
    } else {
      this.#talk.raise(level);
      this.#announcer.say(this.#lane().lane);
    }
  }

  /** @param {"leave" | "lower" | "open"} what */
  #askPerson(what) {
    const say = (/** @type {"heading" | "words" | "yes" | "no"} */ part) => this.#words.say(`${what}.${part}`);
    return this.#dialog.ask({ heading: say("heading"), words: say("words"), yes: say("yes"), no: say("no") });
  }

  /**
   * @param {import("../types.js").Offer} offer
   * @param {AbortSignal} over
   */
  #askToSend({ to, messages }, over) {
    const heading = this.#words.say("send.heading", { cloud: new URL(to).host });
    // Who wants to be asked each time is not told that something was found.
    const words = this.#words.say(this.level === "ask" ? "send.exactly" : "send.words");
    const [yes, no] = [this.#words.say("send.yes"), this.#words.say("send.no")];
    return this.#dialog.ask({ heading, words, yes, no, shown: messages.map(({ content }) => content) }, over);
  }

  /** @param {number} length */
  #tooLong(length) {
    const values = { count: this.#words.count(length), most: this.#words.count(MOST_CHARACTERS) };
    const words = this.#words.say("tooLong", values);
    this.#frame.notice("too-long", words);
    this.#announcer.say(words);
  }

  /** The words in the language of the element, or of what is around it, or of the browser. */
  #translate() {
    const around = languageOf(this);
    const tags = around === "" ? [...(globalThis.navigator?.languages ?? [])] : [around];
    this.#words = new Words(tags, this.#strings);
    this.#root.lang = this.#words.language;
    this.#root.setAttribute("aria-label", this.#words.say("chat"));
    this.#scroll.setAttribute("aria-label", this.#words.say("conversation"));
    this.#composer.translate(this.#words);
    this.#show();
    this.#talk.redraw();
  }

  /**
   * @param {string} name
   * @param {string | URL | null | undefined} value
   */
  #reflect(name, value) {
    if (value === null || value === undefined) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** @param {typeof UPGRADED[number]} name */
  #upgrade(name) {
    if (!Object.hasOwn(this, name)) return;
    const value = this[name];
    delete (/** @type {any} */ (this)[name]);
    /** @type {any} */ (this)[name] = value;
  }

  /**
   * @param {"sprat-ready" | "sprat-status" | "sprat-warning" | "sprat-answer" | "sprat-error"} name
   * @param {ReadyDetail | Status | Warning | AnswerDetail | ErrorDetail} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

/**
 * The value if it is one of these, else the first of them.
 *
 * @template {string} T
 * @param {string | null} value
 * @param {[T, ...T[]]} known
 * @returns {T}
 */
function one(value, known) {
  return known.find((each) => each === value) ?? known[0];
}
