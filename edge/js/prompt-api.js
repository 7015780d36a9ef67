// @ts-check
/**
 * The browser's Prompt API over a model of the page's own: a class that can stand where `LanguageModel` is missing.
 *
 *     import { defineLanguageModel } from "sprat/prompt-api";
 *     globalThis.LanguageModel ??= defineLanguageModel({ model: "models/sprat-tiny/" });
 *     const session = await LanguageModel.create({ monitor: (m) => m.addEventListener("downloadprogress", show) });
 *     for await (const text of session.promptStreaming("What is 17 * 23?")) console.log(text);
 *
 * Follows the specification (https://webmachinelearning.github.io/prompt-api) and its web platform tests. Where the two
 * differ, as in the error of a destroyed session, the tests are followed, as browsers do.
 *
 * @module sprat/prompt-api
 */

import { Engine, isWithoutEngine, linked, unlessAborted } from "./faces.js";
import { Failure } from "./failure.js";
import { domException, whileCreating } from "./prompt-api-errors.js";
import { checkOptions, messagesOf, samplingOf, unsupported } from "./prompt-api-input.js";
import { Session } from "./prompt-api-session.js";

/** @typedef {import("./faces.js").EngineOptions} EngineOptions */
/** @typedef {import("./prompt-api-input.js").CreateCoreOptions} CreateCoreOptions */
/** @typedef {import("./prompt-api-input.js").PromptMessage} PromptMessage */
/** @typedef {"unavailable" | "downloadable" | "downloading" | "available"} Availability */
/** @typedef {CreateCoreOptions & { signal?: AbortSignal, monitor?: (monitor: EventTarget) => void, initialPrompts?: PromptMessage[] }} CreateOptions */

/**
 * Who may answer, and what cannot be known otherwise.
 *
 * @typedef {object} Setup
 * @property {import("./types.js").Mode} [mode] "device" by default: the API is for models on the device
 * @property {boolean} [private] short for the level "private"
 * @property {import("./types.js").Level} [level] who may read what is said; "open" by default
 * @property {string[]} [languages] those that the model knows, as BCP 47 tags; English by default
 * @property {(messages: import("./types.js").Message[]) => Promise<number> | number} [count] tokens of a conversation; the
 *   engine's own by default
 */

/**
 * The class. It cannot be constructed by hand.
 *
 * @typedef {object} LanguageModelStatics
 * @property {Session} prototype
 * @property {(options?: CreateOptions) => Promise<Session>} create a new session. Loads the model if it is not loaded; the last
 *   session that is destroyed unloads it
 * @property {(options?: CreateCoreOptions) => Promise<Availability>} availability whether a session can be had with these
 *   options, and whether its model must be downloaded first
 *
 * @typedef {Function & LanguageModelStatics} LanguageModelClass
 */

/** Steps of the download's progress, as browsers have them. */
const STEPS = 65536;

/**
 * A class like the browser's `LanguageModel`.
 * @param {EngineOptions & Setup} options
 * @returns {LanguageModelClass}
 */
export function defineLanguageModel(options) {
  const { mode = "device", private: isPrivate, level, languages = ["en"], count, ...rest } = options;
  const engine = new Engine(/** @type {EngineOptions} */ (rest));
  const chat = { mode, ...(isPrivate && { private: true }), ...(level && { level }) };
  /** Sessions, and those that are being made. */
  let users = 0;
  const joined = () => void (users += 1);
  const left = () => {
    users -= 1;
    if (users === 0) engine.dispose();
  };

  /** @param {CreateOptions} options */
  const create = async (options = {}) => {
    const { signal, monitor, initialPrompts } = options;
    checkOptions(options);
    const initial = initialPrompts && [...initialPrompts].length > 0 ? messagesOf(initialPrompts, false) : [];
    signal?.throwIfAborted();
    if (options.tools?.length && !options.expectedOutputs?.some(({ type }) => type === "tool-call")) {
      throw new TypeError("tools need the type tool-call among the expectedOutputs");
    }
    const reason = unsupported(options, languages);
    if (reason !== null) throw domException("NotSupportedError", reason);
    const sampling = samplingOf(options);
    const listeners = new EventTarget();
    // What it throws is the caller's, as it is.
    monitor?.(listeners);
    const { controller, release } = linked(signal);
    const progress = new DownloadProgress(listeners, controller.signal);
    joined();
    try {
      const sprat = await load(engine, progress, controller.signal);
      const counting = count ?? (sprat.count ? (/** @type {any} */ messages) => /** @type {any} */ (sprat).count(messages) : null);
      const host = { sprat, options: chat, count: counting, joined, left };
      const session = await Session.start(LanguageModel, host, sampling, initial);
      if (signal?.aborted) {
        session.destroy();
        throw signal.reason;
      }
      if (signal) session.endWith(signal);
      return session;
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : whileCreating(error);
    } finally {
      release();
      left();
    }
  };

  class LanguageModel extends Session {
    static create = create;

    /** @type {LanguageModelStatics["availability"]} */
    static availability = async (options = {}) => {
      checkOptions(options);
      try {
        samplingOf(options);
      } catch {
        return "unavailable";
      }
      return unsupported(options, languages) === null ? availabilityOf(engine) : "unavailable";
    };
  }
  return LanguageModel;
}

