// The bridge in Chromium, as a webview has it: each kind of host, a small phone with a slow CPU, no special headers, no
// WebGPU, no storage; a real model answers.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { makeAdapter } from "./lib/adapter.js";
import { canary } from "./lib/bench.js";
import { strangers } from "./lib/browser.js";
import { HOSTS, Webview } from "./lib/webview.js";

const GREETING = [{ role: "user", content: "Hello! How are you?" }];
const APP = "http://app.example";
const EVIL = "http://evil.example";

/** @type {Webview} */
let webview;
/** @type {import("./lib/webview.js").Host} */
let host;

before(async () => (webview = await Webview.start()));
after(() => webview?.stop());
afterEach(async () => {
  webview.recorder.honest();
  await host?.page.context().close();
  host = undefined;
});

/** What a poor webview's workers lack. */
function poor() {
  const code = `
    Object.defineProperty(navigator, "gpu", { value: undefined });
    navigator.storage.getDirectory = () => Promise.reject(new DOMException("refused", "SecurityError"));
    Object.defineProperty(globalThis, "indexedDB", { value: undefined });
  `;
  webview.recorder.alter(/\/(worker|link)\.js$/, (body) => Buffer.concat([Buffer.from(code), body]));
}

describe("a real model answers through each kind of host", () => {
  for (const kind of Object.keys(HOSTS)) {
    test(kind, async () => {
      poor();
      host = await webview.open(kind);
      assert.equal((await host.told("sprat.connected")).params.transport, kind);
      assert.equal(await host.page.evaluate(() => crossOriginIsolated), false);

      const load = await host.call("sprat.load", {}, "load");
      assert.equal(load.result?.state, "ready", JSON.stringify(load.error));
      assert.equal(load.result.device.kind, "cpu");
      const stages = host.heard.filter(({ method, params }) => method === "sprat.progress" && params.id === "load").map(({ params }) => params.stage);
      assert.ok(stages.includes("download") && stages.includes("ready"), stages.join());
      assert.ok(host.heard.some(({ method, params }) => method === "sprat.warning" && params.code === "storage_refused"));

      const chat = await host.call("sprat.chat", { messages: GREETING, options: { mode: "device", temperature: 0 } }, "chat");
      assert.equal(chat.result?.receipt.source, "device", JSON.stringify(chat.error));
      assert.ok(host.deltas("chat").length > 1, "it came in one piece");
      assert.equal(host.deltas("chat").join(""), chat.result.text);

      assert.deepEqual((await host.call("sprat.memoryWarning", { level: "critical" })).result, { unloaded: true, pending: false });
      assert.equal((await host.call("sprat.chat", { messages: GREETING })).error.data.code, "model_missing");
      assert.deepEqual(host.mistakes, []);
      assert.deepEqual(strangers(webview.recorder), []);
    });
  }
});

test("a load and an answer can be stopped by their ids, and the next ones come", async () => {
  host = await webview.open("android");
  // Nothing ends by itself: the model's file does not come, and neither does the cloud's answer.
  webview.recorder.stall(/\.safetensors$|\/chat\/completions$/);
  const aborted = ({ error }) => assert.deepEqual([error?.code, error?.data.name, error?.data.code], [-32000, "SpratError", "aborted"]);
  const load = host.call("sprat.load", {}, "load");
  assert.deepEqual((await host.call("sprat.stop", { id: "load" })).result, { stopped: true });
  aborted(await load);
  webview.recorder.stall(/\/chat\/completions$/);
  assert.equal((await host.call("sprat.load", { cloud: `${webview.files.origin}/v1` })).result?.state, "ready");
  const chat = host.call("sprat.chat", { messages: GREETING, options: { mode: "cloud" } }, "chat");
  assert.equal((await host.call("sprat.status")).result.inFlight, 1);
  await host.say({ method: "sprat.stop", params: { id: "chat" } });
  aborted(await chat);
  const next = await host.call("sprat.chat", { messages: GREETING, options: { mode: "device" } });
  assert.equal(next.result?.receipt.source, "device", JSON.stringify(next.error));
});

