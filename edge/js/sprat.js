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
 * Everything runs in two workers; the page is never blocked. The one with the model has no network, and the page gives
 * it a way out for each question that may leave.
 *
 * @module sprat
 */

import { layQuestion } from "./cloud-fetch.js";
import { SpratError } from "./error.js";
import { ONE_THREAD, folder, headersOf, isHere, resolve, scaleOf, source, threadsOf, title, write } from "./given.js";
import { Life } from "./life.js";
import { engineMode } from "./mode.js";
import { Port, Queue } from "./port.js";
import { shareProgress } from "./shared-progress.js";
import * as store from "./store.js";
import { Taint, highest } from "./taint.js";

export { SpratError };

/** @typedef {import("./types.js").LoadOptions} LoadOptions */
/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").ChatEvent} ChatEvent */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Receipt} Receipt */
/** @typedef {import("./types.js").Level} Level */
/** @typedef {import("./types.js").Mode} Mode */
/** @typedef {import("./types.js").Figures} Figures */
/** @typedef {import("./types.js").Offer} Offer */
/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").ErrorCode} ErrorCode */
/** @typedef {import("./types.js").Progress} Progress */
/** @typedef {import("./types.js").Warning} Warning */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").DeviceInfo} DeviceInfo */
/** @typedef {import("./types.js").ModelInfo} ModelInfo */
/** @typedef {import("./types.js").StoredPack} StoredPack */
/** @typedef {import("./types.js").StoragePlan} StoragePlan */
/** @typedef {import("./types.js").SaveOptions} SaveOptions */
/** @typedef {import("./types.js").SavedConversation} SavedConversation */
/** @typedef {import("./types.js").RestoredConversation} RestoredConversation */
/** @typedef {import("./types.js").Recipe} Recipe */
/** @typedef {import("./types.js").UseOptions} UseOptions */
/** @typedef {import("./types.js").AdaptOptions} AdaptOptions */

/** How many times a crashed worker is replaced before Sprat gives up. */
const MAX_RESTARTS = 3;

/** A small language model in the page. Make one with {@link Sprat.load} or {@link Sprat.open}. */
export class Sprat {
  /** @type {LoadOptions} */ #options;
  /** @type {Port | null} */ #port = null;
  /** @type {"loading" | "ready" | "failed" | "disposed"} */ #state = "loading";
  /** @type {DeviceInfo | null} */ #device = null;
  /** @type {ModelInfo | null} */ #model = null;
  /** @type {Promise<void>} */ #ready;
  #restarts = 0;
  /** Why there can be no other worker. @type {SpratError | null} */
  #end = null;
  /** What was private, for as long as this lives; a worker that crashes forgets it. */
  #taint = new Taint();
  /** Whether a worker has used a GPU, or tried to: after a crash there is no other try. */
  #gpu = false;
  /** How many threads the CPU is to have; after a crash of an engine that had several, one. */
  #threads;
  /** @type {Life} */ #life;
  /** The adapter that is over the model. @type {{ adapter: string, scale: number } | null} */
  #over = null;
  /** The answers that are being made and read. @type {Set<unknown>} */
  #answers = new Set();

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
      await sprat.#settled();
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

