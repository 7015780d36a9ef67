// @ts-check
/** The methods of the bridge that are about the engine: what `sprat.*` of schema.js does. */

import { SpratError } from "../error.js";
import { engineMode } from "../mode.js";
import { Taint, highest } from "../taint.js";
import { CODES, RpcError } from "./rpc.js";

/** @typedef {import("../types.js").ChatEvent} ChatEvent */
/** @typedef {import("../types.js").ChatOptions} ChatOptions */
/** @typedef {import("../types.js").LoadOptions} LoadOptions */
/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").Receipt} Receipt */
/** @typedef {import("../types.js").RestoredConversation} RestoredConversation */
/** @typedef {import("../types.js").SaveOptions} SaveOptions */
/** @typedef {import("../types.js").SavedConversation} SavedConversation */
/** @typedef {import("./host-ask.js").Ask} Ask */
/** @typedef {import("./host-fetch.js").CloudFetch} CloudFetch */
/** @typedef {import("./rpc.js").Call} Call */
/** What the bridge needs of a Sprat. @typedef {Pick<import("../sprat.js").Sprat, "chat" | "adapt" | "save" | "restore" | "dispose" | "state" | "device" | "model" | "adapter" | "adapterScale">} Engine */
/** @typedef {LoadOptions & { cloudFetch?: CloudFetch }} EngineOptions */

/** One engine, which the host loads, asks and disposes of. */
export class EngineMethods {
  /** @type {Engine | null} */ #engine = null;
  /** The load that goes on. @type {AbortController | null} */ #loading = null;
  /** Who asks the person, if the host does. @type {Ask | null} */ #ask = null;
  /** Answers, and what is saved and restored, that go on. */
  #working = 0;
  /** Answers that may be sent: open, or allowed by the person. */
  #open = 0;
  /** Memory is critical: unload when nothing goes on. */
  #unloadWhenIdle = false;
  /** What was private stays so when the engine, which knows it too, is unloaded and loaded again. */
  #taint = new Taint();
  #load;
  #defaults;
  #cloudFetch;
  #hostAsk;
  #cancelFetches;
  #notify;

  /**
   * @param {object} setup
   * @param {(options: EngineOptions) => Promise<Engine>} setup.load
   * @param {Partial<LoadOptions>} setup.defaults what the host does not say
   * @param {CloudFetch} setup.cloudFetch
   * @param {Ask} setup.hostAsk
   * @param {() => void} setup.cancelFetches
   * @param {(method: string, params: Record<string, unknown>) => void} setup.notify
   */
  constructor({ load, defaults, cloudFetch, hostAsk, cancelFetches, notify }) {
    this.#load = load;
    this.#defaults = defaults;
    this.#notify = notify;
    this.#cloudFetch = cloudFetch;
    this.#hostAsk = hostAsk;
    this.#cancelFetches = cancelFetches;
  }

  /** Whether a conversation that may be sent is being answered. */
  get answersOpenly() {
    return this.#open > 0;
  }

  /** What is loaded, and where. */
  get status() {
    const { state = this.#loading ? "loading" : "empty", device = null, model = null } = this.#engine ?? {};
    return { state, device, model };
  }

  /** What is over the model. */
  get adapter() {
    const { adapter: url = null, adapterScale: scale = null } = this.#engine ?? {};
    return url === null ? null : { url, scale };
  }

  /**
   * @param {Partial<LoadOptions> & { hostFetch?: boolean, hostAsk?: boolean }} params
   * @param {Call} call
   */
  async load({ hostFetch = false, hostAsk = false, ...params }, { id, stop }) {
    if (this.#engine || this.#loading) {
      throw new SpratError({ code: "bad_request", message: "a model is loaded already, or is being loaded", hint: "Call sprat.dispose first." });
    }
    const options = { ...this.#defaults, ...params };
    const { model, mode } = options;
    if (!model && engineMode(mode) !== "cloud") throw new RpcError(CODES.params, "params.model is missing");
    this.#loading = stop;
    try {
      const engine = await this.#load({
        .../** @type {LoadOptions} */ (options),
        ...(hostFetch && { cloudFetch: this.#cloudFetch }),
        signal: stop.signal,
        onProgress: this.#progress(id),
        onWarning: ({ code, message }) => this.#notify("sprat.warning", { code, message }),
        onStatus: ({ state, device, model }) => this.#notify("sprat.state", { state, device, model }),
      });
      if (stop.signal.aborted) {
        engine.dispose();
        throw new SpratError({ code: "aborted", message: "stopped by the caller" });
      }
      this.#engine = engine;
      // A page that has a way to ask keeps it where the host has none.
      const { onAsk } = this.#defaults;
      this.#ask = hostAsk ? this.#hostAsk : onAsk ? async (_, offer) => onAsk(offer) : null;
    } finally {
      // After a dispose another load may have begun.
      if (this.#loading === stop) this.#loading = null;
    }
    return this.status;
  }

  /**
   * @param {{ messages: Message[], options?: Omit<ChatOptions, "signal" | "onAsk"> }} params
   * @param {Call} call
   */
  chat({ messages, options = {} }, call) {
    return this.#work((engine) => this.#chat(engine, messages, options, call));
  }

  /**
   * @param {{ adapter: string | null, scale?: number }} params
   * @param {Call} call
   */
  adapt({ adapter, scale }, { id, stop }) {
    return this.#work(async (engine) => {
      await engine.adapt(adapter, { scale, signal: stop.signal, onProgress: this.#progress(id) });
      return { adapter: this.adapter };
    });
  }

  /**
   * @param {{ name: string, messages: Message[] } & SaveOptions} params
   * @param {Call} call
   * @returns {Promise<SavedConversation>}
   */
  save({ name, messages, ...options }, { stop }) {
    return this.#work(async (engine) => {
      const level = highest(options.level, options.private === true && "private", this.#taint.level(messages));
      const saved = await engine.save(name, messages, { ...options, ...(level !== "open" && { level }), signal: stop.signal });
      this.#taint.remember(messages, saved.level);
      return saved;
    });
  }

  /**
   * @param {{ name: string }} params
   * @param {Call} call
   * @returns {Promise<RestoredConversation>}
   */
  restore({ name }, { stop }) {
    return this.#work(async (engine) => {
      const restored = await engine.restore(name, { signal: stop.signal });
      this.#taint.remember(restored.messages, restored.level);
      return restored;
    });
  }

