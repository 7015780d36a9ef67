// @ts-check
/**
 * Takes its network from the worker that reads what people write.
 *
 * What forbids it is a policy that the server sends with this worker's script, which lets it neither connect nor load;
 * whether it came is found out by trying. The functions that could reach out are taken away as well: where there is no
 * such policy that is all there is, and it stops mistakes but not an attacker who has code in this worker.
 */

/** What can carry something out of a worker, apart from messages to the page. */
const WAYS_OUT = [
  "fetch", "fetchLater", "XMLHttpRequest", "WebSocket", "WebSocketStream", "WebTransport", "EventSource",
  "RTCPeerConnection", "BroadcastChannel", "Worker", "SharedWorker", "caches", "CacheStorage", "Cache",
  // Firefox loads fonts in workers whatever their policy says.
  "FontFace", "Notification", "serviceWorker",
];

/** Milliseconds within which a browser tells of what it has refused. */
const TELLS_WITHIN = 100;

/**
 * @param {any} scope the worker's global
 * @returns {Promise<boolean>} whether a policy forbids it to connect and to load anything
 */
export async function seal(scope) {
  const sealed = await isSealed(scope);
  takeAway(scope);
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
  const folder = new URL(".", location.href).href;
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
 * Whether there is such a policy: the browser names it when it refuses an address that is no network's.
 * @param {any} scope
 * @returns {Promise<boolean>}
 */
async function isSealed(scope) {
  /** @type {(event: { originalPolicy?: string }) => void} */
  let heard = () => {};
  const violation = new Promise((resolve) => {
    heard = ({ originalPolicy = "" }) => forbidsAll(originalPolicy) && resolve(true);
    scope.addEventListener("securitypolicyviolation", heard);
  });
  try {
    await scope.fetch("data:,");
    return false;
  } catch {
    // The browser tells of it behind the refusal; another browser may not tell at all.
    const silence = new Promise((resolve) => setTimeout(resolve, TELLS_WITHIN, false));
    return await /** @type {Promise<boolean>} */ (Promise.race([violation, silence]));
  } finally {
    scope.removeEventListener("securitypolicyviolation", heard);
  }
}

/** Sources that are no address: none, compiling WebAssembly, and scripts of the page's own HTML. */
const NO_ADDRESS = /^'(none|wasm-unsafe-eval|sha(256|384|512)-[^']+)'$/;
/** A worker from a blob has the policy of whoever made it. */
const OWN_BLOBS = /^blob:$/;

/**
 * Whether a worker under this policy can neither connect nor load a script, another worker or a font.
 * @param {string} policy
 */
function forbidsAll(policy) {
  /** @type {Map<string, string[]>} */
  const directives = new Map();
  for (const directive of policy.split(";")) {
    const [name = "", ...sources] = directive.trim().split(/\s+/);
    // Of two with one name, the first holds.
    if (!directives.has(name)) directives.set(name, sources);
  }
  /** The first of these that the policy has, or else the default; without one, everything is allowed. @param {string[]} names */
  const sourcesOf = (...names) => [...names, "default-src"].map((name) => directives.get(name)).find(Boolean) ?? ["*"];
  const isNone = (/** @type {string} */ source) => source === "'none'";
  return (
    sourcesOf("connect-src").every(isNone) &&
    sourcesOf("font-src").every(isNone) &&
    sourcesOf("script-src-elem", "script-src").every((source) => NO_ADDRESS.test(source)) &&
    sourcesOf("worker-src", "child-src", "script-src").every((source) => NO_ADDRESS.test(source) || OWN_BLOBS.test(source))
  );
}

/** @param {any} scope */
function takeAway(scope) {
  for (const name of WAYS_OUT) {
    remove(scope, name);
    remove(scope.navigator, name);
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
