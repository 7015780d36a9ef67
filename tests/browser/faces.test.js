// The faces of the package over the real engine and the real server, in an otherwise empty page.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { Bench, COMPLETIONS, PACK, hardQuestion } from "./lib/bench.js";
import { PATIENCE } from "./lib/browser.js";

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;
before(async () => {
  bench = await Bench.start({ webgpu: false });
});
after(() => bench?.stop());
beforeEach(async () => {
  page = await (await bench.browser.newContext()).newPage();
  page.setDefaultTimeout(PATIENCE);
  // A file that is no page is shown as one, with the server's rules for pages.
  await page.goto(`${bench.server.origin}/sprat/sse.js`);
  bench.recorder.requests.length = 0;
});

const asked = (path) => bench.recorder.requests.filter((request) => path.test(request.path));

test("a client of the server alone downloads no engine", async () => {
  const text = await page.evaluate(async () => {
    const { SpratOpenAI } = await import("/sprat/openai.js");
    const client = new SpratOpenAI({ baseURL: "/v1" });
    const messages = [{ role: "user", content: "Say hello." }];
    let text = "";
    const stream = await client.chat.completions.create({ model: "sprat-small", messages, max_tokens: 8, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    return text;
  });
  assert.notEqual(text, "");
  assert.equal(asked(COMPLETIONS).length, 1);
  assert.deepEqual(asked(/\/models\/|\.wasm$|\/(sprat|worker|mix)\.js$/).map(({ path }) => path), []);
});

test("the OpenAI client answers in the page, or from the cloud, and shows one answer only", async () => {
  const seen = await page.evaluate(async (hard) => {
    const { SpratOpenAI } = await import("/sprat/openai.js");
    const client = new SpratOpenAI({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu" });
    const ask = async (content, more = {}) => {
      let [text, receipt] = ["", null];
      const stream = await client.chat.completions.create({ model: "auto", messages: [{ role: "user", content }], max_tokens: 16, stream: true, ...more });
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        receipt = chunk.x_receipt ?? receipt;
      }
      return { text, receipt };
    };
    const exact = await ask("What is 17 * 23?");
    const device = await ask("What is the capital of France?", { model: "device" });
    const cloud = await ask(hard);
    const secret = await ask(`${hard} It is a secret.`, { x_private: true }).catch((error) => ({ code: error.code, receipt: error.receipt }));
    client.dispose();
    return { exact, device, cloud, secret };
  }, hardQuestion());
  assert.deepEqual([seen.exact.text, seen.exact.receipt.source], ["391", "exact"]);
  assert.equal(seen.device.receipt.source, "device");
  assert.equal(seen.cloud.receipt.source, "cloud");
  assert.notEqual(seen.cloud.text, "");
  assert.notEqual(seen.secret.receipt?.source, "cloud");
  assert.equal(asked(COMPLETIONS).length, 1, "something else than the one question for the cloud was sent");
});

test("the Prompt API downloads, answers, stops and unloads, and asks nobody", async () => {
  const seen = await page.evaluate(async () => {
    const { defineLanguageModel } = await import("/sprat/prompt-api.js");
    const LanguageModel = defineLanguageModel({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu" });
    const shares = [];
    const states = [await LanguageModel.availability()];
    const session = await LanguageModel.create({
      monitor: (monitor) => monitor.addEventListener("downloadprogress", ({ loaded }) => shares.push(loaded)),
    });
    states.push(await LanguageModel.availability());
    const first = await session.prompt("What is the capital of France?");
    const copy = await session.clone();
    let streamed = "";
    for await (const text of session.promptStreaming("And of Italy?")) streamed += text;
    const again = await copy.prompt("And of Italy?");
    const stopped = await copy.prompt("Hello", { signal: AbortSignal.abort() }).catch((error) => error.name);
    const tooLong = await copy.prompt("word ".repeat(5000)).catch((error) => [error.name, error.quota === copy.contextWindow]);
    session.destroy();
    copy.destroy();
    states.push(await LanguageModel.availability());
    return { states, shares, first, streamed, again, stopped, tooLong };
  });
  assert.deepEqual(seen.states, ["downloadable", "available", "available"]);
  assert.deepEqual([seen.shares[0], seen.shares.at(-1)], [0, 1]);
  assert.deepEqual(seen.shares, [...new Set(seen.shares)].sort((a, b) => a - b));
  assert.match(seen.first, /Paris/);
  assert.equal(seen.streamed, seen.again, "a clone answers otherwise than its session");
  assert.deepEqual([seen.stopped, seen.tooLong], ["AbortError", ["QuotaExceededError", true]]);
  assert.deepEqual([asked(COMPLETIONS).length, asked(PACK).length > 0], [0, true]);
});
