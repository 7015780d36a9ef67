// Whatever is called after `dispose()` says so at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { engines, ready } from "./fake-workers.mjs";
import { answer, FakeSprat, read, turn } from "./fake-sprat.mjs";
import { createSprat } from "../ai-sdk.js";
import { SpratOpenAI } from "../openai.js";
import { defineLanguageModel } from "../prompt-api.js";
import { Sprat } from "../sprat.js";

const MESSAGES = [{ role: "user", content: "Hi" }];
const PROMPT = [{ role: "user", content: [{ type: "text", text: "Hi" }] }];

/** How a call ended, if it has ended by now. */
async function outcome(call) {
  let end = "it hangs";
  Promise.resolve().then(call).then((value) => (end = { value }), (error) => (end = { error }));
  await turn();
  return end;
}

/** Reads a stream to its end, or to its error. */
async function drained(stream) {
  const { error } = await read(stream);
  if (error) throw error;
}

/** Everything that a Sprat can be asked. */
const OF_SPRAT = {
  ready: (sprat) => sprat.ready,
  count: (sprat) => sprat.count(MESSAGES),
  use: (sprat) => sprat.use("models/other/"),
  "use of a recipe": (sprat) => sprat.use({ merge_method: "linear", models: [{ model: "a/" }] }),
  chat: (sprat) => drained(sprat.chat(MESSAGES)),
  "chat that is private": (sprat) => drained(sprat.chat(MESSAGES, { private: true })),
  "chat of nonsense": (sprat) => drained(sprat.chat(null, { mode: "clod" })),
};

/** Everything that the faces of a Sprat can be asked, without having been disposed of themselves. */
const OF_FACES = {
  "openai create": ({ openai }) => openai.chat.completions.create({ model: "auto", messages: MESSAGES }),
  "openai create, streaming": ({ openai }) => openai.chat.completions.create({ model: "auto", messages: MESSAGES, stream: true }),
  "openai create, by name": ({ openai }) => openai.chat.completions.create({ model: "tiny", messages: MESSAGES }),
  "ai-sdk doGenerate": ({ provider }) => provider("auto").doGenerate({ prompt: PROMPT }),
  "ai-sdk doStream": async ({ provider }) => drained((await provider("auto").doStream({ prompt: PROMPT })).stream),
  "prompt-api create": ({ LanguageModel }) => LanguageModel.create(),
  "prompt-api prompt": ({ session }) => session.prompt("Hi"),
  "prompt-api promptStreaming": ({ session }) => drained(session.promptStreaming("Hi")),
  "prompt-api append": ({ session }) => session.append("Hi"),
  "prompt-api measureContextUsage": ({ session }) => session.measureContextUsage("Hi"),
};

/** The error "aborted", or the Prompt API's for it. */
function assertAborted(end, name) {
  const { error } = end;
  assert.ok(error, `${name}: ${JSON.stringify(end)}`);
  if (error instanceof DOMException) assert.deepEqual([error.name, error.cause?.code], ["AbortError", "aborted"], name);
  else assert.deepEqual([error.name, error.code], ["SpratError", "aborted"], `${name}: ${error}`);
}

async function faces(sprat) {
  const LanguageModel = defineLanguageModel({ sprat });
  return { openai: new SpratOpenAI({ sprat }), provider: createSprat({ sprat }), LanguageModel, session: await LanguageModel.create() };
}

test("a Sprat that was disposed of, and whatever speaks for it", async () => {
  const { sprat, engine } = await ready(Sprat);
  const speaking = await faces(sprat);
  sprat.dispose();
  const started = engines.length;
  for (const [name, call] of Object.entries(OF_SPRAT)) assertAborted(await outcome(() => call(sprat)), name);
  for (const [name, call] of Object.entries(OF_FACES)) assertAborted(await outcome(() => call(speaking)), name);
  sprat.dispose();
  assert.equal(sprat.state, "disposed");
  assert.equal(engines.length, started, "nothing is started again");
  assert.ok(engine.ended);
});

test("what goes on while it is disposed of ends, too, also a load", async () => {
  const { sprat } = await ready(Sprat);
  const loading = Sprat.open({ model: "models/tiny/" });
  const calls = { chat: () => drained(sprat.chat(MESSAGES)), count: () => sprat.count(MESSAGES), use: () => sprat.use("b/"), load: () => loading.ready };
  const ends = Object.entries(calls).map(([name, call]) => [name, outcome(call)]);
  sprat.dispose();
  loading.dispose();
  for (const [name, end] of ends) assertAborted(await end, name);
});

test("a face that was disposed of, though its Sprat lives", async () => {
  const sprat = Object.assign(new FakeSprat(answer(["Hi"])), { count: () => 3 });
  const { openai, provider, session } = await faces(sprat);
  const model = provider("auto");
  openai.dispose();
  provider.dispose();
  session.destroy();
  for (const [name, call] of Object.entries(OF_FACES)) {
    if (name.startsWith("prompt-api")) continue;
    assertAborted(await outcome(() => call({ openai, provider })), name);
  }
  assertAborted(await outcome(() => model.doGenerate({ prompt: PROMPT })), "a model of before");
  // The name that the specification has for it.
  for (const name of ["prompt", "promptStreaming", "append", "measureContextUsage"]) {
    const { error } = await outcome(() => OF_FACES[`prompt-api ${name}`]({ session }));
    assert.equal(error?.name, "InvalidStateError", name);
  }
  assert.equal((await outcome(() => session.clone())).error?.name, "InvalidStateError");
  assert.deepEqual([sprat.state, sprat.asked], ["ready", []], "the Sprat is its owner's");
});

test("a face that was disposed of loads nothing again", async () => {
  let loads = 0;
  const engine = async () => (loads++, { Sprat: { open: () => new FakeSprat(answer(["Hi"])) } });
  const client = new SpratOpenAI({ model: "models/tiny/", engine });
  client.dispose();
  assertAborted(await outcome(() => client.chat.completions.create({ model: "auto", messages: MESSAGES })), "create");
  assert.equal(loads, 0);
  const alone = new SpratOpenAI({ baseURL: "https://example.org/v1", fetch: () => assert.fail("it was asked") });
  alone.dispose();
  assertAborted(await outcome(() => alone.chat.completions.create({ model: "any", messages: MESSAGES })), "create of a server's client");
});
