// @ts-check
/**
 * Sprat's typed error without Sprat: for modules that must not import the engine.
 */

/** @typedef {import("./types.js").ErrorCode} ErrorCode */
/** @typedef {import("./types.js").Receipt} Receipt */

/** Has the name and the fields of a `SpratError`; `code` is stable and may be matched on. */
export class Failure extends Error {
  /** @param {{ code: ErrorCode, message: string, hint?: string, partial?: string, receipt?: Receipt | null, cause?: unknown }} failure */
  constructor({ code, message, hint = "", partial = "", receipt = null, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SpratError";
    /** The stable name of the failure. @type {ErrorCode} */
    this.code = code;
    /** What can be done about it. @type {string} */
    this.hint = hint;
    /** The text of the answer so far. @type {string} */
    this.partial = partial;
    /** Who had answered until then. @type {Receipt | null} */
    this.receipt = receipt;
  }
}

/**
 * Whether this is an error of Sprat's, from whichever module.
 * @param {unknown} error
 * @returns {error is Failure}
 */
export function isSpratError(error) {
  return error instanceof Error && error.name === "SpratError" && "code" in error;
}

/**
 * Any error as one of Sprat's.
 * @param {unknown} error
 * @returns {Failure}
 */
export function asFailure(error) {
  if (isSpratError(error)) return error;
  return new Failure({ code: "internal", message: "something unexpected failed", cause: error });
}
