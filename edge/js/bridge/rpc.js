// @ts-check
/**
 * JSON-RPC 2.0 between two peers over a transport of texts: both may ask. It knows messages, ids and limits, and
 * nothing of models.
 *
 * Stricter than the standard where that saves a host from a mistake: params are by name, an id is a text or a whole
 * number, and a null id is refused because the answer could not be told from one to an unreadable message.
 */

import { Bucket, isTooDeep } from "./limits.js";
import { ID } from "./schema.js";
import { isObject, problem } from "./validate.js";

/** @typedef {import("./limits.js").Limits} Limits */
/** @typedef {import("./schema.js").Method} Method */
/** @typedef {import("./transports.js").Transport} Transport */
/** @typedef {string | number} Id */
/**
 * A request that is being answered.
 * @typedef {{ id: Id, stop: AbortController }} Call
 */
/** @typedef {(params: any, call: Call) => unknown} Handler */
/** @typedef {{ resolve: (result: unknown) => void, reject: (error: RpcError) => void }} Waiting */
/** @typedef {{ jsonrpc: "2.0", id: Id | null, result?: unknown, error?: { code: number, message: string, data?: unknown } }} Response */
/**
 * Why a message was refused. "late": an answer or a chunk that nobody waits for (any more).
 * @typedef {"origin" | "type" | "rate" | "malformed" | "method" | "params" | "busy" | "late"} Refusal
 */

/** JSON-RPC's codes, and two of the range it leaves to the implementation. */
export const CODES = Object.freeze({
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  /** A SpratError; `data` has its code. */
  sprat: -32000,
  /** Too much at a time. */
  busy: -32001,
});

/** An error as it crosses. Its message holds nothing of what the other side has sent. */
export class RpcError extends Error {
  /** @param {number} code @param {string} message @param {unknown} [data] */
  constructor(code, message, data) {
    super(message);
    this.name = "RpcError";
    this.code = code;
    this.data = data;
  }
}

const ENVELOPE = new Set(["jsonrpc", "id", "method", "params"]);

/** One side of the conversation. */
export class Peer {
  #transport;
  #methods;
  #handlers;
  #limits;
  #bucket;
  #onRefused;
  /** Loads and chats of the other side. @type {Map<Id, Call>} */
  #running = new Map();
  /** What we have asked the other side. @type {Map<Id, Waiting>} */
  #waiting = new Map();
  #next = 1;
  #flooded = false;
  #closed = false;
  /** How often what was refused. @type {Partial<Record<Refusal, number>>} */
  refused = {};

  /**
   * @param {Transport} transport
   * @param {object} setup
   * @param {ReadonlyMap<string, Method>} setup.methods that the other side may call
   * @param {Record<string, Handler>} setup.handlers one for each
   * @param {Limits} setup.limits
   * @param {() => number} setup.now
   * @param {(reason: Refusal) => void} [setup.onRefused]
   */
  constructor(transport, { methods, handlers, limits, now, onRefused = () => {} }) {
    this.#transport = transport;
    this.#methods = methods;
    this.#handlers = new Map(Object.entries(handlers));
    this.#limits = limits;
    this.#bucket = new Bucket(limits.burst, limits.perSecond, now);
    this.#onRefused = onRefused;
  }

  get inFlight() {
    return this.#running.size;
  }

  get closed() {
    return this.#closed;
  }

  /** @param {Refusal} reason */
  refuse(reason) {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
    this.#onRefused(reason);
  }

