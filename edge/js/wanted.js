// @ts-check
/**
 * Which model an engine is to have.
 */

import { Line } from "./line.js";

/**
 * A model to load: a pack, or what a recipe makes of several, the one at `url` being their base. `lines` lead to the
 * packs, by their addresses. `weights` are what the recipe made, for further devices.
 * `about` is its size, once it was looked up. `adapter` is the address of what is to be over it, `scale` times as much as it
 * says, and `above` its size.
 * @typedef {object} Wanted
 * @property {string} url empty where no model is wanted
 * @property {import("./types.js").Recipe | null} recipe
 * @property {Map<string, Line>} lines
 * @property {Uint8Array[] | null} weights
 * @property {string | null} adapter
 * @property {number} scale
 * @property {Promise<import("./budget.js").About | null>} [about]
 * @property {Promise<import("./budget.js").About | null>} [above]
 */

/**
 * What to load, as the page asks for it.
 * @param {{ url: string, recipe: import("./types.js").Recipe | null, adapter?: string | null, scale?: number, lines: [string, MessagePort][] }} data
 * @returns {Wanted}
 */
export function want({ url, recipe, adapter = null, scale = 1, lines }) {
  return { url, recipe, adapter, scale, lines: new Map(lines.map(([url, port]) => [url, new Line(port)])), weights: null };
}

/** No model. */
export const nothing = () => want({ url: "", recipe: null, lines: [] });

/**
 * Closes the lines of a model that is not wanted any more.
 * @param {Wanted} model
 */
export function closeLines({ lines }) {
  for (const line of lines.values()) line.close();
}
