// @ts-check
/**
 * Sprat's typed error without Sprat: for modules that must not import the engine.
 */

import { SpratError } from "./error.js";

/** @typedef {import("./types.js").ErrorCode} ErrorCode */
/** @typedef {import("./types.js").Receipt} Receipt */
/** What an answer fails with. @typedef {Failure & { code: ErrorCode }} AnswerFailure */

/** A `SpratError` that may have a cause. */
export class Failure extends SpratError {
  /** @param {{ code: ErrorCode, message: string, hint?: string, partial?: string, receipt?: Receipt | null, cause?: unknown }} failure */
  constructor({ cause, ...failure }) {
    super(failure);
    if (cause !== undefined) Object.defineProperty(this, "cause", { value: cause, configurable: true, writable: true });
  }
}

/**
 * Whether this is an error of Sprat's, also of another copy of the package.
 * @param {unknown} error
 * @returns {error is AnswerFailure}
 */
export function isSpratError(error) {
  return error instanceof Error && error.name === "SpratError" && "code" in error;
}

/**
 * Any error of an answer as one of Sprat's.
 * @param {unknown} error
 * @returns {AnswerFailure}
 */
export function asFailure(error) {
  if (isSpratError(error)) return error;
  const failure = new Failure({ code: "internal", message: "something unexpected failed", cause: error });
  return /** @type {AnswerFailure} */ (failure);
}
