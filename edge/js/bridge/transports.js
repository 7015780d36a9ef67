// @ts-check
/**
 * The ways between a page and its host, each as an object with `post(text)` and `onmessage`.
 *
 * A way that only the app can use needs no list of origins; one that other windows can use too has one, and what comes
 * from elsewhere is counted by `onrefused` and never answered.
 */

import { SpratError } from "../error.js";

/**
 * @typedef {object} Transport
 * @property {string} name
 * @property {(text: string) => void} post throws when nobody can hear it
 * @property {((data: unknown) => void) | null} onmessage
 * @property {((reason: "origin") => void) | null} [onrefused] something came from where nothing may come from
 * @property {(() => void) | null} [onclose] the other side is gone
 * @property {() => void} [close] stops to listen
 */

/** What an app's `postMessage` into its own webview has as origin: no page can have it. */
export const APP_ORIGIN = "";

/**
 * A page in a frame, or in a window that another has opened.
 *
 * @param {object} options
 * @param {string[]} options.origins of the page that may be the host, such as "https://app.example"
 * @param {Window} [options.target] the host's window; the parent or the opener by default
 * @param {Window} [options.window]
 * @returns {Transport}
 */
export function windowTransport({ origins, window: own = globalThis.window, target = own.parent === own ? own.opener : own.parent }) {
  const allowed = allowlist(origins);
  if (!target) throw unsupported("this window has neither a parent nor an opener");
  /** The origin that has spoken, which is the only one from then on. @type {string | null} */
  let host = null;
  /** @type {Transport} */
  const transport = {
    name: "window",
    onmessage: null,
    onrefused: null,
    // Until the host has spoken, each origin that it may have is tried: the browser delivers only where it fits.
    post: (text) => (host ? [host] : [...allowed]).forEach((origin) => target.postMessage(text, origin)),
    close: () => own.removeEventListener("message", hear),
  };
  /** @param {MessageEvent} event */
  const hear = ({ data, origin, source }) => {
    if (source !== target || !allowed.has(origin) || (host ?? origin) !== origin) return transport.onrefused?.("origin");
    host = origin;
    transport.onmessage?.(data);
  };
  own.addEventListener("message", hear);
  return transport;
}

/**
 * One end of a channel, however the page came to it.
 *
 * @param {MessagePort} port
 * @returns {Transport}
 */
export function portTransport(port) {
  /** @type {Transport} */
  const transport = { name: "port", onmessage: null, onclose: null, post: (text) => port.postMessage(text), close: () => port.close() };
  port.onmessage = ({ data }) => transport.onmessage?.(data);
  // Newer browsers tell when the other end is gone.
  port.addEventListener("close", () => transport.onclose?.());
  return transport;
}

/**
 * Waits for a message `greeting` with a port in it: from a page of these origins, or with `APP_ORIGIN` among them from
 * an Android app's `WebView.postWebMessage`.
 *
 * @param {object} options
 * @param {string[]} options.origins
 * @param {string} [options.greeting]
 * @param {AbortSignal} [options.signal]
 * @param {(reason: "origin") => void} [options.onRefused]
 * @param {Window} [options.window]
 * @returns {Promise<Transport>}
 */
export function awaitPort({ origins, greeting = "sprat.port", signal, onRefused, window: own = globalThis.window }) {
  const allowed = allowlist(origins);
  return new Promise((resolve, reject) => {
    const done = () => {
      own.removeEventListener("message", hear);
      signal?.removeEventListener("abort", stop);
    };
    /** @param {MessageEvent} event */
    const hear = ({ data, origin, ports }) => {
      if (data !== greeting || ports.length !== 1) return;
      if (!allowed.has(origin)) return onRefused?.("origin");
      done();
      resolve(portTransport(ports[0]));
    };
    const stop = () => {
      done();
      reject(new SpratError({ code: "aborted", message: "no port came before the caller stopped waiting" }));
    };
    own.addEventListener("message", hear);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
  });
}

/**
 * WKWebView: `webkit.messageHandlers.NAME` out; the app calls the global function `receiver` in.
 *
 * @param {{ handler?: string, receiver?: string, window?: any }} [options]
 * @returns {Transport}
 */
export function webkitTransport({ handler = "sprat", receiver = "spratReceive", window: own = globalThis.window } = {}) {
  const host = own.webkit?.messageHandlers?.[handler];
  if (!host) throw unsupported(`there is no webkit.messageHandlers.${handler}`);
  return throughFunction("webkit", own, receiver, (text) => host.postMessage(text));
}

/**
 * Android's `addJavascriptInterface`: an object with `postMessage(String)` out; the app calls the global function
 * `receiver` in.
 *
 * @param {{ object?: string, receiver?: string, window?: any }} [options]
 * @returns {Transport}
 */
