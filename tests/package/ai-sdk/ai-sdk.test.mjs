// The provider under the AI SDK itself.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as newest from "ai";
import * as older from "ai-6";

import { createSprat } from "../../../edge/js/ai-sdk.js";
import { SpratError } from "../../../edge/js/sprat.js";
import { answer, FakeSprat, handover, turn } from "../../../edge/js/tests/fake-sprat.mjs";

for (const [name, sdk, specificationVersion] of [["ai 7", newest, "v4"], ["ai 6", older, "v3"]]) {
  const setup = (...script) => {
    const sprat = new FakeSprat(...script);
    return { sprat, model: createSprat({ sprat, specificationVersion })("auto"), device: createSprat({ sprat, specificationVersion })("device") };
  };
  const warnings = [];
  globalThis.AI_SDK_LOG_WARNINGS = ({ warnings: told }) => warnings.push(...told);

  test(`${name}: generateText`, async () => {
    const { sprat, model } = setup(answer(["Hel", "lo"]));
    const result = await sdk.generateText({ model, [name === "ai 7" ? "instructions" : "system"]: "Be short", prompt: "Hi", maxOutputTokens: 3 });
    assert.equal(result.text, "Hello");
    assert.equal(result.finishReason, "length");
    assert.deepEqual([result.usage.inputTokens, result.usage.outputTokens, result.usage.totalTokens], [10, 3, 13]);
    assert.equal(result.providerMetadata.sprat.receipt.source, "device");
    assert.equal(result.response.modelId, "tiny");
    assert.deepEqual(sprat.asked[0].messages.map(({ role }) => role), ["system", "user"]);
  });

  test(`${name}: streamText shows no draft that is replaced`, async () => {
    const { model } = setup(handover(["Wrong"], ["Ri", "ght"]));
    const result = sdk.streamText({ model, prompt: "Hi" });
    const texts = [];
    for await (const text of result.textStream) texts.push(text);
    assert.deepEqual(texts, ["Ri", "ght"]);
    assert.equal((await result.providerMetadata).sprat.receipt.source, "cloud");
    assert.equal(await result.finishReason, "stop");
  });

  test(`${name}: a setting that is not obeyed is warned of`, async () => {
    const { model } = setup(answer(["Hi"]));
    const { warnings } = await sdk.generateText({ model, prompt: "Hi", presencePenalty: 1 });
    assert.deepEqual(warnings.map(({ type, feature }) => [type, feature]), [["unsupported", "presencePenalty"]]);
  });

  test(`${name}: a failure in the stream reaches onError, typed`, async () => {
    const { device } = setup([...answer(["Per"]).slice(0, -1), new SpratError({ code: "webgpu_lost", message: "no" })]);
    const errors = [];
    const result = sdk.streamText({ model: device, prompt: "Hi", onError: ({ error }) => errors.push(error) });
    const texts = [];
    for await (const text of result.textStream) texts.push(text);
    assert.deepEqual([texts, errors.length, errors[0]?.code], [["Per"], 1, "webgpu_lost"]);
  });

  test(`${name}: stopping stops the engine`, async () => {
    const { sprat, device } = setup([...answer(["One"]).slice(0, -1), "hang"]);
    const stop = new AbortController();
    let stopped = 0;
    const result = sdk.streamText({ model: device, prompt: "Hi", abortSignal: stop.signal, onAbort: () => (stopped += 1) });
    for await (const text of result.textStream) if (text) stop.abort();
    await turn();
    assert.deepEqual([sprat.running, stopped], [0, 1]);
  });

  test(`${name}: no warning about the version of the interface`, () => {
    assert.deepEqual(warnings.filter(({ type }) => type === "compatibility"), []);
  });
}
