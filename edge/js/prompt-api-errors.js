// @ts-check
/**
 * Failures as the Prompt API names them. The failure of Sprat's is the exception's `cause`.
 */

import { asFailure } from "./failure.js";

/** @typedef {import("./types.js").ErrorCode} ErrorCode */

/**
 * @param {string} name
 * @param {string} message
 * @param {unknown} [cause]
 */
export function domException(name, message, cause) {
  const error = new DOMException(message, name);
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
  return error;
}

/**
 * That something does not fit. A browser that has the class for it uses that.
 * @param {number | null} requested tokens, if they could be counted
 * @param {number} quota
 * @returns {DOMException & { requested: number | null, quota: number }}
 */
export function quotaExceeded(requested, quota) {
  const message = "the input is too large for the model's context window";
  const { QuotaExceededError } = /** @type {any} */ (globalThis);
  if (typeof QuotaExceededError === "function" && "quota" in QuotaExceededError.prototype) {
    return new QuotaExceededError(message, { quota, ...(requested === null ? {} : { requested }) });
  }
  return Object.assign(domException("QuotaExceededError", message), { requested, quota });
}

/** Names of failures while a session is made. @type {Partial<Record<ErrorCode, string>>} */
const CREATING = {
  network: "NetworkError",
  model_missing: "NetworkError",
  model_unsupported: "NotSupportedError",
  too_large: "NotSupportedError",
  unsupported: "NotSupportedError",
  aborted: "AbortError",
};

/** Names of failures while it answers; the rest is an "UnknownError". @type {Partial<Record<ErrorCode, string>>} */
const PROMPTING = {
  // The API takes more than the engine does, such as a prompt that ends with an answer.
  bad_request: "NotSupportedError",
  // The gate has found the answer to be wrong, and nobody else may be asked.
  private_unanswerable: "NotReadableError",
  cloud_disabled: "NotAllowedError",
  // Whoever was asked has said no, or there was nobody to ask.
  consent_refused: "NotAllowedError",
  cloud_unreachable: "NetworkError",
  cloud_interrupted: "NetworkError",
  cloud_refused: "NetworkError",
  network: "NetworkError",
  model_unsupported: "NotSupportedError",
  too_large: "NotSupportedError",
  unsupported: "NotSupportedError",
  aborted: "AbortError",
};

/** @param {unknown} error of the engine's */
export function whileCreating(error) {
  if (error instanceof DOMException) return error;
  const failure = asFailure(error);
  return domException(CREATING[failure.code] ?? "OperationError", failure.message, failure);
}

/** @param {unknown} error of the engine's */
export function whilePrompting(error) {
  if (error instanceof DOMException) return error;
  const failure = asFailure(error);
  return domException(PROMPTING[failure.code] ?? "UnknownError", failure.message, failure);
}
