// @ts-check
/**
 * What the faces of Sprat (OpenAI, Prompt API, AI SDK) have in common: an engine that is fetched when it is needed, and
 * answers as streams that never take a word back.
 */

import { Failure } from "./failure.js";
import { inPlace } from "./in-place.js";
import { engineMode } from "./mode.js";

export { linked, unlessAborted } from "./signals.js";

/** @typedef {import("./types.js").ChatEvent} ChatEvent */
/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").EndEvent} EndEvent */
/** @typedef {import("./types.js").LoadOptions} LoadOptions */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Progress} Progress */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {import("./types.js").Source} Source */

/**
 * What the faces use of a `Sprat`; `cloud` and `count` where it has them.
 *
 * @typedef {object} SpratLike
 * @property {(messages: Message[], options?: ChatOptions) => AsyncGenerator<ChatEvent, void, void>} chat
 * @property {Promise<void>} ready
 * @property {"loading" | "ready" | "failed" | "disposed"} state
 * @property {{ name: string, context: number } | null} model
 * @property {string | URL | null} [cloud] `null`: there is none, so that no answer changes hands
 * @property {(messages: Message[]) => Promise<number> | number} [count] tokens of a conversation as the model reads it
 * @property {() => void} dispose
 */

/**
 * The class, as a module of the engine exports it.
 * @typedef {{ open: (options: LoadOptions) => SpratLike, stored: () => Promise<{ urls: string[] }[]> }} SpratClass
 */

/**
 * Either a `Sprat`, which stays the caller's, or what to load one from at the first use.
 *
 * @typedef {{ sprat: SpratLike } | (LoadOptions & { engine?: () => Promise<{ Sprat: SpratClass }> })} EngineOptions
 *   `engine` imports the engine; the one beside this module by default
 */

/** Whether this is a service worker, which may neither start a worker nor import anything later, and has not brought the engine. */
export const isWithoutEngine = () => inPlace === null && "ServiceWorkerGlobalScope" in globalThis;

async function importEngine() {
  if (inPlace) return inPlace.engine;
  if (isWithoutEngine()) {
    throw new Failure({ code: "unsupported", message: "a service worker cannot import the engine later", hint: 'Import "sprat/service-worker" there too, or ask a cloud: sprat/cloud.' });
  }
  return import("./sprat.js").catch((cause) => {
    throw new Failure({ code: "network", message: "the engine's script cannot be fetched", hint: "Check the connection, and that the package's files are on the server.", cause });
  });
}

/** A `Sprat` that is given, or that is opened when it is first asked for. */
export class Engine {
  /** @type {SpratLike | null} */ #given = null;
  /** @type {(LoadOptions & { engine?: () => Promise<{ Sprat: SpratClass }> }) | null} */ #options = null;
  /** @type {Promise<SpratLike> | null} */ #opening = null;
  /** @type {SpratLike | null} */ #own = null;
  #ended = false;
  /** Who wants to know how the loading goes on. @type {Set<(progress: Progress) => void>} */
  listeners = new Set();

  /** @param {EngineOptions} options */
  constructor(options) {
    if (options && "sprat" in options && options.sprat) this.#given = options.sprat;
    else if (options && "model" in options && options.model) this.#options = options;
    else throw new Failure({ code: "bad_request", message: "options must have a sprat, or the model to load one from" });
  }

  /** The `Sprat`, if there is one by now. */
  get current() {
    return this.#given ?? this.#own;
  }

  /** What is loaded; nothing where a `Sprat` was given. */
  get model() {
    return this.#options?.model ?? null;
  }

  /** The class, for what needs no model. @returns {Promise<SpratClass>} */
  async class() {
    const load = this.#options?.engine ?? importEngine;
    return (await load()).Sprat;
  }

