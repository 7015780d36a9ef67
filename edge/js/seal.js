// @ts-check
/**
 * Takes its network from the worker that reads what people write.
 *
 * What forbids it is a policy that the server sends with this worker's script (`connect-src 'none'`); whether it came
 * is found out by trying. The functions that could connect are taken away as well: where there is no such policy that
 * is all there is, and it stops mistakes but not an attacker who has code in this worker.
 */

/** What can carry something out of a worker, apart from messages to the page. */
const WAYS_OUT = [
  "fetch", "fetchLater", "XMLHttpRequest", "WebSocket", "WebSocketStream", "WebTransport", "EventSource",
  "RTCPeerConnection", "BroadcastChannel", "Worker", "SharedWorker", "importScripts", "caches", "CacheStorage", "Cache",
];

/**
 * @param {any} scope the worker's global
 * @returns {Promise<boolean>} whether a policy forbids it to connect
 */
export async function seal(scope) {
  const sealed = await isForbidden(scope);
  for (const name of WAYS_OUT) remove(scope, name);
  return sealed;
}

/**
 * Whether the policy lets nothing be fetched, tried with an address that is no network's.
 * @param {any} scope
 * @returns {Promise<boolean>}
 */
async function isForbidden(scope) {
  /** @type {(event: { originalPolicy?: string }) => void} */
  let heard = () => {};
  const violation = new Promise((resolve) => {
    heard = ({ originalPolicy = "" }) => resolve(/connect-src 'none'/.test(originalPolicy));
    scope.addEventListener("securitypolicyviolation", heard);
  });
  try {
    await scope.fetch("data:,");
    return false;
  } catch {
    // The browser tells of it behind the refusal; another browser may not tell at all.
    const silence = new Promise((resolve) => setTimeout(resolve, 100, false));
    return await /** @type {Promise<boolean>} */ (Promise.race([violation, silence]));
  } finally {
    scope.removeEventListener("securitypolicyviolation", heard);
  }
}

/**
 * @param {any} scope
 * @param {string} name
 */
function remove(scope, name) {
  for (let owner = scope; owner; owner = Object.getPrototypeOf(owner)) {
    if (!Object.hasOwn(owner, name)) continue;
    // One that cannot be removed stays; the policy is what forbids.
    Reflect.deleteProperty(owner, name);
  }
}
