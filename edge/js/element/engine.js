// @ts-check
/**
 * The element's engine: one that it opened itself, and disposes of itself, or one that it was given, which it only asks.
 *
 * @import { Failure, SpratLike, Status } from "./types.js"
 * @import { LoadOptions, Recipe, UseOptions, Warning } from "../types.js"
 */
import { failureOf } from "./turn.js";

/** @type {Status} */
const NONE = { state: "none" };

export class Engine {
  /** @type {Status} */
  status = NONE;
  /** What opens an engine. @type {LoadOptions | null} */
  #options = null;
  /** @type {SpratLike | null} */
  #given = null;
  /** The engine of its own. @type {Promise<import("../sprat.js").Sprat> | null} */
  #opening = null;
  /** Which engine is the present one; what an earlier one says is heard no more. */
  #present = 0;
  /** Whether the engine itself was started, with or without a model. */
  #started = false;
  /** Why a model that had been ready is gone. @type {Failure | null} */
  #lastWarning = null;

  /**
   * @param {(status: Status) => void} onStatus
   * @param {(warning: Warning) => void} onWarning something of its own engine went wrong, and it goes on
   */
  constructor(onStatus, onWarning) {
    this.onStatus = onStatus;
    this.onWarning = onWarning;
  }

  /** Whether the engine is, or would be, the element's own. */
  get own() {
    return this.#given === null;
  }

  /** Whether questions can be asked although there is no model: those for the cloud. */
  get asks() {
    const broken = this.status.state === "failed" && ["internal", "worker_lost", "unsupported"].includes(this.status.failure.code);
    return this.#started && !broken;
  }

  /**
   * Takes an engine that somebody else owns, or `null` to have one of its own again.
   *
   * @param {SpratLike | null} sprat
   */
  give(sprat) {
    this.close();
    this.#given = sprat;
    if (sprat !== null) this.#follow(sprat, this.#present);
  }

  /**
   * Opens an engine of its own with these options, in the place of the one before; without options there is none.
   *
   * @param {LoadOptions | null} options
   */
  open(options) {
    if (this.#given !== null) return;
    this.close();
    this.#options = options;
    if (options === null) return;
    const present = this.#present;
    this.#set({ state: "loading", progress: { stage: "engine", loaded: 0, total: 0 } }, present);
    this.#opening = this.#load(options, present);
    // Whoever asks a question handles the failure there; without a question it is shown through the status.
    this.#opening.catch((error) => this.#set({ state: "failed", failure: failureOf(error) }, present));
  }

  /** Loads once more what was to be loaded; or looks again at what was given. */
  reload() {
    if (this.#given !== null) this.#follow(this.#given, this.#present);
    else this.open(this.#options);
  }

  /** Gives up the engine, and disposes of it if it is the element's own. */
  close() {
    const opening = this.#opening;
    this.#present += 1;
    this.#opening = null;
    this.#started = false;
    this.#lastWarning = null;
    opening?.then((sprat) => sprat.dispose(), () => {});
    this.#set(NONE, this.#present);
  }

  /**
   * The engine, which takes questions before its model is loaded.
   *
   * @returns {Promise<SpratLike>}
   */
  async sprat() {
    const sprat = this.#given ?? (await this.#opening);
    if (sprat === null) throw nothing("the element has neither a model nor a Sprat");
    return sprat;
  }

  /**
   * Puts another model into the place of the one in its own engine. It stays when that starts anew.
   *
   * @param {string | URL | Recipe} model
   * @param {UseOptions} [more]
   * @returns {Promise<import("../sprat.js").Sprat>}
   */
  async use(model, more) {
    const [present, options, sprat] = [this.#present, this.#options, await this.#opening];
    if (sprat === null || options === null) throw nothing("the element has no engine of its own");
    await sprat.use(model, more);
    if (present === this.#present) this.#options = { ...options, model };
    // The engine has told that it is ready, but not whose model it has.
    this.#read(sprat, present);
    return sprat;
  }

  /** Reads the state of an engine that was given: it tells nobody but its owner when it changes. */
  look() {
    const given = this.#given;
    if (given === null) return;
    const { state, device, model } = given;
    if (state === "ready" && this.status.state !== "ready") this.#set({ state, device, model }, this.#present);
    if (state === "failed" && this.status.state === "ready") this.#follow(given, this.#present);
  }

  /**
   * Imported only here, so that a page with engines of its own downloads none.
   *
   * @param {LoadOptions} options
   * @param {number} present
   */
  async #load(options, present) {
    const { Sprat } = await import("../sprat.js").catch((error) => {
      const message = "the engine's script could not be loaded";
      throw Object.assign(new Error(message, { cause: error }), { code: "network" });
    });
    const sprat = Sprat.open({
      ...options,
      onProgress: ({ stage, loaded, total }) => {
        if (stage !== "ready") this.#set({ state: "loading", progress: { stage, loaded, total } }, present);
      },
      onWarning: (warning) => this.#warned(warning, present),
      // Its first call comes before `open` returns; whatever matters then is read below.
      onStatus: () => void Promise.resolve().then(() => this.#read(sprat, present)),
    });
    if (present === this.#present) this.#started = true;
    this.#read(sprat, present);
    return sprat;
  }

  /**
   * @param {Warning} warning
   * @param {number} present
   */
  #warned(warning, present) {
    if (present !== this.#present) return;
    this.#lastWarning = failureOf(warning);
    this.onWarning(warning);
  }

  /**
   * The state of its own engine, also when it changes later: a lost adapter, a worker that had to be started anew.
   *
   * @param {import("../sprat.js").Sprat} sprat
   * @param {number} present
   */
  #read(sprat, present) {
    const { state, device, model } = sprat;
    if (state === "ready") this.#set({ state, device, model }, present);
    else if (state === "loading" && this.status.state !== "loading") this.#set({ state, progress: null }, present);
    else if (state === "failed") {
      const failed = (/** @type {Failure} */ failure) => {
        if (sprat.state === "failed") this.#set({ state: "failed", failure }, present);
      };
      sprat.ready.then(
        () => failed(this.#lastWarning ?? failureOf("the model is gone")),
        (error) => failed(failureOf(error)),
      );
    }
  }

  /**
   * @param {SpratLike} sprat
   * @param {number} present
   */
  #follow(sprat, present) {
    if (sprat.state !== "ready") this.#set({ state: "loading", progress: null }, present);
    Promise.resolve(sprat.ready).then(
      () => this.#set({ state: "ready", device: sprat.device, model: sprat.model }, present),
      (error) => this.#set({ state: "failed", failure: failureOf(error) }, present),
    );
  }

  /**
   * @param {Status} status
   * @param {number} present
   */
  #set(status, present) {
    if (present !== this.#present) return;
    this.status = status;
    this.onStatus(status);
  }
}

/** @param {string} message */
function nothing(message) {
  return Object.assign(new Error(message), { code: "model_missing", hint: "Set its attribute model, or its property sprat." });
}
