// @ts-check
/**
 * Sprat: a small language model inside the page, and a cloud that takes over when it is not sure.
 *
 *     import { Sprat } from "./sprat/sprat.js";
 *     const sprat = await Sprat.load({ model: "models/sprat-tiny/", cloud: "/v1" });
 *     for await (const event of sprat.chat([{ role: "user", content: "What is 17 * 23?" }])) {
 *       if (event.type === "delta") console.log(event.source, event.text);
 *     }
 *
 * Everything runs in one dedicated worker; the page is never blocked.
 *
 * @module sprat
 */

import { Taint } from "./taint.js";

/** @typedef {import("./types.js").LoadOptions} LoadOptions */
/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").ChatEvent} ChatEvent */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {import("./types.js").DeviceInfo} DeviceInfo */
/** @typedef {import("./types.js").ModelInfo} ModelInfo */
/** @typedef {import("./types.js").StoredPack} StoredPack */
/** @typedef {import("./types.js").Recipe} Recipe */
/** @typedef {import("./types.js").UseOptions} UseOptions */
/** @typedef {import("./types.js").ErrorCode} ErrorCode */
/** @typedef {import("./types.js").Failure} Failure */

/** How long a stopped answer may take to hand over its receipt, in milliseconds. */
const STOP_GRACE = 2000;
/** How many times a crashed worker is replaced before Sprat gives up. */
const MAX_RESTARTS = 3;

/** Every failure of Sprat. `code` is stable and may be matched on. */
export class SpratError extends Error {
  /** @param {Partial<Failure> & { code: ErrorCode, message: string }} failure */
  constructor({ code, message, hint = "", partial = "", receipt = null }) {
    super(message);
    this.name = "SpratError";
    /** The stable name of the failure. @type {ErrorCode} */
    this.code = code;
    /** What can be done about it. @type {string} */
    this.hint = hint;
    /** The text of the answer so far. @type {string} */
    this.partial = partial;
    /** Who had answered until then. @type {Receipt | null} */
    this.receipt = receipt;
  }
}

/** A small language model in the page. Make one with {@link Sprat.load} or {@link Sprat.open}. */
export class Sprat {
  /** @type {LoadOptions} */ #options;
  /** @type {Port | null} */ #port = null;
  /** @type {"loading" | "ready" | "failed" | "disposed"} */ #state = "loading";
  /** @type {DeviceInfo | null} */ #device = null;
  /** @type {ModelInfo | null} */ #model = null;
  /** @type {Promise<void>} */ #ready;
  #restarts = 0;
  /** What was private, for as long as this lives; a worker that crashes forgets it. */
  #taint = new Taint();
  /** Whether a worker has used a GPU, or tried to: after a crash there is no other try. */
  #gpu = false;

  /**
   * Loads a model and resolves when it can answer.
   *
   * When the model cannot be had but a cloud is configured, this resolves all the same, tells
   * `onWarning` why, and the cloud answers; without a cloud it rejects with a {@link SpratError}.
   *
   * @param {LoadOptions} options
   * @returns {Promise<Sprat>}
   */
  static async load(options) {
    const sprat = Sprat.open(options);
    try {
      await sprat.ready;
    } catch (error) {
      const failure = /** @type {SpratError} */ (error);
      if (!options.cloud || failure.code === "aborted" || sprat.state === "disposed") {
        sprat.dispose();
        throw error;
      }
      options.onWarning?.({ code: failure.code, message: failure.message });
    }
    return sprat;
  }

  /**
   * Begins to load a model and returns at once. Exact answers, and the cloud's, can be had before
   * {@link Sprat.ready} resolves.
   *
   * @param {LoadOptions} options
   * @returns {Sprat}
   */
  static open(options) {
    return new Sprat(options);
  }

  /**
   * The model packs that this site has stored on the device.
   * @returns {Promise<StoredPack[]>}
   */
  static stored() {
    return once({ type: "stored" });
  }

  /**
   * Removes a stored model pack.
   * @param {string | URL} model the address it was loaded from
   * @returns {Promise<boolean>} whether there was one
   */
  static forget(model) {
    return once({ type: "forget", url: resolve(model) });
  }

