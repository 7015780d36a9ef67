/**
 * The chat: one conversation, one answer at a time.
 *
 * @import { Announcer } from "./announce.js"
 * @import { Composer } from "./composer.js"
 * @import { EngineHost } from "./engine.js"
 * @import { Action, Words } from "./errors.js"
 * @import { Mode, Turn } from "./types.d.ts"
 *
 * @typedef {object} Running
 * @property {AbortController} controller
 * @property {boolean} open whether it may reach the cloud
 * @property {boolean} again whether to ask again once it has stopped
 * @property {number} index of its turn
 */
import { AnswerView, questionElement } from "./answer.js";
import { Conversation } from "./conversation.js";
import { mayAskOpenly, mayBeSent, mayLeavePrivate } from "./dialog.js";
import { byId } from "./dom.js";
import { describe } from "./errors.js";
import { BADGE } from "./receipt.js";
import { apply, fail, failureOf, kept } from "./turn.js";

const PRIVATE_WORDS = "Nothing leaves this device";
const PRIVATE_FROM_NOW = "From here on, nothing leaves this device";
const PRIVATE_NO_ANSWER = "Nothing leaves this device, so Cloud only cannot answer";

export class Chat {
  #scroll = byId("scroll", HTMLElement);
  #log = byId("log", HTMLElement);
  #empty = byId("empty", HTMLElement);
  #conversation = new Conversation({ private: false });
  /** @type {Running | null} */
  #running = null;
  /** @type {AnswerView | null} */
  #latest = null;
  /** @type {(() => void) | null} draws the answer that is on its way */
  #redraw = null;
  #frame = 0;
  #askedPrivately = false;

  /** @param {{ host: EngineHost, composer: () => Composer, announcer: Announcer }} parts */
  constructor(parts) {
    this.host = parts.host;
    this.composer = parts.composer;
    this.announcer = parts.announcer;
  }

