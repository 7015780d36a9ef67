// The model's way into the page: stored once, damaged, missing, refused by the disk; and the GPU that is not there.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Bench, PACK, hardQuestion } from "./lib/bench.js";
import { ChatPage, launch, launchProfile } from "./lib/browser.js";

const WORKER = /worker[^/]*\.js$/;
const GREETING = "Hello! How are you?";

/** @type {Bench} */
let bench;
/** The largest file of the pack: its weights. */
let weights;

before(async () => {
  bench = await Bench.start();
  const manifest = await (await fetch(`${bench.server.origin}/models/sprat-tiny/sprat.json`)).json();
  weights = manifest.files.toSorted((a, b) => b.size - a.size)[0].path;
});
after(() => bench?.stop());
afterEach(() => bench?.recorder.honest());

const isWeights = () => new RegExp(`/${weights.replaceAll(".", "\\.")}$`);

/** Runs `code` in the worker before anything else does. */
function inWorker(code) {
  bench.recorder.alter(WORKER, (body) => Buffer.concat([Buffer.from(`${code}\n`), body]));
}

/** The software adapter poses as a card, which is what a page waits for; `more` breaks something about it. */
function poseAsCard(more = "") {
  inWorker(`{
    const pose = (name, value) => Object.defineProperty(GPUAdapter.prototype, name, { get: () => value });
    pose("info", { description: "A card", vendor: "of the tests" });
    pose("isFallbackAdapter", false);
    ${more}
  }`);
}

/** The device alone must answer. */
async function answersHere(chat) {
  await chat.mode.selectOption("device");
  const { state, source, text } = await chat.answer(GREETING);
  assert.deepEqual([state, source], ["done", "device"], text);
}

