// The backend as the polyfill calls it.

import assert from "node:assert/strict";
import { test } from "node:test";

import SpratBackend from "../prompt-api-polyfill-backend.js";
import { SpratError } from "../sprat.js";
import { answer, count, FakeSprat, read, turn } from "./fake-sprat.mjs";

const contents = [{ role: "user", parts: [{ text: "H" }, { text: "i" }] }, { role: "model", parts: [{ text: "Hello" }] }, { role: "user", parts: [{ text: "?" }] }];

async function setup(...script) {
  const sprat = new FakeSprat(...script);
  const backend = new SpratBackend({ apiKey: "any", sprat });
  await backend.createSession({}, { systemInstruction: "Be short" });
  return { sprat, backend };
}

test("an answer, at once and as a stream", async () => {
  const { sprat, backend } = await setup(answer(["Hel", "lo"]));
  assert.deepEqual(await backend.generateContent(contents), { text: "Hello", usage: 13 });
  assert.deepEqual(sprat.asked[0].messages, [{ role: "system", content: "Be short" }, { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello" }, { role: "user", content: "?" }]);
  assert.equal(sprat.asked[0].options.mode, "device");
  const { items } = await read(await backend.generateContentStream(contents));
  assert.deepEqual(items.map((chunk) => [chunk.text(), chunk.usageMetadata.totalTokenCount]), [["Hel", 0], ["lo", 0], ["", 13]]);
});

test("leaving a stream stops the engine, and a failure has the API's name", async () => {
  const { sprat, backend } = await setup([...answer(["One"]).slice(0, -1), "hang"], [new SpratError({ code: "webgpu_lost", message: "no" })]);
  for await (const chunk of await backend.generateContentStream(contents)) if (chunk.text()) break;
  await turn();
  assert.equal(sprat.running, 0);
  await assert.rejects(backend.generateContent(contents), { name: "UnknownError" });
});

test("tokens are counted by the engine, or guessed as others do", async () => {
  const { sprat, backend } = await setup(answer([""]));
  assert.equal(await backend.countTokens(contents), Math.ceil(("Be short".length + 8) / 4));
  sprat.count = count;
  assert.equal(await backend.countTokens(contents), 21);
});

test("what it cannot do it says before it is asked", () => {
  assert.equal(SpratBackend.availability(), "available");
  assert.equal(SpratBackend.availability({ expectedInputs: [{ type: "text", languages: ["ko"] }] }), "available");
  assert.equal(SpratBackend.availability({ expectedInputs: [{ type: "image" }] }), "unavailable");
  const backend = new SpratBackend({ apiKey: "any", sprat: new FakeSprat() });
  assert.throws(() => backend.convertSchema({ type: "object" }), { name: "NotSupportedError" });
});

test("sessions of one configuration share an engine", async () => {
  let opened = 0;
  const Sprat = { open: () => ((opened += 1), new FakeSprat(answer(["Hi"]))) };
  const config = { apiKey: "any", model: "m/", engine: async () => ({ Sprat }) };
  for (const backend of [new SpratBackend(config), new SpratBackend(config)]) await backend.createSession({}, {});
  assert.equal(opened, 1);
});
