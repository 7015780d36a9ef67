// Each face over a Sprat that was disposed of: everything that can be called says so, typed, and nothing hangs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSprat } from "../ai-sdk.js";
import { SpratOpenAI } from "../openai.js";
import { defineLanguageModel } from "../prompt-api.js";
import { FakeSprat, answer, count } from "./fake-sprat.mjs";

function gone() {
  const sprat = new FakeSprat(answer(["Hi"]));
  sprat.count = count;
  sprat.dispose();
  return sprat;
}

test("the OpenAI client", async () => {
  const client = new SpratOpenAI({ sprat: gone() });
  const request = { model: "auto", messages: [{ role: "user", content: "Hi" }] };
  for (const stream of [false, true]) {
    await assert.rejects(client.chat.completions.create({ ...request, stream }), { name: "SpratError", code: "aborted" });
  }
  client.dispose();
});

test("the AI SDK's model", async () => {
  const model = createSprat({ sprat: gone() })("auto");
  const call = { prompt: [{ role: "user", content: [{ type: "text", text: "Hi" }] }] };
  for (const method of ["doGenerate", "doStream"]) await assert.rejects(model[method](call), { code: "aborted" });
});

test("the Prompt API: a session whose engine has gone, and the class", async () => {
  const sprat = new FakeSprat(answer(["Hi"]));
  sprat.count = count;
  const LanguageModel = defineLanguageModel({ sprat });
  const session = await LanguageModel.create();
  sprat.dispose();
  const aborted = (error) => error instanceof DOMException && error.name === "AbortError" && error.cause.code === "aborted";
  await assert.rejects(session.prompt("Hi"), aborted);
  await assert.rejects(session.promptStreaming("Hi").getReader().read(), aborted);
  session.destroy();
  assert.equal(await LanguageModel.availability(), "unavailable");
  await assert.rejects(LanguageModel.create(), aborted);
});
