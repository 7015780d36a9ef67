// What the bridge makes of the host's calls, with an engine that the test plays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SpratError } from "../sprat.js";
import { ASK, FakeSprat, MODEL, bridged, loaded, turn } from "./bridge-fakes.mjs";

const OTHER = [{ role: "user", content: "What is the weather like today?" }];

test("the page says that it listens, and what is loaded", async () => {
  const { host } = bridged();
  assert.deepEqual(host.heard, [{ jsonrpc: "2.0", method: "sprat.connected", params: { protocol: 1, transport: "fake" } }]);
  const { result } = await host.call("sprat.status");
  assert.deepEqual(result, { state: "empty", device: null, model: null, adapter: null, protocol: 1, inFlight: 0, refused: {} });
});

test("a load passes its options on, and progress, warnings and states back", async () => {
  const { host, engine } = bridged({
    load: { model: "models/default/", cloudModel: "large" },
    engine: async (options) => {
      options.onProgress({ stage: "download", loaded: 1, total: 7, message: "x" });
      options.onWarning({ code: "storage_refused", message: "y" });
      options.onStatus({ state: "ready", device: null, model: null });
      return Object.assign(new FakeSprat(), { model: { name: options.model, cloud: options.cloudModel } });
    },
  });
  const { result } = await host.call("sprat.load", { model: MODEL }, "L");
  assert.deepEqual(result, { state: "ready", device: { kind: "cpu", words: "CPU" }, model: { name: MODEL, cloud: "large" } });
  assert.deepEqual(host.told("sprat.progress"), [{ id: "L", stage: "download", loaded: 1, total: 7, message: "x" }]);
  assert.deepEqual(host.told("sprat.warning"), [{ code: "storage_refused", message: "y" }]);
  assert.equal(host.told("sprat.state")[0].state, "ready");
  assert.equal((await host.call("sprat.load", { model: MODEL })).error.data.code, "bad_request");
  assert.equal(engine(), undefined);
});

test("only hostFetch makes the host the way to the cloud", async () => {
  for (const hostFetch of [true, false]) {
    const { host, engine } = bridged();
    await host.call("sprat.load", { model: MODEL, cloud: "https://api.example/v1", hostFetch });
    assert.equal("cloudFetch" in engine().options, hostFetch);
    assert.equal("hostFetch" in engine().options, false);
  }
});

test("who is to answer, and how careful the page is, the host can say; only a cloud alone needs no model", async () => {
  const { host, engine } = bridged();
  const options = { cloud: "https://api.example/v1", mode: "only-cloud", maxBytes: 5e7, canary: false, strikes: false, pauseHidden: false };
  assert.equal((await host.call("sprat.load", options)).result?.state, "ready");
  assert.equal(engine().options.model, undefined);
  for (const [name, value] of Object.entries(options)) assert.equal(engine().options[name], value, name);
  for (const mode of ["only-device", "prefer-device", "prefer-cloud"]) {
    const other = bridged();
    assert.equal((await other.host.call("sprat.load", { ...options, mode })).error.code, -32602);
    assert.equal((await other.host.call("sprat.load", { ...options, mode, model: MODEL })).result.state, "ready");
    assert.equal(other.engine().options.mode, mode);
  }
});

test("a load without a model is refused; one that fails is told typed, and another may follow", async () => {
  let fail = true;
  const { host } = bridged({
    engine: async () => {
      if (fail) throw new SpratError({ code: "model_corrupt", message: "a chunk is damaged", hint: "Load it again." });
      return new FakeSprat();
    },
  });
  assert.equal((await host.call("sprat.load", {})).error.code, -32602);
  const { error } = await host.call("sprat.load", { model: MODEL });
  assert.deepEqual(error, {
    code: -32000,
    message: "a chunk is damaged",
    data: { name: "SpratError", code: "model_corrupt", hint: "Load it again.", partial: "" },
  });
  fail = false;
  assert.equal((await host.call("sprat.load", { model: MODEL })).result.state, "ready");
});