test("what is kept: planned, loaded within a limit, saved, restored by the next engine, listed and removed", async () => {
  host = await webview.open("webkit");
  const model = "models/sprat-tiny/";
  const plan = (await host.call("sprat.plan", {})).result;
  assert.ok(plan.missing === plan.bytes && plan.bytes > 1e6 && plan.store === "opfs", JSON.stringify(plan));
  assert.equal((await host.call("sprat.load", { maxBytes: plan.bytes - 1 })).error?.data.code, "too_large");
  assert.deepEqual((await host.call("sprat.stored")).result, { models: [] });
  const load = () => host.call("sprat.load", { mode: "only-device", maxBytes: plan.bytes, cloud: `${webview.files.origin}/v1` });
  assert.equal((await load()).result?.state, "ready");
  const { result } = await host.call("sprat.chat", { messages: GREETING, options: { temperature: 0 } });
  assert.equal(result?.receipt.source, "device");
  const messages = [...GREETING, { role: "assistant", content: result.text }];
  const saved = (await host.call("sprat.save", { name: "greeting", messages, level: "ask" })).result;
  assert.deepEqual([saved?.name, saved?.model, saved?.level], ["greeting", "sprat-tiny", "ask"]);
  await host.call("sprat.dispose");
  assert.equal((await load()).result?.state, "ready");
  const restored = (await host.call("sprat.restore", { name: "greeting" })).result;
  assert.deepEqual([restored?.messages, restored?.level, restored?.tokens > 0], [messages, "ask", true]);
  assert.deepEqual((await host.call("sprat.saved")).result, { conversations: [saved] });
  assert.deepEqual((await host.call("sprat.forgetSaved", { name: "greeting" })).result, { removed: true });
  assert.equal((await host.call("sprat.restore", { name: "greeting" })).error?.data.code, "saved_missing");
  assert.equal((await host.call("sprat.stored")).result.models[0].bytes, plan.bytes);
  assert.deepEqual((await host.call("sprat.forget", { model })).result, { removed: true });
  assert.deepEqual((await host.call("sprat.stored")).result, { models: [] });
});

test("an adapter is put over the model, at a scale, and taken off; one that is too large is not fetched", async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "sprat-bridge-"));
  const files = Object.entries(makeAdapter(folder, "one", 1));
  rmSync(folder, { recursive: true, force: true });
  for (const [file, body] of files) webview.recorder.offer(`/lora/one/${file}`, "application/octet-stream", body);
  poor();
  host = await webview.open("react-native");
  const load = async (options) => assert.equal((await host.call("sprat.load", options)).result?.state, "ready");
  const ask = async () => (await host.call("sprat.chat", { messages: GREETING, options: { temperature: 0, maxTokens: 12 } })).result.text;
  await load({});
  const answers = [await ask()];
  for (const params of [{ adapter: "lora/one/" }, { adapter: "lora/one/", scale: 0.5 }, { adapter: null }]) {
    const { result, error } = await host.call("sprat.adapt", params);
    const over = params.adapter && { url: `${webview.files.origin}/lora/one/`, scale: params.scale ?? 1 };
    assert.deepEqual(result, { adapter: over }, JSON.stringify(error));
    assert.deepEqual((await host.call("sprat.status")).result.adapter, over);
    answers.push(await ask());
  }
  assert.equal(new Set(answers).size, 3, JSON.stringify(answers));
  assert.equal(answers[3], answers[0]);
  await host.call("sprat.dispose");
  const bytes = (await host.call("sprat.plan", {})).result.bytes;
  await load({ maxBytes: bytes });
  const from = webview.recorder.requests.length;
  assert.equal((await host.call("sprat.adapt", { adapter: "lora/one/" })).error?.data.code, "too_large");
  assert.deepEqual(webview.recorder.since(from).map(({ path }) => path), ["/lora/one/sprat.json"]);
  assert.deepEqual(host.mistakes, []);
});

