// The host as the one who asks the person: only a clear yes is one, and nobody is left waiting.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ASK, MODEL, bridged, turn } from "./bridge-fakes.mjs";

const OFFER = { to: "https://api.example/v1", model: "large", reason: "not sure enough", messages: ASK, stop: [] };
const REQUEST = { url: "https://api.example/v1/chat/completions", body: "{}" };

/** A chat at the level "ask" that has come to its offer; `answer` gives what the engine heard. */
async function asking({ load = { hostAsk: true, hostFetch: true }, ...options } = {}) {
  const all = bridged(options);
  await all.host.call("sprat.load", { model: MODEL, ...load });
  const chat = all.host.call("sprat.chat", { messages: ASK, options: { level: "ask" } }, "C");
  const [answer] = all.engine().answers;
  const heard = answer.options.onAsk?.(OFFER);
  await turn();
  const id = all.host.heard.findLast(({ method }) => method === "host.ask")?.id;
  return { ...all, chat, answer, heard, id };
}

test("the host is shown the offer, and its yes lets exactly this chat out", async () => {
  const { host, engine, chat, answer, heard, id } = await asking();
  assert.equal(answer.options.level, "ask");
  assert.deepEqual(host.told("host.ask"), [{ chat: "C", offer: OFFER }]);
  const { cloudFetch } = engine().options;
  await assert.rejects(cloudFetch(REQUEST), { code: "cloud_disabled" });
  host.say({ jsonrpc: "2.0", id, result: { yes: true } });
  assert.equal(await heard, true);
  const sent = cloudFetch(REQUEST);
  assert.equal(host.told("host.fetch").length, 1);
  answer.end();
  await chat;
  await assert.rejects(sent, { code: "aborted" });
  await assert.rejects(cloudFetch(REQUEST), { code: "cloud_disabled" });
  assert.deepEqual(host.told("host.ask.cancel"), []);
});

test("whatever is not a clear yes is a no", async () => {
  const answers = [{ result: { yes: false } }, { result: { yes: "true" } }, { result: true }, { result: {} }, { result: { yes: true, more: 1 } },
    { result: null }, { error: { code: -32601, message: "no such method" } }, { error: "no" }];
  for (const given of answers) {
    const { host, engine, heard, id } = await asking();
    host.say({ jsonrpc: "2.0", id, ...given });
    assert.equal(await heard, false, JSON.stringify(given));
    await assert.rejects(engine().options.cloudFetch(REQUEST), { code: "cloud_disabled" });
    assert.deepEqual(host.told("host.fetch"), []);
  }
});

test("a host that does not ask is not asked, and the answer is no", async () => {
  const { host, heard } = await asking({ load: {} });
  // The engine itself takes the want of somebody to ask for a no.
  assert.equal(await heard, undefined);
  assert.deepEqual(host.told("host.ask"), []);
});

test("a page that asks by itself goes on doing so, unless the host does", async () => {
  const offers = [];
  const onAsk = (offer) => (offers.push(offer), true);
  for (const [hostAsk, told] of [[false, 0], [true, 1]]) {
    const { host, engine } = bridged({ load: { model: MODEL, onAsk } });
    await host.call("sprat.load", { hostAsk });
    host.call("sprat.chat", { messages: ASK, options: { level: "ask" } }, "C");
    void engine().answers[0].options.onAsk(OFFER);
    await turn();
    assert.deepEqual([offers.length, host.told("host.ask").length], [1, told]);
  }
});

test("a chat that ends, and patience that ends, take the question back, and a late yes counts for nothing", async (t) => {
  for (const end of ["stop", "dispose", "patience"]) {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { host, bridge, heard, id, chat } = await asking({ limits: { askPatience: 1000 } });
    if (end === "stop") host.notify("sprat.stop", { id: "C" });
    if (end === "dispose") await host.call("sprat.dispose");
    if (end === "patience") t.mock.timers.tick(1001);
    assert.equal(await heard, false, end);
    assert.deepEqual(host.told("host.ask.cancel"), [{ id }]);
    host.say({ jsonrpc: "2.0", id, result: { yes: true } });
    assert.equal(bridge.refused.late, 1);
    if (end !== "patience") assert.ok((await chat).error);
    t.mock.timers.reset();
  }
});

test("when the host is gone its answer is no", async () => {
  const { bridge, heard } = await asking();
  bridge.close();
  assert.equal(await heard, false);
});
