// @ts-check
/**
 * The host as the way to the cloud: the page asks `host.fetch`, the app adds its own authorization and sends the body
 * back in chunks. To the engine it looks like `fetch`.
 *
 * Back-pressure is a window of bytes, as in HTTP/2: the host may be so many bytes ahead of what was acknowledged, and
 * a host that sends more loses the answer, not the page its memory.
 */

import { SpratError } from "../error.js";
import { CODES } from "./rpc.js";
import { FETCH_HEAD } from "./schema.js";
import { problem } from "./validate.js";

/** @typedef {import("./limits.js").Limits} Limits */
/** @typedef {import("./rpc.js").Peer} Peer */
/**
 * What the engine asks of whoever brings it to the cloud.
 * @typedef {object} CloudRequest
 * @property {string} url
 * @property {string} [method] "POST" by default
 * @property {Record<string, string>} [headers]
 * @property {string | null} [body]
 * @property {AbortSignal} [signal]
 */
/** @typedef {(request: CloudRequest) => Promise<Response>} CloudFetch */

/** Statuses whose answers have no body. */
const BODILESS = new Set([204, 205, 304]);
/** What an object in the queue costs besides its bytes: a window is not to be filled with empty chunks. */
const MAX_CHUNKS = 8192;

/** All `host.fetch` that go on. */
export class HostFetches {
  /** @type {Map<string, Exchange>} */
  #open = new Map();
  #peer;
  #limits;
  #mayAsk;

  /**
   * @param {Peer} peer
   * @param {Limits} limits
   * @param {() => boolean} mayAsk whether a conversation that is not private is being answered
   */
  constructor(peer, limits, mayAsk) {
    this.#peer = peer;
    this.#limits = limits;
    this.#mayAsk = mayAsk;
  }

  /**
   * Asks the host. Rejects with a SpratError.
   * @type {CloudFetch}
   */
  fetch = async ({ url, method = "POST", headers = {}, body = null, signal }) => {
    if (signal?.aborted) throw aborted();
    // The engine sees to it that nothing private comes here. Should it ever fail to, this is a second door.
    if (!this.#mayAsk()) throw failure("cloud_disabled", "no open conversation is being answered, so the host is not asked");
    const { fetchWindow: window, fetchSilence } = this.#limits;
    const id = this.#peer.nextId();
    const exchange = new Exchange(this.#peer, id, window, fetchSilence, () => {
      this.#peer.forget(id);
      this.#open.delete(id);
      signal?.removeEventListener("abort", stop);
    });
    const stop = () => exchange.cancel();
    signal?.addEventListener("abort", stop);
    this.#open.set(id, exchange);
    // A host may answer before this returns.
    this.#peer.request(id, "host.fetch", { url, method, headers, body, window }, exchange);
    return exchange.head;
  };

  /** @param {{ id: string, seq: number, data: string, encoding?: "text" | "base64" }} chunk */
  chunk({ id, seq, data, encoding = "text" }) {
    const exchange = this.#open.get(id);
    if (!exchange) return this.#peer.refuse("late");
    exchange.chunk(seq, data, encoding);
  }

  /** @param {{ id: string, seq: number }} end */
  end({ id, seq }) {
    const exchange = this.#open.get(id);
    if (!exchange) return this.#peer.refuse("late");
    exchange.end(seq);
  }

  /** @param {{ id: string }} error */
  broken({ id }) {
    const exchange = this.#open.get(id);
    if (!exchange) return this.#peer.refuse("late");
    exchange.fail("the connection broke", false);
  }