  /** @param {string} question */
  ask(question) {
    if (this.#running !== null) return;
    const index = this.#conversation.ask(question);
    this.#latest?.retire();
    this.#empty.hidden = true;
    this.#log.append(questionElement(question));
    void this.#answer(index);
  }

  stop() {
    if (this.#running === null) return;
    this.#running.again = false;
    this.#running.controller.abort();
  }

  /** @param {boolean} [isPrivate] as the conversation before, if not given */
  startOver(isPrivate = this.#conversation.private) {
    this.stop();
    this.#running = null;
    this.#latest = null;
    this.#conversation = new Conversation({ private: isPrivate });
    this.#forgetPrivate(isPrivate);
    this.#log.replaceChildren();
    this.#empty.hidden = false;
    this.#scroll.scrollTop = 0;
    this.announcer.restart();
    this.composer().setBusy(false);
    this.showPrivate();
    this.composer().focus();
  }

  /**
   * The engine treats whatever was private once as private for as long as it lives, also where it is asked again in
   * the open. A person who turns Private off has decided; the engine learns it by starting anew.
   *
   * @param {boolean} isPrivate
   */
  #forgetPrivate(isPrivate) {
    if (isPrivate || !this.#askedPrivately) return;
    this.#askedPrivately = false;
    this.host.load();
  }

  /** What the switch stands at, and what follows from it and the mode. */
  showPrivate() {
    const on = this.#conversation.private;
    this.composer().showPrivate(on, on ? this.#privateWords() : "");
  }

  /** @param {boolean} on */
  async setPrivate(on) {
    if (on) {
      this.#conversation.makePrivate();
      this.#closeRunning();
      this.showPrivate();
      this.announcer.say(this.#privateWords());
      return;
    }
    if (!this.#conversation.empty && !(await mayLeavePrivate())) return;
    this.startOver(false);
  }

  /**
   * The engine has found what must not leave: the conversation is private from here on.
   *
   * @param {Conversation} conversation
   */
  #foundPrivate(conversation) {
    conversation.makePrivate();
    this.#askedPrivately = true;
    if (this.#conversation !== conversation) return;
    this.showPrivate();
    this.announcer.say(this.#privateWords());
  }

  /** What was asked in the open could still be handed over: it stops, and if nothing had come is asked in private. */
  #closeRunning() {
    const running = this.#running;
    if (running === null || !running.open) return;
    running.again = this.#conversation.turn(running.index).source === null;
    running.controller.abort();
  }

  /** The engine's state has changed: a question that waits for it says so. */
  redrawWaiting() {
    this.#redraw?.();
  }

  /** @param {number} index */
  async #answer(index) {
    const conversation = this.#conversation;
    const controller = new AbortController();
    /** @type {Running} */
    const running = { controller, open: !conversation.private, again: false, index };
    this.#running = running;
    const view = new AnswerView({ onAction: (action) => void this.#act(action, conversation, index, view) });
    this.#latest = view;
    this.#log.append(view.element);
    this.composer().setBusy(true);
    this.announcer.restart();

    this.#askedPrivately ||= conversation.private;
    const mode = this.composer().mode;
    const options = { mode, private: conversation.private, signal: controller.signal, onAsk: mayBeSent };
    const redraw = () => this.#draw(view, conversation, conversation.turn(index), mode);
    this.#redraw = redraw;
    redraw();
    this.#scroll.scrollTop = this.#scroll.scrollHeight;

    try {
      const sprat = await this.host.opened();
      for await (const event of sprat.chat(conversation.messages(index), options)) {
        const turn = apply(conversation.turn(index), event);
        conversation.update(index, turn);
        if (event.type === "level" && event.level === "private") this.#foundPrivate(conversation);
        if (event.type === "handover") this.announcer.restart();
        if (event.type === "delta") this.announcer.stream(turn.text);
        this.#schedule(redraw);
      }
      if (conversation.turn(index).state === "streaming") {
        // Some iterators end quietly when they are aborted.
        const code = controller.signal.aborted ? "aborted" : "internal";
        conversation.update(index, fail(conversation.turn(index), { ...failureOf("The answer ended early."), code }));
      }
    } catch (thrown) {
      conversation.update(index, fail(conversation.turn(index), failureOf(thrown)));
    }
    this.#finish(running, conversation, view, redraw);
  }

  /**
   * @param {Running} running
   * @param {Conversation} conversation
   * @param {AnswerView} view
   * @param {() => void} redraw
   */
  #finish(running, conversation, view, redraw) {
    // A new conversation may have begun meanwhile; this answer is then nobody's.
    if (this.#conversation !== conversation || this.#running !== running) return;
    this.#running = null;
    this.#redraw = null;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (running.again && conversation.turn(running.index).stopped) {
      this.#askAgain(conversation, running.index, view);
      return;
    }
    redraw();
    this.showPrivate();
    this.composer().setBusy(false);
    const turn = conversation.turn(running.index);
    this.announcer.finish(kept(turn), this.#closing(turn, conversation));
  }

  /**
   * @param {Turn} turn
   * @param {Conversation} conversation
   */
  #closing(turn, conversation) {
    if (turn.stopped) return "Stopped.";
    const problem = this.#problem(turn, conversation, this.composer().mode);
    if (problem !== null) return `${problem.heading}. ${problem.sentence} ${problem.todo}`;
    return turn.source === null ? "" : `Answered by: ${BADGE[turn.source]}.`;
  }

  /**
   * @param {Action} action
   * @param {Conversation} conversation
   * @param {number} index
   * @param {AnswerView} view
   */
  async #act(action, conversation, index, view) {
    if (this.#running !== null || this.#conversation !== conversation) return;
    const { question } = conversation.turn(index);
    if (action === "open" || action === "new") {
      if (action === "open" && !(await mayAskOpenly())) return;
      this.startOver(action === "open" ? false : conversation.private);
      this.ask(question);
      return;
    }
    if (action === "reload") this.host.load();
    if (action === "device") this.composer().mode = "device";
    this.#askAgain(conversation, index, view);
  }

  /**
   * @param {Conversation} conversation
   * @param {number} index
   * @param {AnswerView} view
   */
  #askAgain(conversation, index, view) {
    view.element.remove();
    conversation.again(index);
    void this.#answer(index);
    this.composer().focus();
  }

  /**
   * @param {AnswerView} view
   * @param {Conversation} conversation
   * @param {Turn} turn
   * @param {Mode} mode
   */
  #draw(view, conversation, turn, mode) {
    const atEnd = this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < 80;
    view.show(turn, { waiting: this.#waiting(mode), problem: this.#problem(turn, conversation, mode) });
    if (atEnd) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  /** @param {Mode} mode */
  #waiting(mode) {
    if (mode === "cloud") return "Asking the cloud";
    return this.host.status.state === "loading" ? "Waiting for the model to load" : "Reading the question";
  }

  /**
   * @param {Turn} turn
   * @param {Conversation} conversation
   * @param {Mode} mode
   * @returns {Words | null}
   */
  #problem(turn, conversation, mode) {
    if (turn.failure === null) return null;
    const keptKind = turn.text !== "" ? "text" : turn.draft ? "draft" : "nothing";
    const first = conversation.turn(0) === turn;
    const found = turn.found.length > 0;
    return describe(turn.failure, { private: conversation.private, mode, kept: keptKind, first, found });
  }

  /**
   * At most one drawing per frame, however fast the tokens come.
   *
   * @param {() => void} redraw
   */
  #schedule(redraw) {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#redraw === redraw) redraw();
    });
  }

  #privateWords() {
    if (this.composer().mode === "cloud") return PRIVATE_NO_ANSWER;
    return this.#conversation.sent ? PRIVATE_FROM_NOW : PRIVATE_WORDS;
  }
}
