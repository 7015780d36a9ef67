// @ts-check
/**
 * What is done with abort signals more than once.
 */

/**
 * A controller that is aborted with the first of the signals. Whoever is done calls `release`, so that a long-lived signal
 * holds nothing.
 * @param {...(AbortSignal | null | undefined)} signals
 * @returns {{ controller: AbortController, release: () => void }}
 */
export function linked(...signals) {
  const controller = new AbortController();
  const links = signals.filter((signal) => !!signal).map((signal) => ({ signal, abort: () => controller.abort(signal.reason) }));
  for (const { signal, abort } of links) {
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
  }
  return { controller, release: () => links.forEach(({ signal, abort }) => signal.removeEventListener("abort", abort)) };
}

/**
 * What `promise` gives, or a rejection with the signal's reason as soon as it is aborted.
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
export function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
