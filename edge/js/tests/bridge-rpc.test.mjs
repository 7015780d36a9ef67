// Messages as they should not be: the right codes, nothing kept, nothing repeated.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isTooDeep } from "../bridge/limits.js";
import { HOST_METHODS } from "../bridge/schema.js";
import { ASK, bridged, loaded, turn } from "./bridge-fakes.mjs";

/** What the bridge says to one text. */
async function said(text, options) {
  const { host, bridge } = bridged(options);
  const before = host.heard.length;
  host.say(text);
  await turn();
  return { answers: host.heard.slice(before), refused: bridge.refused };
}

const request = (rest) => JSON.stringify({ jsonrpc: "2.0", id: 1, method: "sprat.status", ...rest });

const MALFORMED = {
  "no JSON": ["{", -32700, null],
  "nothing": ["", -32700, null],
  "a number": ["1", -32600, null],
  "null": ["null", -32600, null],
  "an empty batch": ["[]", -32600, null],
  "another version": [request({ jsonrpc: "1.0" }), -32600, 1],
  "no version": ['{"id":1,"method":"sprat.status"}', -32600, 1],
  "a method that is no text": [request({ method: 7 }), -32600, 1],
  "params by position": [request({ params: [] }), -32600, 1],
  "params that are null": [request({ params: null }), -32600, 1],
  "an unknown field": [request({ extra: 1 }), -32600, 1],
  "a prototype in the message": ['{"jsonrpc":"2.0","id":1,"method":"sprat.status","__proto__":{}}', -32600, 1],
  "a prototype in params": ['{"jsonrpc":"2.0","id":1,"method":"sprat.status","params":{"__proto__":{}}}', -32602, 1],
  "a prototype in an open field": [
    '{"jsonrpc":"2.0","id":1,"method":"sprat.load","params":{"model":"m","cloudHeaders":{"__proto__":"x"}}}',
    -32602,
    1,
  ],
  "an unknown method": [request({ method: "sprat.unknown" }), -32601, 1],
  "a method of every object": [request({ method: "constructor" }), -32601, 1],
  "a method that the page calls": [request({ method: "host.fetch" }), -32601, 1],
  "a notification with an id": [request({ method: "host.fetch.end", params: { id: "x", seq: 0 } }), -32601, 1],
  "an unknown parameter": [request({ params: { x: 1 } }), -32602, 1],
  "a missing parameter": [request({ method: "sprat.chat" }), -32602, 1],
  "a number too large": [
    '{"jsonrpc":"2.0","id":1,"method":"sprat.chat","params":{"messages":[{"role":"user","content":"a"}],"options":{"temperature":1e999}}}',
    -32602,
    1,
  ],
};

for (const [what, [text, code, id]] of Object.entries(MALFORMED)) {
  test(`${what} is answered with ${code}`, async () => {
    const { answers } = await said(text);
    assert.deepEqual(answers.map((answer) => [answer.jsonrpc, answer.id, answer.error.code]), [["2.0", id, code]]);
  });
}

test("ids of odd types are refused without being repeated", async () => {
  for (const id of ["null", "true", "{}", "[]", "1.5", "1e999", '""', `"${"x".repeat(129)}"`]) {
    const { answers } = await said(`{"jsonrpc":"2.0","id":${id},"method":"sprat.status"}`);
    assert.deepEqual(answers.map((answer) => [answer.id, answer.error.code]), [[null, -32600]], id);
  }
  for (const id of [0, -1, "a", "__proto__"]) {
    const { answers } = await said(request({ id }));
    assert.deepEqual(answers.map((answer) => [answer.id, answer.result.state]), [[id, "empty"]]);
  }
});

test("notifications are never answered, whatever they say", async () => {
  for (const rest of [{}, { method: "sprat.unknown" }, { method: "sprat.stop" }, { method: "sprat.chat", params: { messages: ASK } }, { method: "sprat.dispose" }]) {
    const { answers } = await said(request({ id: undefined, ...rest }));
    assert.deepEqual(answers, [], JSON.stringify(rest));
  }
});

test("an answer is never answered, however wrong it is", async () => {
  for (const rest of ['"result":1', '"error":{}', '"result":1,"error":{}', '"error":null', '"result":{"__proto__":1}']) {
    const { answers, refused } = await said(`{"id":"page-1",${rest}}`);
    assert.deepEqual([answers, refused], [[], { late: 1 }]);
  }
});

