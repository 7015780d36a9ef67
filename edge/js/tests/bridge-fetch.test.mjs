// The host as the way to the cloud: what it may do, and what the engine hears when it does something else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ASK, loaded, turn } from "./bridge-fakes.mjs";

const REQUEST = { url: "https://api.example/v1/chat/completions", method: "POST", headers: { "content-type": "application/json" }, body: '{"a":1}' };

/** An engine that answers openly and has asked the host. */
async function asking({ signal, ...options } = {}) {
  const all = await loaded(options);
  all.host.call("sprat.chat", { messages: ASK }, "chat");
  const response = all.engine().options.cloudFetch({ ...REQUEST, signal });
  response.catch(() => {});
  const { id, params } = all.host.heard.findLast(({ method }) => method === "host.fetch");
  return { ...all, response, id, params, tell: teller(all.host, id) };
}

/** What a host says about one request. */
function teller(host, id) {
  return {
    head: (result) => host.say({ jsonrpc: "2.0", id, result }),
    refuse: (code) => host.say({ jsonrpc: "2.0", id, error: { code, message: `no: ${ASK[0].content}` } }),
    chunk: (seq, data, encoding) => host.notify("host.fetch.chunk", { id, seq, data, ...(encoding && { encoding }) }),
    end: (seq) => host.notify("host.fetch.end", { id, seq }),
    broken: () => host.notify("host.fetch.error", { id }),
  };
}

test("the host gets the request, and the engine a Response whose body comes in chunks", async () => {
  const { host, response, params, tell } = await asking();
  assert.deepEqual(params, { ...REQUEST, window: 1 << 20 });
  tell.head({ status: 200, headers: { "Content-Type": "text/event-stream" } });
  const answer = await response;
  assert.deepEqual([answer.ok, answer.status, answer.headers.get("content-type")], [true, 200, "text/event-stream"]);
  tell.chunk(0, "data: h");
  // A letter in two chunks, as bytes come from a network.
  tell.chunk(1, Buffer.from([0xc3]).toString("base64"), "base64");
  tell.chunk(2, Buffer.from([0xa9]).toString("base64"), "base64");
  tell.chunk(3, "");
  tell.end(4);
  assert.equal(await answer.text(), "data: hé");
  assert.deepEqual(host.told("host.fetch.cancel"), []);
});

test("a host may answer in the very turn it is asked in", async () => {
  const { host, engine } = await loaded();
  host.call("sprat.chat", { messages: ASK });
  const { post } = host.transport;
  host.transport.post = (text) => {
    post(text);
    const { id, method } = JSON.parse(text);
    if (method !== "host.fetch") return;
    const tell = teller(host, id);
    tell.head({ status: 200 });
    tell.chunk(0, "at once");
    tell.end(1);
  };
  assert.equal(await (await engine().options.cloudFetch(REQUEST)).text(), "at once");
});

test("a status without a body, and bad statuses, are answers too", async () => {
  for (const status of [204, 429, 500]) {
    const { response, tell } = await asking();
    tell.head({ status });
    await turn();
    if (status !== 204) tell.end(0);
    const answer = await response;
    assert.deepEqual([answer.status, await answer.text()], [status, ""]);
  }
});

test("a host that refuses, or knows no host.fetch, is cloud_refused with its code and without its words", async () => {
  for (const code of [-32601, -32050]) {
    const { response, tell } = await asking();
    tell.refuse(code);
    await assert.rejects(response, (error) => {
      assert.deepEqual([error.name, error.code], ["SpratError", "cloud_refused"]);
      assert.ok(error.message.includes(String(code)) && !error.message.includes(ASK[0].content));
      return true;
    });
  }
});

test("an unusable head is cloud_unreachable", async () => {
  for (const head of [null, {}, { status: 99 }, { status: 200.5 }, { status: 200, headers: [] }, { status: 200, headers: { "a b": "c" } }, { status: 200, x: 1 }]) {
    const { host, response, id, tell } = await asking();
    tell.head(head);
    await assert.rejects(response, { code: "cloud_unreachable" });
    assert.deepEqual(host.told("host.fetch.cancel"), [{ id }]);
  }
});

const MISTAKES = {
  "a gap": (tell) => tell.chunk(2, "x"),
  "a chunk twice": (tell) => tell.chunk(0, "x"),
  "a chunk after the end": (tell) => (tell.end(1), tell.chunk(1, "x")),
  "the end twice": (tell) => (tell.end(1), tell.end(1)),
  "an end that misses chunks": (tell) => tell.end(2),
  "what is not base64": (tell) => tell.chunk(1, "%%", "base64"),
  "a broken connection": (tell) => tell.broken(),
  "more than the window": (tell) => tell.chunk(1, "x".repeat(100)),
};

