// An HTTP proxy between the browser and the world. It keeps every byte the browser sends, counts requests, can alter
// what comes back, and can hold an answer in its middle.

import http from "node:http";
import { Frames, accept } from "./websocket.js";

/**
 * @typedef {{ method: string, url: URL, path: string, headers: http.IncomingHttpHeaders, body: Buffer, aborted: boolean }} Seen
 * @typedef {{ match: RegExp, edit: (body: Buffer, seen: Seen) => Buffer | null }} Edit
 */

const HOP = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]);

/** With these a page may share memory between its workers. */
export const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** The middle of a streamed answer, stopped there until the test says how it goes on. */
class Hold {
  constructor(events) {
    this.events = events;
    /** Resolves once the browser has that many events and the rest is held back. */
    this.reached = new Promise((resolve, reject) => ([this.arrive, this.fail] = [resolve, reject]));
    this.reached.catch(() => {});
    /** Resolves once the browser has closed its side. */
    this.left = new Promise((resolve) => (this.leave = resolve));
    this.free = new Promise((resolve) => (this.go = resolve));
  }

  /** The rest goes to the browser. */
  release() {
    this.go("release");
  }

  /** The connection to the browser breaks here. */
  cut() {
    this.go("cut");
  }
}

export class Recorder {
  /** @type {Seen[]} */
  requests = [];
  /** Hosts other than the page's that the browser wanted to reach, or to tunnel to; they are never reached. */
  foreign = [];
  /** Requests to other hosts. @type {Seen[]} */
  strange = [];
  /** What the server has named its files' versions; a browser gives these names back. @type {Set<string>} */
  versions = new Set();
  /** Contents of WebSocket frames. @type {{ path: string, bytes: Buffer }[]} */
  frames = [];
  /** @type {Edit[]} */
  #edits = [];
  /** @type {RegExp | null} */
  #lost = null;
  /** @type {RegExp | null} */
  #stalled = null;
  /** @type {{ match: RegExp, opened: Promise<void> } | null} */
  #gate = null;
  /** @type {Map<string, { type: string, body: Buffer | string | ((reply: http.ServerResponse) => void), headers: Record<string, string> }>} */
  #offered = new Map();
  /** @type {Hold | null} */
  #hold = null;
  /** @type {Buffer[]} */
  #sent = [];
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();
  #server = http.createServer((request, reply) => this.#serve(request, reply));

  /** @param {string} origin the one origin that is reachable, as http://127.0.0.1:8787 */
  constructor(origin) {
    this.origin = new URL(origin);
  }