  /**
   * Takes a message from the transport.
   * @param {unknown} data
   */
  receive(data) {
    if (this.#closed) return;
    if (typeof data !== "string") return this.refuse("type");
    if (!this.#bucket.take(1)) return this.#flood();
    this.#flooded = false;
    const parsed = this.#parse(data);
    if (parsed instanceof RpcError) {
      this.refuse("malformed");
      this.#post(failed(null, parsed));
    } else if (Array.isArray(parsed)) {
      void this.#batch(parsed);
    } else {
      void this.#one(parsed).then((response) => response && this.#post(response));
    }
  }

  /**
   * Says something that needs no answer.
   * @param {string} method
   * @param {Record<string, unknown>} params
   */
  notify(method, params) {
    this.#post({ jsonrpc: "2.0", method, params });
  }

  /** An id for the next request. */
  nextId() {
    return `page-${this.#next++}`;
  }

  /**
   * Asks the other side something. It is told of the answer at once, not through a promise: what follows the answer
   * may come in the same turn.
   *
   * @param {string} id
   * @param {string} method
   * @param {Record<string, unknown>} params
   * @param {Waiting} waiting
   */
  request(id, method, params, waiting) {
    this.#waiting.set(id, waiting);
    this.#post({ jsonrpc: "2.0", id, method, params });
    if (this.#closed) this.#take(id)?.reject(new RpcError(CODES.internal, "the bridge is closed"));
  }

  /** An answer to this request counts as late from here on. @param {string} id */
  forget(id) {
    this.#waiting.delete(id);
  }

  /**
   * Stops a load or chat of the other side.
   * @param {Id} id
   * @returns {boolean} whether it was going on
   */
  stop(id) {
    const call = this.#running.get(id);
    call?.stop.abort();
    return call !== undefined;
  }

  /** Stops everything; nothing is sent or taken from here on. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const { stop } of this.#running.values()) stop.abort();
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(new RpcError(CODES.internal, "the bridge is closed"));
  }

  /**
   * @param {string} text
   * @returns {unknown} or an RpcError
   */
  #parse(text) {
    if (text.length > this.#limits.length) return new RpcError(CODES.request, `a message must not be longer than ${this.#limits.length}`);
    if (isTooDeep(text, this.#limits.depth)) return new RpcError(CODES.request, `a message must not nest deeper than ${this.#limits.depth}`);
    try {
      return JSON.parse(text);
    } catch {
      // The parser's own words quote the text.
      return new RpcError(CODES.parse, "the message is not JSON");
    }
  }

  /** @param {unknown[]} messages */
  async #batch(messages) {
    const { batch } = this.#limits;
    if (messages.length === 0 || messages.length > batch) {
      this.refuse("malformed");
      return this.#post(failed(null, new RpcError(CODES.request, `a batch must have 1 to ${batch} messages`)));
    }
    if (!this.#bucket.take(messages.length - 1)) return this.#flood();
    const responses = (await Promise.all(messages.map((message) => this.#one(message)))).filter((one) => one !== null);
    if (responses.length > 0) this.#post(responses);
  }

  /** Too many messages: they are dropped unread, and that is told once until one is taken again. */
  #flood() {
    this.refuse("rate");
    if (this.#flooded) return;
    this.#flooded = true;
    this.#post(failed(null, new RpcError(CODES.busy, "too many messages; they are dropped until there are fewer")));
  }

  /**
   * @param {unknown} message
   * @returns {Promise<Response | null>} null if it is not to be answered
   */
  async #one(message) {
    // An answer is never answered, however wrong it is: two peers would go on for ever.
    if (isObject(message) && !Object.hasOwn(message, "method") && (Object.hasOwn(message, "result") || Object.hasOwn(message, "error"))) {
      this.#settle(message);
      return null;
    }
    const wrong = envelopeProblem(message);
    if (wrong) {
      this.refuse("malformed");
      const id = isObject(message) && problem(ID, message.id, "") === null ? /** @type {Id} */ (message.id) : null;
      return failed(id, new RpcError(CODES.request, wrong));
    }
    const { id = null, method, params = {} } = /** @type {any} */ (message);
    if (id !== null && this.#running.has(id)) {
      this.refuse("malformed");
      // With its id the host would take this for the end of the first request.
      return failed(null, new RpcError(CODES.request, "this id is in use"));
    }
    try {
      const result = await this.#run(id, method, params);
      return id === null ? null : { jsonrpc: "2.0", id, result: result ?? null };
    } catch (error) {
      return id === null ? null : failed(id, error);
    }
  }

  /**
   * Runs a method. Up to its handler nothing is awaited, so that messages are taken in their order.
   * @param {Id | null} id
   * @param {string} name
   * @param {unknown} params
   */
  async #run(id, name, params) {
    const method = this.#methods.get(name);
    const handler = this.#handlers.get(name);
    if (!method || !handler) throw this.#error("method", CODES.method, "there is no such method");
    if (id === null && method.kind === "request") throw this.#error("method", CODES.method, `${name} needs an id`);
    if (id !== null && method.kind === "notification") throw this.#error("method", CODES.method, `${name} is a notification: it has no id`);
    const wrong = problem(method.params, params, "params");
    if (wrong) throw this.#error("params", CODES.params, wrong);
    const call = { id: id ?? "", stop: new AbortController() };
    if (!method.long || id === null) return handler(params, call);
    if (this.#running.size >= this.#limits.inFlight) throw this.#error("busy", CODES.busy, `${this.#limits.inFlight} requests are in flight`);
    this.#running.set(id, call);
    try {
      return await handler(params, call);
    } finally {
      this.#running.delete(id);
    }
  }

  /** @param {Refusal} reason @param {number} code @param {string} message */
  #error(reason, code, message) {
    this.refuse(reason);
    return new RpcError(code, message);
  }

  /**
   * Takes an answer of the other side.
   * @param {Record<string, unknown>} message
   */
  #settle(message) {
    const waiting = this.#take(message.id);
    if (!waiting) return this.refuse("late");
    const { error } = message;
    const both = Object.hasOwn(message, "result") && Object.hasOwn(message, "error");
    if (message.jsonrpc !== "2.0" || both) {
      this.refuse("malformed");
      waiting.reject(new RpcError(CODES.request, "the host's answer is not JSON-RPC 2.0"));
    } else if (Object.hasOwn(message, "result")) {
      waiting.resolve(message.result);
    } else {
      const code = isObject(error) && Number.isSafeInteger(error.code) ? Number(error.code) : CODES.internal;
      // The host's words may hold what it was asked.
      waiting.reject(new RpcError(code, "the host answered with an error"));
    }
  }

  /** @param {unknown} id */
  #take(id) {
    const waiting = this.#waiting.get(/** @type {Id} */ (id));
    this.#waiting.delete(/** @type {Id} */ (id));
    return waiting;
  }

  /** @param {unknown} message */
  #post(message) {
    if (this.#closed) return;
    try {
      this.#transport.post(JSON.stringify(message));
    } catch {
      // Whoever cannot be told anything is gone.
      this.#transport.onclose?.();
    }
  }
}

/**
 * What is wrong with a message that is no answer.
 * @param {unknown} message
 * @returns {string | null}
 */
function envelopeProblem(message) {
  if (!isObject(message)) return "a message must be an object";
  if (message.jsonrpc !== "2.0") return 'jsonrpc must be "2.0"';
  if (Object.hasOwn(message, "id") && problem(ID, message.id, "id")) return "id must be a text of 1 to 128 characters, or a whole number";
  if (typeof message.method !== "string") return "method must be a string";
  if (Object.hasOwn(message, "params") && !isObject(message.params)) return "params must be an object: parameters are by name";
  if (Object.keys(message).some((key) => !ENVELOPE.has(key))) return "a message has jsonrpc, id, method and params, and nothing else";
  return null;
}

/**
 * @param {Id | null} id
 * @param {unknown} error
 * @returns {Response}
 */
function failed(id, error) {
  return { jsonrpc: "2.0", id, error: describe(error) };
}

/** @param {any} error */
function describe(error) {
  if (error instanceof RpcError) {
    const { code, message, data } = error;
    return data === undefined ? { code, message } : { code, message, data };
  }
  if (error?.name === "SpratError" && typeof error.code === "string") {
    const { name, code, message, hint = "", partial = "" } = error;
    return { code: CODES.sprat, message: String(message), data: { name, code, hint, partial } };
  }
  // Anything else may quote whatever it choked on.
  return { code: CODES.internal, message: "internal error" };
}
