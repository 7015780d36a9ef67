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
  "RTCPeerConnection", "BroadcastChannel", "Worker", "SharedWorker", "caches", "CacheStorage", "Cache",
];

/**
 * @param {any} scope the worker's global
 * @returns {Promise<boolean>} whether a policy forbids it to connect
 */
export async function seal(scope) {
  const sealed = await isForbidden(scope);
  for (const name of WAYS_OUT) remove(scope, name);
  confineScripts(scope);
  return sealed;
}

/**
 * Leaves `importScripts` to classic workers only, and for scripts beside their own: what bundlers that make classic
 * workers (Parcel) write in the place of `import()`. An address with a query could carry something out.
 * @param {any} scope
 */
function confineScripts(scope) {
  const { importScripts, location } = scope;
  remove(scope, "importScripts");
  const isClassic = () => (importScripts.call(scope), true);
  if (!importScripts || !succeeds(isClassic) || !/^https?:/.test(location?.protocol)) return;
  const folder = location.origin + location.pathname.replace(/[^/]*$/, "");
  scope.importScripts = (/** @type {string[]} */ ...scripts) => {
    for (const script of scripts) {
      const { href, search, hash } = new URL(script, location.href);
      if (!href.startsWith(folder) || search || hash) throw new TypeError("this worker loads its own scripts only");
    }
    importScripts.apply(scope, scripts);
  };
}

/** @param {() => boolean} work @returns {boolean} false if it throws */
function succeeds(work) {
  try {
    return work();
  } catch {
    return false;
  }
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
