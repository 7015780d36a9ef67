// The OpenAI-shaped client over an engine.

import assert from "node:assert/strict";
import { test } from "node:test";

import { APIError, SpratOpenAI } from "../openai.js";
import { SpratError } from "../sprat.js";
import { answer, FakeSprat, handover, read, receipt, turn } from "./fake-sprat.mjs";

const MESSAGES = [{ role: "user", content: "Hi" }];

function setup(...script) {
  const sprat = new FakeSprat(...script);
  const client = new SpratOpenAI({ sprat });
  const create = (request, options) => client.chat.completions.create({ model: "auto", messages: MESSAGES, ...request }, options);
  return { sprat, create };
}

const contents = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content).filter((text) => text !== undefined);

test("a completion has the service's shape", async () => {
  const { sprat, create } = setup(answer(["Hel", "lo"]));
  const { id, created, ...rest } = await create({ temperature: 0, max_tokens: 9, top_k: -1, stop: "." });
  assert.match(id, /^chatcmpl-[0-9a-f]{24}$/);
  assert.ok(Number.isInteger(created));
  assert.deepEqual(rest, {
    object: "chat.completion",
    model: "auto",
    system_fingerprint: null,
    choices: [{ index: 0, message: { role: "assistant", content: "Hello", refusal: null }, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13, prompt_tokens_details: { cached_tokens: 4 } },
    x_route: { target: "tiny", rule: "kept", confidence: 0.9, cost_usd: 0, tries: 1 },
    x_receipt: receipt(),
  });
  const { signal, ...options } = sprat.asked[0].options;
  assert.ok(signal instanceof AbortSignal);
  assert.deepEqual(options, { mode: "auto", maxTokens: 9, temperature: 0, topK: 0, stop: ["."] });
});

test("a stream has the service's chunks", async () => {
  const { create } = setup(answer(["Hel", "lo"]));
  const { items } = await read(await create({ model: "device", stream: true, stream_options: { include_usage: true } }));
  const { id, created } = items[0];
  const head = { id, object: "chat.completion.chunk", created, model: "device", system_fingerprint: null };
  const chunk = (delta, finish_reason = null) => ({
    ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason }], usage: null,
  });
  assert.deepEqual(items, [
    chunk({ role: "assistant", content: "" }),
    chunk({ content: "Hel" }),
    chunk({ content: "lo" }),
    {
      ...chunk({}, "stop"),
      x_route: { target: "tiny", rule: "kept", confidence: 0.9, cost_usd: 0, tries: 1 },
      x_receipt: receipt(),
    },
    {
      ...head,
      choices: [],
      usage: { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13, prompt_tokens_details: { cached_tokens: 4 } },
    },
  ]);
});

test("without include_usage no chunk speaks of usage, and unknown counts are not told", async () => {
  const { create } = setup(answer(["Hi"], "cloud", { prompt_tokens: 0, completion_tokens: 0 }));
  const { items } = await read(await create({ stream: true }));
  assert.ok(items.every((chunk) => !("usage" in chunk)));
  assert.equal("usage" in (await create({})), false);
});

test("a draft that the cloud replaces is not shown", async () => {
  const { create } = setup(handover(["Wr", "ong"], ["Ri", "ght"]));
  const { items } = await read(await create({ stream: true }));
  assert.deepEqual(contents(items), ["", "Ri", "ght"]);
  assert.deepEqual(items.at(-1).x_route, { target: "small", rule: "unsure", confidence: 0.9, cost_usd: 0, tries: 2 });
  assert.equal((await create({})).choices[0].message.content, "Right");
});

test("a draft that stands comes with the end; where nobody may replace it, it comes at once", async () => {
  const events = answer(["He", "llo"]);
  const held = setup(events);
  assert.deepEqual(contents((await read(await held.create({ stream: true }))).items), ["", "Hello"]);
  for (const request of [{ model: "device" }, { x_private: true }]) {
    const { create } = setup(events);
    assert.deepEqual(contents((await read(await create({ ...request, stream: true }))).items), ["", "He", "llo"]);
  }
  const alone = setup(events);
  alone.sprat.cloud = null;
  assert.deepEqual(contents((await read(await alone.create({ stream: true }))).items), ["", "He", "llo"]);
});

