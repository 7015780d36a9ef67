// @ts-check
/**
 * The one kind of error that Sprat throws.
 */

/** @typedef {import("./types.js").ErrorCode | import("./types.js").SavedErrorCode | import("./types.js").AdapterErrorCode} ErrorCode */
/** @typedef {import("./types.js").Failure} Failure */
/** @typedef {import("./types.js").Receipt} Receipt */

/** Every failure of Sprat. `code` is stable and may be matched on. */
export class SpratError extends Error {
  /** @param {Partial<Failure> & { code: ErrorCode, message: string }} failure */
  constructor({ code, message, hint = "", partial = "", receipt = null }) {
    super(message);
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
