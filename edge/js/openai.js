// @ts-check
/**
 * An OpenAI-shaped client: the same requests, chunks and errors as the service, answered in the page, or by a server.
 *
 *     import { SpratOpenAI } from "sprat/openai";
 *     const client = new SpratOpenAI({ model: "models/sprat-tiny/", cloud: "/v1" });
 *     const stream = await client.chat.completions.create({
 *       model: "auto",
 *       messages: [{ role: "user", content: "What is 17 * 23?" }],
 *       stream: true,
 *     });
 *     for await (const chunk of stream) console.log(chunk.choices[0]?.delta.content ?? "");
 *
 * With `baseURL` in the place of `model` it is a plain client of that server, and downloads no engine.
 *
 * @module sprat/openai
 */

import { begin, countsAreKnown, Engine, finishReason, linked, mayChangeHands, standing, unlessAborted } from "./faces.js";
import { isMode } from "./mode.js";
import { CloudClient } from "./openai-cloud.js";
import { aborted, APIError, fromEngine, invalid } from "./openai-error.js";
import { check, forEngine } from "./openai-request.js";

/** @typedef {import("./openai-types.js").ChatRequest} ChatRequest */
/** @typedef {import("./openai-types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./openai-types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {{ baseURL: string | URL, apiKey?: string, headers?: Record<string, string>, fetch?: typeof globalThis.fetch, timeout?: number }} CloudOptions
 *   `timeout`: how long the server may be silent, in milliseconds; two minutes by default */
/** @typedef {{ signal?: AbortSignal | null }} RequestOptions */

export { APIError };

/** The client. Every failure is an {@link APIError}. */
export class SpratOpenAI {
  /** @type {CloudClient | null} */ #cloud = null;
  /** @type {Engine | null} */ #engine = null;
  chat = { completions: new Completions((request, options) => this.#create(request, options)) };

  /** @param {import("./faces.js").EngineOptions | CloudOptions} options a `sprat`, or a `model` to load, or the `baseURL` of a server */
  constructor(options) {
    const isCloud = options && "baseURL" in options && options.baseURL;
    if (isCloud && ("model" in options || "sprat" in options)) {
      throw new APIError({ code: "bad_request", message: "baseURL is for a client without a model; an engine's server is its option cloud" });
    }
    if (isCloud) this.#cloud = new CloudClient(/** @type {CloudOptions} */ (options));
    else this.#engine = new Engine(/** @type {import("./faces.js").EngineOptions} */ (options));
  }

  /** Ends the engine that this client has loaded, and all calls with it; later ones are "aborted". */
  dispose() {
    this.#engine?.end();
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
      const answer = this.#cloud
        ? await askCloud(this.#cloud, request, controller)
        : await askEngine(/** @type {Engine} */ (this.#engine), request, how, controller);
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

/**
 * @param {CloudClient} cloud
 * @param {ChatRequest} request
 * @param {AbortController} controller
 */
function askCloud(cloud, request, controller) {
  const { x_private: isPrivate, ...body } = request;
  if (isPrivate) {
    const error = invalid("x_private", "private text must stay on the device, and this client only knows a server; nothing was sent");
    error.error.code = "private_not_accepted";
    throw error;
  }
  return cloud.ask(body, controller);
}

/**
 * @param {Engine} engine
 * @param {ChatRequest} request
 * @param {{ stream: boolean, includeUsage: boolean }} how
 * @param {AbortController} controller
 * @returns {Promise<any>}
 */
async function askEngine(engine, request, how, controller) {
  const { signal } = controller;
  const sprat = await unlessAborted(engine.get(), signal);
  // A model's own name can be checked when it is known.
  if (!isMode(request.model)) await unlessAborted(sprat.ready, signal);
  const { messages, options } = forEngine(request, sprat.model?.name);
  const events = await begin(sprat, messages, { ...options, signal });
  const head = new Head(request.model);
  if (how.stream) return head.chunks(standing(events, mayChangeHands(sprat, options)), options.maxTokens, how.includeUsage);
  let tries = 0;
  for await (const event of events) {
    if (event.type === "start" && event.source !== "exact") tries += 1;
    if (event.type === "end") return head.whole(event.text, event.receipt, tries, options.maxTokens);
  }
  throw new Error("unreachable: events end with an end");
}

/** What stands in every part of an answer. */
class Head {
  #id = `chatcmpl-${hex(12)}`;
  #created = Math.floor(Date.now() / 1000);
  #model;

  /** @param {string} model */
  constructor(model) {
    this.#model = model;
  }

  /**
   * @param {string} content
   * @param {Receipt} receipt
   * @param {number} tries
   * @param {number | undefined} limit
   * @returns {ChatCompletion}
   */
  whole(content, receipt, tries, limit) {
    const usage = usageOf(receipt);
    return {
      id: this.#id,
      object: "chat.completion",
      created: this.#created,
      model: this.#model,
      system_fingerprint: null,
      choices: [
        {
          index: 0,
          message: { role: "assistant", content, refusal: null },
          logprobs: null,
          finish_reason: finishReason(receipt, limit),
        },
      ],
      ...(usage ? { usage } : {}),
      x_route: routeOf(receipt, tries),
      x_receipt: receipt,
    };
  }

  /**
   * @param {ReturnType<typeof standing>} pieces
   * @param {number | undefined} limit
   * @param {boolean} includeUsage
   * @returns {AsyncGenerator<ChatCompletionChunk, void, void>}
   */
  async *chunks(pieces, limit, includeUsage) {
    /** @type {(choices: ChatCompletionChunk["choices"]) => ChatCompletionChunk} */
    const chunk = (choices) => ({
      id: this.#id,
      object: "chat.completion.chunk",
      created: this.#created,
      model: this.#model,
      system_fingerprint: null,
      choices,
      ...(includeUsage ? { usage: null } : {}),
    });
    const choice = { index: 0, logprobs: null, finish_reason: null };
    yield chunk([{ ...choice, delta: { role: "assistant", content: "" } }]);
    for await (const piece of pieces) {
      if (piece.type === "text") {
        yield chunk([{ ...choice, delta: { content: piece.text } }]);
        continue;
      }
      const { receipt, tries } = piece;
      const end = chunk([{ ...choice, delta: {}, finish_reason: finishReason(receipt, limit) }]);
      yield { ...end, x_route: routeOf(receipt, tries), x_receipt: receipt };
      const usage = usageOf(receipt);
      if (includeUsage && usage) yield { ...chunk([]), usage };
    }
  }
}

/** @param {Receipt} receipt @returns {import("./openai-types.js").Usage | null} */
function usageOf(receipt) {
  if (!countsAreKnown(receipt)) return null;
  const { prompt_tokens, completion_tokens, cached_tokens } = receipt;
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens },
  };
}

/** @param {Receipt} receipt @param {number} tries @returns {import("./openai-types.js").RouteRecord} */
function routeOf({ source, model, rule, confidence, cost_usd }, tries) {
  return {
    target: model ?? source,
    rule,
    ...(confidence === null ? {} : { confidence }),
    cost_usd,
    tries,
  };
}

/** @param {number} bytes */
function hex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
