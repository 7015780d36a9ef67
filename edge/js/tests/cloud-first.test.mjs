import assert from "node:assert/strict";
import { test } from "node:test";
import { cloudFirst } from "../cloud-first.js";
import { engineMode, isMode, MODE_NAMES } from "../mode.js";
import { receipt } from "./fake-sprat.mjs";

const MESSAGES = [{ role: "user", content: "Hi" }];

/** Asks by prefer-cloud; each answer in turn is its events, and the failure it ends with if there is one. */
async function ask(...answers) {
  const modes = [];
  const events = [];
  const answer = async (json, emit) => {
    const { messages, options } = JSON.parse(json);
    assert.deepEqual([messages, options.maxTokens], [MESSAGES, 5]);
    modes.push(options.mode);
    const [told, error] = answers[modes.length - 1];
    for (const event of told) emit(JSON.stringify(event));
    if (error) throw error;
  };
  const call = cloudFirst(answer, { messages: MESSAGES, options: { mode: "cloud", maxTokens: 5 } }, (json) => events.push(JSON.parse(json)));
  const error = await call.then(() => null, (error) => error);
  return { modes, events, error };
}

const end = (changes) => ({ type: "end", text: "Hello", receipt: receipt(changes) });
const failed = (code, changes) => ({ code, message: code, receipt: receipt({ bytes_sent: 70, cost_usd: 0.5, cloud_ms: 9, total_ms: 10, ...changes }) });

test("the cloud's answer stands, and the device is not asked", async () => {
  const told = [{ type: "start", source: "cloud" }, end({ source: "cloud" })];
  assert.deepEqual(await ask([told]), { modes: ["cloud"], events: told, error: null });
});

test("where the cloud cannot answer the device does, and the receipt says why and what was sent", async () => {
  for (const code of ["cloud_unreachable", "cloud_interrupted", "cloud_refused", "cloud_disabled", "consent_refused"]) {
    const level = { type: "level", level: "ask", found: ["name"] };
    const { modes, events, error } = await ask([[level], failed(code)], [[level, { type: "start", source: "device" }, end({ total_ms: 3 })]]);
    assert.equal(error, null);
    assert.deepEqual(modes, ["cloud", "device"]);
    assert.deepEqual(events.map(({ type }) => type), ["level", "start", "end"], "a level is told once");
    const { rule, reason, bytes_sent, cost_usd, cloud_ms, total_ms } = events.at(-1).receipt;
    assert.match(rule, /^cloud-first-/);
    assert.match(reason, /this device answered\.$/);
    assert.deepEqual([bytes_sent, cost_usd, cloud_ms, total_ms], [70, 0.5, 9, 13]);
  }
});

test("what is private is answered as everywhere, and an exact answer keeps its reason", async () => {
  const { modes, events } = await ask([[], failed("private_unanswerable")], [[end({ rule: "sure" })]]);
  assert.deepEqual([modes, events[0].receipt.rule], [["cloud", "auto"], "sure"]);
  const exact = await ask([[], failed("cloud_unreachable")], [[end({ source: "exact", rule: "exact" })]]);
  assert.equal(exact.events[0].receipt.rule, "exact");
});

test("other failures are the answer's, and without a model the cloud's is", async () => {
  for (const code of ["aborted", "bad_request", "internal"]) {
    const { modes, error } = await ask([[], { code, message: "" }]);
    assert.deepEqual([modes, error.code], [["cloud"], code]);
  }
  for (const [code, told] of [["model_missing", "cloud_refused"], ["too_large", "cloud_refused"], ["context_too_long", "context_too_long"]]) {
    const { error } = await ask([[], failed("cloud_refused")], [[], { code, message: "" }]);
    assert.equal(error.code, told);
  }
});

test("modes have names, of which three have short ones", () => {
  assert.equal(engineMode(undefined), "auto");
  const pairs = { auto: "prefer-device", device: "only-device", cloud: "only-cloud" };
  for (const [short, long] of Object.entries(pairs)) assert.equal(engineMode(long), engineMode(short));
  assert.equal(engineMode("prefer-cloud"), "cloud-first");
  for (const name of MODE_NAMES) assert.ok(isMode(name));
  for (const name of ["clod", "", null, 7, "toString", {}]) assert.throws(() => engineMode(name), { name: "SpratError", code: "bad_request" });
});
