// LoRA adapters: swapped over a model whose weights stay where they are; what is wrong with one changes nothing.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { makeAdapter } from "./lib/adapter.js";
import { Bench } from "./lib/bench.js";

const BASE = /\/models\/sprat-tiny\//;

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;
let folder;

before(async () => {
  bench = await Bench.start();
  folder = mkdtempSync(path.join(os.tmpdir(), "sprat-adapters-"));
  for (const [name, seed] of [["one", 1], ["two", 2]]) offer(name, makeAdapter(folder, name, seed));
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Adapters</title>");
  page = await (await bench.browser.newContext()).newPage();
  await visit("cpu");
});
after(async () => {
  await bench?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens the page, anew if it was open, with a model in it. */
async function visit(device, options = {}) {
  await page.goto(`${bench.server.origin}/blank.html`);
  await page.evaluate(async ([device, options]) => {
    const { Sprat } = await import("/sprat/sprat.js");
    globalThis.Sprat = Sprat;
    globalThis.sprat = await Sprat.load({ model: "/models/sprat-tiny/", device, onWarning: ({ code }) => globalThis.warned?.(code), ...options });
    globalThis.ask = async () => {
      const messages = [{ role: "user", content: "What is your name?" }];
      for await (const event of sprat.chat(messages, { mode: "device", maxTokens: 12, temperature: 0 })) {
        if (event.type === "end") return { text: event.text, receipt: event.receipt };
      }
    };
    globalThis.code = (promise) => promise.then(() => "none", (error) => error.code);
  }, [device, options]);
}

/** Serves a pack at /lora/NAME/. */
function offer(name, files) {
  for (const [file, body] of Object.entries(files)) bench.recorder.offer(`/lora/${name}/${file}`, "application/octet-stream", body);
}

const requests = (from, path) => bench.recorder.since(from, path).map((seen) => seen.path);

test("adapters are swapped over one model: nothing of it is fetched, and its answer comes back", async () => {
  const from = bench.recorder.requests.length;
  const seen = await page.evaluate(async () => {
    const answers = [await ask()];
    for (const adapter of ["/lora/one/", "/lora/two/", "/lora/one/", null]) {
      await sprat.adapt(adapter);
      answers.push({ ...(await ask()), adapter: sprat.adapter });
    }
    return { answers, stored: (await Sprat.stored()).map(({ name }) => name).toSorted() };
  });
  assert.deepEqual(requests(from, BASE), []);
  // The second time it is stored.
  const weights = requests(from, /^\/lora\/one\/.*safetensors$/);
  assert.equal(weights.length, 1, weights.join());
  const [alone, one, two, again, off] = seen.answers;
  assert.equal(new Set([alone.text, one.text, two.text]).size, 3, JSON.stringify(seen.answers.map(({ text }) => text)));
  assert.deepEqual([again.text, off.text], [one.text, alone.text]);
  assert.deepEqual([one.adapter, off.adapter], [`${bench.server.origin}/lora/one/`, null]);
  // The gate was fitted for the model alone.
  assert.equal(one.receipt.confidence, null);
  assert.equal(off.receipt.confidence, alone.receipt.confidence);
  assert.notEqual(alone.receipt.confidence, null);
  assert.deepEqual([one.receipt.model, off.receipt.model], ["sprat-tiny + one", "sprat-tiny"]);
  // Another adapter remembers nothing of what this one has read.
  assert.equal(again.receipt.cached_tokens, 0);
  assert.deepEqual(seen.stored, ["one", "sprat-tiny", "two"]);
});

test("another scale is another adapter, for which nothing is asked for", async () => {
  await page.evaluate(async () => (await sprat.adapt(null), sprat.adapt("/lora/one/")));
  const from = bench.recorder.requests.length;
  const seen = await page.evaluate(async () => {
    const answers = [await ask()];
    for (const scale of [0.5, 0, -1, 1]) {
      await sprat.adapt("/lora/one/", { scale });
      answers.push({ ...(await ask()), scale: sprat.adapterScale });
    }
    await sprat.adapt(null);
    return { answers, alone: (await ask()).text, codes: [await code(sprat.adapt("/lora/one/", { scale: NaN })), sprat.adapterScale] };
  });
  assert.deepEqual(requests(from, /./), []);
  const [one, half, none, minus, again] = seen.answers;
  assert.equal(new Set([one.text, half.text, none.text, minus.text]).size, 4, JSON.stringify(seen.answers.map(({ text }) => text)));
  assert.deepEqual([none.text, again.text], [seen.alone, one.text]);
  assert.deepEqual([half.scale, half.receipt.model, again.receipt.model], [0.5, "sprat-tiny + one × 0.5", "sprat-tiny + one"]);
  // What was read at another scale is not remembered.
  assert.deepEqual(seen.answers.map(({ receipt }) => receipt.cached_tokens), [0, 0, 0, 0, 0]);
  assert.deepEqual(seen.codes, ["bad_request", null]);
});

test("a GPU answers with an adapter as a CPU does", async () => {
  const onCpu = await page.evaluate(async () => {
    await sprat.adapt("/lora/one/");
    const text = (await ask()).text;
    await sprat.adapt("/lora/one/", { scale: 0.5 });
    return [text, (await ask()).text];
  });
  await visit("webgpu");
  const onGpu = await page.evaluate(async () => {
    const alone = (await ask()).text;
    await sprat.adapt("/lora/one/");
    const adapted = [(await ask()).text];
    await sprat.adapt("/lora/one/", { scale: 0.5 });
    adapted.push((await ask()).text);
    await sprat.adapt(null);
    return { alone, adapted, off: (await ask()).text, kind: sprat.device.kind };
  });
  await visit("cpu");
  assert.equal(onGpu.kind, "webgpu");
  assert.deepEqual(onGpu.adapted, onCpu);
  assert.equal(onGpu.off, onGpu.alone);
});

test("what is wrong with an adapter is said, and the one before stays", async () => {
  await page.evaluate(() => sprat.adapt("/lora/two/"));
  const before = await page.evaluate(() => ask());
  const codes = [];
  const adapt = async (url) => codes.push(await page.evaluate((url) => code(sprat.adapt(url)), url));

  const files = makeAdapter(folder, "three", 3);
  const manifest = JSON.parse(files["sprat.json"]);
  const foreign = { ...manifest, bases: [{ name: "another", fingerprint: "00" }] };
  offer("foreign", { ...files, "sprat.json": JSON.stringify(foreign) });
  await adapt("/lora/foreign/");
  // A model is no adapter.
  await adapt("/models/sprat-tiny/");
  await adapt("/lora/nowhere/");
  const damaged = Buffer.from(files["adapter_model.safetensors"]);
  damaged[damaged.length >> 1] ^= 1;
  offer("damaged", { ...files, "adapter_model.safetensors": damaged });
  await adapt("/lora/damaged/");
  // Half of it is here.
  const { "adapter_model.safetensors": late, ...half } = files;
  offer("three", half);
  await adapt("/lora/three/");
  assert.deepEqual(codes, ["wrong_base", "wrong_base", "model_missing", "model_corrupt", "model_missing"]);
  const after = await page.evaluate(async () => ({ ...(await ask()), adapter: sprat.adapter }));
  assert.equal(after.text, before.text);
  assert.equal(after.adapter, `${bench.server.origin}/lora/two/`);

  offer("three", { "adapter_model.safetensors": late });
  await adapt("/lora/three/");
  assert.equal(codes.at(-1), "none");
  assert.notEqual(await page.evaluate(async () => (await ask()).text), before.text);
});

test("a worker that comes after a crash answers with the adapter, whoever asks at once", async () => {
  await page.evaluate(() => sprat.adapt("/lora/one/"));
  const before = await page.evaluate(() => ask());
  const worker = page.workers().findLast((worker) => worker.url().endsWith("/worker.js"));
  await page.evaluate(() => {
    globalThis.crashed = new Promise((resolve) => (globalThis.warned = resolve));
  });
  // It may be gone before it says that it has heard.
  await worker.evaluate(() => void setTimeout(() => { throw new Error("a bug"); })).catch(() => {});
  const after = await page.evaluate(async () => (await globalThis.crashed, { ...(await ask()), state: sprat.state }));
  assert.deepEqual([after.text, after.receipt.model, after.state], [before.text, before.receipt.model, "ready"]);
});

test("an adapter is not swapped in the middle of an answer, and may be as soon as that was left", async () => {
  const seen = await page.evaluate(async () => {
    await sprat.adapt(null);
    const alone = (await ask()).text;
    const codes = [];
    let text = "";
    for await (const event of sprat.chat([{ role: "user", content: "Tell me a long story." }], { mode: "device", maxTokens: 60 })) {
      if (event.type === "delta" && !text) codes.push(await code(sprat.adapt("/lora/one/")));
      if (event.type === "delta") text += event.text;
      if (text.length > 20) break;
    }
    codes.push(await code(sprat.adapt("/lora/one/")));
    const adapted = (await ask()).text;
    // Questions that come while it is swapped wait for it.
    const [, answer] = await Promise.all([sprat.adapt(null), ask()]);
    return { alone, adapted, codes, answer: answer.text };
  });
  assert.deepEqual(seen.codes, ["busy", "none"]);
  assert.notEqual(seen.adapted, seen.alone);
  assert.ok([seen.alone, seen.adapted].includes(seen.answer), seen.answer);
});

test("an adapter that is too large on top of the model is refused by its manifest", async () => {
  const { bytes } = await page.evaluate(() => sprat.model);
  await visit("cpu", { maxBytes: bytes + 1000 });
  // None that is stored.
  offer("four", makeAdapter(folder, "four", 4));
  const from = bench.recorder.requests.length;
  const seen = await page.evaluate(async () => ({ code: await code(sprat.adapt("/lora/four/")), adapter: sprat.adapter, text: (await ask()).text }));
  assert.deepEqual([seen.code, seen.adapter], ["too_large", null]);
  assert.ok(seen.text.length > 0);
  assert.deepEqual(requests(from, /./), ["/lora/four/sprat.json"]);
});
