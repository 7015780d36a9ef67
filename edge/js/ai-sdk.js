// @ts-check
/**
 * A provider for Vercel's AI SDK: the model in the page, and the cloud behind it, for `generateText` and `streamText`.
 *
 *     import { streamText } from "ai";
 *     import { createSprat } from "sprat/ai-sdk";
 *     const sprat = createSprat({ model: "models/sprat-tiny/", cloud: "/v1" });
 *     const { textStream } = streamText({ model: sprat("auto"), prompt: "What is 17 * 23?" });
 *     for await (const text of textStream) console.log(text);
 *
 * Speaks version 4 of the SDK's interface (`ai` 7), and version 3 (`ai` 6) where `specificationVersion` asks for it: what a
 * text model says is the same in both. Their types are written here by shape, so that the package needs nothing installed.
 *
 * @module sprat/ai-sdk
 */

import { begin, countsAreKnown, Engine, finishReason, linked, mayChangeHands, standing, unlessAborted } from "./faces.js";
import { asFailure } from "./failure.js";
import { isMode, MODE_NAMES } from "./mode.js";
import { highest } from "./taint.js";

/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {import("./types.js").Mode} ModelId who may answer */
/** @typedef {Pick<ChatOptions, "private" | "level" | "minP" | "repetitionPenalty" | "lookup">} Settings also `providerOptions.sprat` of a call */

/** @typedef {{ role: "system" | "user" | "assistant" | "tool", content: string | readonly { type: string }[] }} PromptMessage */
/**
 * @typedef {object} CallOptions what is read of a call
 * @property {readonly PromptMessage[]} prompt
 * @property {number} [maxOutputTokens]
 * @property {number} [temperature]
 * @property {string[]} [stopSequences]
 * @property {number} [topP]
 * @property {number} [topK]
 * @property {number} [presencePenalty]
 * @property {number} [frequencyPenalty]
 * @property {{ type: string }} [responseFormat]
 * @property {number} [seed]
 * @property {readonly unknown[]} [tools]
 * @property {{ type: string }} [toolChoice]
 * @property {boolean} [includeRawChunks]
 * @property {AbortSignal} [abortSignal]
 * @property {Record<string, string | undefined>} [headers]
 * @property {string} [reasoning]
 * @property {Record<string, Record<string, any>>} [providerOptions]
 */
/** @typedef {{ type: "unsupported", feature: string, details?: string }} CallWarning */
/** @typedef {{ unified: "stop" | "length" | "content-filter" | "error", raw: string | undefined }} FinishReason */
/**
 * @typedef {object} Usage
 * @property {{ total: number | undefined, noCache: number | undefined, cacheRead: number | undefined, cacheWrite: number | undefined }} inputTokens
 * @property {{ total: number | undefined, text: number | undefined, reasoning: number | undefined }} outputTokens
 */
/** @typedef {{ sprat: { receipt: any } }} Metadata the receipt of an answer: {@link Receipt} */
/**
 * @typedef {object} GenerateResult
 * @property {{ type: "text", text: string }[]} content
 * @property {FinishReason} finishReason
 * @property {Usage} usage
 * @property {CallWarning[]} warnings
 * @property {Metadata} providerMetadata
 * @property {{ id: string, timestamp: Date, modelId: string }} response
 */
/**
 * @typedef {{ type: "stream-start", warnings: CallWarning[] }
 *   | { type: "response-metadata", id: string, timestamp: Date, modelId: string }
 *   | { type: "text-start" | "text-end", id: string }
 *   | { type: "text-delta", id: string, delta: string }
 *   | { type: "error", error: unknown }
 *   | { type: "finish", usage: Usage, finishReason: FinishReason, providerMetadata?: Metadata }} StreamPart
 */

/**
 * A model for the SDK.
 * @template {"v3" | "v4"} V
 * @typedef {object} LanguageModel
 * @property {V} specificationVersion
 * @property {string} provider
 * @property {string} modelId
 * @property {Record<string, RegExp[]>} supportedUrls none
 * @property {(options: CallOptions) => Promise<GenerateResult>} doGenerate
 * @property {(options: CallOptions) => Promise<{ stream: ReadableStream<StreamPart> }>} doStream
 */

/**
 * The provider: a function that gives models, with the SDK's methods.
 * @template {"v3" | "v4"} V
 * @typedef {((modelId?: ModelId, settings?: Settings) => LanguageModel<V>) & {
 *   specificationVersion: V,
 *   languageModel: (modelId: string) => LanguageModel<V>,
 *   embeddingModel: (modelId: string) => never,
 *   imageModel: (modelId: string) => never,
 *   dispose: () => void,
 * }} Provider `dispose` ends the engine that the provider has loaded
 */