test("an answer comes as events with the request's id, then whole with its receipt", async () => {
  const { host, engine } = await loaded();
  const answer = host.call("sprat.chat", { messages: ASK, options: { mode: "device", maxTokens: 9 } }, "A");
  const [chat] = engine().answers;
  assert.deepEqual(chat.messages, ASK);
  const { signal, ...options } = chat.options;
  assert.ok(signal instanceof AbortSignal);
  assert.deepEqual(options, { mode: "device", maxTokens: 9 });
  chat.delta("In ");
  chat.delta("the sea.");
  chat.end();
  assert.deepEqual((await answer).result, { text: "In the sea.", receipt: { source: "device" } });
  assert.deepEqual(
    host.told("sprat.event"),
    ["In ", "the sea."].map((text) => ({ id: "A", event: { type: "delta", source: "device", text } })),
  );
});

test("before a load, and after dispose, everything answers", async () => {
  const { host, engine } = bridged();
  assert.equal((await host.call("sprat.chat", { messages: ASK })).error.data.code, "model_missing");
  assert.deepEqual((await host.call("sprat.dispose")).result, { disposed: false });
  await host.call("sprat.load", { model: MODEL });
  const answer = host.call("sprat.chat", { messages: ASK });
  assert.deepEqual((await host.call("sprat.dispose")).result, { disposed: true });
  assert.equal((await answer).error.data.code, "aborted");
  assert.ok(engine().disposed);
  assert.equal((await host.call("sprat.chat", { messages: ASK })).error.data.code, "model_missing");
  assert.deepEqual((await host.call("sprat.stop", { id: 99 })).result, { stopped: false });
  assert.equal((await host.call("sprat.status")).result.state, "empty");
  assert.equal((await host.call("sprat.load", { model: MODEL })).result.state, "ready");
});

test("stop ends the answer with that id and no other, and a text is not a number", async () => {
  const { host, engine } = await loaded();
  const [one, two] = [7, "7"].map((id) => host.call("sprat.chat", { messages: ASK }, id));
  assert.deepEqual((await host.call("sprat.stop", { id: 7 })).result, { stopped: true });
  const { error } = await one;
  assert.deepEqual([error.code, error.data.code, error.data.partial], [-32000, "aborted", "so far"]);
  engine().answers[1].end("kept");
  assert.equal((await two).result.text, "kept");
});

test("stop ends a load, also when the engine does not listen", async () => {
  let arrive;
  const engine = new FakeSprat();
  const { host } = bridged({ engine: () => new Promise((resolve) => (arrive = () => resolve(engine))) });
  const load = host.call("sprat.load", { model: MODEL }, "L");
  host.notify("sprat.stop", { id: "L" });
  arrive();
  assert.equal((await load).error.data.code, "aborted");
  assert.ok(engine.disposed);
});

test("after a dispose a load may follow at once, whenever the first one ends", async () => {
  const arrive = [];
  const { host } = bridged({ engine: ({ model }) => new Promise((resolve) => arrive.push(() => resolve(Object.assign(new FakeSprat(), { model: { name: model } })))) });
  const first = host.call("sprat.load", { model: "a" });
  assert.deepEqual((await host.call("sprat.dispose")).result, { disposed: true });
  const second = host.call("sprat.load", { model: "b" });
  arrive[0]();
  assert.equal((await first).error.data.code, "aborted");
  assert.equal((await host.call("sprat.status")).result.state, "loading");
  arrive[1]();
  assert.equal((await second).result.model.name, "b");
  assert.equal((await host.call("sprat.status")).result.model.name, "b");
});

