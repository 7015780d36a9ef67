// Who answers while the model comes, when the cloud is preferred and is not there, when nobody looks at the page, and when
// a worker ends in the middle of an answer.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Bench, COMPLETIONS, PACK, canary } from "./lib/bench.js";

const STORY = "Tell me a long story about a small fish and the sea.";
const WEIGHTS = /model\.safetensors$/;

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;

before(async () => {
  bench = await Bench.start({ webgpu: false });
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Life</title>");
  page = await (await bench.browser.newContext()).newPage();
});
after(() => bench?.stop());
afterEach(() => bench.recorder.honest());

/** A fresh page, in which `load` opens a Sprat and `ask` reads an answer to its end. Nothing is stored. */
async function visit(options = {}) {
  await page.goto(`${bench.server.origin}/blank.html`);
  await page.evaluate(async (options) => {
    const { Sprat } = await import("/sprat/sprat.js");
    await Sprat.forget("/models/sprat-tiny/");
    const warnings = [];
    const sprat = Sprat.open({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu", onWarning: ({ code }) => warnings.push(code), ...options });
    const ask = async (content, options) => {
      let deltas = 0;
      globalThis.deltas = 0;
      try {
        for await (const event of sprat.chat([{ role: "user", content }], { temperature: 0, ...options })) {
          if (event.type === "delta") globalThis.deltas = deltas += 1;
          if (event.type === "end") return { text: event.text, source: event.receipt.source, rule: event.receipt.rule, sent: event.receipt.bytes_sent };
        }
      } catch ({ name, code, hint, partial }) {
        return { name, code, hint, partial };
      }
    };
    const hide = (/** @type {boolean} */ hidden) => {
      Object.defineProperty(document, "visibilityState", { value: hidden ? "hidden" : "visible", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    };
    Object.assign(globalThis, { Sprat, sprat, ask, hide, warnings, deltas: 0 });
  }, options);
}

const ask = (question, options = {}) => page.evaluate(([question, options]) => globalThis.ask(question, options), [question, options]);
const ready = () => page.evaluate(() => globalThis.sprat.ready.then(() => null, ({ code }) => code));
const completions = (from) => bench.recorder.since(from, COMPLETIONS).length;

test("while the model is downloaded the cloud answers, and then the device does", async () => {
  const go = bench.recorder.delay(WEIGHTS);
  await visit();
  const there = await ask("What is the capital of France?", { mode: "prefer-device" });
  assert.deepEqual([there.source, there.rule], ["cloud", "no-model"]);
  go();
  assert.equal(await ready(), null);
  const here = await ask("What is the capital of France?", { mode: "prefer-device" });
  assert.equal(here.source, "device");
});

test("prefer-cloud asks the cloud, and the device where the cloud does not answer; private text stays", async () => {
  await visit();
  assert.equal(await ready(), null);
  assert.equal((await ask("Hello!", { mode: "prefer-cloud" })).source, "cloud");

  bench.recorder.lose(COMPLETIONS);
  const refused = await ask("Hello!", { mode: "prefer-cloud" });
  assert.deepEqual([refused.source, refused.rule], ["device", "cloud-first-refused"]);
  assert.ok(refused.sent > 0, "what was sent in vain is in the receipt");
  bench.recorder.honest();

  await page.context().setOffline(true);
  const offline = await ask("Hello!", { mode: "prefer-cloud" });
  await page.context().setOffline(false);
  assert.deepEqual([offline.source, offline.rule], ["device", "cloud-first-unreachable"]);
  assert.equal(offline.text, refused.text);

  const word = canary();
  const from = bench.recorder.requests.length;
  const secret = await ask(`My password is ${word} . Hello!`, { mode: "prefer-cloud" });
  assert.ok(secret.source === "device" || secret.code === "private_unanswerable", JSON.stringify(secret));
  assert.equal(completions(from), 0);
  assert.ok(!bench.recorder.saw(word));
});

test("nothing is computed while nobody sees the page, and the answer is the same", async () => {
  await visit();
  assert.equal(await ready(), null);
  const options = { mode: "only-device", maxTokens: 60 };
  const whole = await ask(STORY, options);
  assert.equal(whole.source, "device");
  const seen = await page.evaluate(async ([question, options]) => {
    const wait = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
    globalThis.deltas = 0;
    let over = false;
    // The first token comes; the second one waits.
    hide(true);
    const answer = globalThis.ask(question, options).finally(() => (over = true));
    while (globalThis.deltas === 0) await wait(10);
    const begun = globalThis.deltas;
    await wait(1500);
    const still = { deltas: globalThis.deltas, over };
    hide(false);
    return { begun, still, answer: await answer };
  }, [STORY, options]);
  assert.deepEqual(seen.still, { deltas: seen.begun, over: false });
  assert.deepEqual(seen.answer, whole);
});

for (const script of ["worker.js", "link.js"]) {
  test(`${script} ends in the middle of an answer: a typed error with the text so far, and the next question is answered`, async () => {
    await visit({ cloud: null });
    assert.equal(await ready(), null);
    // The first token comes; the second one waits.
    await page.evaluate(() => globalThis.hide(true));
    const lost = ask(STORY, { mode: "only-device" });
    await page.waitForFunction(() => globalThis.deltas > 0);
    const worker = page.workers().findLast((worker) => worker.url().endsWith(`/${script}`));
    const bug = () => {
      setTimeout(() => {
        throw new Error("a bug");
      });
    };
    // It may be gone before it says that it has heard.
    await worker.evaluate(bug).catch(() => {});
    const { name, code, hint, partial } = await lost;
    assert.deepEqual([name, code], ["SpratError", "worker_lost"]);
    assert.match(hint, /^Ask again/);
    assert.ok(partial.length > 0);
    await page.evaluate(() => globalThis.hide(false));
    // Nobody has to wait for `ready`.
    const next = await ask("Hello!", { mode: "only-device" });
    assert.equal(next.source, "device");
    assert.deepEqual(await page.evaluate(() => [globalThis.warnings, globalThis.sprat.state]), [["worker_lost"], "ready"]);
  });
}

test("a model above the page's limit is not fetched, and the cloud answers", async () => {
  const from = bench.recorder.requests.length;
  await visit({ maxBytes: 1e6 });
  assert.equal(await ready(), "too_large");
  assert.equal((await ask("Hello!", { mode: "only-device" })).code, "too_large");
  assert.equal((await ask("Hello!")).source, "cloud");
  assert.deepEqual(bench.recorder.since(from, PACK).filter(({ path }) => !path.endsWith("/sprat.json")), []);
});