/** What the engine cannot do, with the values that ask for nothing. @type {[keyof CallOptions, (value: any) => boolean, string][]} */
const UNSUPPORTED = [
  ["presencePenalty", (value) => value === 0, "use repetitionPenalty of providerOptions.sprat"],
  ["frequencyPenalty", (value) => value === 0, "use repetitionPenalty of providerOptions.sprat"],
  ["responseFormat", (value) => value.type === "text", "the answer is not kept to JSON"],
  ["tools", (value) => value.length === 0, "the model calls no tools"],
  ["toolChoice", (value) => value.type === "auto" || value.type === "none", "the model calls no tools"],
  ["includeRawChunks", (value) => value === false, "there are no raw chunks"],
  ["reasoning", (value) => value === "provider-default" || value === "none", "the model does not reason before it answers"],
];
/** @type {(keyof Settings)[]} */
const SETTINGS = ["private", "level", "minP", "repetitionPenalty", "lookup"];

/**
 * A provider over a `sprat`, or over the `model` that is loaded at the first call.
 * @template {"v3" | "v4"} [V="v4"]
 * @param {import("./faces.js").EngineOptions & { specificationVersion?: V }} options
 * @returns {Provider<V>}
 */
export function createSprat({ specificationVersion, ...options }) {
  const engine = new Engine(/** @type {import("./faces.js").EngineOptions} */ (options));
  const version = specificationVersion ?? /** @type {V} */ ("v4");
  const provide = (/** @type {string} */ modelId = "auto", /** @type {Settings} */ settings = {}) => {
    if (!isMode(modelId)) throw noSuchModel(modelId, "languageModel");
    return new Model(engine, version, modelId, settings);
  };
  return Object.assign(provide, {
    specificationVersion: version,
    languageModel: (/** @type {string} */ modelId) => provide(modelId),
    embeddingModel: (/** @type {string} */ modelId) => {
      throw noSuchModel(modelId, "embeddingModel");
    },
    imageModel: (/** @type {string} */ modelId) => {
      throw noSuchModel(modelId, "imageModel");
    },
    dispose: () => engine.end(),
  });
}

/** @template {"v3" | "v4"} V */
class Model {
  provider = "sprat";
  /** @type {Record<string, RegExp[]>} */
  supportedUrls = {};
  #engine;
  #settings;

  /**
   * @param {Engine} engine
   * @param {V} version
   * @param {ModelId} modelId
   * @param {Settings} settings
   */
  constructor(engine, version, modelId, settings) {
    this.#engine = engine;
    this.specificationVersion = version;
    this.modelId = modelId;
    this.#settings = settings;
  }

  /**
   * @param {CallOptions} call
   * @returns {Promise<GenerateResult>}
   */
  async doGenerate(call) {
    const { controller, release } = linked(call.abortSignal);
    try {
      const { events, options, warnings } = await this.#begin(call, controller.signal);
      for await (const event of events) {
        if (event.type !== "end") continue;
        const { text, receipt } = event;
        return { content: [{ type: "text", text }], warnings, response: responseOf(receipt), ...endOf(receipt, options.maxTokens) };
      }
      throw new Error("unreachable: events end with an end");
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      release();
    }
  }

  /**
   * @param {CallOptions} call
   * @returns {Promise<{ stream: ReadableStream<StreamPart> }>}
   */
  async doStream(call) {
    const { controller, release } = linked(call.abortSignal);
    const { signal } = controller;
    try {
      const { sprat, events, options, warnings } = await this.#begin(call, signal);
      const parts = partsOf(standing(events, mayChangeHands(sprat, options)), warnings, options.maxTokens, signal);
      return { stream: streamOf(parts, controller, release) };
    } catch (error) {
      release();
      throw signal.aborted ? signal.reason : error;
    }
  }

  /**
   * @param {CallOptions} call
   * @param {AbortSignal} signal
   */
  async #begin(call, signal) {
    const warnings = warningsOf(call);
    const messages = call.prompt.flatMap((message) => messageOf(message, warnings));
    const options = this.#options(call, warnings);
    const sprat = await unlessAborted(this.#engine.get(), signal);
    return { sprat, options, warnings, events: await begin(sprat, messages, { ...options, signal }) };
  }