test("an adapter is put over the model, at a scale, and taken off; the status names it, and a new engine has none", async () => {
  const { host, engine } = await loaded();
  const adapt = async (params) => (await host.call("sprat.adapt", params, "swap")).result?.adapter;
  const adapter = async () => (await host.call("sprat.status")).result.adapter;
  const [one, half] = [1, -0.5].map((scale) => ({ url: "https://example.org/lora/", scale }));
  assert.deepEqual([await adapt({ adapter: "lora/" }), await adapter()], [one, one]);
  assert.deepEqual(host.told("sprat.progress"), [{ id: "swap", stage: "download", loaded: 1, total: 7, message: "lora" }]);
  assert.deepEqual([await adapt({ adapter: "lora/", scale: -0.5 }), await adapter()], [half, half]);
  for (const params of [{}, { adapter: 7 }, { adapter: "lora/", scale: 11 }, { adapter: "lora/", scale: "1" }, { adapter: null, more: 1 }]) {
    assert.equal((await host.call("sprat.adapt", params)).error.code, -32602, JSON.stringify(params));
  }
  host.say('{"jsonrpc":"2.0","id":"inf","method":"sprat.adapt","params":{"adapter":"lora/","scale":1e999}}');
  await turn();
  assert.deepEqual([host.last.id, host.last.error.code], ["inf", -32602]);
  assert.deepEqual([await adapt({ adapter: null }), await adapter()], [null, null]);
  await adapt({ adapter: "lora/" });
  await host.call("sprat.dispose");
  assert.equal((await host.call("sprat.adapt", { adapter: "lora/" })).error.data.code, "model_missing");
  await host.call("sprat.load", { model: MODEL });
  assert.deepEqual([engine().adapter, await adapter()], [null, null]);
});

test("a swap is refused in mid-answer, can be stopped, and is waited for before the engine is unloaded", async () => {
  const { host, engine } = await loaded();
  const answer = host.call("sprat.chat", { messages: ASK });
  assert.equal((await host.call("sprat.adapt", { adapter: "lora/" })).error.data.code, "busy");
  engine().answers[0].end();
  await answer;
  let swapped;
  engine().swap = (signal) =>
    new Promise((resolve, reject) => {
      swapped = resolve;
      signal.addEventListener("abort", () => reject(new SpratError({ code: "aborted", message: "stopped" })));
    });
  const first = host.call("sprat.adapt", { adapter: "lora/" }, "A");
  assert.deepEqual((await host.call("sprat.stop", { id: "A" })).result, { stopped: true });
  assert.equal((await first).error.data.code, "aborted");
  const second = host.call("sprat.adapt", { adapter: "lora/" });
  assert.deepEqual((await host.call("sprat.memoryWarning", { level: "critical" })).result, { unloaded: false, pending: true });
  swapped();
  assert.equal((await second).result.adapter.url, "https://example.org/lora/");
  assert.ok(engine().disposed);
});

test("too many answers at a time are refused, and stop and status still work", async () => {
  const { host } = await loaded({ limits: { inFlight: 2 } });
  const [first] = [1001, 1002].map((id) => host.call("sprat.chat", { messages: ASK }, id));
  assert.equal((await host.call("sprat.chat", { messages: ASK })).error.code, -32001);
  const { result } = await host.call("sprat.status");
  assert.deepEqual([result.inFlight, result.refused], [2, { busy: 1 }]);
  await host.call("sprat.stop", { id: 1001 });
  await first;
  assert.equal((await host.call("sprat.status")).result.inFlight, 1);
});

test("an id in use is refused without ending the request that uses it", async () => {
  const { host, engine } = await loaded();
  const answer = host.call("sprat.chat", { messages: ASK }, "A");
  host.say({ jsonrpc: "2.0", id: "A", method: "sprat.chat", params: { messages: OTHER } });
  await turn();
  assert.deepEqual([host.last.id, host.last.error.code], [null, -32600]);
  assert.equal(engine().answers.length, 1);
  engine().answers[0].end();
  assert.equal((await answer).result.text, "In the sea.");
});

