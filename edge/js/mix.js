// @ts-check
/**
 * Recipes, beside the engine: fetches the models that a recipe names, and keeps them with the module that merges them, so
 * that other numbers cost no download.
 */

/** @typedef {import("./types.js").Recipe} Recipe */
/** @typedef {import("./line.js").Line} Line */
/** @typedef {import("./modules.js").Modules} Modules */

export class Mixer {
  #modules;
  /** @type {Promise<any> | null} */
  #started = null;

  /** @param {Modules} modules */
  constructor(modules) {
    this.#modules = modules;
  }

  /**
   * The weights that a recipe makes, for the pack that `runtime` has fetched: its base.
   *
   * @param {any} runtime
   * @param {Recipe} recipe its models are absolute addresses of packs
   * @param {(url: string, work: (line: Line) => Promise<unknown>) => Promise<any>} alone runs a download in one tab at a time
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   * @returns {Promise<Uint8Array[]>} one for each of the base's files of weights
   */
  async mix(runtime, recipe, alone, signal, emit) {
    this.#started ??= this.#start();
    const mixing = await this.#started;
    const parents = parentsOf(recipe);
    for (const url of parents) {
      if (!mixing.has(url)) mixing.add(url, await alone(url, (line) => runtime.parent(url, line, signal, emit)));
    }
    mixing.keep(parents);
    /** @param {string} told */
    const tell = (told) => {
      const { done, total, warning } = JSON.parse(told);
      const event = warning
        ? { type: "warning", code: "recipe", message: warning }
        : { type: "progress", stage: "mix", loaded: done, total, message: nameOf(recipe) };
      emit(JSON.stringify(event));
    };
    return mixing.mix(JSON.stringify(recipe), tell);
  }

  /** Gives the models back. */
  close() {
    this.#started?.then((mixing) => mixing.free()).catch(() => {});
    this.#started = null;
  }

  async #start() {
    try {
      const module = await this.#modules.start("mix");
      return new module.WebMixer();
    } catch (error) {
      this.#started = null;
      throw error;
    }
  }
}

/**
 * What a mix is called: the names of the models that go into it, without that of the base.
 *
 * @param {Recipe} recipe
 */
export function nameOf(recipe) {
  const last = (/** @type {string} */ url) => url.replace(/\/+$/, "").split("/").pop() ?? url;
  return [...new Set((recipe.models ?? []).map(({ model }) => last(String(model))))].join(" + ");
}

/**
 * @param {Recipe} recipe
 * @returns {string[]}
 */
function parentsOf({ base_model, models = [] }) {
  const all = models.map(({ model }) => String(model));
  return [...new Set(base_model ? [String(base_model), ...all] : all)];
}
