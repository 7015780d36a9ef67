// @ts-check
/**
 * Chat completions from a server, with plain `fetch`: no engine, no model.
 */

import { APIError, aborted, invalid, kind } from "./openai-error.js";
import { SseDecoder } from "./sse.js";

/** @typedef {import("./openai-types.js").ChatCompletionChunk} ChatCompletionChunk */
/** @typedef {import("./openai-types.js").ChatRequest} ChatRequest */
/** @typedef {import("./openai-types.js").ErrorDetail} ErrorDetail */
/** @typedef {{ baseURL: string | URL, apiKey?: string, headers?: Record<string, string>, fetch?: typeof globalThis.fetch, timeout?: number }} CloudOptions
 *   `timeout`: how long the server may be silent, in milliseconds; two minutes by default */

/** The most of a refusal's body that is read as an error, in characters. */
const MAX_ERROR = 1 << 16;

export class CloudClient {
  #url;
  #headers;
  #fetch;
  #timeout;

  /** @param {CloudOptions} options */
  constructor({ baseURL, apiKey, headers = {}, fetch = globalThis.fetch, timeout = 120_000 }) {
    this.#url = `${String(baseURL).replace(/\/+$/, "")}/chat/completions`;
    this.#headers = { "content-type": "application/json", ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}), ...headers };
    // As a function of its own: browsers refuse a `fetch` that is called as a method of something else.
    this.#fetch = (/** @type {string} */ url, /** @type {RequestInit} */ init) => fetch(url, init);
    this.#timeout = timeout;
  }

  /**
   * Answers a request of the client; nothing private is sent.
   * @param {ChatRequest} request
   * @param {AbortController} controller
   * @returns {Promise<any>}
   */
  async create(request, controller) {
    const { x_private: isPrivate, ...body } = request;
    if (isPrivate) {
      const error = invalid("x_private", "private text must stay on the device, and this client only knows a server; nothing was sent");
      error.error.code = "private_not_accepted";
      throw error;
    }
    return this.ask(body, controller);
  }

  /**
   * Asks. The answer is a `ChatCompletion`, or the chunks of a stream.
   * @param {Record<string, unknown>} body
   * @param {AbortController} controller stops it; is aborted when the server falls silent too
   * @returns {Promise<any>}
   */
  async ask(body, controller) {
    const silence = new Silence(controller, this.#timeout);
    try {
      const response = await this.#send(body, controller.signal);
      if (!response.ok) throw await refusal(response);
      if (body.stream !== true) return await whole(response);
      if (!response.body || !/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
        throw refused(response.status, "the cloud answered with something else than a stream");
      }
      return chunks(response.body, controller.signal, silence);
    } catch (error) {
      throw silence.explain(error, "cloud_unreachable", "");
    } finally {
      silence.end();
    }
  }

  /**
   * @param {Record<string, unknown>} body
   * @param {AbortSignal} signal
   * @returns {Promise<Response>}
   */
  async #send(body, signal) {
    try {
      return await this.#fetch(this.#url, { method: "POST", headers: this.#headers, body: JSON.stringify(body), signal });
    } catch (cause) {
      if (signal.aborted) throw aborted();
      throw new APIError({
        code: "cloud_unreachable",
        message: "the cloud could not be reached",
        hint: "Is it running, and does it allow requests from this page (CORS)?",
        cause,
      });
    }
  }
}

/** Notices a server that has stopped sending. */
class Silence {
  #controller;
  #timeout;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #over = false;

  /**
   * @param {AbortController} controller
   * @param {number} timeout milliseconds
   */
  constructor(controller, timeout) {
    this.#controller = controller;
    this.#timeout = timeout;
    this.heard();
  }

  /** Something has come. */
  heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#over = true;
      this.#controller.abort();
    }, this.#timeout);
  }

  end() {
    clearTimeout(this.#timer);
  }

  /**
   * What has failed, in the API's words.
   * @param {unknown} error
   * @param {"cloud_unreachable" | "cloud_interrupted"} code of what is not known better
   * @param {string} partial
   */
  explain(error, code, partial) {
    if (this.#over) return new APIError({ code, message: "the cloud has been silent for too long", partial });
    if (this.#controller.signal.aborted) return aborted();
    if (error instanceof APIError) return error;
    return new APIError({ code, message: "the answer of the cloud broke off", partial, cause: error });
  }
}

/** @param {Response} response */
async function whole(response) {
  const answer = json(await response.text());
  if (!Array.isArray(answer?.choices)) throw refused(response.status, "the cloud answered with something else than a chat completion");
  return answer;
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @param {AbortSignal} signal
 * @param {Silence} silence
 * @returns {AsyncGenerator<ChatCompletionChunk, void, void>}
 */
async function* chunks(body, signal, silence) {
  const reader = body.getReader();
  const decoder = new SseDecoder();
  let partial = "";
  try {
    for (;;) {
      silence.heard();
      const { done, value } = await reader.read();
      // The reader of the chunks may take its time.
      silence.end();
      for (const data of done ? decoder.finish() : decoder.push(value)) {
        if (data === "[DONE]") return;
        const chunk = json(data);
        if (chunk?.error) throw inStream(chunk.error, partial);
        if (!chunk || !("choices" in chunk)) throw new TypeError("not a chunk");
        partial += chunk.choices?.find((/** @type {any} */ choice) => !choice.index)?.delta?.content ?? "";
        yield { ...chunk, choices: chunk.choices ?? [] };
      }
      if (done) throw new APIError({ code: "cloud_interrupted", message: "the answer of the cloud broke off", partial });
    }
  } catch (error) {
    throw silence.explain(error, "cloud_interrupted", partial);
  } finally {
    silence.end();
    // Whoever leaves early does not want the rest. Not awaited: a connection that hangs must not hold the caller.
    if (!signal.aborted) reader.cancel().catch(() => {});
  }
}

/**
 * @param {any} error the error that ended a stream
 * @param {string} partial
 */
function inStream(error, partial) {
  const detail = detailOf(error, undefined);
  return new APIError({ code: "cloud_interrupted", message: detail.message, partial, error: detail });
}

/** @param {Response} response */
async function refusal(response) {
  const text = await response.text().catch(() => "");
  const body = text.length > MAX_ERROR ? undefined : json(text);
  const detail = detailOf(body?.error ?? body, response.status);
  return new APIError({ code: "cloud_refused", message: `${response.status} ${detail.message}`, status: response.status, error: detail });
}

/** @param {number} status @param {string} message */
function refused(status, message) {
  return new APIError({ code: "cloud_refused", message, status, error: { message, type: "server_error", param: null, code: null } });
}

/**
 * Servers in the wild write a text, an object, or something of their own.
 * @param {any} error
 * @param {number | undefined} status
 * @returns {ErrorDetail}
 */
function detailOf(error, status) {
  const message = typeof error === "string" ? error : error?.message;
  const word = (/** @type {unknown} */ value) => (typeof value === "string" || typeof value === "number" ? String(value) : null);
  return {
    message: typeof message === "string" && message !== "" ? message : "the cloud refused the request",
    type: word(error?.type) ?? kind(status),
    param: word(error?.param),
    code: word(error?.code),
  };
}

/** @param {string} text @returns {any} `undefined` where it is not JSON */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
