// The AI SDK's provider by itself; tests/package/ai-sdk runs it under the SDK.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createSprat } from "../ai-sdk.js";
import { SpratError } from "../sprat.js";
import { answer, FakeSprat, handover, read, receipt, turn } from "./fake-sprat.mjs";

const prompt = [{ role: "system", content: "Be short" }, { role: "user", content: [{ type: "text", text: "H" }, { type: "text", text: "i" }] }];

function setup(...script) {
  const sprat = new FakeSprat(...script);
  return { sprat, provider: createSprat({ sprat }) };
}

const texts = (parts) => parts.filter(({ type }) => type === "text-delta").map(({ delta }) => delta);

test("an answer comes with usage, reason and receipt", async () => {
  const { sprat, provider } = setup(answer(["Hel", "lo"]));
  const { response, ...result } = await provider("device").doGenerate({ prompt, maxOutputTokens: 3, temperature: 0, topK: 5, topP: 0.9, seed: 1, stopSequences: ["."] });
  assert.deepEqual(result, {
    content: [{ type: "text", text: "Hello" }],
    warnings: [],
    finishReason: { unified: "length", raw: "length" },
    usage: {
      inputTokens: { total: 10, noCache: 6, cacheRead: 4, cacheWrite: undefined },
      outputTokens: { total: 3, text: 3, reasoning: undefined },
    },
    providerMetadata: { sprat: { receipt: receipt() } },
  });
  assert.equal(response.modelId, "tiny");
  const [{ messages, options: { signal, ...options } }] = sprat.asked;
  assert.deepEqual(messages, [{ role: "system", content: "Be short" }, { role: "user", content: "Hi" }]);
  assert.deepEqual(options, { mode: "device", maxTokens: 3, temperature: 0, topK: 5, topP: 0.9, seed: 1, stop: ["."] });
});

test("a stream has the SDK's parts in their order", async () => {
  const { provider } = setup(answer(["Hel", "lo"]));
  const { stream } = await provider("device").doStream({ prompt });
  const { items } = await read(stream);
  assert.deepEqual(items.map(({ type }) => type), ["stream-start", "text-start", "text-delta", "text-delta", "text-end", "response-metadata", "finish"]);
  assert.deepEqual(texts(items), ["Hel", "lo"]);
  assert.equal(items.at(-1).providerMetadata.sprat.receipt.source, "device");
});

test("a draft that the cloud replaces is not shown", async () => {
  const { provider } = setup(handover(["Wrong"], ["Ri", "ght"]));
  const { items } = await read((await provider().doStream({ prompt })).stream);
  assert.deepEqual(texts(items), ["Ri", "ght"]);
  assert.equal((await provider().doGenerate({ prompt })).content[0].text, "Right");
});

test("what is not done is warned of, and what cannot be read is refused", async () => {
  const { sprat, provider } = setup(answer(["Hi"]));
  const call = {
    prompt: [...prompt, { role: "assistant", content: [{ type: "reasoning", text: "hm" }, { type: "text", text: "x" }] }, prompt[1]],
    presencePenalty: 1, frequencyPenalty: 0, responseFormat: { type: "json" }, tools: [{}], toolChoice: { type: "required" }, reasoning: "high",
    providerOptions: { sprat: { minP: 0.1, magic: 1 }, other: { x: 1 } },
  };
  const { warnings } = await provider("auto", { repetitionPenalty: 1.1 }).doGenerate(call);
  assert.deepEqual(warnings.map(({ type, feature }) => [type, feature]), ["presencePenalty", "responseFormat", "tools", "toolChoice", "reasoning",
    "reasoning parts in a prompt", "providerOptions.sprat.magic"].map((feature) => ["unsupported", feature]));
  assert.deepEqual([sprat.asked[0].options.minP, sprat.asked[0].options.repetitionPenalty], [0.1, 1.1]);
  for (const bad of [{ role: "tool", content: [] }, { role: "user", content: [{ type: "file", data: "" }] }]) {
    await assert.rejects(provider().doGenerate({ prompt: [bad] }), { name: "AI_UnsupportedFunctionalityError" });
  }
  for (const make of [() => provider("gpt"), () => provider.languageModel("gpt"), () => provider.embeddingModel("x"), () => provider.imageModel("x")]) {
    assert.throws(make, { name: "AI_NoSuchModelError" });
  }
});

test("private is private, whoever says it, and then text is not held back", async () => {
  const { sprat, provider } = setup(answer(["Hel", "lo"]));
  const { items } = await read((await provider("auto", { private: true }).doStream({ prompt, providerOptions: { sprat: { private: false } } })).stream);
  assert.deepEqual([texts(items), sprat.asked[0].options.private], [["Hel", "lo"], true]);
});

test("a failure rejects before the stream, and is a part of it later", async () => {
  const refused = setup([new SpratError({ code: "context_too_long", message: "no" })]);
  await assert.rejects(refused.provider().doStream({ prompt }), { code: "context_too_long" });
  await assert.rejects(refused.provider().doGenerate({ prompt }), { code: "context_too_long" });
  const broken = setup([...answer(["Per"]).slice(0, -1), new SpratError({ code: "webgpu_lost", message: "no" })]);
  const { items, error } = await read((await broken.provider("device").doStream({ prompt })).stream);
  assert.equal(error, undefined);
  assert.deepEqual(items.slice(2).map(({ type }) => type), ["text-delta", "text-end", "error", "finish"]);
  assert.deepEqual([items.at(-2).error.partial, items.at(-1).finishReason], ["Per", { unified: "error", raw: "webgpu_lost" }]);
});

test("stopping: before, in the stream with the signal's reason, and by leaving it", async () => {
  const { sprat, provider } = setup([...answer(["One"]).slice(0, -1), "hang"]);
  const reason = new Error("mine");
  await assert.rejects(provider().doGenerate({ prompt, abortSignal: AbortSignal.abort(reason) }), (error) => error === reason);
  await assert.rejects(provider().doStream({ prompt, abortSignal: AbortSignal.abort(reason) }), (error) => error === reason);
  assert.equal(sprat.asked.length, 0);

  const stop = new AbortController();
  const { stream } = await provider("device").doStream({ prompt, abortSignal: stop.signal });
  const reading = read(stream);
  await turn();
  await turn();
  stop.abort(reason);
  const { items, error } = await reading;
  assert.deepEqual([texts(items), error], [["One"], reason]);

  const left = await provider("device").doStream({ prompt });
  for await (const part of left.stream) if (part.type === "text-delta") break;
  await turn();
  assert.equal(sprat.running, 0);
});

test("of two levels the higher is passed on, and what is none is the engine's to refuse", async () => {
  const { sprat, provider } = setup(answer(["Hi"]));
  const level = async (settings, own) => {
    await provider("auto", settings).doGenerate({ prompt, providerOptions: own && { sprat: own } });
    return sprat.asked.at(-1).options.level;
  };
  assert.equal(await level({}), undefined);
  assert.equal(await level({ level: "private" }, { level: "open" }), "private");
  assert.equal(await level({ level: "open" }, { level: "ask" }), "ask");
  assert.equal(await level({ level: "open" }, { level: "secret" }), "secret");
});