  /** @param {LoadOptions} options use {@link Sprat.open} */
  constructor(options) {
    if (!options?.model) {
      throw new SpratError({ code: "bad_request", message: "options.model must be the URL of a model pack, or a recipe" });
    }
    this.#options = options;
    this.#ready = this.#start(options.device ?? "auto");
    // Whoever does not look at `ready` need not handle its rejection.
    this.#ready.catch(() => {});
  }

  /** Resolves when the model can answer; rejects with a {@link SpratError} when it never will. */
  get ready() {
    return this.#ready;
  }

  /** Whether the model on this device can answer. */
  get state() {
    return this.#state;
  }

  /** What the model runs on; `null` until that is known. */
  get device() {
    return this.#device;
  }

  /** The model; `null` until it is loaded. */
  get model() {
    return this.#model;
  }

  /**
   * Puts another model into the place of this one: a pack, or what a recipe makes of several. Until it is there the
   * present one answers, and it stays if the other can't be had.
   *
   *     await sprat.use({
   *       merge_method: "task_arithmetic",
   *       base_model: "models/sprat-base/",
   *       models: [
   *         { model: "models/sprat-chat/", parameters: { weight: 0.6 } },
   *         { model: "models/sprat-math/", parameters: { weight: 0.5 } },
   *       ],
   *     });
   *
   * A recipe's models must be packs of one shape with the same tokenizer. They are fetched once; after that, other
   * numbers cost no download. Nothing was measured of a mix, so it has no gate: its answers stand.
   *
   * @param {string | URL | Recipe} model
   * @param {UseOptions} [options]
   * @returns {Promise<ModelInfo>} rejects with a {@link SpratError}
   */
  async use(model, { signal, onProgress = this.#options.onProgress } = {}) {
    if (!this.#port) throw this.#gone();
    const tell = (/** @type {unknown} */ notice) => this.#told(notice, onProgress);
    const loaded = await this.#port.call({ type: "use", ...source(model) }, tell, signal);
    // A worker that comes after a crash loads what was used last.
    this.#options = { ...this.#options, model };
    this.#set("ready", loaded.device, loaded.model);
    return loaded.model;
  }

  /**
   * Answers a conversation. The last event is `end`, with the text that stands and its receipt.
   * Leaving the loop early stops the answer.
   *
   * @param {Message[]} messages oldest first; the last one is the person's
   * @param {ChatOptions} [options]
   * @returns {AsyncGenerator<ChatEvent, void, void>}
   */
  async *chat(messages, options = {}) {
    const { signal, ...rest } = options;
    let text = "";
    if (rest.private !== true && this.#taint.touches(messages)) rest.private = true;
    const asked = rest.private === true && Array.isArray(messages) ? [...messages] : null;
    if (asked) this.#taint.remember(asked);
    /** @type {Queue<ChatEvent>} */
    const events = new Queue();
    if (!this.#port) throw this.#gone();
    const call = this.#port.call(
      { type: "chat", ask: write({ messages, options: rest }) },
      (event) => events.push(/** @type {ChatEvent} */ (event)),
      signal,
    );
    call.then(() => events.close(), (error) => events.fail(error));
    try {
      for await (const event of events) {
        if (event.type === "start") text = "";
        if (event.type === "delta") text += event.text;
        yield event;
      }
    } catch (error) {
      if (error instanceof SpratError && !error.partial) error.partial = text;
      throw error;
    } finally {
      if (asked) this.#taint.remember([...asked, { role: "assistant", content: text }]);
      call.stop();
    }
  }

  /** Ends the worker and everything it was doing. A download goes on at the next visit. */
  dispose() {
    this.#state = "disposed";
    this.#port?.close(new SpratError({ code: "aborted", message: "this Sprat was disposed of" }));
    this.#port = null;
  }

  /** @param {"auto" | "cpu" | "webgpu"} device */
  async #start(device) {
    const { model, cloud, cloudModel, cloudHeaders, cloudPrice, signal, onProgress } = this.#options;
    this.#set("loading", null, null);
    let port;
    try {
      port = new Port((error) => this.#crashed(error), (note) => this.#noted(note));
    } catch (error) {
      this.#set("failed", null, null);
      throw new SpratError({ code: "unsupported", message: `no worker can be started: ${error}` });
    }
    this.#port = port;
    try {
      const loaded = await port.call(
        {
          type: "load",
          ...source(model),
          device,
          settings: write({
            cloud: cloud
              ? {
                  url: resolve(cloud),
                  model: cloudModel ?? "sprat-small",
                  headers: cloudHeaders ?? {},
                  price: cloudPrice ?? {},
                }
              : null,
          }),
        },
        (notice) => this.#told(notice, onProgress),
        signal,
      );
      this.#set("ready", loaded.device, loaded.model);
      onProgress?.({ stage: "ready", loaded: loaded.model.bytes, total: loaded.model.bytes, message: loaded.model.name });
    } catch (error) {
      if (this.#port === port) this.#set("failed", this.#device, null);
      throw error;
    }
  }

  /**
   * What the worker says while it loads a model.
   * @param {unknown} notice
   * @param {LoadOptions["onProgress"]} onProgress
   */
  #told(notice, onProgress) {
    const { type, ...rest } = /** @type {any} */ (notice);
    if (type === "progress") onProgress?.(rest);
    if (type === "warning") this.#options.onWarning?.(rest);
    if (type === "device") this.#set(this.#state, rest, this.#model);
  }

  /**
   * The worker is gone. Its pending calls have failed already; the next ones get a new worker.
   * @param {SpratError} error
   */
  #crashed(error) {
    this.#port = null;
    if (this.#state === "disposed") return;
    this.#restarts += 1;
    if (this.#restarts > MAX_RESTARTS) {
      this.#set("failed", null, null);
      return;
    }
    this.#options.onWarning?.({ code: error.code, message: `${error.message}; the model is being loaded again` });
    const wanted = this.#options.device ?? "auto";
    this.#ready = this.#start(this.#gpu ? "cpu" : wanted);
    this.#ready.catch(() => {});
  }

  /**
   * The worker tries a GPU, or changed its device by itself: because the GPU was ready, or was lost.
   * @param {any} note
   */
  #noted(note) {
    if (note.type === "gpu") this.#gpu = true;
    if (note.type === "warning") this.#options.onWarning?.({ code: note.code, message: note.message });
    if (note.type === "status") this.#set(note.state, note.device, note.model);
  }

  /**
   * @param {"loading" | "ready" | "failed" | "disposed"} state
   * @param {DeviceInfo | null} device
   * @param {ModelInfo | null} model
   */
  #set(state, device, model) {
    if (this.#state === "disposed") return;
    [this.#state, this.#device, this.#model] = [state, device, model];
    this.#options.onStatus?.({ state, device, model });
  }

  #gone() {
    return this.#state === "disposed"
      ? new SpratError({ code: "aborted", message: "this Sprat was disposed of" })
      : new SpratError({ code: "internal", message: "the worker crashed too often", hint: "Reload the page." });
  }
}

/** @typedef {Promise<any> & { stop: () => void }} Call */

/** The worker's other end: numbered calls, their events, their results. */
class Port {
  #worker;
  #next = 1;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: SpratError) => void, event: (event: unknown) => void }>} */
  #pending = new Map();

  /**
   * @param {(error: SpratError) => void} crashed called once, after all pending calls have failed
   * @param {(note: unknown) => void} noted called for what belongs to no call
   */
  constructor(crashed, noted) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "sprat" });
    /** @param {string} message */
    const crash = (message) => {
      const error = new SpratError({
        code: "internal",
        message: `the worker crashed: ${message}`,
        hint: "Ask again: it is being started anew. If it happens again, please report it.",
      });
      if (this.close(error)) crashed(error);
    };
    this.#worker.onerror = (event) => crash(event.message || "its script cannot be loaded");
    this.#worker.onmessageerror = () => crash("a message was unreadable");
    this.#worker.onmessage = ({ data }) => {
      if (data.type === "panic") return crash(data.message);
      const pending = this.#pending.get(data.id);
      if (data.id === undefined) noted(data);
      else if (!pending) return;
      else if ("event" in data) pending.event(JSON.parse(data.event));
      else if ("error" in data) this.#settle(data.id)?.reject(new SpratError(data.error));
      else this.#settle(data.id)?.resolve(data.value);
    };
  }

  /**
   * Asks the worker something.
   * @param {Record<string, unknown>} request
   * @param {(event: unknown) => void} [event]
   * @param {AbortSignal} [signal]
   * @returns {Call} `stop()` ends it; if it has ended already that does nothing
   */
  call(request, event = () => {}, signal) {
    const id = this.#next++;
    const aborted = () => new SpratError({ code: "aborted", message: "stopped by the caller" });
    const stop = () => {
      if (this.#pending.has(id)) this.#worker.postMessage({ type: "abort", id });
    };
    const onAbort = () => {
      stop();
      // A worker that is busy with one long step must not make a stop button feel dead.
      setTimeout(() => this.#settle(id)?.reject(aborted()), STOP_GRACE);
    };
    const promise = new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted());
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, { resolve, reject, event });
      this.#worker.postMessage({ id, ...request });
    }).finally(() => signal?.removeEventListener("abort", onAbort));
    return Object.assign(promise, { stop });
  }

  /**
   * Ends the worker and fails what is pending.
   * @param {SpratError} error
   * @returns {boolean} whether it was still open
   */
  close(error) {
    const open = this.#worker.onmessage !== null;
    this.#worker.onmessage = this.#worker.onerror = this.#worker.onmessageerror = null;
    this.#worker.terminate();
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
    return open;
  }

  /** @param {number} id */
  #settle(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}

