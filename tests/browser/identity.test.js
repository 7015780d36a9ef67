// One model, two machines: what the browser answers greedily is, token by token, what transformers answered.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Bench } from "./lib/bench.js";
import { PATIENCE } from "./lib/browser.js";
import { familyModels, goldenModels, goldenPack, quantizedPack, toIds, toText } from "./lib/pack.js";

/** @type {Bench} */
let bench;
before(async () => {
  bench = await Bench.start();
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Goldens</title>");
});
after(() => bench?.stop());

function offer(folder, files) {
  for (const [file, bytes] of files) bench.recorder.offer(`/${folder}/${file}`, "application/octet-stream", bytes);
}

async function blankPage() {
  const context = await bench.browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.goto(`${bench.server.origin}/blank.html`);
  return page;
}

/** Runs in the page: loads a pack with the public API, into the engine that is there, and asks it once or more. */
async function chatWith({ folder, device, questions }) {
  const { Sprat } = await import("/sprat/sprat.js");
  try {
    const model = `/${folder}/`;
    if (globalThis.engine) await globalThis.engine.use(model);
    else globalThis.engine = await Sprat.load({ model, cloud: null, device });
    const sprat = globalThis.engine;
    const texts = [];
    for (const { messages, maxTokens } of questions) {
      let text = "";
      for await (const event of sprat.chat(messages, { mode: "device", temperature: 0, maxTokens })) {
        if (event.type === "delta") text += event.text;
        if (event.type === "end" && event.text !== text) throw new Error("the parts are not the whole");
      }
      texts.push(text);
    }
    return { kind: sprat.device.kind, texts };
  } catch (error) {
    return { code: error.code ?? "none", message: String(error.message) };
  }
}

for (const device of ["cpu", "webgpu"]) {
  describe(`the golden models on ${device}`, () => {
    /** Starting an engine for each model takes longer than its answers. @type {import("playwright-core").Page | null} */
    let page = null;
    after(() => page?.context().close());
    afterEach(async ({ passed }) => {
      if (passed) return;
      // The next one gets an engine that nothing has befallen.
      await page?.context().close();
      page = null;
    });

    // Software WebGPU takes a quarter of a minute for each.
    for (const name of device === "cpu" ? goldenModels() : familyModels()) {
      test(name, async () => {
        const { golden, files } = goldenPack(name);
        offer(name, files);
        page ??= await blankPage();
        const messages = [{ role: "user", content: toText(golden.prompt) }];
        // The second time the cache holds the prompt, and more of it than the new prompt uses.
        const half = [{ role: "user", content: toText([...golden.prompt, ...golden.greedy.slice(0, 16)]) }];
        const questions = [
          { messages, maxTokens: golden.greedy.length },
          { messages: half, maxTokens: golden.greedy.length - 16 },
          { messages, maxTokens: golden.greedy.length },
        ];
        const { kind, texts, code, message } = await page.evaluate(chatWith, { folder: name, device, questions });
        assert.equal(code, undefined, message);
        assert.equal(kind, device);
        assert.deepEqual(toIds(texts[0]), golden.greedy);
        assert.deepEqual(toIds(texts[1]), golden.greedy.slice(16));
        assert.deepEqual(toIds(texts[2]), golden.greedy);
      });
    }

    test("a device that computes another known value is not used", async () => {
      const { golden, files } = goldenPack("llama-gqa-tied");
      const manifest = JSON.parse(files.get("sprat.json"));
      manifest.check.tokens[2] = (manifest.check.tokens[2] + 1) % 256;
      files.set("sprat.json", Buffer.from(JSON.stringify(manifest)));
      offer(`wrong-${device}`, files);
      const own = await blankPage();
      const questions = [{ messages: [{ role: "user", content: toText(golden.prompt) }], maxTokens: 1 }];
      const result = await own.evaluate(chatWith, { folder: `wrong-${device}`, device, questions });
      assert.equal(result.code, device === "cpu" ? "model_corrupt" : "webgpu_unavailable", JSON.stringify(result));
      await own.context().close();
    });
  });
}

// Their matrices are made floats again while they are loaded, which no other family's are.
for (const name of ["qwen3_moe", "deepseek_v2", "deepseek_v3"]) {
  test(`${name} in 8 bits, on a GPU as on the CPU`, async () => {
    offer(`${name}-q8`, quantizedPack(name));
    const { golden } = goldenPack(name);
    // Near ties are decided by the last bits: not many tokens.
    const questions = [{ messages: [{ role: "user", content: toText(golden.prompt) }], maxTokens: 4 }];
    const answers = [];
    for (const device of ["cpu", "webgpu"]) {
      const page = await blankPage();
      const { kind, texts, code, message } = await page.evaluate(chatWith, { folder: `${name}-q8`, device, questions });
      assert.deepEqual([kind, code], [device, undefined], message);
      answers.push(toIds(texts[0]));
      await page.context().close();
    }
    assert.equal(answers[0].length, 4);
    assert.deepEqual(answers[1], answers[0]);
  });
}
