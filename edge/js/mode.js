// @ts-check
/**
 * Who is to answer: the four modes, and the short names that three of them have.
 */

import { SpratError } from "./error.js";

/** @typedef {import("./types.js").Mode} Mode */

/**
 * What the engine knows: "auto" is this device, and the cloud where it is not sure; "cloud-first" the other way round.
 * @typedef {"auto" | "device" | "cloud-first" | "cloud"} EngineMode
 */

/** @type {Record<Mode, EngineMode>} */
const MODES = {
  "prefer-device": "auto",
  "only-device": "device",
  "prefer-cloud": "cloud-first",
  "only-cloud": "cloud",
  auto: "auto",
  device: "device",
  cloud: "cloud",
};

/** All names, the four first. */
export const MODE_NAMES = /** @type {Mode[]} */ (Object.keys(MODES));

/**
 * Whether this is the name of a mode.
 * @param {unknown} name
 * @returns {name is Mode}
 */
export function isMode(name) {
  return typeof name === "string" && Object.hasOwn(MODES, name);
}

/**
 * What a mode is for the engine.
 * @param {unknown} name the default where there is none
 * @returns {EngineMode}
 */
export function engineMode(name = "auto") {
  if (isMode(name)) return MODES[name];
  throw new SpratError({
    code: "bad_request",
    message: `mode must be one of ${MODE_NAMES.map((mode) => `"${mode}"`).join(", ")}`,
  });
}