  /**
   * @param {CallOptions} call
   * @param {CallWarning[]} warnings
   * @returns {ChatOptions}
   */
  #options(call, warnings) {
    const own = call.providerOptions?.sprat ?? {};
    for (const name of Object.keys(own)) {
      if (!SETTINGS.includes(/** @type {any} */ (name))) warnings.push({ type: "unsupported", feature: `providerOptions.sprat.${name}` });
    }
    const settings = { ...this.#settings, ...own };
    const options = {
      mode: this.modelId,
      ...Object.fromEntries(SETTINGS.map((name) => [name, settings[name]])),
      // Private is private, whoever says it.
      private: this.#settings.private === true || own.private === true || undefined,
      level: levelOf(this.#settings.level, own.level),
      maxTokens: call.maxOutputTokens,
      temperature: call.temperature,
      topP: call.topP,
      topK: call.topK,
      seed: call.seed,
      stop: call.stopSequences?.length ? call.stopSequences : undefined,
    };
    return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  }
}

/**
 * The highest of what was said, so that none is lowered; what is no level is passed on, for the engine to refuse.
 * @param {...unknown} levels
 * @returns {any}
 */
function levelOf(...levels) {
  const said = levels.filter((level) => level !== undefined);
  const odd = said.find((level) => level !== highest(level));
  return odd ?? (said.length > 0 ? highest(...said) : undefined);
}

/** @param {CallOptions} call @returns {CallWarning[]} */
function warningsOf(call) {
  const ignored = UNSUPPORTED.filter(([name, asksNothing]) => call[name] !== undefined && call[name] !== null && !asksNothing(call[name]));
  return ignored.map(([feature, , details]) => ({ type: "unsupported", feature, details }));
}

/**
 * @param {PromptMessage} message
 * @param {CallWarning[]} warnings
 * @returns {Message[]}
 */
function messageOf({ role, content }, warnings) {
  if (role === "tool") throw unsupportedFunctionality("tool messages");
  if (typeof content === "string") return [{ role, content }];
  const texts = content.flatMap((/** @type {any} */ part) => {
    if (part.type === "text") return [part.text];
    if (part.type !== "reasoning") throw unsupportedFunctionality(`${part.type} parts in a prompt`);
    warnings.push({ type: "unsupported", feature: "reasoning parts in a prompt", details: "they were left out" });
    return [];
  });
  return [{ role, content: texts.join("") }];
}

/**
 * @param {ReturnType<typeof standing>} pieces
 * @param {CallWarning[]} warnings
 * @param {number | undefined} limit
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<StreamPart, void, void>}
 */
async function* partsOf(pieces, warnings, limit, signal) {
  const id = "0";
  let open = false;
  yield { type: "stream-start", warnings };
  try {
    for await (const piece of pieces) {
      if (piece.type === "text") {
        if (!open) yield { type: "text-start", id };
        open = true;
        yield { type: "text-delta", id, delta: piece.text };
        continue;
      }
      if (open) yield { type: "text-end", id };
      yield { type: "response-metadata", ...responseOf(piece.receipt) };
      yield { type: "finish", ...endOf(piece.receipt, limit) };
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (open) yield { type: "text-end", id };
    yield { type: "error", error };
    yield { type: "finish", usage: usageOf(null), finishReason: { unified: "error", raw: asFailure(error).code } };
  }
}

/**
 * @template T
 * @param {AsyncGenerator<T, void, void>} items
 * @param {AbortController} controller is aborted by whoever stops reading
 * @param {() => void} release called when it is over
 * @returns {ReadableStream<T>}
 */
function streamOf(items, controller, release) {
  return new ReadableStream({
    async pull(stream) {
      try {
        const { done, value } = await items.next();
        if (!done) return stream.enqueue(value);
        release();
        stream.close();
      } catch (error) {
        release();
        stream.error(error);
      }
    },
    cancel(reason) {
      release();
      controller.abort(reason);
    },
  });
}

/** @param {Receipt} receipt */
function responseOf({ model, source }) {
  return { id: `sprat-${crypto.randomUUID()}`, timestamp: new Date(), modelId: model ?? source };
}

/**
 * @param {Receipt} receipt
 * @param {number | undefined} limit
 * @returns {{ finishReason: FinishReason, usage: Usage, providerMetadata: Metadata }}
 */
function endOf(receipt, limit) {
  const reason = finishReason(receipt, limit);
  return { finishReason: { unified: reason === "content_filter" ? "content-filter" : reason, raw: receipt.finish_reason ?? reason }, usage: usageOf(receipt), providerMetadata: { sprat: { receipt } } };
}

/** @param {Receipt | null} receipt @returns {Usage} */
function usageOf(receipt) {
  if (!receipt || !countsAreKnown(receipt)) {
    return {
      inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: undefined, text: undefined, reasoning: undefined },
    };
  }
  const { prompt_tokens: total, cached_tokens: cacheRead, completion_tokens: text } = receipt;
  return {
    inputTokens: { total, noCache: total - cacheRead, cacheRead, cacheWrite: undefined },
    outputTokens: { total: text, text, reasoning: undefined },
  };
}

/**
 * An error that the SDK knows by its marks.
 * @param {string} name
 * @param {string} message
 * @param {Record<string, unknown>} fields
 */
function sdkError(name, message, fields) {
  const marks = ["vercel.ai.error", `vercel.ai.error.${name}`].map((mark) => [Symbol.for(mark), true]);
  return Object.assign(new Error(message), { name, ...fields, ...Object.fromEntries(marks) });
}

/** @param {string} modelId @param {string} modelType */
function noSuchModel(modelId, modelType) {
  return sdkError("AI_NoSuchModelError", `no such ${modelType}; Sprat has ${MODE_NAMES.map((mode) => `"${mode}"`).join(", ")}`, { modelId, modelType });
}

/** @param {string} functionality */
function unsupportedFunctionality(functionality) {
  return sdkError("AI_UnsupportedFunctionalityError", `${functionality} are not supported`, { functionality });
}
