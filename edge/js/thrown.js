// @ts-check
/**
 * What is thrown where the engine is.
 */

/**
 * A failure of ours as it crosses to the page; anything else is internal.
 * @param {unknown} error
 * @returns {{ code: string, message: string }}
 */
export function failure(error) {
  const known = /** @type {any} */ (error);
  if (typeof known?.code === "string" && typeof known.message === "string") {
    return known instanceof Error ? { code: "internal", message: known.message } : known;
  }
  return { code: "internal", message: String(error) };
}

/**
 * Whether it is the GPU that failed, so that a CPU can do without it.
 * @param {unknown} error
 */
export function isGpuFailure(error) {
  return ["webgpu_unavailable", "webgpu_lost"].includes(failure(error).code);
}