test("a private question stays on the device, and its words are in no request and no error", async () => {
  host = await webview.open("webkit");
  await host.call("sprat.load", { cloud: `${webview.files.origin}/v1` });
  const secret = canary();
  const messages = [{ role: "user", content: `What is in the file ${secret}?` }];
  const refused = await host.call("sprat.chat", { messages, options: { private: true, mode: "cloud" } });
  assert.equal(refused.error.code, -32000);
  assert.ok(!JSON.stringify(refused.error).includes(secret));
  await host.call("sprat.memoryWarning", { level: "critical" });
  await host.call("sprat.load", { cloud: `${webview.files.origin}/v1` });
  // The engine is another one, and the host does not say private any more.
  assert.ok((await host.call("sprat.chat", { messages, options: { private: false, mode: "cloud" } })).error);
  const from = webview.recorder.requests.length;
  const open = canary();
  await host.call("sprat.chat", { messages: [{ role: "user", content: `What is in the file ${open}?` }], options: { mode: "cloud" } });
  assert.ok(webview.recorder.since(from).length > 0 && webview.recorder.saw(open), "the recorder does not see what is sent");
  assert.ok(!webview.recorder.saw(secret));
});

test("the host is the way to the cloud, with its own authorization, in a real browser's Response", async () => {
  host = await webview.open("react-native", "engine=fake");
  const asked = [];
  host.onMessage = async ({ id, method, params }) => {
    if (method !== "host.fetch") return;
    asked.push(params);
    await host.say({ id, result: { status: 200, headers: { "content-type": "text/event-stream" } } });
    const pieces = ["A small fish ", "caf", Buffer.from([0xc3]), Buffer.from([0xa9]), "."];
    for (const [seq, piece] of pieces.entries()) {
      const data = typeof piece === "string" ? { data: piece } : { data: piece.toString("base64"), encoding: "base64" };
      await host.say({ method: "host.fetch.chunk", params: { id, seq, ...data } });
    }
    await host.say({ method: "host.fetch.end", params: { id, seq: pieces.length } });
  };
  await host.call("sprat.load", { hostFetch: true });
  const { result } = await host.call("sprat.chat", { messages: GREETING });
  assert.equal(result.text, "A small fish café.");
  assert.deepEqual(asked.map(({ url, body }) => [url, JSON.parse(body)]), [["https://api.example/v1/chat", GREETING]]);
  const secret = await host.call("sprat.chat", { messages: [{ role: "user", content: "Where is my old red boat?" }], options: { private: true } });
  assert.equal(secret.error.data.code, "cloud_disabled");
  assert.equal(asked.length, 1);
});

test("at the level ask the person is asked through the host, and only a yes lets the question out", async () => {
  host = await webview.open("android-listener");
  const secret = canary();
  const answers = [{ error: { code: -32601, message: "no such method" } }, { result: { yes: false } }, { result: { yes: true } }];
  const [shown, fetched] = [[], []];
  host.onMessage = async ({ id, method, params }) => {
    if (method === "host.ask") shown.push(params);
    if (method === "host.ask") await host.say({ id, ...answers.shift() });
    if (method !== "host.fetch") return;
    fetched.push(params);
    const chunk = { choices: [{ index: 0, delta: { content: "From afar." }, finish_reason: "stop" }] };
    await host.say({ id, result: { status: 200, headers: { "content-type": "text/event-stream" } } });
    await host.say({ method: "host.fetch.chunk", params: { id, seq: 0, data: `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n` } });
    await host.say({ method: "host.fetch.end", params: { id, seq: 1 } });
  };
  await host.call("sprat.load", { cloud: "https://api.example/v1", hostFetch: true, hostAsk: true });
  const messages = [{ role: "user", content: `What is in the file ${secret}?` }];
  const chat = () => host.call("sprat.chat", { messages, options: { mode: "cloud", level: "ask" } });
  for (const refused of [await chat(), await chat()]) {
    assert.equal(refused.error?.data.code, "consent_refused", JSON.stringify(refused));
    assert.ok(!JSON.stringify(refused.error).includes(secret));
  }
  assert.equal(fetched.length, 0);
  const { result, error } = await chat();
  assert.equal(result?.text, "From afar.", JSON.stringify(error));
  assert.deepEqual([shown.length, fetched.length], [3, 1]);
  assert.deepEqual(JSON.parse(fetched[0].body).messages, shown[2].offer.messages);
  assert.ok(!webview.recorder.saw(secret));
});