  async start() {
    this.#server.on("connection", (socket) => {
      // What is in a tunnel comes here a second time.
      if (this.#sockets.has(socket)) return;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", (bytes) => this.#sent.push(Buffer.from(bytes)));
      socket.on("error", () => {});
    });
    this.#server.on("connect", (request, socket, head) => this.#tunnel(request, socket, head));
    this.#server.on("upgrade", (request, socket, head) => this.#listen(request, socket, head));
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  /** What a browser takes as its proxy. */
  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async stop() {
    // Tunnels and WebSockets are no connections of the server's any more.
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Every byte that the browser has sent, as it came. */
  get bytes() {
    return Buffer.concat(this.#sent);
  }

  /** Whether these characters are in any byte that the browser has sent, in any header, address or body. */
  saw(text) {
    return this.bytes.includes(text);
  }

  /** The requests since `from`, an earlier `requests.length`, whose path matches. */
  since(from, path = /^/) {
    return this.requests.slice(from).filter((seen) => path.test(seen.path));
  }

  /**
   * Alters bodies on their way to the browser. `edit` gets the whole body; null leaves it alone.
   *
   * @param {RegExp} match on the path
   * @param {Edit["edit"]} edit
   */
  alter(match, edit) {
    this.#edits.push({ match, edit });
  }

  /** Answers 404 for paths that match, as if the file were not there. */
  lose(match) {
    this.#lost = match;
  }

  /** Leaves requests whose paths match without any answer. */
  stall(match) {
    this.#stalled = match;
  }

  /**
   * Holds requests back whose paths match, those that come behind the first `behind` of them.
   * @returns {() => void} lets them go on
   */
  delay(match, { behind = 0 } = {}) {
    let open = () => {};
    this.#gate = { match, behind, opened: new Promise((resolve) => (open = resolve)) };
    return open;
  }

  /** From here on nothing is altered, lost or left waiting. */
  honest() {
    this.#edits = [];
    this.#lost = null;
    this.#stalled = null;
    this.#gate = null;
  }

  /** Serves a file of the test's own at the page's origin; a function answers as it likes. */
  offer(path, type, body, headers = {}) {
    this.#offered.set(path, { type, body, headers });
  }

  /** Holds the next streamed answer after so many events. */
  holdAnswer(events) {
    this.#hold = new Hold(events);
    return this.#hold;
  }

  /** A browser tunnels WebSockets, and all of TLS. What is not encrypted is read as if it came without a tunnel. */
  #tunnel(request, socket, head) {
    this.foreign.push(request.url);
    if (request.url !== this.origin.host) {
      socket.end("HTTP/1.1 502 Not reachable in tests\r\n\r\n");
      return;
    }
    socket.write("HTTP/1.1 200 Connected to the recorder\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    this.#server.emit("connection", socket);
  }

  /** A WebSocket ends here: the page has none, and whatever has one is to be heard out. */
  #listen(request, socket, head) {
    const url = new URL(request.url, this.origin);
    const { method, headers } = request;
    this.requests.push({ method, url, path: url.pathname, headers, body: Buffer.alloc(0), aborted: false });
    accept(request, socket);
    const frames = new Frames();
    const hear = (bytes) => this.frames.push(...frames.push(bytes).map((content) => ({ path: url.pathname, bytes: content })));
    hear(head);
    socket.on("data", hear);
    socket.resume();
  }

  async #serve(request, reply) {
    const url = new URL(request.url, this.origin);
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    const seen = {
      method: request.method,
      url,
      path: url.pathname,
      headers: request.headers,
      body: Buffer.concat(chunks),
      aborted: false,
    };
    if (url.origin !== this.origin.origin) {
      this.foreign.push(url.host);
      this.strange.push(seen);
      reply.writeHead(502).end();
      return;
    }
    this.requests.push(seen);
    const offered = this.#offered.get(seen.path);
    if (typeof offered?.body === "function") return offered.body(reply);
    if (offered !== undefined) {
      reply.writeHead(200, { "content-type": offered.type, "cache-control": "no-store", ...offered.headers }).end(offered.body);
      return;
    }
    if (this.#stalled?.test(seen.path)) return;
    if (this.#gate?.match.test(seen.path) && this.#gate.behind-- <= 0) await this.#gate.opened;
    if (this.#lost?.test(seen.path)) {
      reply.writeHead(404).end();
      return;
    }
    const edits = this.#edits.filter(({ match }) => match.test(seen.path));
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP.has(name)));
    // An altered body has to be whole and plain here.
    if (edits.length > 0) for (const name of ["range", "if-range", "if-none-match", "if-modified-since", "accept-encoding"]) delete headers[name];

    const upstream = http.request(url, { method: request.method, headers, agent: false });
    reply.on("close", () => {
      seen.aborted = !reply.writableFinished;
      upstream.destroy();
    });
    upstream.on("error", () => (reply.headersSent ? reply.destroy() : reply.writeHead(502).end()));
    upstream.on("response", (answer) => {
      answer.on("error", () => reply.destroy());
      for (const name of ["etag", "last-modified"]) if (answer.headers[name]) this.versions.add(answer.headers[name]);
      if (edits.length > 0) void this.#sendAltered(answer, reply, edits, seen);
      else if (this.#hold !== null && /event-stream/.test(answer.headers["content-type"] ?? "")) void this.#sendHeld(answer, reply);
      else {
        reply.writeHead(answer.statusCode, forwarded(answer));
        answer.pipe(reply);
      }
    });
    upstream.end(seen.body);
  }

  async #sendAltered(answer, reply, edits, seen) {
    const chunks = [];
    try {
      for await (const chunk of answer) chunks.push(chunk);
    } catch {
      reply.destroy();
      return;
    }
    let body = Buffer.concat(chunks);
    for (const { edit } of edits) body = edit(body, seen) ?? body;
    const headers = forwarded(answer);
    for (const name of ["content-length", "etag", "last-modified", "accept-ranges"]) delete headers[name];
    headers["cache-control"] = "no-store";
    reply.writeHead(answer.statusCode, { ...headers, "content-length": body.length });
    reply.end(body);
  }

  async #sendHeld(answer, reply) {
    const hold = this.#hold;
    this.#hold = null;
    reply.on("close", () => hold.leave("left"));
    reply.writeHead(answer.statusCode, forwarded(answer));
    let text = "";
    let fate = null;
    try {
      for await (const chunk of answer) {
        if (fate !== null) {
          reply.write(chunk);
          continue;
        }
        text += chunk.toString("latin1");
        const events = text.split("\n\n");
        if (events.length - 1 < hold.events) continue;
        reply.write(Buffer.from(`${events.slice(0, hold.events).join("\n\n")}\n\n`, "latin1"));
        hold.arrive();
        fate = await Promise.race([hold.free, hold.left]);
        if (fate !== "release") break;
        reply.write(Buffer.from(events.slice(hold.events).join("\n\n"), "latin1"));
      }
      if (fate === null) hold.fail(new Error(`the answer had fewer than ${hold.events} events: ${text}`));
      if (fate === "cut") reply.destroy();
      else reply.end();
    } catch {
      reply.destroy();
    }
  }
}

/** @param {http.IncomingMessage} answer */
function forwarded(answer) {
  return Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOP.has(name)));
}