  /**
   * The `Sprat`, which may still be loading its model. One that has failed is opened anew, unless its cloud can answer.
   * @returns {Promise<SpratLike>}
   */
  async get() {
    if (this.#ended) throw new Failure({ code: "aborted", message: "this client was disposed of" });
    if (this.#given) return this.#given;
    if (this.#own && (this.#own.state === "disposed" || (this.#own.state === "failed" && !this.#options?.cloud))) this.dispose();
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Ends the `Sprat`, if it is not the caller's. The next `get` opens another. */
  dispose() {
    this.#own?.dispose();
    this.#own = this.#opening = null;
  }

  /** Ends it for good: whoever asks from now on gets the error "aborted", also of a `Sprat` that is the caller's and lives on. */
  end() {
    this.#ended = true;
    this.dispose();
  }

  /** @returns {Promise<SpratLike>} */
  #open() {
    const { engine: _, ...options } = /** @type {LoadOptions & { engine?: unknown }} */ (this.#options);
    const onProgress = (/** @type {Progress} */ progress) => {
      options.onProgress?.(progress);
      for (const listener of [...this.listeners]) listener(progress);
    };
    /** @type {Promise<SpratLike>} */
    const opening = this.class().then((Sprat) => {
      if (this.#opening !== opening) throw new Failure({ code: "aborted", message: "this engine was disposed of" });
      this.#own = Sprat.open({ ...options, onProgress });
      return this.#own;
    });
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = null;
    });
    return opening;
  }
}

/**
 * Whether another source may replace text of the device that was told already.
 * @param {SpratLike} sprat
 * @param {ChatOptions} options
 */
export function mayChangeHands(sprat, { mode = "auto", private: isPrivate = false, level }) {
  return engineMode(mode) === "auto" && !isPrivate && level !== "private" && sprat.cloud !== null;
}

/**
 * Asks, and waits until somebody begins to answer: what is refused is refused here.
 * @param {SpratLike} sprat
 * @param {Message[]} messages
 * @param {ChatOptions & { signal: AbortSignal }} options the signal is this call's own; who stops reading aborts it
 * @returns {Promise<AsyncGenerator<ChatEvent, void, void>>} events up to `end`, or an error
 */
export async function begin(sprat, messages, options) {
  const { signal } = options;
  const events = sprat.chat(messages, options);
  // An answer that nobody reads must end too, and nothing wakes a generator whose reader has gone.
  signal.addEventListener("abort", () => void events.return().catch(() => {}), { once: true });
  // A raised level is told before anybody answers or refuses.
  /** @type {ChatEvent[]} */
  const before = [];
  let next = await events.next();
  for (; !next.done && next.value.type === "level"; next = await events.next()) before.push(next.value);
  return toEnd(before, next, events, signal);
}

/**
 * @param {ChatEvent[]} before
 * @param {IteratorResult<ChatEvent, void>} next
 * @param {AsyncGenerator<ChatEvent, void, void>} events
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<ChatEvent, void, void>}
 */
async function* toEnd(before, next, events, signal) {
  try {
    yield* before;
    for (; !next.done; next = await events.next()) {
      yield next.value;
      if (next.value.type === "end") return;
    }
  } finally {
    await events.return();
  }
  throw signal.aborted
    ? new Failure({ code: "aborted", message: "stopped by the caller" })
    : new Failure({ code: "internal", message: "the answer had no end" });
}

/**
 * @typedef {{ type: "text", source: Source, text: string }} StandingText
 * @typedef {EndEvent & { tries: number }} StandingEnd `tries`: how often a model was asked
 */

/**
 * The text of an answer as it comes to stand, for streams that cannot take a word back.
 *
 * While an answer may change hands, the device's words are a draft until its end: the gate judges the whole of it. So they
 * are held back, and come at once with the end. What the cloud says, and what is computed, is told as it comes; so is the
 * device's text where nobody may replace it (`mode: "device"`, private, no cloud). If words that were told are replaced all
 * the same, because the cloud broke off and was asked again, and the new answer does not begin with them, the stream fails
 * with `cloud_interrupted`: better an error than two answers in one.
 *
 * @param {AsyncIterable<ChatEvent>} events
 * @param {boolean} mayChange from {@link mayChangeHands}
 * @returns {AsyncGenerator<StandingText | StandingEnd, void, void>}
 */
export async function* standing(events, mayChange) {
  let told = "";
  let text = "";
  /** @type {Source} */
  let source = "device";
  let tries = 0;
  let device = false;
  /** @returns {StandingText[]} */
  const more = () => {
    if (told.startsWith(text)) return [];
    if (!text.startsWith(told)) throw replaced(told);
    const rest = text.slice(told.length);
    told = text;
    return [{ type: "text", source, text: rest }];
  };
  for await (const event of events) {
    if (event.type === "start") {
      text = "";
      source = event.source;
      // A draft that is shown again, after the cloud has failed, is not made again.
      if (source === "cloud" || (source === "device" && !device)) tries += 1;
      device ||= source === "device";
    } else if (event.type === "delta") {
      text += event.text;
      if (event.source !== "device" || !mayChange) yield* more();
    } else if (event.type === "end") {
      ({ text } = event);
      yield* more();
      if (told !== text) throw replaced(told);
      yield { ...event, tries };
    }
  }
}

/** @param {string} partial */
function replaced(partial) {
  return new Failure({
    code: "cloud_interrupted",
    message: "the answer broke off and another one took its place, which a stream cannot show",
    hint: "Ask again, or ask without streaming.",
    partial,
  });
}

/**
 * Why an answer ended. A receipt that does not say it ended by the limit if it has as many tokens.
 * @param {Receipt} receipt
 * @param {number | undefined} limit
 * @returns {"stop" | "length" | "content_filter"}
 */
export function finishReason(receipt, limit) {
  const { finish_reason: said } = receipt;
  if (said === "stop" || said === "length" || said === "content_filter") return said;
  return limit !== undefined && receipt.source !== "exact" && receipt.completion_tokens >= limit ? "length" : "stop";
}

/**
 * Whether the receipt's counts are counts: a cloud may not tell its usage.
 * @param {Receipt} receipt
 */
export function countsAreKnown(receipt) {
  return receipt.source !== "cloud" || receipt.prompt_tokens > 0 || receipt.completion_tokens > 0;
}