test("a reload, and a new browser, use the stored model", async () => {
  const profile = mkdtempSync(path.join(os.tmpdir(), "sprat-profile-"));
  const packRequests = (from) => bench.recorder.since(from, PACK).map((seen) => seen.path);
  try {
    let context = await launchProfile(bench.recorder, profile);
    let chat = await new ChatPage(context, bench.server.origin).open({ query: "device=cpu" });
    await chat.ready();
    assert.ok(packRequests(0).some((file) => file.endsWith(weights)));

    let from = bench.recorder.requests.length;
    await chat.page.reload();
    await chat.ready();
    await answersHere(chat);
    assert.deepEqual(packRequests(from).filter((file) => !file.endsWith("/sprat.json")), []);
    await context.close();

    from = bench.recorder.requests.length;
    context = await launchProfile(bench.recorder, profile);
    chat = await new ChatPage(context, bench.server.origin).open({ query: "device=cpu" });
    await chat.ready();
    await answersHere(chat);
    assert.deepEqual(packRequests(from).filter((file) => !file.endsWith("/sprat.json")), []);
    await context.close();
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
});

describe("a pack that is not what it should be", () => {
  const flipped = (body) => {
    const copy = Buffer.from(body);
    copy[Math.floor(copy.length * 0.6)] ^= 1;
    return copy;
  };
  const damages = [
    ["one altered bit", () => bench.recorder.alter(isWeights(), flipped), /damaged|checksum|hash|SHA-256/i],
    [
      "a truncated file",
      () => bench.recorder.alter(isWeights(), (body) => body.subarray(0, body.length / 2)),
      /damaged|checksum|hash|truncated|short|ends|bytes/i,
    ],
    ["a missing file", () => bench.recorder.lose(isWeights()), /404|not be found|missing|not there|no model/i],
    [
      "a manifest that is no JSON",
      () => bench.recorder.alter(/sprat\.json$/, () => Buffer.from("<!doctype html>")),
      /sprat\.json|damaged|manifest/i,
    ],
  ];

  for (const [name, damage, words] of damages) {
    test(`${name}: named, not loaded, and the cloud still answers`, async () => {
      damage();
      const chat = await bench.page();
      await chat.mode.selectOption("device");
      const { state, text } = await chat.answer(GREETING);
      assert.equal(state, "error", text);
      const page = await chat.text();
      assert.match(page, words);
      if (name !== "a manifest that is no JSON") assert.ok(page.toLowerCase().includes(weights.toLowerCase()), `the file is not named: ${page}`);
      await chat.picture(`damaged-${name.replaceAll(" ", "-")}`);

      await chat.startOver();
      const there = await chat.answer(hardQuestion());
      assert.deepEqual([there.state, there.source], ["done", "cloud"], there.text);

      // What was bad was not kept.
      bench.recorder.honest();
      await chat.page.reload();
      await chat.ready();
      await answersHere(chat);
      assert.deepEqual(chat.mistakes, []);
      await chat.context.close();
    });
  }
});

describe("a browser that will not store", () => {
  const refusals = {
    "no access": `navigator.storage.getDirectory = () => Promise.reject(new DOMException("refused", "SecurityError"));
      IDBFactory.prototype.open = () => { throw new DOMException("refused", "SecurityError"); };`,
    "no space": `for (const kind of [globalThis.FileSystemSyncAccessHandle, globalThis.FileSystemWritableFileStream]) {
      if (kind) kind.prototype.write = () => { throw new DOMException("full", "QuotaExceededError"); };
    }`,
  };
  for (const [name, code] of Object.entries(refusals)) {
    test(`${name}: the page works and says so`, async () => {
      inWorker(code);
      const chat = await bench.page();
      await chat.ready();
      await answersHere(chat);
      assert.match(await chat.text(), /stor(e|ed|age)|keep|kept/i);
      await chat.picture(`storage-${name.replaceAll(" ", "-")}`);
      assert.deepEqual(chat.mistakes, []);
      await chat.context.close();
    });
  }
});

describe("a browser without WebGPU", () => {
  let browser;
  before(async () => {
    browser = await launch(bench.recorder, { webgpu: false });
  });
  after(() => browser?.close());

  async function open(query) {
    return new ChatPage(await browser.newContext(), bench.server.origin).open({ query });
  }

  test("?device=webgpu says that there is none, and what to do", async () => {
    const chat = await open("device=webgpu");
    await chat.mode.selectOption("device");
    const { state, text } = await chat.answer(GREETING);
    assert.equal(state, "error", text);
    assert.match(await chat.text(), /WebGPU/);
    await chat.picture("no-webgpu");
    assert.deepEqual(chat.mistakes, []);
  });

  test("left alone, it runs on the CPU", async () => {
    const chat = await open("");
    await chat.ready();
    assert.match(await chat.page.getByRole("banner").innerText(), /CPU/);
    await answersHere(chat);
  });
});

test("a software adapter is not chosen unless it is asked for", async () => {
  const chat = await bench.page({ query: "" });
  await chat.ready();
  assert.match(await chat.page.getByRole("banner").innerText(), /CPU/);
  await chat.context.close();
});

test("the CPU answers until the GPU is ready, and the GPU goes on with the same tokens", async () => {
  poseAsCard();
  const chat = await bench.page({ query: "device=cpu" });
  const seen = await chat.page.evaluate(async (question) => {
    const { Sprat } = await import("/sprat/sprat.js");
    const devices = [];
    const warnings = [];
    let moved = () => {};
    const over = new Promise((resolve) => (moved = resolve));
    const onStatus = ({ state, device }) => {
      if (state !== "ready" || device === null) return;
      devices.push(device.kind);
      if (device.kind === "webgpu") moved();
    };
    const onWarning = ({ message }) => {
      warnings.push(message);
      moved();
    };
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: null, canary: false, onStatus, onWarning });
    const messages = [{ role: "user", content: question }];
    const answer = async () => {
      for await (const event of sprat.chat(messages, { mode: "device", temperature: 0 })) {
        if (event.type === "end") return { text: event.text, device: event.receipt.device };
      }
    };
    const before = await answer();
    await over;
    const after = await answer();
    messages.push({ role: "assistant", content: after.text }, { role: "user", content: "What can you do?" });
    const second = await answer();
    sprat.dispose();
    return { devices, warnings, before, after, second };
  }, GREETING);
  assert.deepEqual(seen.warnings, []);
  assert.deepEqual(seen.devices, ["cpu", "webgpu"]);
  assert.match(seen.before.device, /CPU/);
  assert.match(seen.after.device, /A card/);
  assert.equal(seen.after.text, seen.before.text);
  assert.match(seen.second.device, /A card/);
  await chat.context.close();
});

