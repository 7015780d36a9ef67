// @ts-check
/**
 * The talk: one conversation, one answer at a time.
 *
 * @import { Announcer } from "./announce.js"
 * @import { Engine } from "./engine.js"
 * @import { Action, Problem } from "./problem.js"
 * @import { Answer, Failure, Level, Mode, Receipt, Turn } from "./types.js"
 * @import { Words } from "./words.js"
 *
 * @typedef {object} Host what the talk asks of the element around it
 * @property {Engine} engine
 * @property {Announcer} announcer
 * @property {() => Words} words
 * @property {() => Level} level that a new conversation begins with
 * @property {() => Mode} mode
 * @property {(mode: Mode) => void} setMode
 * @property {(busy: boolean) => void} setBusy
 * @property {() => void} focus
 * @property {() => void} changed the conversation's level, or whether it is empty, may have changed
 * @property {() => Promise<boolean>} mayAskOpenly asks the person
 * @property {(offer: import("../types.js").Offer, over: AbortSignal) => Promise<boolean>} mayLeave shows the person what would
 *   be sent, for as long as the question is not stopped
 * @property {() => void} becamePrivate turns Private on, because of what is in the conversation
 * @property {() => void} leavePrivate turns Private off, which starts a new conversation
 * @property {(turn: Turn & { receipt: Receipt }, isPrivate: boolean) => void} onAnswer
 * @property {(failure: Failure) => void} onFailure
 *
 * @typedef {object} Running
 * @property {AbortController} controller
 * @property {Level} level that it was asked with
 * @property {boolean} again whether to ask again once it has stopped
 * @property {number} index of its turn
 * @property {(answer: Answer | null) => void} settle
 */
import { highest } from "../taint.js";
import { AnswerView, questionView } from "./answer.js";
import { Conversation } from "./conversation.js";
import { describe } from "./problem.js";
import { apply, fail, failureOf, kept } from "./turn.js";

export class Talk {
  #conversation = new Conversation();
  /** @type {Running | null} */
  #running = null;
  /** What is on the screen, by turn. @type {{ show: (words: Words) => void, view: AnswerView }[]} */
  #shown = [];
  #frame = 0;
  #askedPrivately = false;

  /**
   * @param {HTMLElement} scroll what scrolls, and holds questions and answers
   * @param {Host} host
   */
  constructor(scroll, host) {
    this.scroll = scroll;
    this.host = host;
  }

  get busy() {
    return this.#running !== null;
  }

  get level() {
    return this.#conversation.level;
  }

  get private() {
    return this.#conversation.private;
  }

  get empty() {
    return this.#conversation.empty;
  }

  /** True when something of this conversation was sent to the cloud. */
  get sent() {
    return this.#conversation.sent;
  }

  /**
   * @param {string} question
   * @returns {Promise<Answer | null>} null when it was stopped, or failed, or another answer is still coming
   */
  ask(question) {
    if (this.#running !== null) return Promise.resolve(null);
    const index = this.#conversation.ask(question);
    const asked = questionView(question);
    asked.show(this.host.words());
    this.scroll.append(asked.element);
    this.host.changed();
    return new Promise((settle) => this.#answer(index, asked.show, settle));
  }

  stop() {
    if (this.#running === null) return;
    this.#running.again = false;
    this.#running.controller.abort();
  }

  /** Forgets what was said and begins a new conversation. */
  startOver() {
    this.stop();
    this.#running?.settle(null);
    this.#running = null;
    for (const child of [...this.scroll.children]) if (child.localName === "article") child.remove();
    this.#shown = [];
    this.#conversation = new Conversation(this.host.level());
    this.scroll.scrollTop = 0;
    this.host.announcer.restart();
    this.host.setBusy(false);
    this.#forgetPrivate();
    this.host.changed();
  }

  /**
   * An engine treats whatever was private once as private for as long as it lives, also where it is asked again in the
   * open. A person who turns Private off has decided; an engine of the element's own learns it by starting anew.
   */
  #forgetPrivate() {
    if (this.private || !this.#askedPrivately) return;
    this.#askedPrivately = false;
    if (this.host.engine.own) this.host.engine.reload();
  }

  /**
   * The engine has found what must not leave, or not unasked: that is the conversation's level from here on.
   * @param {Conversation} conversation
   * @param {Level} level
   */
  #found(conversation, level) {
    conversation.raise(level);
    if (conversation.private) {
      this.#askedPrivately = true;
      this.host.becamePrivate();
    }
    this.redraw();
    this.host.changed();
  }

  /**
   * From here on less may be sent. What was asked with a lower level stops; if nothing had come it is asked again.
   * @param {Level} level
   */
  raise(level) {
    this.#conversation.raise(level);
    const running = this.#running;
    if (running !== null && highest(running.level, level) !== running.level) {
      running.again = this.#conversation.turn(running.index).source === null;
      running.controller.abort();
    }
    this.redraw();
    this.host.changed();
  }

  /** Draws everything again: other words, or another state of the engine. */
  redraw() {
    this.#shown.forEach(({ show, view }, index) => {
      show(this.host.words());
      this.#show(view, index);
    });
  }

  /**
   * @param {number} index
   * @param {(words: Words) => void} show of its question
   * @param {(answer: Answer | null) => void} settle
   */
  #answer(index, show, settle) {
    const conversation = this.#conversation;
    /** @type {Running} */
    const running = { controller: new AbortController(), level: conversation.level, again: false, index, settle };
    this.#running = running;
    const view = new AnswerView((action) => void this.#act(action, conversation, index));
    this.#shown[index]?.view.element.remove();
    this.#shown[index] = { show, view };
    this.scroll.append(view.element);
    this.host.setBusy(true);
    this.host.announcer.restart();
    this.redraw();
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.#askedPrivately ||= conversation.private;
    void this.#read(running, conversation);
  }