  /** Resolves when the model can answer, also if it takes another engine than the first. */
  async #settled() {
    for (;;) {
      try {
        return await this.#ready;
      } catch (error) {
        // What goes wrong with a GPU, or with threads, goes right without them.
        if (/** @type {SpratError} */ (error).code !== "worker_lost" || this.#state !== "loading") throw error;
      }
    }
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

  // What this site keeps on the device, whether or not a model is loaded: store.js says more.
  /** The model packs that are stored. */
  static stored = store.stored;
  /** What it would take to have a model on the device. */
  static plan = store.plan;
  /** Asks the browser to keep what is stored, also when the device gets full. */
  static persist = store.persist;
  /** Removes a stored model pack. */
  static forget = store.forget;
  /** The conversations that are saved. */
  static saved = store.saved;
  /** Removes a saved conversation. */
  static forgetSaved = store.forgetSaved;

  /** @param {LoadOptions} options use {@link Sprat.open} */
  constructor(options) {
    const onlyCloud = engineMode(options?.mode) === "cloud";
    if (onlyCloud && !options.cloud) throw new SpratError({ code: "bad_request", message: `the mode "${options.mode}" needs options.cloud` });
    if (!options?.model && !onlyCloud) {
      throw new SpratError({ code: "bad_request", message: "options.model must be the URL of a model pack, or a recipe" });
    }
    // What is wrong with these is the caller's mistake, and no cloud could help.
    if (options.model) source(options.model);
    if (options.cloud) resolve(options.cloud);
    headersOf(options.cloudHeaders);
    this.#threads = threadsOf(options.threads);
    this.#options = options;
    this.#life = new Life(options, (paused) => this.#port?.pause(paused));
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
   * What was measured of this device with this model: how fast its CPU and its GPU are. `null` until both are known, and
   * where there is nothing to choose from.
   */
  get capability() {
    return this.#life.capability;
  }

  /** Address of the adapter that is over the model; `null` where there is none. */
  get adapter() {
    return this.#over?.adapter ?? null;
  }

  /** How much of that adapter is added, as a multiple of it; `null` where there is none. */
  get adapterScale() {
    return this.#over?.scale ?? null;
  }

  /** Address of the cloud that may be asked; `null` where there is none. */
  get cloud() {
    return this.#options.cloud ? resolve(this.#options.cloud) : null;
  }

  /**
   * How many tokens of prompt these messages are for the model on this device, markup included; waits until it is
   * loaded.
   *
   * @param {Message[]} messages
   * @returns {Promise<number>} rejects with a {@link SpratError}
   */
  async count(messages) {
    if (!this.#port) throw this.#gone();
    return this.#port.call({ type: "count", messages: write(messages) });
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
    const loaded = await this.#call(this.#port, { type: "use", ...source(model) }, tell, signal);
    // A worker that comes after a crash loads what was used last.
    this.#options = { ...this.#options, model };
    this.#over = null;
    return loaded.model;
  }

  /**
   * Puts a LoRA adapter over the model, in the place of the one before; `null` takes it off. The model's weights stay where
   * they are: nothing of them is fetched, or put on the device, again.
   *
   *     await sprat.adapt("models/pirate-lora/");
   *     await sprat.adapt("models/pirate-lora/", { scale: 0.5 });   // half as much of it; nothing is fetched for that
   *
   * An adapter is a pack that `sprat pack` has made for this model, stored and removed like any other. The gate was fitted
   * for the model without it: answers with an adapter stand. Another model comes without.
   *
   * @param {string | URL | null} adapter
   * @param {AdaptOptions} [options]
   * @returns {Promise<void>} rejects with a {@link SpratError}, and then all is as it was: "busy" while an answer is being
   *   made, "wrong_base" where it is another model's, "too_large" where it and the model are more than `maxBytes`
   */
  async adapt(adapter, { scale: given = 1, signal, onProgress = this.#options.onProgress } = {}) {
    if (!this.#port) throw this.#gone();
    if (this.#answers.size > 0) throw new SpratError({ code: "busy", message: "an answer is being made", hint: "Wait for its end, or stop it." });
    const url = adapter === null ? null : resolve(adapter);
    const scale = scaleOf(given);
    const tell = (/** @type {unknown} */ notice) => this.#told(notice, onProgress);
    await this.#call(this.#port, { type: "adapt", adapter: url, scale, packs: url ? [url] : [] }, tell, signal);
    this.#over = url === null ? null : { adapter: url, scale };
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
    const { signal, onAsk = this.#options.onAsk, ...rest } = options;
    let text = "";
    // Of all that is said about it, and of what is known of its turns, the highest counts.
    let level = highest(rest.level, rest.private === true && "private", this.#taint.level(messages));
    const said = Array.isArray(messages) ? [...messages] : [];
    this.#taint.remember(said, level);
    /** @type {Queue<ChatEvent>} */
    const events = new Queue();
    const port = this.#port;
    if (!port) throw this.#gone();
    const mode = engineMode(rest.mode ?? this.#options.mode);
    const cloudFirst = mode === "cloud-first";
    const over = new AbortController();
    const ask = write({ messages, options: { ...rest, mode: cloudFirst ? "cloud" : mode, ...(level !== "open" && { level }) } });
    // The engine has no network: where there is no line, nothing can leave.
    const lines = level !== "open" || mode === "device" || !this.#options.cloud ? [] : [this.#line(port, over.signal)];
    /** @param {unknown} event */
    const tell = (event) => {
      const { type } = /** @type {{ type: string }} */ (event);
      // Here and not where it is read: whoever has left may have learned it all the same.
      if (type === "level") this.#taint.remember(said, (level = highest(level, /** @type {any} */ (event).level)));
      if (type === "ask") return void this.#askPerson(port, call, /** @type {any} */ (event), onAsk, over.signal);
      events.push(/** @type {ChatEvent} */ (event));
    };
    const call = port.call({ type: "chat", ask, cloudFirst, port: lines[0] ?? null }, tell, signal, lines);
    this.#answers.add(call);
    const ended = () => (this.#answers.delete(call), over.abort());
    call.then(() => events.close(), (error) => events.fail(error)).finally(ended);
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
      this.#taint.remember([...said, { role: "assistant", content: text }], level);
      this.#answers.delete(call);
      call.stop();
    }
  }

  /**
   * Saves a conversation on this device, in the place of one that has the same name: its text, its level, and what the
   * model remembers of it. When there is no more room, what the model remembers of the conversations unused for longest
   * is removed first.
   *
   *     await sprat.save("holiday", messages);
   *     // at the next visit
   *     const { messages, level } = await sprat.restore("holiday");
   *
   * @param {string} name
   * @param {Message[]} messages the answers too
   * @param {SaveOptions} [options]
   * @returns {Promise<SavedConversation>} rejects with a {@link SpratError}
   */
  async save(name, messages, options = {}) {
    if (!this.#port) throw this.#gone();
    const known = highest(options.level, options.private === true && "private", this.#taint.level(messages));
    const ask = write({ messages, level: known === "open" ? options.level : known });
    const { model } = this.#options;
    const url = model ? source(model).url : "";
    const request = { type: "save", name: title(name), ask, url, model: this.#model?.name ?? "" };
    const saved = await this.#port.call(request, undefined, options.signal);
    this.#taint.remember(messages, saved.level);
    return saved;
  }

  /**
   * Takes a saved conversation up again. Where the model is the same it remembers it; otherwise, or if that part is
   * damaged, which `onWarning` then says, it reads the text at the next question.
   *
   * @param {string} name
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<RestoredConversation>} rejects with a {@link SpratError}
   */
  async restore(name, { signal } = {}) {
    if (!this.#port) throw this.#gone();
    const tell = (/** @type {unknown} */ notice) => this.#told(notice, undefined);
    const restored = await this.#port.call({ type: "restore", name: title(name) }, tell, signal);
    this.#taint.remember(restored.messages, restored.level);
    return restored;
  }

  /**
   * Asks the person whether something may be sent. Whatever is not a clear yes is a no.
   * @param {Port} port
   * @param {import("./port.js").Call} call
   * @param {import("./types.js").Offer} offer
   * @param {ChatOptions["onAsk"]} onAsk
   * @param {AbortSignal} over
   */
  async #askPerson(port, call, { to, model, reason, messages, stop }, onAsk, over) {
    const asked = async () => onAsk?.({ to, model, reason, messages, stop });
    const yes = (await asked().catch(() => false)) === true;
    call.consent(yes && this.#port === port ? () => this.#line(port, over) : null);
  }

  /**
   * A line to the cloud, for one question.
   * @param {Port} port
   * @param {AbortSignal} over when the question is
   */
  #line(port, over) {
    const { cloudFetch, cloudHeaders } = this.#options;
    if (!cloudFetch) return port.question();
    return layQuestion(cloudFetch, { url: this.cloud ?? "", headers: cloudHeaders ?? {} }, over);
  }

  /** Ends the worker and everything it was doing. A download goes on at the next visit. */
  dispose() {
    this.#state = "disposed";
    this.#life.end();
    this.#port?.close(this.#gone());
    this.#port = null;
    // Also for whoever asks whether it is ready only now.
    this.#ready = Promise.reject(this.#gone());
    this.#ready.catch(() => {});
  }

  /** @param {"auto" | "cpu" | "webgpu"} device */
  async #start(device) {
    const { cloud, cloudModel, cloudHeaders, cloudPrice, wasm, signal, onProgress } = this.#options;
    this.#set("loading", null, null);
    let port;
    try {
      port = new Port(folder(wasm), (...crash) => this.#crashed(...crash), (note) => this.#noted(note));
    } catch (error) {
      this.#set("failed", null, null);
      throw error;
    }
    this.#port = port;
    this.#life.resume();
    try {
      const url = cloud ? resolve(cloud) : null;
      if (url) port.cloud({ url, headers: cloudHeaders ?? {} });
      const settings = write({
        cloud: url ? { address: url, model: cloudModel ?? "sprat-small", here: isHere(url), price: cloudPrice ?? {} } : null,
      });
      const tell = (/** @type {unknown} */ notice) => this.#told(notice, onProgress);
      const request = { type: "load", ...this.#wanted(), ...this.#life.plan(device), threads: this.#threads, settings };
      const loaded = await this.#call(port, request, tell, signal);
      const { bytes = 0, name = "" } = loaded.model ?? {};
      onProgress?.({ stage: "ready", loaded: bytes, total: bytes, message: name });
    } catch (error) {
      if (this.#port === port) this.#set("failed", this.#device, null);
      throw error;
    }
  }

  /** The model, with what is over it; none, where only the cloud is to answer. */
  #wanted() {
    const { model, mode } = this.#options;
    if (!model || engineMode(mode) === "cloud") return { url: "", recipe: null, packs: [] };
    const { packs, ...wanted } = source(model);
    return { ...wanted, ...this.#over, packs: this.adapter ? [...packs, this.adapter] : packs };
  }

  /**
   * Has the engine load a model, with a line to each pack that it needs.
   * @param {Port} port
   * @param {{ packs: string[], [name: string]: unknown }} request
   * @param {(notice: unknown) => void} tell
   * @param {AbortSignal} [signal]
   */
  async #call(port, { packs, ...request }, tell, signal) {
    const lines = packs.map((url) => /** @type {const} */ ([url, port.pack(url)]));
    const shared = shareProgress(packs, tell);
    try {
      return await port.call({ ...request, lines }, shared.tell, signal, lines.map(([, line]) => line));
    } finally {
      shared.close();
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
   * @param {boolean} isLast whether there can be no other
   */
  #crashed(error, isLast) {
    this.#port = null;
    this.#life.survived();
    if (this.#state === "disposed") return;
    this.#restarts += isLast ? Infinity : 1;
    if (this.#restarts > MAX_RESTARTS) {
      if (isLast) this.#end = error;
      return this.#set("failed", null, null);
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
    this.#life.heard(note);
    if (note.type === "gpu") this.#gpu = true;
    if (note.type === "threads") this.#threads = ONE_THREAD;
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
    if (this.#state === "disposed") return new SpratError({ code: "aborted", message: "this Sprat was disposed of" });
    return this.#end ?? new SpratError({ code: "worker_lost", message: "the engine's worker stopped too often", hint: "Reload the page." });
  }
}
