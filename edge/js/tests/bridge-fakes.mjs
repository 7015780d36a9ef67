// A host and an engine for the bridge's tests. Neither has a rule of its own: the test says what they do.

import { afterEach } from "node:test";
import { connect } from "../bridge.js";
import { SpratError } from "../sprat.js";

export const MODEL = "models/tiny/";
export const ASK = [{ role: "user", content: "Where do small fish live?" }];

/** What goes on when a test has failed must not keep the others waiting. @type {{ close(): void }[]} */
const bridges = [];
afterEach(() => bridges.splice(0).forEach((bridge) => bridge.close()));

/** Lets everything run that is ready. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** The app's side of a transport: keeps what it hears, and can wait for answers. */
export class FakeHost {
  heard = [];
  closed = false;
  #next = 1;
  #waiting = new Map();
  transport = {
    name: "fake",
    onmessage: null,
    post: (text) => this.#hear(JSON.parse(text)),
    close: () => (this.closed = true),
  };

  #hear(message) {
    this.heard.push(message);
    for (const one of [message].flat()) if (!one.method) this.#waiting.get(one.id)?.(one);
  }

  /** Sends a text, or what is made one. */
  say(message) {
    this.transport.onmessage?.(typeof message === "string" ? message : JSON.stringify(message));
  }

  notify(method, params) {
    this.say({ jsonrpc: "2.0", method, params });
  }

  /** Sends a request; gives its answer, whichever it is. */
  call(method, params, id = this.#next++) {
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.say({ jsonrpc: "2.0", id, method, ...(params && { params }) });
    return answer;
  }

  /** What it was told by notifications and requests of this name. */
  told(method) {
    return this.heard.filter((message) => message.method === method).map(({ params }) => params);
  }

  /** What the last message was. */
  get last() {
    return this.heard.at(-1);
  }
}

/** An engine whose answers the test writes, event by event. */
export class FakeSprat {
  state = "ready";
  device = { kind: "cpu", words: "CPU" };
  model = { name: "fake" };
  disposed = false;
  /** The answers that were begun. */
  answers = [];

  constructor(options) {
    this.options = options;
  }

  chat(messages, options) {
    const answer = new Answer(messages, options);
    this.answers.push(answer);
    return answer.events();
  }

  adapter = null;
  adapterScale = null;

  /** Waits for the test, if it sets `swap`. */
  async adapt(adapter, { scale = 1, signal, onProgress }) {
    onProgress({ stage: "download", loaded: 1, total: 7, message: "lora" });
    if (this.answers.some(({ over }) => !over)) throw new SpratError({ code: "busy", message: "an answer is being made" });
    await this.swap?.(signal);
    [this.adapter, this.adapterScale] = adapter === null ? [null, null] : [`https://example.org/${adapter}`, scale];
  }

  /** What was saved, by name, with what else was said. */
  saved = new Map();

  async save(name, messages, { signal, ...options }) {
    this.saved.set(name, { messages, options });
    return { name, model: "fake", level: options.level ?? "open", tokens: 3, bytes: 9, saved: 1 };
  }

  async restore(name) {
    const { messages, options } = this.saved.get(name) ?? {};
    if (!messages) throw new SpratError({ code: "saved_missing", message: "no conversation is saved under this name" });
    return { messages, level: options.level ?? "open", tokens: 3 };
  }

  dispose() {
    this.disposed = true;
    for (const answer of this.answers) answer.fail(new SpratError({ code: "aborted", message: "disposed of" }));
  }
}

/** One answer: what the test gives it comes out as events, an end, or an error. */
class Answer {
  #queue = [];
  #wake = () => {};
  over = false;

  constructor(messages, options) {
    Object.assign(this, { messages, options });
    options.signal?.addEventListener("abort", () => this.fail(new SpratError({ code: "aborted", message: "stopped", partial: "so far" })));
  }

  delta(text, source = "device") {
    this.#put({ type: "delta", source, text });
  }

  end(text = "In the sea.") {
    this.#put({ type: "end", text, receipt: { source: "device" } });
  }

  fail(error) {
    this.#put(error);
  }

  #put(item) {
    this.over ||= item instanceof Error || item.type === "end";
    this.#queue.push(item);
    this.#wake();
  }

  async *events() {
    for (;;) {
      const item = this.#queue.shift();
      if (item instanceof Error) throw item;
      if (item) yield item;
      if (item?.type === "end") return;
      if (!item) await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

/** A bridge between a fake host and fake engines, the newest of which is `engine()`. */
export function bridged(options = {}) {
  const host = new FakeHost();
  const engines = [];
  const bridge = connect({
    transport: host.transport,
    engine: async (given) => {
      engines.push(new FakeSprat(given));
      return engines.at(-1);
    },
    now: () => 0,
    ...options,
  });
  bridges.push(bridge);
  return { host, bridge, engines, engine: () => engines.at(-1) };
}

/** The same with a model loaded. */
export async function loaded(options) {
  const all = bridged(options);
  await all.host.call("sprat.load", { model: MODEL, hostFetch: true });
  return all;
}