test("an answer that the cloud begins again goes on if it can, and fails typed if not", async () => {
  const broken = answer(["One ", "two"], "cloud").slice(0, -1);
  const same = setup([...broken, ...answer(["One two", " three"], "cloud")]);
  assert.deepEqual(contents((await read(await same.create({ stream: true }))).items), ["", "One ", "two", " three"]);

  for (const other of [["Another"], ["One"]]) {
    const { create } = setup([...broken, ...answer(other, "cloud")]);
    const { items, error } = await read(await create({ stream: true }));
    assert.equal(contents(items).join(""), "One two");
    assert.deepEqual([error.name, error.code, error.partial, error.status], ["SpratError", "cloud_interrupted", "One two", 502]);
  }
});

test("what is refused rejects before a stream begins; a later failure comes in it, with the text so far", async () => {
  const refused = setup([new SpratError({ code: "context_too_long", message: "too long" })]);
  await assert.rejects(refused.create({ stream: true }), (error) => {
    assert.ok(error instanceof APIError);
    assert.deepEqual([error.name, error.code, error.status], ["SpratError", "context_too_long", 400]);
    assert.deepEqual(error.error, {
      message: "too long", type: "invalid_request_error", param: "messages", code: "context_length_exceeded",
    });
    return true;
  });
  const broken = setup([...answer(["Per"]).slice(0, -1), new SpratError({ code: "webgpu_lost", message: "lost" })]);
  const { items, error } = await read(await broken.create({ model: "device", stream: true }));
  assert.deepEqual(contents(items), ["", "Per"]);
  assert.deepEqual([error.code, error.partial, error.status], ["webgpu_lost", "Per", 500]);
  await assert.rejects(broken.create({}), { code: "webgpu_lost", partial: "Per" });
});

test("a limit that was reached is the finish reason", async () => {
  const { create } = setup(answer(["a"], "device", { completion_tokens: 3 }));
  assert.equal((await create({ max_completion_tokens: 3, max_tokens: 100 })).choices[0].finish_reason, "length");
  assert.equal((await create({ max_tokens: 4 })).choices[0].finish_reason, "stop");
});

test("stopping: before, while it waits, in the loop, by leaving it, and after", async () => {
  const { sprat, create } = setup(["hang"], [...answer(["One"]).slice(0, -1), "hang"]);
  await assert.rejects(create({}, { signal: AbortSignal.abort() }), { name: "SpratError", code: "aborted" });
  assert.equal(sprat.asked.length, 0);

  const early = new AbortController();
  const waiting = create({ stream: true }, { signal: early.signal });
  await turn();
  early.abort();
  await assert.rejects(waiting, { code: "aborted" });

  const stream = await create({ model: "device", stream: true });
  const seen = [];
  for await (const chunk of stream) {
    seen.push(chunk);
    if (chunk.choices[0].delta.content === "One") stream.controller.abort();
  }
  assert.equal(seen.length, 2);
  assert.equal(seen.at(-1).choices[0].finish_reason, null, "what was stopped looks finished");

  const left = await create({ model: "device", stream: true });
  for await (const chunk of left) if (chunk.choices[0].delta.content) break;
  await turn();
  assert.equal(sprat.running, 0, "an answer that nobody reads goes on");
  await assert.rejects(read(left).then(({ error }) => Promise.reject(error)), { code: "bad_request" });

  const late = new AbortController();
  const whole = setup(answer(["Hi"]));
  const finished = await whole.create({ stream: true }, { signal: late.signal });
  const { items } = await read(finished);
  late.abort();
  assert.ok(!finished.controller.signal.aborted);
  assert.equal(items.at(-1).choices[0].finish_reason, "stop");
});

