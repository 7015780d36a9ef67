/**
 * Opens the engine and keeps track of where loading its model stands. Questions can be asked at any time: what needs no
 * model is answered at once, the rest waits inside the engine.
 *
 * @import { EngineModule, EngineStatus, Failure, Recipe, Sprat, UseOptions, Warning } from "./types.d.ts"
 * @import { Params } from "./params.js"
 */
import { failureOf } from "./turn.js";

export class EngineHost {
  /** @type {EngineStatus} */
  status = { state: "loading", progress: { stage: "engine", loaded: 0, total: 0 } };
  /** @type {Promise<Sprat> | null} null until the first load() */
  #opening = null;
  /** @type {EngineModule | null} */
  #module = null;
  /** @type {Sprat | null} */
  #sprat = null;
  /** What answers in the place of the page's own model. @type {Recipe | null} */
  mixed = null;
  /** Why a model that had been ready is gone. @type {Failure | null} */
  #lastWarning = null;

  /**
   * @param {Params} params
   * @param {{ onStatus: (status: EngineStatus) => void, onWarning: (warning: Warning) => void }} callbacks
   */
  constructor(params, callbacks) {
    this.params = params;
    this.callbacks = callbacks;
  }

  /** Loads the model, or loads it again: what runs already is given up first. */
  load() {
    this.#sprat?.dispose();
    this.#sprat = null;
    this.#setStatus({ state: "loading", progress: { stage: "engine", loaded: 0, total: 0 } });
    this.#opening = this.#open();
    // Whoever asks a question handles the failure there; without a question it is shown through the status.
    this.#opening.catch(() => {});
  }

  /**
   * The engine, which takes questions from the start.
   *
   * @returns {Promise<Sprat>}
   */
  opened() {
    if (this.#opening === null) this.load();
    return /** @type {Promise<Sprat>} */ (this.#opening);
  }

  /**
   * Puts a mix into the place of the model, or the page's own model again. The conversation goes on with it.
   *
   * @param {Recipe | null} recipe
   * @param {UseOptions} [options]
   * @returns {Promise<Sprat>}
   */
  async use(recipe, options) {
    const sprat = await this.opened();
    await sprat.use(recipe ?? this.params.model, options);
    this.mixed = recipe;
    // The engine has told that it is ready, but not whose model it has.
    this.#setStatus(this.status);
    return sprat;
  }

  /**
   * Bytes of packs that are not stored on this device.
   *
   * @param {string[]} packs
   */
  async bytesMissing(packs) {
    await this.opened();
    const stored = new Set((await this.#module?.Sprat.stored())?.flatMap(({ urls }) => urls));
    const missing = packs.map((pack) => new URL(pack, location.href)).filter(({ href }) => !stored.has(href));
    const sizes = missing.map(async (pack) => {
      const response = await fetch(new URL("sprat.json", pack));
      const { files } = /** @type {{ files: { size: number }[] }} */ (await response.json());
      return files.reduce((sum, { size }) => sum + size, 0);
    });
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Removes the model from this device's storage; what is in memory goes on working. */
  async forget() {
    await this.#module?.Sprat.forget(this.params.model);
  }

  async #open() {
    try {
      // Imported by hand rather than at the top, so that a page whose engine is missing can still say so.
      // @ts-expect-error: only the built page has it
      this.#module ??= /** @type {EngineModule} */ (await import("../sprat/sprat.js"));
    } catch (thrown) {
      const failure = { ...failureOf(thrown), code: "network", message: "The engine's script could not be loaded." };
      this.#setStatus({ state: "failed", failure });
      throw Object.assign(new Error(failure.message), { code: failure.code });
    }
    const { device, cloud, model } = this.params;
    const sprat = this.#module.Sprat.open({
      model: this.mixed ?? model,
      cloud,
      cloudModel: "sprat-small",
      device,
      onProgress: (progress) => {
        if (this.#sprat === sprat && progress.stage !== "ready") this.#setStatus({ state: "loading", progress });
      },
      onWarning: (warning) => {
        this.#lastWarning = failureOf(warning);
        this.callbacks.onWarning(warning);
      },
      // Its first call comes before `open` returns; whatever matters then is read below.
      onStatus: () => void Promise.resolve().then(() => this.#follow(sprat)),
    });
    this.#sprat = sprat;
    this.#follow(sprat);
    return sprat;
  }

  /**
   * Shows the engine's state, also when it changes later: a lost adapter, a worker that had to be started anew.
   *
   * @param {Sprat} sprat
   */
  #follow(sprat) {
    if (this.#sprat !== sprat) return;
    const { state, device, model } = sprat;
    if (state === "ready" && device !== null && model !== null) {
      this.#setStatus({ state: "ready", device, model });
    } else if (state === "loading" && this.status.state !== "loading") {
      this.#setStatus({ state: "loading", progress: { stage: "load", loaded: 0, total: 0 } });
    } else if (state === "failed") {
      sprat.ready.then(
        () => this.#failed(sprat, this.#lastWarning ?? failureOf("The model is gone.")),
        (error) => this.#failed(sprat, failureOf(error)),
      );
    }
  }

  /**
   * @param {Sprat} sprat
   * @param {Failure} failure
   */
  #failed(sprat, failure) {
    if (this.#sprat === sprat && sprat.state === "failed") this.#setStatus({ state: "failed", failure });
  }

  /** @param {EngineStatus} status */
  #setStatus(status) {
    this.status = status;
    this.callbacks.onStatus(status);
  }
}