test("a batch is answered by one batch, without its notifications", async () => {
  const { host } = bridged();
  const one = (rest) => ({ jsonrpc: "2.0", method: "sprat.status", ...rest });
  host.say([one({ id: 1 }), one({ method: "sprat.dispose" }), 1, one({ id: 2, method: "x" }), { jsonrpc: "2.0", id: "z", result: 1 }]);
  await turn();
  assert.deepEqual(host.last.map(({ id, error }) => [id, error?.code]), [[1, undefined], [null, -32600], [2, -32601]]);
  const before = host.heard.length;
  host.say([one({ method: "sprat.dispose" })]);
  await turn();
  assert.equal(host.heard.length, before);
  const { answers } = await said(JSON.stringify(Array(33).fill(one({ id: 1 }))));
  assert.deepEqual(answers.map((answer) => answer.error.code), [-32600]);
});

test("a message that is no text, too long or too deep is refused before it is read", async () => {
  const { host, bridge } = bridged({ limits: { length: 100, depth: 5 } });
  for (const data of [undefined, null, {}, new ArrayBuffer(8), 7]) host.transport.onmessage(data);
  assert.deepEqual([host.heard.length, bridge.refused], [1, { type: 5 }]);
  host.say(request({ params: { x: "y".repeat(100) } }));
  assert.deepEqual([host.last.id, host.last.error.code], [null, -32600]);
  host.say("[".repeat(100));
  assert.deepEqual([host.last.id, host.last.error.code], [null, -32600]);
  assert.equal(bridge.refused.malformed, 2);
});

test("depth counts brackets outside of texts", () => {
  assert.ok(!isTooDeep('{"a":["[[[[\\"[[[["]}', 2));
  assert.ok(isTooDeep('{"a":["[[[[\\"[[[[", []]}', 2));
  assert.ok(!isTooDeep("[][][][]", 1));
});

test("a flood is dropped unread and told once; afterwards everything goes on", async () => {
  let now = 0;
  const { host, bridge } = bridged({ limits: { burst: 10, perSecond: 10 }, now: () => now });
  for (let at = 0; at < 5000; at += 1) host.say(request({ id: at }));
  await turn();
  const errors = host.heard.filter((message) => message.error);
  assert.equal(host.heard.filter((message) => message.result).length, 10);
  assert.deepEqual(errors.map(({ id, error }) => [id, error.code]), [[null, -32001]]);
  assert.equal(bridge.refused.rate, 4990);
  // A batch costs as much as its messages.
  now = 500;
  host.say(`[${request()},${request({ id: 2 })},${request({ id: 3 })},${request({ id: 4 })},${request({ id: 5 })},${request({ id: 6 })}]`);
  await turn();
  assert.equal(bridge.refused.rate, 4991);
  now = 10_000;
  assert.equal((await host.call("sprat.status", undefined, "after")).result.refused.rate, 4991);
});

test("schemas refuse each field that is wrong", async () => {
  const message = { role: "user", content: "a" };
  const wrong = {
    "sprat.load": [{ model: 1 }, { model: "a".repeat(9000) }, { model: {} }, { model: "m", device: "tpu" }, { model: "m", cloudHeaders: { a: 1 } },
      ...[{ mode: "sideways" }, { mode: null }, { maxBytes: -1 }, { maxBytes: 1.5 }, { canary: 0 }, { wasm: "m" }].map((rest) => ({ model: "m", ...rest }))],
    "sprat.chat": [
      { messages: [] },
      { messages: {} },
      { messages: [1] },
      { messages: [{ role: "user" }] },
      { messages: [{ ...message, role: "tool" }] },
      { messages: [{ ...message, name: "x" }] },
      { messages: [{ ...message, content: null }] },
      ...[{ private: "yes" }, { private: null }, { mode: "x" }, { maxTokens: 0 }, { maxTokens: 1.5 }, { temperature: 3 }, { seed: -1 }, { stop: [1] }, { signal: {} }].map(
        (options) => ({ messages: [message], options }),
      ),
    ],
    "sprat.save": [{ name: "n" }, { messages: [message] }, { name: "", messages: [message] }, { name: "n", messages: [] }, { name: "n", messages: [message], level: "x" }],
    "sprat.restore": [{}, { name: 1 }, { name: "" }, { name: "n".repeat(201) }, { name: "n", level: "open" }],
    "sprat.forgetSaved": [{}, { name: null }],
    "sprat.plan": [{ model: 1 }, { model: { models: [] } }],
    "sprat.forget": [{}, { model: { merge_method: "linear", models: [{ model: "m" }] } }],
    "sprat.saved": [{ name: "n" }],
    "sprat.stop": [{}, { id: null }, { id: 1.5 }, { id: {} }],
    "sprat.memoryWarning": [{}, { level: "urgent" }, { level: 1 }],
  };
  const { host } = await loaded({ limits: { burst: 1e4 } });
  for (const [method, all] of Object.entries(wrong)) {
    for (const params of all) assert.equal((await host.call(method, params)).error?.code, -32602, JSON.stringify(params).slice(0, 80));
  }
});

