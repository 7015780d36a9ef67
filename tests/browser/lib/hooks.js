// Runs inside the page and inside its workers, before anything of theirs: every way to the outside that JavaScript has
// is told about when it is used, also those whose bytes no proxy would see (WebRTC's UDP) or that never get that far.

/** What the hooks call; DevTools puts it there. */
export const BINDING = "__spratAttempt";

/** What a page that keeps to itself uses: files are fetched, and one worker runs the model. */
const HARMLESS = new Set(["fetch", "Worker"]);

/** The page's own service worker, registered by these words and no others. */
const OWN_SERVICE_WORKER = /^(sw\.js \{"updateViaCache":"none"\}|http:\/\/127\.0\.0\.1:\d+\/sw\.js)$/;

/** @param {{ api: string, text: string }} attempt whether no private conversation has any use for it */
export const isForbidden = ({ api, text }) =>
  !HARMLESS.has(api) && !api.startsWith("console.") && !(api === "service worker" && OWN_SERVICE_WORKER.test(text));

/**
 * Self-contained: it is sent to the browser as text. A worker has not all of its functions before its script is there,
 * so it may come twice.
 *
 * @param {string} binding
 */
function install(binding) {
  const report = globalThis[binding];
  const watched = (report.watched ??= new Set());
  const { FileReader } = globalThis;
  const bytes = (view) => Array.from(new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength)).join();
  /** What a value says, as text; blobs say it later. */
  const say = (value, later) => {
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return bytes(value);
    if (value instanceof URL || value instanceof URLSearchParams) return String(value);
    if (value instanceof Headers || value instanceof FormData) return JSON.stringify([...value]);
    if (value instanceof Request) {
      value.clone().text().then(later, () => {});
      return `${value.method} ${value.url} ${JSON.stringify([...value.headers])}`;
    }
    if (value instanceof Blob) {
      const reader = new FileReader();
      reader.onload = () => later(bytes(reader.result));
      reader.readAsArrayBuffer(value);
      return "a blob";
    }
    const { body, headers, method } = value;
    const parts = [method, headers, body].filter((part) => part !== undefined && part !== null);
    if (parts.length > 0) return parts.map((part) => say(part, later)).join(" ");
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const tell = (api, values) => {
    const later = (text) => report(JSON.stringify({ api, text }));
    later([...values].map((value) => say(value, later)).join(" "));
  };

  /** Tells of each call of a function, or of each object that a class makes. */
  const watch = (owner, name, api = name) => {
    const real = owner?.[name];
    if (typeof real !== "function" || watched.has(real)) return;
    owner[name] = new Proxy(real, {
      apply: (target, self, values) => (tell(api, values), Reflect.apply(target, self, values)),
      construct: (target, values, made) => (tell(api, values), Reflect.construct(target, values, made)),
    });
    watched.add(owner[name]);
  };
  /** Tells of each value that a property is set to. */
  const watchSetter = (owner, name, api) => {
    const real = owner && Object.getOwnPropertyDescriptor(owner, name);
    if (!real?.set || watched.has(real.set)) return;
    const set = function (value) {
      tell(api, [value]);
      real.set.call(this, value);
    };
    watched.add(set);
    Object.defineProperty(owner, name, { ...real, set });
  };
  const of = (name) => globalThis[name]?.prototype;

  for (const name of ["fetch", "importScripts", "open", "Worker", "SharedWorker", "PaymentRequest"]) watch(globalThis, name);
  for (const name of ["WebSocket", "EventSource", "WebTransport", "RTCPeerConnection"]) watch(globalThis, name);
  for (const name of ["open", "send", "setRequestHeader"]) watch(of("XMLHttpRequest"), name, "XMLHttpRequest");
  watch(of("WebSocket"), "send", "WebSocket");
  watch(of("RTCDataChannel"), "send", "RTCPeerConnection");
  watch(of("BroadcastChannel"), "postMessage", "BroadcastChannel");
  watch(of("Navigator"), "sendBeacon", "sendBeacon");
  watch(of("Navigator"), "share", "share");
  watch(of("ServiceWorkerContainer"), "register", "service worker");
  watch(of("ServiceWorker"), "postMessage", "service worker");
  watch(of("HTMLFormElement"), "submit", "form");
  watch(of("HTMLFormElement"), "requestSubmit", "form");
  watch(of("History"), "pushState", "history");
  watch(of("History"), "replaceState", "history");
  for (const name of ["Image", "IFrame", "Script", "Source", "Media", "Embed", "Track", "Object", "Input"]) {
    const type = of(`HTML${name}Element`);
    for (const property of ["src", "srcset", "data"]) watchSetter(type, property, name.toLowerCase());
  }
  for (const property of ["href", "ping"]) {
    watchSetter(of("HTMLLinkElement"), property, "link");
    watchSetter(of("HTMLAnchorElement"), property, "link");
  }
  watchSetter(of("Document"), "cookie", "cookie");
  watchSetter(of("Document"), "title", "title");
  for (const name of ["debug", "log", "info", "warn", "error"]) watch(console, name, `console.${name}`);
}

/** @param {string} [more] code to run after it */
export const hookSource = (more = "") => `(${install})(${JSON.stringify(BINDING)});${more}`;