  /** Nobody is there to read them any more. */
  cancelAll() {
    for (const exchange of [...this.#open.values()]) exchange.cancel();
  }

  /** The host is gone. */
  close() {
    for (const exchange of [...this.#open.values()]) exchange.fail("the host is gone", false);
  }
}

/** One request of the page and the host's answer to it. */
class Exchange {
  /** The answer, once its head is there. @type {Promise<Response>} */
  head;
  /** @type {(response: Response) => void} */ #resolve = () => {};
  /** @type {(error: SpratError) => void} */ #reject = () => {};
  /** @type {"head" | "body" | "ended" | "failed"} */ #state = "head";
  /** @type {Uint8Array[]} */ #queue = [];
  /** @type {SpratError | null} */ #error = null;
  /** @type {() => void} */ #wake = () => {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #chunks = 0;
  #received = 0;
  #read = 0;
  #acked = 0;
  #peer;
  #id;
  #window;
  #silence;
  #done;

  /**
   * @param {Peer} peer
   * @param {string} id
   * @param {number} window
   * @param {number} silence
   * @param {() => void} done called when nothing is left to be read or told
   */
  constructor(peer, id, window, silence, done) {
    this.#peer = peer;
    this.#id = id;
    this.#window = window;
    this.#silence = silence;
    this.#done = done;
    this.head = new Promise((resolve, reject) => ([this.#resolve, this.#reject] = [resolve, reject]));
    this.#listen();
  }

  /** @param {unknown} head the host's result */
  resolve(head) {
    if (this.#state !== "head") return;
    if (problem(FETCH_HEAD, head, "result")) return this.fail("the answer has no valid status and headers");
    const { status, headers = {} } = /** @type {{ status: number, headers?: Record<string, string> }} */ (head);
    const body = BODILESS.has(status) ? null : new ReadableStream({ pull: (to) => this.#pull(to), cancel: () => this.cancel() }, { highWaterMark: 0 });
    let response;
    try {
      response = new Response(body, { status, headers });
    } catch {
      return this.fail("the answer has no valid status and headers");
    }
    this.#state = "body";
    this.#listen();
    this.#resolve(response);
    if (!body) this.#finish();
  }

  /** @param {import("./rpc.js").RpcError} error */
  reject({ code }) {
    if (this.#state !== "head") return;
    const gone = this.#peer.closed || code === CODES.internal;
    this.#end(gone ? failure("cloud_unreachable", "the host app could not ask the cloud") : failure("cloud_refused", `the host app refused the request (code ${code})`));
  }

  /**
   * @param {number} seq
   * @param {string} data
   * @param {"text" | "base64"} encoding
   */
  chunk(seq, data, encoding) {
    if (this.#state === "head") return this.fail("a chunk came before the head of the answer");
    if (this.#state === "ended") return this.fail("a chunk came after the end");
    if (this.#state === "failed") return this.#peer.refuse("late");
    if (seq !== this.#chunks) return this.fail("a chunk came out of order");
    const bytes = decode(data, encoding);
    if (!bytes) return this.fail("a chunk is not base64");
    this.#chunks += 1;
    this.#received += bytes.length;
    if (this.#received - this.#read > this.#window || this.#queue.length >= MAX_CHUNKS) return this.fail("more came than the window allows");
    if (bytes.length > 0) this.#queue.push(bytes);
    this.#listen();
    this.#wake();
  }

  /** @param {number} seq */
  end(seq) {
    if (this.#state !== "body") return this.fail("the end came before the head, or twice");
    if (seq !== this.#chunks) return this.fail("chunks are missing at the end");
    this.#state = "ended";
    clearTimeout(this.#timer);
    this.#wake();
  }

  /**
   * The host did something wrong, or is gone. What came in order before can still be read.
   * @param {string} what
   * @param {boolean} [tell] whether the host is to hear that nobody listens any more
   */
  fail(what, tell = true) {
    const code = this.#state === "head" ? "cloud_unreachable" : "cloud_interrupted";
    this.#end(failure(code, `the host app's answer cannot be used: ${what}`), tell);
  }

  /** Nobody reads this any more. @param {SpratError} [error] */
  cancel(error = aborted()) {
    const over = this.#state === "ended";
    this.#queue = [];
    this.#end(error, !over);
    this.#finish();
  }

  /** @param {SpratError} error @param {boolean} [tell] */
  #end(error, tell = false) {
    if (this.#state === "failed") return;
    const early = this.#state === "head";
    this.#state = "failed";
    this.#error = error;
    clearTimeout(this.#timer);
    if (tell) this.#peer.notify("host.fetch.cancel", { id: this.#id });
    if (early) this.#finish();
    this.#reject(error);
    this.#wake();
  }

  /** @param {ReadableStreamDefaultController<Uint8Array>} to */
  async #pull(to) {
    while (this.#queue.length === 0 && this.#state === "body") {
      await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    }
    const bytes = this.#queue.shift();
    if (bytes) {
      this.#read += bytes.length;
      to.enqueue(bytes);
      this.#acknowledge();
    } else if (this.#error) {
      this.#finish();
      to.error(this.#error);
    } else {
      this.#finish();
      to.close();
    }
  }

  /** Tells how much was read: not for every chunk, but before the host must wait. */
  #acknowledge() {
    if (this.#state !== "body" || this.#read - this.#acked < this.#window / 2) return;
    this.#acked = this.#read;
    this.#peer.notify("host.fetch.ack", { id: this.#id, bytes: this.#read });
  }

  /** The host has the word: it must use it in time. */
  #listen() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // A host that waits for its reader is not silent.
      if (this.#queue.length > 0) this.#listen();
      else this.fail(`nothing came for ${this.#silence / 1000} seconds`);
    }, this.#silence);
  }

  #finish() {
    clearTimeout(this.#timer);
    this.#done();
  }
}

/**
 * @param {string} data
 * @param {"text" | "base64"} encoding
 * @returns {Uint8Array | null}
 */
function decode(data, encoding) {
  if (encoding === "text") return new TextEncoder().encode(data);
  try {
    return Uint8Array.from(atob(data), (unit) => unit.charCodeAt(0));
  } catch {
    return null;
  }
}

/** @param {import("../types.js").ErrorCode} code @param {string} message */
function failure(code, message) {
  return new SpratError({ code, message });
}

function aborted() {
  return failure("aborted", "stopped by the caller");
}
