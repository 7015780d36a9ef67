// @ts-check
/**
 * Who uses which stored model, over all tabs of a site: locks that a tab's end lets go.
 */

/**
 * Gets a lock.
 * @param {string} name
 * @param {boolean} shared whether others may have it too; if not, it is given at once or not at all
 * @returns {Promise<(() => void) | undefined>} lets it go; undefined where it cannot be had
 */
export async function hold(name, shared) {
  const locks = navigator.locks;
  if (!locks) return undefined;
  return new Promise((resolve, reject) => {
    /** @type {LockOptions} */
    const options = shared ? { mode: "shared" } : { ifAvailable: true };
    const ended = locks.request(name, options, (lock) => {
      if (!lock) return resolve(undefined);
      return new Promise((free) => resolve(() => free(undefined)));
    });
    ended.catch(reject);
  });
}
