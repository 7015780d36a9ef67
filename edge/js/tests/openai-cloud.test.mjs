// The OpenAI-shaped client without an engine: a server's answers, in every split and with every fault.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { SpratOpenAI as ServerClient } from "../cloud.js";
import { SpratOpenAI } from "../openai.js";
import { SseDecoder } from "../sse.js";
import { read, turn } from "./fake-sprat.mjs";

const MESSAGES = [{ role: "user", content: "Hi" }];
const chunk = (delta, more = {}) => ({
  id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", system_fingerprint: null,
  choices: [{ index: 0, delta, logprobs: null, finish_reason: null }], ...more,
});
const CHUNKS = [
  chunk({ role: "assistant", content: "" }),
  chunk({ content: "Grüß 🐟 " }),
  chunk({ content: "안녕" }),
  chunk({}, { choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }], x_route: { target: "m", rule: "r", tries: 1 } }),
  chunk({}, { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }),
];
const bytes = (text) => new TextEncoder().encode(text);
const sse = (chunks, end = "data: [DONE]\n\n") => bytes(chunks.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("") + end);

/** A body of these pieces; a function is called when it is its turn, "hang" never ends. */
function body(pieces, cancelled = () => {}) {
  const rest = [...pieces];
  return new ReadableStream({
    pull(controller) {
      const piece = rest.shift();
      if (piece === undefined) return controller.close();
      if (piece === "hang") return new Promise(() => {});
      if (piece instanceof Error) return controller.error(piece);
      controller.enqueue(piece);
    },
    cancel: cancelled,
  });
}

const streamed = (pieces, cancelled) => new Response(body(pieces, cancelled), { headers: { "content-type": "text/event-stream" } });

function setup(respond, options = {}, Client = SpratOpenAI) {
  const asked = [];
  const fetch = async (url, init) => {
    asked.push({ url, init, body: JSON.parse(init.body) });
    return respond(init);
  };
  const client = new Client({ baseURL: "https://example.org/v1/", apiKey: "k", fetch, ...options });
  const create = (request, options) => client.chat.completions.create({ model: "m", messages: MESSAGES, ...request }, options);
  return { asked, create };
}