export function androidTransport({ object = "AndroidBridge", receiver = "spratReceive", window: own = globalThis.window } = {}) {
  if (typeof own[object]?.postMessage !== "function") throw unsupported(`there is no ${object}.postMessage`);
  // Called as a method: Java's objects refuse a function that was taken off them.
  return throughFunction("android", own, receiver, (text) => own[object].postMessage(text));
}

/**
 * The object that AndroidX's `WebViewCompat.addWebMessageListener` puts into pages of the origins the app has named.
 *
 * @param {{ object?: string, window?: any }} [options]
 * @returns {Transport}
 */
export function androidListenerTransport({ object = "AndroidBridge", window: own = globalThis.window } = {}) {
  const host = own[object];
  if (typeof host?.addEventListener !== "function") throw unsupported(`${object} is not the object of a WebMessageListener`);
  /** @param {MessageEvent} event */
  const hear = ({ data }) => transport.onmessage?.(data);
  /** @type {Transport} */
  const transport = {
    name: "android-listener",
    onmessage: null,
    post: (text) => host.postMessage(text),
    close: () => host.removeEventListener("message", hear),
  };
  host.addEventListener("message", hear);
  return transport;
}

/**
 * React Native: `ReactNativeWebView.postMessage` out, `message` events on the window or the document in.
 *
 * @param {{ window?: any }} [options]
 * @returns {Transport}
 */
export function reactNativeTransport({ window: own = globalThis.window } = {}) {
  if (typeof own.ReactNativeWebView?.postMessage !== "function") throw unsupported("there is no ReactNativeWebView");
  const targets = [own, own.document].filter(Boolean);
  const heard = new WeakSet();
  /** @param {MessageEvent} event */
  const hear = (event) => {
    // One that bubbles from the document comes by twice.
    if (heard.has(event)) return;
    heard.add(event);
    // The app makes its events inside this window. What another window has sent always has an origin or a source.
    if (event.origin || event.source) return transport.onrefused?.("origin");
    transport.onmessage?.(event.data);
  };
  /** @type {Transport} */
  const transport = {
    name: "react-native",
    onmessage: null,
    onrefused: null,
    post: (text) => own.ReactNativeWebView.postMessage(text),
    close: () => targets.forEach((target) => target.removeEventListener("message", hear)),
  };
  for (const target of targets) target.addEventListener("message", hear);
  return transport;
}

/**
 * The way that this page has.
 *
 * @param {{ origins?: string[], handler?: string, object?: string, receiver?: string, window?: any }} [options]
 * @returns {Transport}
 */
export function detect({ origins = [], handler = "sprat", object = "AndroidBridge", receiver, window: own = globalThis.window } = {}) {
  // Before WebKit's: on iOS React Native has handlers of its own.
  if (own?.ReactNativeWebView) return reactNativeTransport({ window: own });
  if (own?.webkit?.messageHandlers?.[handler]) return webkitTransport({ handler, receiver, window: own });
  if (typeof own?.[object]?.addEventListener === "function") return androidListenerTransport({ object, window: own });
  if (own?.[object]) return androidTransport({ object, receiver, window: own });
  if (origins.length > 0) return windowTransport({ origins, window: own });
  throw unsupported("no host was found");
}

/**
 * @param {string} name
 * @param {any} own
 * @param {string} receiver
 * @param {(text: string) => void} post
 * @returns {Transport}
 */
function throughFunction(name, own, receiver, post) {
  if (own[receiver] !== undefined) throw new SpratError({ code: "bad_request", message: "another bridge has the receiving function; close it first" });
  /** @type {Transport} */
  const transport = { name, onmessage: null, post, close: () => void delete own[receiver] };
  // Only scripts of this window can call it: a frame of another origin cannot.
  own[receiver] = (/** @type {unknown} */ data) => transport.onmessage?.(data);
  return transport;
}

/**
 * Origins as a browser writes them.
 * @param {string[]} origins
 */
function allowlist(origins) {
  if (!Array.isArray(origins) || origins.length === 0 || !origins.every(isOrigin)) {
    throw new SpratError({
      code: "bad_request",
      message: 'origins must be a list such as ["https://app.example"]; "*" and "null" are anyone',
    });
  }
  return new Set(origins);
}

/** @param {unknown} origin */
function isOrigin(origin) {
  if (origin === APP_ORIGIN) return true;
  try {
    return typeof origin === "string" && new URL(origin).origin === origin;
  } catch {
    return false;
  }
}

/** @param {string} message */
function unsupported(message) {
  return new SpratError({ code: "unsupported", message, hint: "docs/webview/README.md says what each kind of host provides." });
}
