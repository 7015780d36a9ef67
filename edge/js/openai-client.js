// @ts-check
/**
 * What the OpenAI-shaped clients have in common: `chat.completions.create`, whoever answers. It knows no engine.
 */

import { aborted, APIError, fromEngine } from "./openai-error.js";
import { check } from "./openai-request.js";
import { linked } from "./signals.js";

/** @typedef {import("./openai-types.js").ChatRequest} ChatRequest */
/** @typedef {import("./openai-types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./openai-types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {ReturnType<typeof check>} How what the request says about its answer's form */
/** @typedef {{ signal?: AbortSignal | null }} RequestOptions */
/**
 * Gives the chunks of a stream, or a whole answer. The controller stops it.
 * @typedef {(request: ChatRequest, how: How, controller: AbortController) => Promise<any>} Ask
 */

/** A client. Every failure is an {@link APIError}. */
export class Client {
  #ask;
  chat = { completions: new Completions((request, options) => this.#create(request, options)) };

  /** @param {Ask} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * @param {ChatRequest} request
   * @param {RequestOptions} [options]
   * @returns {Promise<Stream | ChatCompletion>}
   */
  async #create(request, { signal } = {}) {
    const how = check(request);
    const { controller, release } = linked(signal);
    let streaming = false;
    try {
      if (controller.signal.aborted) throw aborted();
      const answer = await this.#ask(request, how, controller);
      streaming = how.stream;
      return streaming ? new Stream(answer, controller, release) : answer;
    } catch (error) {
      throw controller.signal.aborted && error === controller.signal.reason ? aborted() : fromEngine(error);
    } finally {
      if (!streaming) release();
    }
  }
}

/** `client.chat.completions`. */
class Completions {
  #create;

  /** @param {(request: ChatRequest, options?: RequestOptions) => Promise<any>} create */
  constructor(create) {
    this.#create = create;
  }

  /**
   * Asks for an answer. A stream resolves when somebody begins to answer; what is refused rejects here.
   *
   * @overload
   * @param {ChatRequest & { stream: true }} request
   * @param {RequestOptions} [options]
   * @returns {Promise<Stream>}
   */
  /**
   * @overload
   * @param {ChatRequest & { stream?: false | null }} request
   * @param {RequestOptions} [options]
   * @returns {Promise<ChatCompletion>}
   */
  /**
   * @overload
   * @param {ChatRequest} request
   * @param {RequestOptions} [options]
   * @returns {Promise<Stream | ChatCompletion>}
   */
  /**
   * @param {ChatRequest} request
   * @param {RequestOptions} [options] stops it
   * @returns {Promise<any>}
   */
  create(request, options) {
    return this.#create(request, options);
  }
}

/** The chunks of an answer. It can be read once. Leaving the loop stops the answer. */
export class Stream {
  #chunks;
  #release;
  #read = false;

  /**
   * @param {AsyncGenerator<ChatCompletionChunk, void, void>} chunks
   * @param {AbortController} controller
   * @param {() => void} release called when it is over
   */
  constructor(chunks, controller, release) {
    this.#chunks = chunks;
    this.#release = release;
    /** Stops the answer: the loop ends without an error, and without a finish reason. */
    this.controller = controller;
  }

  /** @returns {AsyncGenerator<ChatCompletionChunk, void, void>} */
  async *[Symbol.asyncIterator]() {
    if (this.#read) throw new APIError({ code: "bad_request", message: "a stream can be read once" });
    this.#read = true;
    let whole = false;
    try {
      yield* this.#chunks;
      whole = true;
    } catch (error) {
      const failure = fromEngine(error);
      if (failure.code !== "aborted" || !this.controller.signal.aborted) throw failure;
    } finally {
      this.#release();
      if (!whole) this.controller.abort();
    }
  }
}