test("every field is obeyed or refused by its name, and no value is repeated", async () => {
  const { sprat, create } = setup(answer(["Hi"]));
  const wrong = [
    ["n", 2], ["logprobs", true], ["top_logprobs", 3], ["frequency_penalty", 1], ["presence_penalty", -1], ["user", "my secret"],
    ["logit_bias", { 5: 1 }], ["response_format", { type: "json_object" }], ["tools", [{ type: "function" }]], ["tool_choice", "required"],
    ["x_continue", { tokens: [1], text_id: "x" }], ["max_tokens", 0], ["max_tokens", 1.5], ["max_completion_tokens", -1],
    ["temperature", 2.1], ["temperature", "my secret"], ["temperature", NaN], ["top_p", 0], ["top_p", 1.1], ["top_k", -2], ["min_p", -1],
    ["repetition_penalty", 0], ["seed", -1], ["seed", 0.5], ["stop", ""], ["stop", [1]], ["stop", Array(17).fill("x")],
    ["stop", "x".repeat(257)], ["stream", "yes"], ["stream_options", { include_usage: true }], ["x_private", "yes"], ["magic", 1],
    ["messages", "my secret"], ["messages", []], ["model", ""],
  ];
  for (const [field, value] of wrong) {
    await assert.rejects(create({ [field]: value }), (error) => {
      assert.equal(error.param, field, JSON.stringify(value));
      assert.deepEqual([error.status, error.code, error.type], [400, "bad_request", "invalid_request_error"]);
      assert.ok(!error.message.includes("secret"));
      return true;
    });
  }
  const messages = [
    [[{ role: "tool", content: "x" }], "messages[0].role"],
    [[...MESSAGES, { role: "user", content: 7 }], "messages[1].content"],
    [[{ role: "user", content: [{ type: "image_url" }] }], "messages[0].content[0]"],
    [[{ role: "user", content: "x", name: "my secret" }], "messages[0].name"],
    [[null], "messages[0]"],
  ];
  for (const [list, param] of messages) await assert.rejects(create({ messages: list }), { param, status: 400 });
  await assert.rejects(create({ stream: true, stream_options: { magic: 1 } }), { param: "stream_options.magic" });
  await assert.rejects(create({ "my secret<>": 1 }), { param: "my?secret??" });
  await assert.rejects(create({ model: "other" }), { status: 404, param: "model" });
  assert.equal(sprat.asked.length, 0);
});

test("values that ask for nothing are taken", async () => {
  const { sprat, create } = setup(answer(["Hi"]));
  await create({
    model: "tiny", n: 1, logprobs: false, tools: [], tool_choice: "auto", response_format: { type: "text" }, seed: null, user: null,
    messages: [
      { role: "developer", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] },
      { role: "assistant", content: null, refusal: null, tool_calls: [] },
      { role: "user", content: "Hi" },
    ],
  });
  const [{ messages, options }] = sprat.asked;
  assert.deepEqual(messages, [{ role: "system", content: "a\nb" }, { role: "assistant", content: "" }, { role: "user", content: "Hi" }]);
  assert.equal(options.mode, "device");
});

test("an engine is imported at the first call, and again after it has failed", async () => {
  const opened = [];
  const Sprat = {
    open(options) {
      const sprat = new FakeSprat(answer(["Hi"]));
      opened.push({ sprat, options });
      return sprat;
    },
  };
  let imports = 0;
  const client = new SpratOpenAI({ model: "m/", engine: async () => ((imports += 1), { Sprat }) });
  const ask = () => client.chat.completions.create({ model: "auto", messages: MESSAGES });
  assert.equal(imports, 0);
  await Promise.all([ask(), ask()]);
  assert.deepEqual([imports, opened.length, opened[0].options.model], [1, 1, "m/"]);
  opened[0].sprat.state = "failed";
  await ask();
  assert.deepEqual([opened.length, opened[0].sprat.state], [2, "disposed"]);
  client.dispose();
  assert.equal(opened[1].sprat.state, "disposed");

  let tries = 0;
  const unlucky = new SpratOpenAI({ model: "m/", engine: async () => ((tries += 1) === 1 ? Promise.reject(new Error("offline")) : { Sprat }) });
  const call = () => unlucky.chat.completions.create({ model: "auto", messages: MESSAGES });
  await assert.rejects(call(), { code: "internal" });
  assert.equal((await call()).choices[0].message.content, "Hi");
});

test("a client needs an engine or a server, and not both", () => {
  assert.throws(() => new SpratOpenAI({}), { code: "bad_request" });
  assert.throws(() => new SpratOpenAI({ baseURL: "/v1", model: "m/" }), { code: "bad_request" });
});