test("memory: critical unloads at once when idle, after the answer when not", async () => {
  const { host, engine } = await loaded();
  const warn = async (level) => (await host.call("sprat.memoryWarning", { level })).result;
  assert.deepEqual(await warn("moderate"), { unloaded: false, pending: false });
  const answer = host.call("sprat.chat", { messages: ASK });
  assert.deepEqual(await warn("critical"), { unloaded: false, pending: true });
  assert.deepEqual(await warn("normal"), { unloaded: false, pending: false });
  assert.deepEqual(await warn("critical"), { unloaded: false, pending: true });
  engine().answers[0].end();
  assert.equal((await answer).result.text, "In the sea.");
  assert.ok(engine().disposed);
  assert.deepEqual(host.told("sprat.unloaded"), [{ reason: "memory" }]);
  await host.call("sprat.load", { model: MODEL });
  assert.deepEqual(await warn("critical"), { unloaded: true, pending: false });
  assert.deepEqual(await warn("critical"), { unloaded: false, pending: false });
  assert.equal(host.told("sprat.unloaded").length, 2);
});

test("private is passed on unchanged, and a word that is repeated later stays private", async () => {
  const { host, engine } = await loaded();
  const ask = async (messages, options) => {
    const answer = host.call("sprat.chat", { messages, options });
    const chat = engine().answers.at(-1);
    chat.delta("It lives in the great cold sea.");
    chat.end("It lives in the great cold sea.");
    await answer;
    return chat.options.level ?? "open";
  };
  assert.equal(await ask(OTHER, {}), "open");
  assert.equal(await ask(OTHER, { private: false }), "open");
  assert.equal(await ask(ASK, { private: true }), "private");
  assert.equal(await ask(ASK, { private: false }), "private");
  // The engine that knew of it is gone, and the bridge still does: of the question, and of the answer.
  await host.call("sprat.memoryWarning", { level: "critical" });
  await host.call("sprat.load", { model: MODEL });
  assert.equal(await ask(ASK, { private: false }), "private");
  assert.equal(await ask([{ role: "user", content: "It lives in the great cold sea." }], {}), "private");
  assert.equal(await ask(OTHER, { private: false }), "open");
});

test("nothing that a host can send lowers private in an answer that goes on", async () => {
  const { host, engine } = await loaded();
  host.call("sprat.chat", { messages: ASK, options: { private: true } }, "A");
  const [chat] = engine().answers;
  host.say({ jsonrpc: "2.0", id: "A", method: "sprat.chat", params: { messages: ASK, options: { private: false } } });
  for (const method of ["sprat.stop", "sprat.chat", "sprat.status", "sprat.memoryWarning"]) {
    await host.call(method, { id: "none", options: { private: false }, private: false });
  }
  assert.equal(chat.options.private, true);
  assert.equal(engine().answers.length, 1);
  await assert.rejects(engine().options.cloudFetch({ url: "https://api.example/v1", body: ASK[0].content }), { code: "cloud_disabled" });
  assert.deepEqual(host.told("host.fetch"), []);
});

test("an engine that throws anything else is an internal error without its words", async () => {
  const { host, engine } = await loaded();
  const answer = host.call("sprat.chat", { messages: ASK });
  engine().answers[0].fail(new TypeError(`cannot read ${ASK[0].content}`));
  assert.deepEqual((await answer).error, { code: -32603, message: "internal error" });
});

test("when the host is gone everything stops and nothing is sent any more", async () => {
  const { host, bridge, engine } = await loaded();
  host.call("sprat.chat", { messages: ASK });
  const [chat] = engine().answers;
  const heard = host.heard.length;
  host.transport.onclose();
  await turn();
  assert.ok(chat.options.signal.aborted);
  assert.ok(engine().disposed && host.closed && bridge.closed);
  bridge.close();
  host.say({ jsonrpc: "2.0", id: 1, method: "sprat.status" });
  await turn();
  assert.equal(host.heard.length, heard);
});

test("a host that cannot be told anything is gone", async () => {
  const { host, bridge, engine } = await loaded();
  host.call("sprat.chat", { messages: ASK });
  host.transport.post = () => {
    throw new Error("detached");
  };
  engine().answers[0].delta("a");
  await turn();
  assert.ok(bridge.closed && engine().disposed);
});
