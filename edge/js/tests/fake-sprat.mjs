// A Sprat without a model, which says what a test tells it to, in the true shapes of events (see types.js).

import { SpratError } from "../sprat.js";

/** A receipt with these differences. */
export function receipt(changes = {}) {
  return {
    source: "device", rule: "kept", reason: "sure enough", confidence: 0.9, threshold: 0.5, bound: null, model: "tiny",
    device: "CPU", prompt_tokens: 10, cached_tokens: 4, completion_tokens: 3, first_token_ms: 1, device_ms: 2, cloud_ms: 0,
    total_ms: 3, continued_tokens: 0, bytes_sent: 0, cost_usd: 0, ...changes,
  };
}

/** The events of an answer by one source. */
export function answer(texts, source = "device", changes = {}) {
  const deltas = texts.map((text) => ({ type: "delta", source, text }));
  const end = { type: "end", text: texts.join(""), receipt: receipt({ source, ...changes }) };
  return [{ type: "start", source }, ...deltas, end];
}

/** A draft of the device that the cloud replaces. */
export function handover(draft, texts) {
  const change = { type: "handover", from: "device", to: "cloud", rule: "unsure", reason: "not sure enough" };
  return [...answer(draft).slice(0, -1), change, ...answer(texts, "cloud", { rule: "unsure", model: "small" })];
}

export class FakeSprat {
  /** Every call, as `{ messages, options }`. */
  asked = [];
  /** Answers that are being given. */
  running = 0;
  state = "ready";
  ready = Promise.resolve();
  model = { name: "tiny", context: 100 };

  /** @param script the events of each answer in turn, the last one again and again; a function of the messages; "hang" waits for a stop, an error is thrown */
  constructor(...script) {
    this.script = script;
  }

  async *chat(messages, options = {}) {
    if (this.state === "disposed") throw new SpratError({ code: "aborted", message: "disposed of" });
    this.asked.push({ messages, options });
    const next = this.script.length > 1 ? this.script.shift() : this.script[0];
    const { signal } = options;
    let partial = "";
    this.running += 1;
    try {
      for (const event of typeof next === "function" ? next(messages) : next) {
        if (signal?.aborted) throw new SpratError({ code: "aborted", message: "stopped by the caller", partial });
        if (event === "hang") {
          await new Promise((resolve) => signal?.addEventListener("abort", resolve, { once: true }));
          throw new SpratError({ code: "aborted", message: "stopped by the caller", partial });
        }
        if (event instanceof Error) throw Object.assign(event, { partial });
        await new Promise((resolve) => setImmediate(resolve));
        if (event.type === "start") partial = "";
        if (event.type === "delta") partial += event.text;
        yield event;
      }
    } finally {
      this.running -= 1;
    }
  }

  dispose() {
    this.state = "disposed";
  }
}

/** One token for each word and four for each message's markup. */
export const count = (messages) => messages.reduce((sum, { content }) => sum + 4 + content.split(/\s+/).filter(Boolean).length, 0);

/** Lets everything that is ready run. */
export async function turn() {
  for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Reads something async iterable to its end: what came, and the error if there was one. */
export async function read(iterable) {
  const items = [];
  try {
    for await (const item of iterable) items.push(item);
    return { items };
  } catch (error) {
    return { items, error };
  }
}