  /**
   * Tells how far a request is.
   * @param {Call["id"]} id
   * @returns {NonNullable<LoadOptions["onProgress"]>}
   */
  #progress(id) {
    return ({ stage, loaded, total, message }) => this.#notify("sprat.progress", { id, stage, loaded, total, message });
  }

  /**
   * Has the engine do something, before whose end it is not unloaded.
   * @template T
   * @param {(engine: Engine) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #work(work) {
    const engine = this.#engine;
    if (!engine) throw new SpratError({ code: "model_missing", message: "no model is loaded", hint: "Call sprat.load first." });
    this.#working += 1;
    try {
      return await work(engine);
    } finally {
      this.#working -= 1;
      if (this.#unloadWhenIdle && this.#working === 0) this.#unload();
    }
  }

  /**
   * @param {Engine} engine
   * @param {Message[]} messages
   * @param {Omit<ChatOptions, "signal" | "onAsk">} options
   * @param {Call} call
   */
  async #chat(engine, messages, options, call) {
    // It may be raised here, and is never lowered.
    const level = highest(options.level, options.private === true && "private", this.#taint.level(messages));
    this.#taint.remember(messages, level);
    let maySend = level === "open";
    if (maySend) this.#open += 1;
    const over = new AbortController();
    const ask = this.#ask;
    /** @type {NonNullable<ChatOptions["onAsk"]>} */
    const onAsk = async (offer) => {
      const yes = (await ask?.(call.id, offer, over.signal)) === true && !over.signal.aborted;
      if (yes && !maySend) this.#open += 1;
      maySend ||= yes;
      return yes;
    };
    try {
      return await this.#answer(engine, messages, { ...options, ...(level !== "open" && { level }), ...(ask && { onAsk }) }, call);
    } finally {
      over.abort();
      if (maySend) this.#open -= 1;
      // A request that outlives all answers has nobody who reads it.
      if (this.#open === 0) this.#cancelFetches();
    }
  }

  /**
   * @param {Engine} engine
   * @param {Message[]} messages
   * @param {ChatOptions} options
   * @param {Call} call
   * @returns {Promise<{ text: string, receipt: Receipt }>}
   */
  async #answer(engine, messages, options, { id, stop }) {
    let text = "";
    let level = highest(options.level);
    try {
      for await (const event of engine.chat(messages, { ...options, signal: stop.signal })) {
        if (event.type === "level") level = highest(level, event.level);
        if (event.type === "start") text = "";
        if (event.type === "delta") text += event.text;
        if (event.type === "end") {
          text = event.text;
          return { text, receipt: event.receipt };
        }
        this.#notify("sprat.event", { id, event });
      }
      throw new SpratError({ code: "internal", message: "the answer has no end", partial: text });
    } finally {
      this.#taint.remember([...messages, { role: "assistant", content: text }], level);
    }
  }

  dispose() {
    const disposed = this.#engine !== null || this.#loading !== null;
    this.#unloadWhenIdle = false;
    this.#loading?.abort();
    this.#loading = null;
    this.#engine?.dispose();
    this.#engine = null;
    return { disposed };
  }

  /**
   * The app is asked to give memory back. A load that goes on is stopped; what it has downloaded is kept.
   * @param {{ level: "normal" | "moderate" | "critical" }} warning
   */
  memoryWarning({ level }) {
    if (level === "normal") this.#unloadWhenIdle = false;
    const loaded = this.#engine !== null || this.#loading !== null;
    if (level !== "critical" || !loaded) return { unloaded: false, pending: this.#unloadWhenIdle };
    this.#unloadWhenIdle = this.#working > 0;
    if (!this.#unloadWhenIdle) this.#unload();
    return { unloaded: !this.#unloadWhenIdle, pending: this.#unloadWhenIdle };
  }

  #unload() {
    if (this.dispose().disposed) this.#notify("sprat.unloaded", { reason: "memory" });
  }
}
