// @ts-check
/**
 * A session of the Prompt API: a conversation over the engine, one operation at a time.
 */

import { asFailure } from "./failure.js";
import { begin, linked, mayChangeHands, standing, unlessAborted } from "./faces.js";
import { engineMode } from "./mode.js";
import { domException, quotaExceeded, whilePrompting } from "./prompt-api-errors.js";
import { checkConstraint, messagesOf } from "./prompt-api-input.js";

/** @typedef {import("./faces.js").SpratLike} SpratLike */
/** @typedef {import("./prompt-api-input.js").Prompt} Prompt */
/** @typedef {import("./prompt-api-input.js").PromptOptions} PromptOptions */
/** @typedef {import("./prompt-api-input.js").Sampling} Sampling */
/** @typedef {import("./types.js").ChatEvent} ChatEvent */
/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {(messages: Message[]) => Promise<number> | number} Count */

/**
 * What the sessions of one engine share.
 *
 * @typedef {object} Host
 * @property {SpratLike} sprat
 * @property {ChatOptions} options mode and privacy
 * @property {Count | null} count
 * @property {() => void} joined called for each session that begins
 * @property {() => void} left and for each that is destroyed
 */

/** What may not be made by hand. */
const KEY = Symbol("LanguageModel");

/** One session. Made by `create()` and `clone()` only. */
export class Session extends EventTarget {
  /** @type {Host} */ #host;
  /** @type {Sampling} */ #sampling;
  /** What is never removed: the first prompts, and a system prompt that came later. @type {Message[]} */ #initial = [];
  /** What is removed together, oldest first: a prompt and its answer. @type {Message[][]} */ #turns = [];
  #usage = 0;
  /** The last of the operations that wait for each other. @type {Promise<unknown>} */ #last = Promise.resolve();
  #end = new AbortController();
  /** @type {Receipt | null} */ #receipt = null;
  /** @type {{ contextoverflow: ((event: Event) => void) | null, quotaoverflow: ((event: Event) => void) | null }} */
  #handlers = { contextoverflow: null, quotaoverflow: null };

