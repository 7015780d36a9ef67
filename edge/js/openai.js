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
 * With `baseURL` in the place of `model` it is a plain client of that server, and downloads no engine. A page that never
 * needs one imports `sprat/cloud` instead, so that bundlers write none either.
 *
 * @module sprat/openai
 */

import { begin, countsAreKnown, Engine, finishReason, mayChangeHands, standing, unlessAborted } from "./faces.js";
import { Client } from "./openai-client.js";
import { CloudClient } from "./openai-cloud.js";
import { APIError } from "./openai-error.js";
import { forEngine } from "./openai-request.js";

/** @typedef {import("./openai-client.js").How} How */
/** @typedef {import("./openai-client.js").RequestOptions} RequestOptions */
/** @typedef {import("./openai-cloud.js").CloudOptions} CloudOptions */
/** @typedef {import("./openai-types.js").ChatRequest} ChatRequest */
/** @typedef {import("./openai-types.js").ChatCompletion} ChatCompletion */
/** @typedef {import("./openai-types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {import("./types.js").Receipt} Receipt */

export { APIError };
export { Stream } from "./openai-client.js";

/** The client. Every failure is an {@link APIError}. */
export class SpratOpenAI extends Client {
  /** @type {Engine | null} */ #engine;

  /** @param {import("./faces.js").EngineOptions | CloudOptions} options a `sprat`, or a `model` to load, or the `baseURL` of a server */
  constructor(options) {
    const isCloud = options && "baseURL" in options && options.baseURL;
    if (isCloud && ("model" in options || "sprat" in options)) {
      throw new APIError({ code: "bad_request", message: "baseURL is for a client without a model; an engine's server is its option cloud" });
    }
    const engine = isCloud ? null : new Engine(/** @type {import("./faces.js").EngineOptions} */ (options));
    const cloud = isCloud ? new CloudClient(/** @type {CloudOptions} */ (options)) : null;
    super((request, how, controller) =>
      cloud ? cloud.create(request, controller) : askEngine(/** @type {Engine} */ (engine), request, how, controller),
    );
    this.#engine = engine;
  }

  /** Ends the engine that this client has loaded. */
  dispose() {
    this.#engine?.dispose();
  }
}

/**
 * @param {Engine} engine
 * @param {ChatRequest} request
 * @param {How} how
 * @param {AbortController} controller
 * @returns {Promise<any>}
 */
async function askEngine(engine, request, how, controller) {
  const { signal } = controller;
  const sprat = await unlessAborted(engine.get(), signal);
  // A model's own name can be checked when it is known.
  if (!["auto", "device", "cloud"].includes(request.model)) await unlessAborted(sprat.ready, signal);
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
