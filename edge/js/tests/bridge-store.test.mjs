// What the device keeps, by the bridge: models and conversations, with a store that the test plays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { METHODS } from "../bridge/schema.js";
import { problem } from "../bridge/validate.js";
import { SpratError } from "../sprat.js";
import { ASK, MODEL, bridged, loaded, turn } from "./bridge-fakes.mjs";

const SAVED = { name: "holiday", model: "fake", level: "open", tokens: 3, bytes: 9, saved: 1 };
const PLAN = { bytes: 9, stored: 4, missing: 5, room: null, evictable: 0, store: "opfs", persisted: false };
const PACK = { name: "fake", bytes: 9, urls: ["https://example.org/models/tiny/"], used: 1 };

/** A store that keeps what it was asked. */
function fakeStore(changes = {}) {
  const asked = [];
  const said = (name, answer) => async (...args) => (asked.push([name, ...args]), answer);
  const store = {
    stored: said("stored", [PACK]),
    plan: said("plan", PLAN),
    forget: said("forget", true),
    saved: said("saved", [SAVED]),
    forgetSaved: said("forgetSaved", false),
    persist: said("persist", true),
    ...changes,
  };
  return { asked, store };
}

test("without a model the host can ask what is kept, and have it removed; answers fit the schema", async () => {
  const { asked, store } = fakeStore();
  const { host } = bridged({ store, load: { model: "models/default/", wasm: "/modules/" } });
  const calls = [
    ["sprat.stored", {}, { models: [PACK] }, ["stored"]],
    ["sprat.plan", {}, PLAN, ["plan", "models/default/"]],
    ["sprat.plan", { model: MODEL }, PLAN, ["plan", MODEL]],
    ["sprat.forget", { model: MODEL }, { removed: true }, ["forget", MODEL]],
    ["sprat.saved", {}, { conversations: [SAVED] }, ["saved"]],
    ["sprat.forgetSaved", { name: "holiday" }, { removed: false }, ["forgetSaved", "holiday"]],
  ];
  for (const [method, params, expected, args] of calls) {
    const { result } = await host.call(method, params);
    assert.deepEqual(result, expected);
    assert.equal(problem(METHODS.get(method).result, result, method), null);
    const [, ...rest] = asked.at(-1);
    const { signal, ...options } = rest.pop();
    assert.ok(signal instanceof AbortSignal);
    assert.deepEqual([[asked.at(-1)[0], ...rest], options], [args, { wasm: "/modules/" }]);
  }
  assert.deepEqual((await host.call("sprat.persist")).result, { persisted: true });
  const none = bridged({ store }).host;
  assert.equal((await none.call("sprat.plan", {})).error.code, -32602);
});

test("the store's failures are typed, and what hangs can be stopped and counts as in flight", async () => {
  const broken = fakeStore({ plan: async () => Promise.reject(new SpratError({ code: "network", message: "cannot fetch it", hint: "Try again." })) });
  const { error } = await bridged({ store: broken.store }).host.call("sprat.plan", { model: MODEL });
  assert.deepEqual([error.code, error.data.code, error.data.hint], [-32000, "network", "Try again."]);
  const hanging = (_, { signal }) => new Promise((_, reject) => (signal.onabort = () => reject(new SpratError({ code: "aborted", message: "stopped" }))));
  const { host } = bridged({ store: fakeStore({ plan: hanging }).store, limits: { inFlight: 1 } });
  const plan = host.call("sprat.plan", { model: MODEL }, "P");
  // Each is an engine of its own: not even an app may start any number.
  assert.equal((await host.call("sprat.stored")).error.code, -32001);
  assert.deepEqual((await host.call("sprat.stop", { id: "P" })).result, { stopped: true });
  assert.equal((await plan).error.data.code, "aborted");
});

test("a conversation is saved and restored by the loaded model, and needs one", async () => {
  const { host, engine } = bridged();
  for (const [method, params] of [["sprat.save", { name: "n", messages: ASK }], ["sprat.restore", { name: "n" }]]) {
    assert.equal((await host.call(method, params)).error.data.code, "model_missing");
  }
  await host.call("sprat.load", { model: MODEL });
  assert.equal((await host.call("sprat.save", { name: "n", messages: ASK })).result.level, "open");
  assert.deepEqual(engine().saved.get("n"), { messages: ASK, options: {} });
  assert.deepEqual((await host.call("sprat.restore", { name: "n" })).result, { messages: ASK, level: "open", tokens: 3 });
  assert.equal((await host.call("sprat.restore", { name: "m" })).error.data.code, "saved_missing");
});

test("what was private is saved so, and what is restored as private stays so in the next engine", async () => {
  const { host, engine } = await loaded();
  const level = async (messages) => {
    const answer = host.call("sprat.chat", { messages });
    engine().answers.at(-1).end();
    await answer;
    return engine().answers.at(-1).options.level ?? "open";
  };
  const asked = host.call("sprat.chat", { messages: ASK, options: { level: "ask" } });
  engine().answers[0].end();
  await asked;
  assert.equal((await host.call("sprat.save", { name: "n", messages: ASK, level: "open" })).result.level, "ask");

  const secret = [{ role: "user", content: "Dear diary, how are you today?" }];
  engine().saved.set("d", { messages: secret, options: { level: "private" } });
  assert.equal(await level(secret), "open", "nothing says so yet");
  const { saved } = engine();
  await host.call("sprat.dispose");
  await host.call("sprat.load", { model: MODEL });
  engine().saved = saved;
  assert.equal((await host.call("sprat.restore", { name: "d" })).result.level, "private");
  assert.equal(await level(secret), "private");
});

test("memory that is critical waits for what is being saved", async () => {
  const { host, engine } = await loaded();
  let done;
  engine().save = () => new Promise((resolve) => (done = () => resolve(SAVED)));
  const save = host.call("sprat.save", { name: "n", messages: ASK });
  assert.deepEqual((await host.call("sprat.memoryWarning", { level: "critical" })).result, { unloaded: false, pending: true });
  done();
  assert.deepEqual((await save).result, SAVED);
  await turn();
  assert.ok(engine().disposed);
  assert.deepEqual(host.told("sprat.unloaded"), [{ reason: "memory" }]);
});
