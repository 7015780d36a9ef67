/**
 * What the page's own address asks for: ?device=cpu|webgpu, ?cloud=off|<url>, ?model=<url>.
 *
 * @typedef {{ device: "auto" | "cpu" | "webgpu", cloud: string | null, model: string, bundled: boolean, problems: string[] }} Params
 *   `bundled`: the page brings the model along
 */

/**
 * @param {URL | string} page the page's address; relative addresses are relative to it
 * @param {{ cloud?: string, device?: string, model?: string }} [defaults] the page's own wishes, as in its address
 * @returns {Params}
 */
export function readParams(page, defaults = {}) {
  const address = new URL(page);
  const query = address.searchParams;
  /** @type {string[]} */
  const problems = [];

  /** @type {Params["device"]} */
  let device = "auto";
  const wanted = query.get("device") ?? defaults.device ?? null;
  if (wanted === "cpu" || wanted === "webgpu" || wanted === "auto") device = wanted;
  else if (wanted !== null) problems.push(`?device=${wanted} is unknown; cpu and webgpu are possible.`);

  const off = (query.get("cloud") ?? defaults.cloud) === "off";
  return {
    device,
    cloud: off ? null : trimSlash(resolve(address, "cloud", "/v1", problems)),
    model: withSlash(resolve(address, "model", "models/sprat-tiny/", problems)),
    bundled: defaults.model === "bundled" && !query.get("model"),
    problems,
  };
}

/**
 * The host of `url` when it is not the page's own: where questions or downloads go to that the person did not open.
 *
 * @param {string | null} url
 * @param {URL | string} page
 * @returns {string | null}
 */
export function foreignHost(url, page) {
  if (url === null) return null;
  const there = new URL(url);
  return there.origin === new URL(page).origin ? null : there.host;
}

/**
 * @param {URL} address
 * @param {string} name
 * @param {string} usual
 * @param {string[]} problems
 */
function resolve(address, name, usual, problems) {
  // The page's own query and fragment are no part of what it points at.
  const base = new URL(address);
  base.search = base.hash = "";
  const given = address.searchParams.get(name);
  // Beside a page from a file or an app's own scheme.
  if (!given) return new URL(usual, base).href;
  try {
    const url = new URL(given, base);
    if (url.protocol === "https:" || url.protocol === "http:") return url.href;
  } catch {
    // Said below, together with addresses of another kind (javascript:, file:).
  }
  problems.push(`?${name}=${given} is not a web address; the usual one is used.`);
  return new URL(usual, base).href;
}

/** @param {string} url */
function trimSlash(url) {
  return url.replace(/\/+$/, "");
}

/** @param {string} url */
function withSlash(url) {
  return url.endsWith("/") ? url : `${url}/`;
}