for (const [what, mistake] of Object.entries(MISTAKES)) {
  test(`${what} is cloud_interrupted, after what came in order`, async () => {
    const { response, tell } = await asking({ limits: { fetchWindow: 64 } });
    tell.head({ status: 200 });
    const reader = (await response).body.getReader();
    tell.chunk(0, "kept");
    mistake(tell);
    assert.equal(Buffer.from((await reader.read()).value).toString(), "kept");
    await assert.rejects(reader.read(), { name: "SpratError", code: "cloud_interrupted" });
  });
}

test("a chunk before the head is cloud_unreachable", async () => {
  const { response, tell } = await asking();
  tell.chunk(0, "x");
  await assert.rejects(response, { code: "cloud_unreachable" });
});

test("chunks for nobody are counted and cost nothing", async () => {
  const { bridge, response, tell } = await asking();
  tell.head({ status: 200 });
  tell.end(0);
  assert.equal(await (await response).text(), "");
  for (let seq = 0; seq < 100; seq += 1) tell.chunk(seq, "x");
  tell.head({ status: 200 });
  assert.deepEqual(bridge.refused, { late: 101 });
});

test("a silent host is given up, before the head and after it, but not while its chunks wait to be read", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const first = await asking({ limits: { fetchSilence: 1000 } });
  t.mock.timers.tick(999);
  assert.deepEqual(first.host.told("host.fetch.cancel"), []);
  t.mock.timers.tick(1);
  await assert.rejects(first.response, { code: "cloud_unreachable" });
  assert.deepEqual(first.host.told("host.fetch.cancel"), [{ id: first.id }]);

  const { response, tell } = await asking({ limits: { fetchSilence: 1000 } });
  tell.head({ status: 200 });
  const reader = (await response).body.getReader();
  tell.chunk(0, "x");
  t.mock.timers.tick(5000);
  tell.chunk(1, "y");
  assert.equal((await reader.read()).value.length, 1);
  assert.equal((await reader.read()).value.length, 1);
  t.mock.timers.tick(1000);
  await assert.rejects(reader.read(), { code: "cloud_interrupted" });
});

test("back-pressure: the host hears what was read, and may then send as much again", async () => {
  const { host, response, id, tell } = await asking({ limits: { fetchWindow: 10 } });
  tell.head({ status: 200 });
  const reader = (await response).body.getReader();
  tell.chunk(0, "12345");
  tell.chunk(1, "67890");
  assert.deepEqual(host.told("host.fetch.ack"), []);
  await reader.read();
  assert.deepEqual(host.told("host.fetch.ack"), [{ id, bytes: 5 }]);
  tell.chunk(2, "abcde");
  await reader.read();
  await reader.read();
  assert.deepEqual(host.told("host.fetch.ack").map(({ bytes }) => bytes), [5, 10, 15]);
  tell.end(3);
  assert.ok((await reader.read()).done);
});

test("empty chunks do not fill the queue", async () => {
  const { response, tell } = await asking({ limits: { burst: 1e6 } });
  tell.head({ status: 200 });
  for (let seq = 0; seq < 20_000; seq += 1) tell.chunk(seq, "");
  tell.end(20_000);
  assert.equal(await (await response).text(), "");
});

test("the engine's stop, a reader that leaves, and the end of the answer cancel the request", async () => {
  const stop = new AbortController();
  const first = await asking({ signal: stop.signal });
  stop.abort();
  await assert.rejects(first.response, { code: "aborted" });
  assert.deepEqual(first.host.told("host.fetch.cancel"), [{ id: first.id }]);

  const second = await asking();
  second.tell.head({ status: 200 });
  await (await second.response).body.cancel();
  assert.deepEqual(second.host.told("host.fetch.cancel"), [{ id: second.id }]);

  const third = await asking();
  third.engine().answers[0].end();
  await assert.rejects(third.response, { code: "aborted" });
  assert.deepEqual(third.host.told("host.fetch.cancel"), [{ id: third.id }]);
});

test("when the host is gone the engine hears it at once", async () => {
  const before = await asking();
  before.bridge.close();
  await assert.rejects(before.response, { code: "cloud_unreachable" });
  const { bridge, response, tell } = await asking();
  tell.head({ status: 200 });
  const reading = (await response).text();
  bridge.close();
  await assert.rejects(reading, { code: "cloud_interrupted" });
});

test("the host is asked only while something open is answered", async () => {
  const { host, engine } = await loaded();
  const { cloudFetch } = engine().options;
  await assert.rejects(cloudFetch(REQUEST), { code: "cloud_disabled" });
  const secret = host.call("sprat.chat", { messages: ASK, options: { private: true } });
  await assert.rejects(cloudFetch(REQUEST), { code: "cloud_disabled" });
  engine().answers[0].end();
  await secret;
  await assert.rejects(cloudFetch(REQUEST), { code: "cloud_disabled" });
  assert.deepEqual(host.told("host.fetch"), []);
});
