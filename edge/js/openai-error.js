// @ts-check
/**
 * Failures in OpenAI's shape: the status and the body that the service would have answered with.
 */

import { asFailure, Failure } from "./failure.js";

/** @typedef {import("./openai-types.js").ErrorDetail} ErrorDetail */
/** @typedef {import("./types.js").ErrorCode} ErrorCode */

/** A failed request. `code` is Sprat's, `error` what OpenAI's API has as the body of the response. */
export class APIError extends Failure {
  /** @param {{ code: ErrorCode, message: string, hint?: string, partial?: string, receipt?: import("./types.js").Receipt | null, cause?: unknown, status?: number, error?: ErrorDetail }} failure */
  constructor({ status, error, ...failure }) {
    super(failure);
    /** The HTTP status, or the one that fits. @type {number | undefined} */
    this.status = status;
    /** OpenAI's error body. @type {ErrorDetail} */
    this.error = error ?? { message: failure.message, type: kind(status), param: null, code: null };
    /** The class of error. @type {string} */
    this.type = this.error.type;
    /** The field of the request at fault. @type {string | null} */
    this.param = this.error.param;
  }
}

/**
 * A request with a wrong field.
 * @param {string} param
 * @param {string} problem never what the field holds
 */
export function invalid(param, problem) {
  const message = `${param}: ${problem}`;
  const error = { message, type: "invalid_request_error", param, code: null };
  return new APIError({ code: "bad_request", message, status: 400, error });
}

/** Status, OpenAI's code and the field at fault, of Sprat's failures. @type {Record<ErrorCode, [number | undefined, string | null, string | null]>} */
const AS_HTTP = {
  bad_request: [400, null, null],
  context_too_long: [400, "context_length_exceeded", "messages"],
  private_unanswerable: [422, "private_unanswerable", null],
  consent_refused: [422, "consent_refused", null],
  cloud_disabled: [400, "cloud_disabled", "model"],
  model_missing: [503, "not_ready", null],
  model_corrupt: [503, "not_ready", null],
  model_unsupported: [503, "not_ready", null],
  network: [503, "not_ready", null],
  cloud_unreachable: [502, "upstream_failed", null],
  cloud_interrupted: [502, "upstream_failed", null],
  cloud_refused: [502, "upstream_failed", null],
  webgpu_unavailable: [503, "not_ready", null],
  webgpu_lost: [500, "generation_failed", null],
  worker_lost: [500, "generation_failed", null],
  too_large: [503, "not_ready", null],
  unsupported: [503, "not_ready", null],
  aborted: [undefined, null, null],
  internal: [500, "generation_failed", null],
};

/**
 * A failure of the engine as one of the API.
 * @param {unknown} error
 * @returns {APIError}
 */
export function fromEngine(error) {
  if (error instanceof APIError) return error;
  const { code, message, hint, partial, receipt, cause } = asFailure(error);
  const [status, apiCode, param] = AS_HTTP[code] ?? AS_HTTP.internal;
  const detail = { message, type: kind(status), param, code: apiCode };
  return new APIError({ code, message, hint, partial, receipt, cause, status, error: detail });
}

/** That somebody has stopped it. */
export function aborted() {
  return new APIError({ code: "aborted", message: "stopped by the caller" });
}

/** @param {number | undefined} status */
export function kind(status = 500) {
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