test("a frame answers the origin it lists, and neither rude messages nor a flood stop it", async () => {
  const script = `
    addEventListener("message", ({ data }) => hostHears(data));
    window.say = (text) => page.postMessage(text, "*");
  `;
  host = await webview.frame(APP, script, `engine=fake&burst=100&perSecond=20&origin=${APP}`);
  await host.told("sprat.connected");
  assert.equal((await host.call("sprat.status")).result.state, "empty");
  await host.page.evaluate(() => {
    window.say("rude");
    window.say("[".repeat(1e6));
    window.say(`"${"x".repeat(5e6)}"`);
    for (let at = 0; at < 5000; at += 1) window.say(`{"jsonrpc":"2.0","id":"flood","method":"sprat.status"}`);
  });
  const refused = () => host.page.frames()[1].evaluate(() => globalThis.bridge.refused);
  while (((await refused()).rate ?? 0) < 4000) await host.page.waitForTimeout(50);
  assert.equal((await refused()).malformed, 3);
  // There is room again soon. Until then it answers nothing, so the host asks more than once.
  const status = (one) => one.result && one.id !== "flood" && one.id !== "app-1";
  while (!host.heard.some(status)) {
    // The last of them may be answered by nobody, when the page is closed.
    host.call("sprat.status").catch(() => {});
    await host.page.waitForTimeout(50);
  }
  assert.equal(host.heard.find(status).result.inFlight, 0);
  const codes = host.heard.filter(({ error }) => error).map(({ id, error }) => [id, error.code]);
  assert.deepEqual(codes.slice(0, 4), [[null, -32700], [null, -32600], [null, -32600], [null, -32001]]);
  assert.ok(host.heard.length < 1000, `${host.heard.length} answers`);
  assert.deepEqual(host.mistakes, []);
});

test("a page of an unknown origin that frames it hears nothing at all, however it asks", async () => {
  const script = `
    addEventListener("message", ({ data }) => hostHears(data));
    window.say = (text) => page.postMessage(text, "*");
  `;
  host = await webview.frame(EVIL, script, `engine=fake&origin=${APP}`);
  const frame = host.page.frames()[1];
  await frame.waitForFunction(() => globalThis.bridge);
  await host.say({ id: 1, method: "sprat.status" });
  await host.speak("{");
  await frame.waitForFunction(() => globalThis.bridge.refused.origin === 2);
  // Whatever it had been told was told before this.
  await host.page.evaluate(() => hostHears(JSON.stringify({ method: "over" })));
  assert.deepEqual(host.heard, [{ method: "over" }]);
});

test("a port is handed over by a page of a listed origin", async () => {
  const script = `
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => hostHears(data);
    window.say = (text) => port1.postMessage(text);
    addEventListener("load", () => page.postMessage("sprat.port", "*", [port2]));
  `;
  host = await webview.frame(APP, script, `engine=fake&port&origin=${APP}`);
  assert.equal((await host.told("sprat.connected")).params.transport, "port");
  assert.equal((await host.call("sprat.status")).result.state, "empty");
});
