// @ts-check
/**
 * Recipes, in the worker: fetches the models that a recipe names, and keeps them with the module that merges them, so
 * that other numbers cost no download.
 */

/** @typedef {import("./types.js").Recipe} Recipe */
/** @typedef {import("./line.js").Line} Line */

/** @type {Promise<any> | null} */
let mixer = null;

/**
 * The weights that a recipe makes, for the pack that `runtime` has fetched: its base.
 *
 * @param {any} runtime
 * @param {import("./modules.js").Modules} modules
 * @param {Recipe} recipe its models are absolute addresses of packs
 * @param {(url: string, work: (line: Line) => Promise<unknown>) => Promise<any>} alone runs a download in one tab at a time
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 * @returns {Promise<Uint8Array[]>} one for each of the base's files of weights
 */
export async function mix(runtime, modules, recipe, alone, signal, emit) {
  mixer ??= start(modules);
  const mixing = await mixer;
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

/** @param {import("./modules.js").Modules} modules */
async function start(modules) {
  try {
    const compiled = modules.get("mix");
    // @ts-ignore: built, not written
    const module = await import("./mix/sprat_mix.js");
    await module.default({ module_or_path: await compiled });
    return new module.WebMixer();
  } catch (error) {
    mixer = null;
    throw { code: "unsupported", message: `the module that mixes cannot be started: ${error}`, hint: "Check the connection and that the package is whole." };
  }
}
