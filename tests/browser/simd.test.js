// The CPU's module for relaxed SIMD: taken where the browser has it, and by its answers no other than the plain one.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bench, COMPLETIONS } from "./lib/bench.js";

const MODULES = /\/cpu\/.*\.wasm$/;
const RELAXED = "/sprat/cpu/sprat_edge_relaxed_bg.wasm";
const PLAIN = "/sprat/cpu/sprat_edge_bg.wasm";
/** Of few tokens and of many. */
const QUESTIONS = ["What is the capital of France?", "Tell me about your day.", "the fish swim in the sea ".repeat(8)];

/** @type {Bench} */
let bench;
before(async () => {
  bench = await Bench.start({ webgpu: false });
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>SIMD</title>");
});
after(() => bench?.stop());

/** The device's answers in a new page, the paths of the modules that it fetched, and the code of what was not answered. */
async function visit() {
  const page = await (await bench.browser.newContext({ serviceWorkers: "block" })).newPage();
  const from = bench.recorder.requests.length;
  await page.goto(`${bench.server.origin}/blank.html`);
  const answers = await page.evaluate(async (questions) => {
    const { Sprat } = await import("/sprat/sprat.js");
    try {
      const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: null, device: "cpu" });
      const texts = [];
      for (const content of questions) {
        for await (const event of sprat.chat([{ role: "user", content }], { mode: "device", temperature: 0, maxTokens: 48 })) {
          if (event.type === "end") texts.push(event.text);
        }
      }
      return texts;
    } catch ({ code, message }) {
      return { code, message };
    }
  }, QUESTIONS);
  await page.context().close();
  assert.deepEqual(bench.recorder.since(from, COMPLETIONS), []);
  return { answers, modules: bench.recorder.since(from, MODULES).map(({ path }) => path) };
}

test("a browser with relaxed SIMD takes that module, and where it is not to be had the other, with the same answers", async () => {
  const relaxed = await visit();
  assert.deepEqual(relaxed.modules, [RELAXED]);
  assert.equal(relaxed.answers.length, QUESTIONS.length);
  assert.match(relaxed.answers[0], /Paris/);
  bench.recorder.lose(/_relaxed_bg\.wasm$/);
  assert.deepEqual(await visit(), { answers: relaxed.answers, modules: [RELAXED, PLAIN] });
});

test("without either, the error is of the one that every browser takes", async () => {
  bench.recorder.lose(MODULES);
  const { answers, modules } = await visit();
  assert.deepEqual(modules, [RELAXED, PLAIN]);
  assert.equal(answers.code, "unsupported");
  assert.match(answers.message, /cpu\/sprat_edge_bg\.wasm: HTTP status 404/);
});