/**
 * Events between their arrival and their reader.
 * @template T
 */
class Queue {
  /** @type {T[]} */ #items = [];
  /** @type {(() => void) | null} */ #wake = null;
  /** @type {{ error?: unknown } | null} */ #end = null;

  /** @param {T} item */
  push(item) {
    this.#items.push(item);
    this.#wake?.();
  }

  close() {
    this.#end ??= {};
    this.#wake?.();
  }

  /** @param {unknown} error */
  fail(error) {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        yield item;
      } else if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else {
        await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      }
    }
  }
}

/**
 * One call to a worker that lives only for it.
 * @param {Record<string, unknown>} request
 */
async function once(request) {
  const port = new Port(() => {}, () => {});
  try {
    return await port.call(request);
  } finally {
    port.close(new SpratError({ code: "internal", message: "closed" }));
  }
}

/**
 * A model as the worker takes it. A recipe's base, or its first model without one, gives what is not weights.
 * @param {string | URL | Recipe} model
 * @returns {{ url: string, recipe: Recipe | null }}
 */
function source(model) {
  if (typeof model === "string" || model instanceof URL) return { url: resolve(model), recipe: null };
  // A copy, in which URLs are texts.
  const recipe = JSON.parse(write(model ?? null));
  const models = Array.isArray(recipe?.models) ? recipe.models : [];
  if (typeof (recipe?.base_model ?? models[0]?.model) !== "string") {
    throw new SpratError({ code: "bad_request", message: "a recipe must have models, each with its address as model" });
  }
  if (recipe.base_model !== undefined) recipe.base_model = resolve(recipe.base_model);
  for (const entry of models) entry.model = resolve(entry.model);
  return { url: recipe.base_model ?? models[0].model, recipe };
}

/**
 * An absolute URL, seen from the page.
 * @param {string | URL} url
 */
function resolve(url) {
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw new SpratError({ code: "bad_request", message: "not a URL: a model or the option cloud" });
  }
}

/**
 * JSON of what a caller gave; what has no JSON is the caller's mistake.
 * @param {unknown} value
 */
function write(value) {
  try {
    return JSON.stringify(value);
  } catch {
    throw new SpratError({ code: "bad_request", message: "the messages, options or recipe cannot be written as JSON" });
  }
}