/**
 * The engine with its model loaded.
 * @param {Engine} engine
 * @param {DownloadProgress} progress
 * @param {AbortSignal} signal
 */
async function load(engine, progress, signal) {
  const { listener } = progress;
  engine.listeners.add(listener);
  try {
    progress.reach(0);
    signal.throwIfAborted();
    const sprat = await unlessAborted(engine.get(), signal);
    await unlessAborted(sprat.ready, signal);
    if (sprat.state === "disposed") throw new Failure({ code: "aborted", message: "the engine was disposed of" });
    progress.reach(1);
    signal.throwIfAborted();
    return sprat;
  } finally {
    engine.listeners.delete(listener);
  }
}

/** What a `monitor` hears: shares of the download, each larger than the one before. */
class DownloadProgress {
  #target;
  #signal;
  #reached = -1;

  /**
   * @param {EventTarget} target what the `monitor` has put its listeners on
   * @param {AbortSignal} signal after which nothing is told
   */
  constructor(target, signal) {
    this.#target = target;
    this.#signal = signal;
  }

  /** @type {(progress: import("./types.js").Progress) => void} */
  listener = ({ stage, loaded, total }) => {
    // What comes after the download takes time too: the end is told when the model can answer.
    if (stage === "download" && total > 0 && loaded < total) this.reach(loaded / total);
  };

  /** @param {number} share */
  reach(share) {
    const loaded = Math.floor(share * STEPS) / STEPS;
    if (this.#signal.aborted || loaded <= this.#reached) return;
    this.#reached = loaded;
    this.#target.dispatchEvent(progressEvent(loaded));
  }
}

/** @param {number} loaded */
function progressEvent(loaded) {
  const fields = { lengthComputable: true, loaded, total: 1 };
  if (typeof ProgressEvent === "function") return new ProgressEvent("downloadprogress", fields);
  return Object.assign(new Event("downloadprogress"), fields);
}

/**
 * @param {Engine} engine
 * @returns {Promise<Availability>}
 */
async function availabilityOf(engine) {
  const state = engine.current?.state;
  if (state === "ready") return "available";
  if (state === "loading") return "downloading";
  if (engine.model === null || isWithoutEngine()) return "unavailable";
  return (await isStored(engine)) ? "available" : "downloadable";
}

/**
 * Whether all that is to be loaded is on the device. What cannot be looked up has to be downloaded.
 * @param {Engine} engine
 */
async function isStored(engine) {
  try {
    const packs = await (await engine.class()).stored();
    const stored = new Set(packs.flatMap(({ urls }) => urls.map(address)));
    return addressesOf(engine.model).every((url) => stored.has(url));
  } catch {
    return false;
  }
}

/**
 * @param {Engine["model"]} model
 * @returns {string[]}
 */
function addressesOf(model) {
  if (typeof model === "string" || model instanceof URL) return [address(model)];
  const parts = [...(model?.base_model ? [model.base_model] : []), ...(model?.models ?? []).map((part) => part.model)];
  return parts.map(address);
}

/** @param {string | URL} url seen from the page @returns {string} without the slash at its end */
function address(url) {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href.replace(/\/+$/, "");
}