// A small generator with a seed, so that a failure can be had again: mulberry32.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SECRET = "zqsecretz";

/** Any JSON value, with the secret in places. */
function anything(next, depth = 0) {
  const pick = (items) => items[Math.floor(next() * items.length)];
  const kind = Math.floor(next() * (depth > 3 ? 5 : 7));
  if (kind < 5) return pick([null, true, 0, -1, 1.5, 1e308, "", SECRET, "__proto__", "\u2028\ud800", [], {}]);
  const children = Array.from({ length: Math.floor(next() * 4) }, () => anything(next, depth + 1));
  if (kind === 5) return children;
  const keys = ["id", "method", "params", "jsonrpc", "messages", "options", "content", "result", "error", "__proto__", "constructor", SECRET];
  return Object.fromEntries(children.map((child) => [pick(keys), child]));
}

/** A message that is nearly right. */
function nearly(next) {
  const pick = (items) => items[Math.floor(next() * items.length)];
  const message = { jsonrpc: "2.0", id: pick([1, "a", SECRET, null, 1.5]), method: pick([...HOST_METHODS.keys(), SECRET]), params: { messages: [{ role: "user", content: SECRET }], id: SECRET, seq: 0 } };
  const target = pick([message, message.params, message.params.messages[0]]);
  const key = pick([...Object.keys(target), SECRET, "__proto__"]);
  Object.defineProperty(target, key, { value: anything(next), enumerable: true, configurable: true });
  if (next() < 0.3) delete target[pick(Object.keys(target))];
  return message;
}

/** A text with some characters changed, lost or doubled. */
function damaged(text, next) {
  const at = Math.floor(next() * text.length);
  const with_ = ["", "{", "}", '"', "\\", "\u0000", text.slice(0, at)][Math.floor(next() * 7)];
  return text.slice(0, at) + with_ + text.slice(at + 1);
}

test("thousands of malformed messages: every answer is JSON-RPC, repeats nothing, and the bridge lives", async () => {
  const next = random(20260701);
  const { host, bridge } = bridged({ limits: { burst: 1e9 } });
  for (let at = 0; at < 6000; at += 1) {
    const value = next() < 0.5 ? nearly(next) : anything(next);
    const text = JSON.stringify(next() < 0.2 ? [value, anything(next)] : value);
    host.say(next() < 0.3 ? damaged(text, next) : text);
    if (at % 500 === 0) await turn();
  }
  await turn();
  const answers = host.heard.slice(1).flat().filter(({ method }) => !method);
  for (const answer of answers) {
    assert.equal(answer.jsonrpc, "2.0");
    assert.ok(["string", "number"].includes(typeof answer.id) || answer.id === null);
    assert.notEqual("result" in answer, "error" in answer);
    if (answer.error) {
      assert.ok([-32700, -32600, -32601, -32602, -32000].includes(answer.error.code), JSON.stringify(answer));
      assert.ok(!JSON.stringify(answer.error).includes(SECRET), JSON.stringify(answer));
    }
  }
  const codes = new Set(answers.map((answer) => answer.error?.code));
  for (const code of [-32700, -32600, -32601, -32602, undefined]) assert.ok(codes.has(code), `nothing led to ${code}`);
  assert.equal({}.polluted, undefined);
  assert.equal(Object.keys(Object.prototype).length, 0);
  assert.ok(bridge.refused.malformed > 1000);
  const { result } = await host.call("sprat.status", undefined, "after");
  assert.deepEqual([result.state, result.inFlight], ["empty", 0]);
});
