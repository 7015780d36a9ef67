// An HTTP proxy between the browser and the world. It keeps every byte the browser sends, counts requests, can alter
// what comes back, and can hold an answer in its middle.

import http from "node:http";

/**
 * @typedef {{ method: string, url: URL, path: string, headers: http.IncomingHttpHeaders, body: Buffer, aborted: boolean }} Seen
 * @typedef {{ match: RegExp, edit: (body: Buffer, seen: Seen) => Buffer | null }} Edit
 */

const HOP = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]);

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
  /** Hosts other than the page's that the browser wanted to reach; they are never reached. */
  foreign = [];
  /** @type {Edit[]} */
  #edits = [];
  /** @type {RegExp | null} */
  #lost = null;
  /** @type {Map<string, { type: string, body: Buffer | string }>} */
  #offered = new Map();
  /** @type {Hold | null} */
  #hold = null;
  /** @type {Buffer[]} */
  #sent = [];
  #server = http.createServer((request, reply) => this.#serve(request, reply));

  /** @param {string} origin the one origin that is reachable, as http://127.0.0.1:8787 */
  constructor(origin) {
    this.origin = new URL(origin);
  }

  async start() {
    this.#server.on("connection", (socket) => {
      socket.on("data", (bytes) => this.#sent.push(Buffer.from(bytes)));
      socket.on("error", () => {});
    });
    this.#server.on("connect", (request, socket) => {
      this.foreign.push(request.url);
      socket.end("HTTP/1.1 502 Not reachable in tests\r\n\r\n");
    });
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  /** What a browser takes as its proxy. */
  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Whether these characters are in any byte that the browser has sent, in any header, address or body. */
  saw(text) {
    return Buffer.concat(this.#sent).includes(text);
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

  /** From here on nothing is altered or lost. */
  honest() {
    this.#edits = [];
    this.#lost = null;
  }

  /** Serves a file of the test's own at the page's origin. */
  offer(path, type, body) {
    this.#offered.set(path, { type, body });
  }

  /** Holds the next streamed answer after so many events. */
  holdAnswer(events) {
    this.#hold = new Hold(events);
    return this.#hold;
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
      reply.writeHead(502).end();
      return;
    }
    this.requests.push(seen);
    const offered = this.#offered.get(seen.path);
    if (offered !== undefined) {
      reply.writeHead(200, { "content-type": offered.type, "cache-control": "no-store" }).end(offered.body);
      return;
    }
    if (this.#lost?.test(seen.path)) {
      reply.writeHead(404).end();
      return;
    }
    const edits = this.#edits.filter(({ match }) => match.test(seen.path));
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP.has(name)));
    // An altered body has to be whole and plain here.
    if (edits.length > 0) for (const name of ["range", "if-range", "if-none-match", "accept-encoding"]) delete headers[name];

    const upstream = http.request(url, { method: request.method, headers, agent: false });
    reply.on("close", () => {
      seen.aborted = !reply.writableFinished;
      upstream.destroy();
    });
    upstream.on("error", () => (reply.headersSent ? reply.destroy() : reply.writeHead(502).end()));
    upstream.on("response", (answer) => {
      answer.on("error", () => reply.destroy());
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
