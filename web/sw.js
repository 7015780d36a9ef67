/**
 * The page's service worker: keeps the page for visits without a network.
 *
 * It keeps the page's own files and the engine's modules, all of one build, as the server sent them: with their headers,
 * so that the policy that seals the engine's worker is kept as well. Models are in the engine's own store. Nothing that
 * anybody asks or is answered comes by here: what is not a file of the list below is left to the browser.
 */

/**
 * SHA-256 of each file, by its path from here; "" is the page itself. `later`: what not every visit needs is kept when it
 * is first used. `cpu`: of these a browser takes one. web/precache.mjs fills it in; as it is here, this worker does nothing.
 *
 * @typedef {Record<string, string>} Hashes
 * @type {{ version: string, files: Hashes, later: Hashes, cpu: string[] }}
 */
const BUILD = { version: "", files: {}, later: {}, cpu: [] };
/** The function of edge/js/simd.js, likewise filled in. @type {() => boolean} */
const hasRelaxedSimd = () => false;

/** A page of the same origin in another folder has caches of its own. */
const BASE = new URL("./", location.href);
const OURS = `sprat-page ${BASE.pathname} `;
const CACHE = OURS + BUILD.version;
/** A mark in the cache: the server has another build by now. No file has this address. */
const OUTDATED = new URL("./.outdated", BASE);
/** Milliseconds after which a page that is kept need not wait for the network. */
const PATIENCE = 3000;

/** The types of a page know no service worker. @type {any} */
const worker = self;
worker.addEventListener("install", (/** @type {any} */ event) => event.waitUntil(install()));
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(clear()));
worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const path = pathOf(event.request);
  if (path !== null) event.respondWith(path === "" ? page(event.request) : file(event, path));
});

/** Keeps a whole build, or nothing. */
async function install() {
  const cache = await caches.open(CACHE);
  try {
    const takes = BUILD.cpu.filter((path) => path.includes("_relaxed_") === hasRelaxedSimd());
    const cpu = takes.length > 0 ? takes : BUILD.cpu;
    // Past copies that may be of another build; what has not changed costs one 304.
    const fetched = [...Object.keys(BUILD.files), ...cpu].map(async (path) => keep(cache, path, await fetch(addressOf(path), { cache: "no-cache" })));
    await Promise.all(fetched);
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
  // An open page of an earlier build could get a file of this one, as without a service worker; waiting until all are
  // closed would show a person the old build for as long.
  await worker.skipWaiting();
}

/** Removes earlier builds. */
async function clear() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== CACHE).map((name) => caches.delete(name)));
}

/**
 * The path of a listed file, without what stands behind a question mark; null for all else.
 *
 * @param {Request} request
 */
function pathOf({ method, url }) {
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== BASE.origin || !pathname.startsWith(BASE.pathname)) return null;
  const path = pathname.slice(BASE.pathname.length).replace(/^index\.html$/, "");
  return hashFor(path) === undefined ? null : path;
}

/**
 * The page: the server's as long as it can be had, so that a new build is taken at once. It names its build, and where
 * that is another one, what is kept is outdated.
 *
 * @param {Request} request
 * @returns {Promise<Response>}
 */
async function page(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const isOfBuild = (await hashOf(response.clone())) === BUILD.files[""];
    const kept = await cache.match(addressOf(""));
    if (isOfBuild && (kept === undefined || isolation(response) === isolation(kept))) await cache.delete(OUTDATED);
    else await cache.put(OUTDATED, new Response());
    return response;
  } catch (error) {
    const kept = await cache.match(addressOf(""));
    if (kept === undefined) throw error;
    // The page that is kept takes the files that are kept.
    await cache.delete(OUTDATED);
    return kept;
  }
}

/**
 * What isolates a page, which takes no workers that were kept while it was not isolated.
 *
 * @param {Response} response
 */
function isolation({ headers }) {
  return headers.get("cross-origin-embedder-policy");
}

/**
 * A file: the one that is kept; or the server's, where the page is of another build than what is kept. The two are never
 * mixed.
 *
 * @param {any} event
 * @param {string} path
 * @returns {Promise<Response>}
 */
async function file(event, path) {
  const cache = await caches.open(CACHE);
  if ((await cache.match(OUTDATED)) !== undefined) return fetch(event.request);
  const kept = await cache.match(addressOf(path));
  if (kept !== undefined) return kept;
  const response = await fetch(event.request);
  event.waitUntil(keep(cache, path, response.clone()).catch(() => {}));
  return response;
}

/**
 * Keeps a file, if it is of this build.
 *
 * @param {Cache} cache
 * @param {string} path
 * @param {Response} response
 */
async function keep(cache, path, response) {
  if (!response.ok || (await hashOf(response.clone())) !== hashFor(path)) throw new Error(`${path} is not of this build`);
  await cache.put(addressOf(path), response);
}

/** @param {string} path */
function addressOf(path) {
  return new URL(`./${path}`, BASE);
}

/** @param {string} path */
function hashFor(path) {
  return [BUILD.files, BUILD.later].find((list) => Object.hasOwn(list, path))?.[path];
}

/**
 * SHA-256 of a body in hexadecimal digits.
 *
 * @param {Response} response
 */
async function hashOf(response) {
  const digest = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