test("a GPU that cannot be had is left alone, and the CPU goes on", async () => {
  poseAsCard(`GPUAdapter.prototype.requestDevice = () => Promise.reject(new Error("out of memory"));`);
  const chat = await bench.page({ query: "" });
  await chat.ready();
  await answersHere(chat);
  assert.match(await chat.page.getByRole("banner").innerText(), /CPU/);
  assert.deepEqual(chat.mistakes, []);
  await chat.context.close();
});

test("shaders that do not compile leave the CPU answering, with one warning", async () => {
  poseAsCard(`
    const create = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function () { return create.call(this, { code: "no shader" }); };
  `);
  const chat = await bench.page({ query: "device=cpu" });
  const seen = await chat.page.evaluate(async (question) => {
    const { Sprat } = await import("/sprat/sprat.js");
    const devices = [];
    const warnings = [];
    let warned = () => {};
    const warning = new Promise((resolve) => (warned = resolve));
    const onWarning = ({ code }) => (warnings.push(code), warned());
    const onStatus = ({ state, device }) => state === "ready" && devices.push(device.kind);
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: null, onStatus, onWarning });
    await warning;
    const answer = async () => {
      for await (const event of sprat.chat([{ role: "user", content: question }], { mode: "device" })) {
        if (event.type === "end") return event.receipt.device;
      }
    };
    // Right away, and when a worker that had to be replaced is back.
    const answers = [await answer().catch((error) => error.code), await sprat.ready.then(answer)];
    sprat.dispose();
    return { devices, warnings, answers };
  }, GREETING);
  assert.deepEqual([...new Set(seen.devices)], ["cpu"]);
  assert.equal(seen.warnings.length, 1, seen.warnings.join());
  assert.match(seen.answers[1], /CPU/);
  await chat.context.close();
});

test("a model that the GPU cannot hold is not fetched for it, and the page says so", async () => {
  bench.recorder.alter(/sprat\.json$/, (body) => Buffer.from(JSON.stringify({ ...JSON.parse(body.toString()), largest_buffer: 1e12 })));
  const from = bench.recorder.requests.length;
  const chat = await bench.page({ query: "device=webgpu" });
  await chat.page.getByText(/takes \d+ MB in one piece/).first().waitFor();
  assert.deepEqual(bench.recorder.since(from, isWeights()), []);
  await chat.context.close();
});

test("a GPU that goes away leaves a page that answers", async () => {
  // The device is destroyed from inside, which the browser reports as it reports a crashed adapter.
  inWorker(`{
    const request = GPUAdapter.prototype.requestDevice;
    const wire = new BroadcastChannel("lose-the-gpu");
    const devices = [];
    GPUAdapter.prototype.requestDevice = async function (...options) {
      const device = await request.apply(this, options);
      devices.push(device);
      return device;
    };
    wire.onmessage = () => { for (const device of devices) device.destroy(); wire.postMessage("lost"); };
  }`);
  const chat = await bench.page({ query: "device=webgpu" });
  await chat.ready();
  await answersHere(chat);
  const lose = () =>
    chat.page.evaluate(
      () =>
        new Promise((resolve) => {
          const wire = new BroadcastChannel("lose-the-gpu");
          wire.onmessage = resolve;
          wire.postMessage("lose");
        }),
    );
  // In the middle of an answer: it goes on, on the CPU, as if nothing had been.
  await chat.startOver();
  await chat.mode.selectOption("device");
  const story = "Tell me a long story about a small fish and the sea.";
  const answer = await chat.ask(story);
  const words = answer.locator(".text");
  await chat.page.waitForFunction((element) => element.textContent.trim() !== "", await words.elementHandle());
  await lose();
  const { state, source, text } = await chat.finished(answer);
  assert.deepEqual([state, source], ["done", "device"], text);
  const whole = await words.innerText();
  // If the answer was quicker than the loss, this comes a moment later.
  await chat.page.getByRole("banner").getByText(/CPU/).first().waitFor();
  await chat.startOver();
  await chat.mode.selectOption("device");
  const again = await chat.ask(story);
  assert.equal((await chat.finished(again)).state, "done");
  assert.equal(await again.locator(".text").innerText(), whole);
  assert.deepEqual(chat.mistakes, []);
  await chat.context.close();
});
