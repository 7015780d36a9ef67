// The CPU's threads, in a page that is isolated as the server's own is: the same answers, and what becomes of them when one ends.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bench } from "./lib/bench.js";
import { ISOLATED } from "./lib/recorder.js";

/** Of few tokens and of many. */
const QUESTIONS = ["Tell me about your day.", "the fish swim in the sea ".repeat(8)];

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;
const mistakes = [];

before(async () => {
  bench = await Bench.start({ webgpu: false });
  bench.recorder.offer("/isolated.html", "text/html", "<!doctype html><title>Threads</title>", ISOLATED);
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Threads</title>");
  page = await (await bench.browser.newContext()).newPage();
  page.on("pageerror", (error) => mistakes.push(error));
});
after(() => bench?.stop());

/** Loads a model in a page at `path` with so many threads, and gives what it is asked about. `started` are the page's workers. */
async function visit(path, threads) {
  await page.goto(`${bench.server.origin}${path}`);
  return page.evaluate(async (threads) => {
    Object.defineProperty(navigator, "hardwareConcurrency", { value: 8 });
    const started = [];
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        started.push(this);
      }
    };
    const { Sprat } = await import("/sprat/sprat.js");
    const warnings = [];
    const onWarning = ({ code }) => warnings.push(code);
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: null, device: "cpu", threads, onWarning });
    const ask = async (content, maxTokens = 48) => {
      let text = "";
      try {
        for await (const event of sprat.chat([{ role: "user", content }], { mode: "device", temperature: 0, maxTokens })) {
          if (event.type === "delta") text += event.text;
          if (event.type === "end") return event.text;
        }
      } catch ({ code }) {
        return { code };
      }
    };
    Object.assign(globalThis, { sprat, ask, warnings, started });
    return sprat.device.threads;
  }, threads);
}

const answers = () => page.evaluate(async (questions) => {
  const texts = [];
  for (const question of questions) texts.push(await globalThis.ask(question));
  return texts;
}, QUESTIONS);

test("threads change no answer, and end with the engine", async () => {
  assert.equal(await visit("/isolated.html", 1), 1);
  const alone = await answers();
  assert.ok(alone.every((text) => text.length > 0));
  for (const threads of [2, 4]) {
    assert.equal(await visit("/isolated.html", threads), threads);
    assert.deepEqual(await answers(), alone, `${threads} threads`);
    // The engine's worker, the link, and a worker for each thread but the engine's own.
    assert.equal(page.workers().length, 1 + threads);
    await page.evaluate(() => globalThis.sprat.dispose());
    for (let tries = 0; page.workers().length > 0 && tries < 100; tries += 1) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(page.workers().length, 0);
  }
  assert.deepEqual(mistakes, []);
});

test("a page that is not isolated has one, and so has a small model where nobody asks for more", async () => {
  assert.equal(await visit("/blank.html", 4), 1);
  assert.equal(await visit("/isolated.html", undefined), 1);
  const { code } = await page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    return Sprat.load({ model: "/models/sprat-tiny/", threads: 0 }).catch(({ code }) => ({ code }));
  });
  assert.equal(code, "bad_request");
});

test("when a thread ends its engine does too, and the next one has none", async () => {
  assert.equal(await visit("/isolated.html", 2), 2);
  const broken = await page.evaluate(async () => {
    // As a browser that needs memory may. Chromium lets a busy one go on for two seconds.
    globalThis.started.at(-1).terminate();
    for (const begun = performance.now(); performance.now() - begun < 60_000; ) {
      const answer = await globalThis.ask("Tell me about your day.");
      if (typeof answer !== "string") return answer;
    }
  });
  assert.deepEqual(broken, { code: "worker_lost" });
  await page.evaluate(() => globalThis.sprat.ready);
  assert.equal(await page.evaluate(() => globalThis.sprat.device.threads), 1);
  assert.equal(typeof (await answers())[0], "string");
  assert.deepEqual(await page.evaluate(() => globalThis.warnings), ["worker_lost"]);
});

test("the server's own page is isolated", async () => {
  await page.goto(`${bench.server.origin}/?device=cpu`);
  assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), true);
});
