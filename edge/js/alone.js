// @ts-check
/**
 * Work of which there is one at a time, over all tabs of a site.
 */

/**
 * Runs `work` in one tab at a time, so that two tabs do not fetch the same model twice, or save into one place.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(name, signal, work) {
  if (!navigator.locks) return work();
  try {
    return await navigator.locks.request(name, { signal }, work);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw { code: "aborted", message: "stopped by the caller" };
    }
    throw error;
  }
}