  /**
   * @param {Running} running
   * @param {Conversation} conversation
   */
  async #read(running, conversation) {
    const { controller, index } = running;
    const { signal } = controller;
    const onAsk = (/** @type {import("../types.js").Offer} */ offer) => this.host.mayLeave(offer, signal);
    const options = { mode: this.host.mode(), level: conversation.level, signal, onAsk };
    const update = (/** @type {Turn} */ turn) => conversation.update(index, turn);
    try {
      const sprat = await this.host.engine.sprat();
      for await (const event of sprat.chat(conversation.messages(index), options)) {
        update(apply(conversation.turn(index), event));
        if (this.#running !== running) break;
        if (event.type === "level") this.#found(conversation, event.level);
        if (event.type === "start" || event.type === "handover") this.host.announcer.restart();
        if (event.type === "delta") this.host.announcer.stream(conversation.turn(index).text);
        this.#schedule(running);
      }
      if (conversation.turn(index).state === "streaming") {
        // Some iterators end quietly when they are aborted.
        const code = signal.aborted ? "aborted" : "internal";
        update(fail(conversation.turn(index), { ...failureOf("the answer ended early"), code }));
      }
    } catch (thrown) {
      const failure = failureOf(thrown);
      // An engine that was disposed of in mid-answer says "aborted", too; only a person's stop is no failure.
      if (failure.code === "aborted" && !signal.aborted) failure.code = "internal";
      update(fail(conversation.turn(index), failure));
    }
    this.host.engine.look();
    // A new conversation may have begun meanwhile; this answer is then nobody's.
    if (this.#running === running) this.#finish(running, conversation);
  }

  /**
   * @param {Running} running
   * @param {Conversation} conversation
   */
  #finish(running, conversation) {
    this.#running = null;
    const { index, settle } = running;
    const turn = conversation.turn(index);
    if (running.again && turn.stopped) {
      this.#askAgain(index, settle);
      return;
    }
    this.#draw(index);
    this.host.setBusy(false);
    this.host.changed();
    this.host.announcer.finish(kept(turn), this.#closing(turn, index));
    const { receipt } = turn;
    if (turn.failure !== null) this.host.onFailure(turn.failure);
    if (turn.state === "done" && !turn.stopped && receipt !== null) {
      this.host.onAnswer({ ...turn, receipt }, conversation.private || turn.found.length > 0);
      settle({ text: turn.text, receipt });
    } else {
      settle(null);
    }
  }

  /**
   * @param {number} index
   * @param {(answer: Answer | null) => void} [settle]
   */
  #askAgain(index, settle = () => {}) {
    const show = this.#shown[index]?.show ?? (() => {});
    this.#conversation.again(index);
    this.#answer(index, show, settle);
  }

  /**
   * What a screen reader is told at the end.
   *
   * @param {Turn} turn
   * @param {number} index
   */
  #closing(turn, index) {
    const words = this.host.words();
    if (turn.stopped) return words.say("stopped");
    const problem = this.#problem(turn, index);
    if (problem !== null) return `${problem.heading}. ${problem.words} ${problem.todo}`;
    return turn.source === null ? "" : words.say("answeredBy", { source: words.say(`source.${turn.source}`) });
  }

  /**
   * @param {Action} action
   * @param {Conversation} conversation
   * @param {number} index
   */
  async #act(action, conversation, index) {
    const free = () => this.#running === null && this.#conversation === conversation;
    if (!free()) return;
    const { question } = conversation.turn(index);
    this.host.focus();
    if (action === "open") {
      if (!(await this.host.mayAskOpenly()) || !free()) return;
      this.host.leavePrivate();
      void this.ask(question);
    } else if (action === "new") {
      this.startOver();
      void this.ask(question);
    } else {
      if (action === "reload") this.host.engine.reload();
      if (action === "device") this.host.setMode("device");
      this.#askAgain(index);
    }
  }

  /** @param {number} index */
  #draw(index) {
    const view = this.#shown[index]?.view;
    if (view === undefined) return;
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    // Who has scrolled up to read stays there.
    const atEnd = scrollHeight - scrollTop - clientHeight < 80;
    this.#show(view, index);
    if (atEnd) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  /**
   * @param {AnswerView} view
   * @param {number} index
   */
  #show(view, index) {
    const turn = this.#conversation.turn(index);
    view.show(turn, {
      words: this.host.words(),
      waiting: this.#waiting(),
      problem: this.#problem(turn, index),
      private: this.#conversation.private,
      latest: index === this.#shown.length - 1,
    });
  }

  #waiting() {
    const words = this.host.words();
    if (this.host.mode().endsWith("cloud") && !this.private) return words.say("wait.cloud");
    return words.say(this.host.engine.status.state === "loading" ? "wait.load" : "wait.read");
  }

  /**
   * @param {Turn} turn
   * @param {number} index
   * @returns {Problem | null}
   */
  #problem(turn, index) {
    if (turn.failure === null) return null;
    const keptKind = turn.text !== "" ? "text" : turn.draft ? "draft" : "nothing";
    const at = { private: this.private, mode: this.host.mode(), own: this.host.engine.own };
    return describe(turn.failure, { ...at, kept: keptKind, first: index === 0, found: turn.found.length > 0 }, this.host.words());
  }

  /**
   * At most one drawing per frame, however fast the tokens come.
   *
   * @param {Running} running
   */
  #schedule(running) {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#running === running) this.#draw(running.index);
    });
  }
}