  /**
   * @param {symbol} key
   * @param {Host} host
   * @param {Sampling} sampling
   */
  constructor(key, host, sampling) {
    super();
    if (key !== KEY) throw new TypeError("Illegal constructor");
    this.#host = host;
    this.#sampling = sampling;
    for (const type of /** @type {const} */ (["contextoverflow", "quotaoverflow"])) {
      this.addEventListener(type, (event) => this.#handlers[type]?.call(this, event));
    }
    host.joined();
  }

  /**
   * A session that begins with these messages.
   * @template {Session} S
   * @param {new (key: symbol, host: Host, sampling: Sampling) => S} Class
   * @param {Host} host
   * @param {Sampling} sampling
   * @param {Message[]} initial
   * @returns {Promise<S>}
   */
  static async start(Class, host, sampling, initial) {
    const session = new Class(KEY, host, sampling);
    session.#initial = initial;
    if (initial.length === 0 || !host.count) return session;
    try {
      session.#usage = await host.count(initial);
      if (session.#usage > session.contextWindow) throw quotaExceeded(session.#usage, session.contextWindow);
    } catch (error) {
      session.destroy();
      throw error;
    }
    return session;
  }

  get [Symbol.toStringTag]() {
    return "LanguageModel";
  }

  /** Tokens that the session holds. Without a way to count, what the last answer's receipt said. */
  get contextUsage() {
    return this.#usage;
  }

  /** Tokens that fit. */
  get contextWindow() {
    return this.#host.sprat.model?.context ?? Infinity;
  }

  /** How tokens are chosen; `null` where topK or temperature say it. */
  get samplingMode() {
    return this.#sampling.samplingMode;
  }

  /** The topK that was asked for. */
  get topK() {
    return this.#sampling.samplingMode === null ? this.#sampling.topK : undefined;
  }

  /** The temperature that was asked for. */
  get temperature() {
    return this.#sampling.samplingMode === null ? this.#sampling.temperature : undefined;
  }

  /** Who gave the last answer, and why. Sprat's own; the API has no word for it. */
  get receipt() {
    return this.#receipt;
  }

  get oncontextoverflow() {
    return this.#handlers.contextoverflow;
  }
  set oncontextoverflow(handler) {
    this.#handlers.contextoverflow = typeof handler === "function" ? handler : null;
  }

  // The names that the API had before.
  get inputUsage() {
    return this.contextUsage;
  }
  get inputQuota() {
    return this.contextWindow;
  }
  get onquotaoverflow() {
    return this.#handlers.quotaoverflow;
  }
  set onquotaoverflow(handler) {
    this.#handlers.quotaoverflow = typeof handler === "function" ? handler : null;
  }
  /** @param {Prompt} input @param {PromptOptions} [options] */
  measureInputUsage(input, options) {
    return this.measureContextUsage(input, options);
  }

  /**
   * The answer to a prompt.
   * @param {Prompt} input
   * @param {PromptOptions} [options]
   * @returns {Promise<string>}
   */
  async prompt(input, options = {}) {
    checkConstraint(options);
    return this.#inTurn(options.signal, (signal) => this.#answer(input, signal, () => {}));
  }

  /**
   * The answer as it comes to stand; see `standing` in faces.js for what is held back.
   * @param {Prompt} input
   * @param {PromptOptions} [options]
   * @returns {ReadableStream<string>}
   */
  promptStreaming(input, options = {}) {
    this.#end.signal.throwIfAborted();
    options.signal?.throwIfAborted();
    const { controller: left, release } = linked(options.signal);
    return new ReadableStream({
      start: (stream) => {
        const work = this.#inTurn(left.signal, (signal) => {
          checkConstraint(options);
          return this.#answer(input, signal, (text) => {
            if (!signal.aborted) stream.enqueue(text);
          });
        });
        work.then(() => stream.close(), (error) => stream.error(error)).finally(release).catch(() => {});
      },
      cancel: (reason) => left.abort(reason),
    });
  }

  /**
   * Adds messages without asking for an answer.
   * @param {Prompt} input
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<void>}
   */
  async append(input, options = {}) {
    return this.#inTurn(options.signal, async (signal) => {
      const messages = messagesOf(input, this.#hasInput());
      const dropped = await this.#firstFit(messages);
      signal.throwIfAborted();
      this.#drop(dropped);
      this.#add(messages);
      await this.#measure();
    });
  }

  /**
   * Tokens that an input would take.
   * @param {Prompt} input
   * @param {PromptOptions} [options]
   * @returns {Promise<number>}
   */
  async measureContextUsage(input, options = {}) {
    const { controller, release } = linked(this.#end.signal, options.signal);
    try {
      controller.signal.throwIfAborted();
      checkConstraint(options);
      const messages = messagesOf(input, false);
      const { count } = this.#host;
      if (!count) throw domException("NotSupportedError", "this engine cannot count tokens");
      return await unlessAborted(Promise.resolve(messages).then(count), controller.signal).catch((error) => {
        throw controller.signal.aborted ? controller.signal.reason : whilePrompting(error);
      });
    } finally {
      release();
    }
  }

  /**
   * Another session that has heard and said the same. What is being answered is not part of it.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<this>}
   */
  async clone({ signal } = {}) {
    this.#end.signal.throwIfAborted();
    signal?.throwIfAborted();
    // Aborting at once must still be heard.
    await Promise.resolve();
    this.#end.signal.throwIfAborted();
    signal?.throwIfAborted();
    const Class = /** @type {new (key: symbol, host: Host, sampling: Sampling) => this} */ (this.constructor);
    const copy = new Class(KEY, this.#host, this.#sampling);
    copy.#initial = this.#initial;
    copy.#turns = [...this.#turns];
    copy.#usage = this.#usage;
    return copy;
  }

  /** Ends the session. What it was doing is rejected. */
  destroy() {
    this.#finish(domException("InvalidStateError", "the session was destroyed"));
  }

  /**
   * Ends the session with the reason of the signal that it was created with.
   * @param {AbortSignal} signal
   */
  endWith(signal) {
    signal.addEventListener("abort", () => this.#finish(signal.reason), { once: true, signal: this.#end.signal });
  }

  /** @param {unknown} reason */
  #finish(reason) {
    if (this.#end.signal.aborted) return;
    this.#end.abort(reason);
    this.#host.left();
  }

  #hasInput() {
    return this.#initial.length + this.#turns.length > 0;
  }

  /**
   * Runs `work` after what was asked for before it. Whoever is stopped is rejected at once, but the next one waits for the
   * engine to be free.
   * @template T
   * @param {AbortSignal | undefined} stop
   * @param {(signal: AbortSignal) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #inTurn(stop, work) {
    const { controller, release } = linked(this.#end.signal, stop);
    const { signal } = controller;
    signal.throwIfAborted();
    const result = this.#last.then(() => {
      signal.throwIfAborted();
      return work(signal);
    });
    this.#last = result.catch(() => {});
    try {
      return await unlessAborted(result, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error instanceof TypeError ? error : whilePrompting(error);
    } finally {
      release();
    }
  }

  /**
   * @param {unknown} input
   * @param {AbortSignal} signal
   * @param {(text: string) => void} tell
   * @returns {Promise<string>}
   */
  async #answer(input, signal, tell) {
    const { sprat, options } = this.#host;
    const messages = messagesOf(input, this.#hasInput());
    const events = await this.#begin(messages, signal);
    for await (const piece of standing(events, mayChangeHands(sprat, options))) {
      if (piece.type === "text") {
        tell(piece.text);
        continue;
      }
      // Stopped is stopped, however late: then neither the prompt nor the answer has been.
      signal.throwIfAborted();
      this.#receipt = piece.receipt;
      this.#add([...messages, { role: "assistant", content: piece.text }]);
      await this.#measure(piece.receipt);
      return piece.text;
    }
    throw new Error("unreachable: events end with an end");
  }

  /**
   * Asks, and removes the oldest turns if there is no other way to make it fit. If there is none at all, nothing is removed.
   * @param {Message[]} messages
   * @param {AbortSignal} signal
   */
  async #begin(messages, signal) {
    const { sprat, options } = this.#host;
    const { temperature, topK } = this.#sampling;
    const sampling = { ...(temperature === undefined ? {} : { temperature }), ...(topK === undefined ? {} : { topK }) };
    for (let dropped = await this.#firstFit(messages); ; dropped += 1) {
      try {
        const events = await begin(sprat, this.#without(dropped, messages), { ...options, ...sampling, signal });
        this.#drop(dropped);
        return events;
      } catch (error) {
        if (asFailure(error).code !== "context_too_long") throw error;
        if (dropped >= this.#turns.length) throw quotaExceeded(await this.#count(messages), this.contextWindow);
      }
    }
  }

  /**
   * How many of the oldest turns are in the way of these messages.
   * @param {Message[]} messages
   * @returns {Promise<number>}
   */
  async #firstFit(messages) {
    const { count, options } = this.#host;
    // A cloud's window is not known, and not this model's.
    if (!count || engineMode(options.mode) !== "device") return 0;
    const requested = await count(this.#without(0, messages));
    let needed = requested;
    for (let dropped = 0; ; dropped += 1) {
      if (needed <= this.contextWindow) return dropped;
      if (dropped >= this.#turns.length) throw quotaExceeded(requested, this.contextWindow);
      needed = await count(this.#without(dropped + 1, messages));
    }
  }

  /** @param {Message[]} messages */
  async #count(messages) {
    return (await this.#host.count?.(this.#without(0, messages))) ?? null;
  }

  /**
   * The conversation without its oldest turns, and with these messages.
   * @param {number} dropped
   * @param {Message[]} messages
   */
  #without(dropped, messages) {
    return [...this.#initial, ...this.#turns.slice(dropped).flat(), ...messages];
  }

  /** @param {number} turns */
  #drop(turns) {
    if (turns === 0) return;
    this.#turns.splice(0, turns);
    this.dispatchEvent(new Event("contextoverflow"));
    this.dispatchEvent(new Event("quotaoverflow"));
  }

  /** @param {Message[]} messages */
  #add(messages) {
    const [system, ...others] = messages;
    if (system?.role === "system") {
      this.#initial = [system];
      if (others.length > 0) this.#turns.push(others);
    } else {
      this.#turns.push(messages);
    }
  }

  async #counted() {
    try {
      return (await this.#host.count?.(this.#without(0, []))) ?? this.#usage;
    } catch {
      return this.#usage;
    }
  }

  /** @param {Receipt} [receipt] */
  async #measure(receipt) {
    // An answer that has come stands, whether or not it can be counted.
    if (this.#host.count) this.#usage = await this.#counted();
    else if (receipt?.source === "device") this.#usage = receipt.prompt_tokens + receipt.completion_tokens;
  }
}