/** Numbers that look random and are the same each time (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function cut(all, next) {
  const cuts = Array.from({ length: Math.floor(next() * 12) }, () => Math.floor(next() * (all.length + 1))).sort((a, b) => a - b);
  return [...cuts, all.length].map((end, at) => all.slice(at === 0 ? 0 : cuts[at - 1], end)).filter((piece) => piece.length > 0);
}

/** What a module imports, with what that imports; and in `later`, what is only imported when it is needed. */
async function imports(entry) {
  const [seen, later] = [new Set(), new Set()];
  const visit = async (file) => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = await readFile(new URL(`../${file}`, import.meta.url), "utf8");
    for (const [, next] of source.replace(/\/\*[^]*?\*\//g, "").matchAll(/\bimport\(\s*"\.\/([^"]+)"/g)) later.add(next);
    for (const [, next] of source.matchAll(/^(?:import|export)[^;]*? from "\.\/([^"]+)";/gms)) await visit(next);
  };
  await visit(entry);
  return { seen, later };
}

const ENGINE = ["sprat.js", "worker.js", "start-worker.js", "mix.js", "taint.js"];

test("no file of the engine is imported without being asked for", async () => {
  const { seen, later } = await imports("openai.js");
  assert.ok(seen.has("sse.js") && seen.has("failure.js") && later.has("sprat.js"));
  for (const engine of ENGINE) assert.ok(!seen.has(engine), engine);
});

test("the client for pages that only ask a server names no engine at all", async () => {
  const { seen, later } = await imports("cloud.js");
  assert.ok(seen.has("sse.js"));
  for (const engine of [...ENGINE, "faces.js"]) assert.ok(!seen.has(engine), engine);
  assert.deepEqual([...later], []);
  const { create } = setup(() => streamed([sse(CHUNKS)]), {}, ServerClient);
  assert.deepEqual((await read(await create({ stream: true }))).items, CHUNKS);
  assert.throws(() => new ServerClient({ model: "models/sprat-tiny/" }), { name: "SpratError", code: "bad_request" });
});

test("the split of a stream does not matter, nor do its line ends, comments and fields", async () => {
  const plain = new TextDecoder().decode(sse(CHUNKS));
  const variants = [plain, plain.replaceAll("\n", "\r\n"), plain.replaceAll("\n", "\r"), `\uFEFF: hello\n\n${plain}`,
    plain.replaceAll("data: ", ": ping\n\nevent: x\nid: 1\ndata:"), plain.trimEnd()];
  const next = random(8);
  for (let run = 0; run < 300; run += 1) {
    const pieces = cut(bytes(variants[run % variants.length]), next);
    const { create } = setup(() => streamed(pieces));
    const { items, error } = await read(await create({ stream: true }));
    assert.ifError(error);
    assert.deepEqual(items, CHUNKS, `run ${run}`);
  }
});

test("the decoder gives what the standard says", () => {
  const all = (text) => new SseDecoder().push(bytes(text));
  assert.deepEqual(all("data:a\ndata: b\n\n"), ["a\nb"]);
  assert.deepEqual(all("data\n\ndata\ndata\n\n"), ["", "\n"]);
  assert.deepEqual(all("data:  a\n\nevent: x\n\n"), [" a"]);
  assert.deepEqual(all("data: cut off\n"), []);
  for (const end of ["data: [DONE]", "data: [DONE]\n"]) {
    const decoder = new SseDecoder();
    assert.deepEqual(decoder.push(bytes(end)), []);
    assert.deepEqual(decoder.finish(), ["[DONE]"]);
  }
  assert.throws(() => new SseDecoder(16).push(bytes("data: 0123456789x")), RangeError);
  assert.throws(() => new SseDecoder(16).push(bytes("data: 01234\n".repeat(4))), RangeError);
  assert.throws(() => new SseDecoder().push(Uint8Array.of(0x64, 0xff, 0x0a)), TypeError);
});

test("the request is the caller's, with a key and without what only a page knows", async () => {
  const completion = { id: "c", object: "chat.completion", choices: [] };
  const { asked, create } = setup(() => Response.json(completion));
  const request = { tools: [{ type: "function" }], logprobs: true, top_k: 5, x_private: false };
  assert.deepEqual(await create(request), completion);
  const [{ url, init, body }] = asked;
  assert.equal(url, "https://example.org/v1/chat/completions");
  assert.deepEqual([init.method, init.headers.authorization], ["POST", "Bearer k"]);
  const { x_private: _, ...sent } = request;
  assert.deepEqual(body, { model: "m", messages: MESSAGES, ...sent });
});

test("nothing private and nothing misspelt is sent", async () => {
  const { asked, create } = setup(() => assert.fail("sent"));
  await assert.rejects(create({ x_private: true }), (error) => {
    assert.deepEqual([error.status, error.param, error.error.code], [400, "x_private", "private_not_accepted"]);
    return true;
  });
  await assert.rejects(create({ max_token: 5 }), { status: 400, param: "max_token" });
  assert.equal(asked.length, 0);
});

test("a refusal keeps the server's status and body, in whatever shape it comes", async () => {
  const detail = { message: "model: is required", type: "invalid_request_error", param: "model", code: null };
  const { create } = setup(() => Response.json({ error: detail }, { status: 400 }));
  await assert.rejects(create({}), (error) => {
    assert.deepEqual(error.error, detail);
    assert.deepEqual([error.name, error.code, error.status, error.param], ["SpratError", "cloud_refused", 400, "model"]);
    return true;
  });
  for (const [text, message] of [['{"error":"no"}', "no"], ['{"message":"busy","code":429}', "busy"], ["<html>", "the cloud refused the request"], ["", "the cloud refused the request"]]) {
    const odd = setup(() => new Response(text, { status: 429 }));
    await assert.rejects(odd.create({ stream: true }), (error) => {
      assert.deepEqual([error.status, error.type, error.error.message], [429, "rate_limit_error", message]);
      return true;
    });
  }
});

test("what is no answer is an error", async () => {
  for (const respond of [() => new Response("<html>"), () => Response.json({ hello: 1 })]) {
    await assert.rejects(setup(respond).create({}), { code: "cloud_refused" });
    await assert.rejects(setup(respond).create({ stream: true }), { code: "cloud_refused" });
  }
  const down = setup(() => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(down.create({}), { code: "cloud_unreachable" });
});

test("a stream that breaks off, fails or is damaged keeps the text so far", async () => {
  const start = sse(CHUNKS.slice(0, 2), "");
  const error = { error: { message: "failed", type: "server_error", code: "generation_failed" } };
  const ends = [[], [new TypeError("network")], [bytes("data: {]\n\n")], [bytes('data: {"x":1}\n\n')], [Uint8Array.of(0xff, 0x0a)], [sse([error], "")]];
  for (const end of ends) {
    const { create } = setup(() => streamed([start, ...end]));
    const { items, error } = await read(await create({ stream: true }));
    assert.equal(items.length, 2);
    assert.deepEqual([error.name, error.code, error.partial], ["SpratError", "cloud_interrupted", "Grüß 🐟 "]);
  }
});

test("a server that falls silent is given up", async () => {
  const never = setup(({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))), { timeout: 5 });
  await assert.rejects(never.create({}), { code: "cloud_unreachable" });
  const { create } = setup(({ signal }) => {
    const response = streamed([sse(CHUNKS.slice(0, 2), ""), "hang"]);
    return new Response(abortable(response.body, signal), { headers: response.headers });
  }, { timeout: 5 });
  const { items, error } = await read(await create({ stream: true }));
  assert.deepEqual([items.length, error.code, error.partial], [2, "cloud_interrupted", "Grüß 🐟 "]);
});

/** As `fetch` has it: the body fails when the signal is aborted. */
function abortable(stream, signal) {
  const reader = stream.getReader();
  return new ReadableStream({
    start: (controller) => signal.addEventListener("abort", () => controller.error(signal.reason)),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

test("stopping: before, while it waits, in the loop, and by leaving it", async () => {
  let cancelled = 0;
  const { asked, create } = setup(({ signal }) => {
    if (signal.aborted) throw signal.reason;
    return new Response(abortable(body([sse(CHUNKS.slice(0, 2), ""), "hang"], () => (cancelled += 1)), signal), {
      headers: { "content-type": "text/event-stream" },
    });
  });
  await assert.rejects(create({}, { signal: AbortSignal.abort() }), { code: "aborted" });
  assert.equal(asked.length, 0);

  const stop = new AbortController();
  const stream = await create({ stream: true }, { signal: stop.signal });
  const seen = [];
  for await (const chunk of stream) {
    seen.push(chunk);
    if (seen.length === 2) stop.abort();
  }
  assert.equal(seen.length, 2);

  for await (const chunk of await create({ stream: true })) if (chunk.choices[0].delta.content) break;
  await turn();
  assert.equal(cancelled, 1);
});
