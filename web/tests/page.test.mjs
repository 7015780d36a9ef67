import assert from "node:assert/strict";
import { test } from "node:test";
import { Announcer } from "../js/announce.js";
import { describe } from "../js/errors.js";
import { foreignHost, readParams } from "../js/params.js";
import { facts, tokensPerSecond } from "../js/receipt.js";

const failure = (code, more = {}) => ({ code, message: "", hint: "", partial: "", receipt: null, ...more });

test("usual addresses are made absolute", () => {
  const params = readParams("http://h:1/chat/?x=1#y");
  assert.deepEqual(params, {
    device: "auto", cloud: "http://h:1/v1", model: "http://h:1/chat/models/sprat-tiny/", bundled: false, problems: [],
  });
});

test("the address can choose device, cloud and model", () => {
  const params = readParams("http://h/?device=cpu&cloud=off&model=https://m.example/p");
  assert.deepEqual(params, { device: "cpu", cloud: null, model: "https://m.example/p/", bundled: false, problems: [] });
  assert.equal(readParams("http://h/?cloud=http://127.0.0.1:9/v1/").cloud, "http://127.0.0.1:9/v1");
});

test("a page that an app brings along has usual values of its own", () => {
  const own = { cloud: "off", device: "cpu", model: "bundled" };
  assert.deepEqual(readParams("file:///a/b.html", own), {
    device: "cpu", cloud: null, model: "file:///a/models/sprat-tiny/", bundled: true, problems: [],
  });
  const other = readParams("file:///a/b.html?cloud=http://h/v1&model=https://m.example/p", own);
  assert.deepEqual([other.cloud, other.model, other.bundled], ["http://h/v1", "https://m.example/p/", false]);
});

test("what the address gets wrong is said and not followed", () => {
  const params = readParams("http://h/?device=tpu&cloud=javascript:alert(1)&model=http://[");
  assert.equal(params.device, "auto");
  assert.equal(params.cloud, "http://h/v1");
  assert.equal(params.model, "http://h/models/sprat-tiny/");
  assert.equal(params.problems.length, 3);
});

test("a cloud of another origin is named", () => {
  assert.equal(foreignHost("http://h/v1", "http://h/"), null);
  assert.equal(foreignHost(null, "http://h/"), null);
  assert.equal(foreignHost("http://h:8/v1", "http://h/"), "h:8");
});

test("every code of the engine has words of its own", () => {
  const codes = [
    "bad_request", "model_missing", "model_corrupt", "network", "cloud_unreachable", "cloud_interrupted",
    "cloud_refused", "cloud_disabled", "private_unanswerable", "context_too_long", "webgpu_unavailable",
    "webgpu_lost", "unsupported", "internal",
  ];
  const at = { private: false, mode: "auto", kept: "nothing", first: false };
  const headings = codes.map((code) => describe(failure(code), at).heading);
  assert.equal(new Set(headings).size, codes.length);
  assert.equal(describe(failure("newer_code"), at).heading, describe(failure("internal"), at).heading);
});

test("what happened is told by the engine, what to do by the page", () => {
  const at = { private: false, mode: "auto", kept: "text", first: false };
  const words = describe(failure("network", { message: "cannot fetch a.bin", hint: "Call it again." }), at);
  assert.equal(words.sentence, "Cannot fetch a.bin. Above is what had arrived.");
  assert.doesNotMatch(words.todo, /Call/);
  assert.equal(describe(failure("newer_code", { hint: "Call it again." }), at).todo, "Call it again.");
});

test("a first question that is too long is not asked again in a new conversation", () => {
  const at = { private: false, mode: "auto", kept: "nothing" };
  assert.equal(describe(failure("context_too_long"), { ...at, first: true }).action, null);
  assert.equal(describe(failure("context_too_long"), { ...at, first: false }).action, "new");
});

test("private and cloud only exclude each other, whatever the code", () => {
  const words = describe(failure("bad_request"), { private: true, mode: "cloud", kept: "nothing", first: false });
  assert.equal(words.action, "device");
  assert.match(words.sentence, /stayed on this device/);
});

test("a private question can only be opened, never retried elsewhere", () => {
  const words = describe(failure("private_unanswerable"), { private: true, mode: "auto", kept: "draft", first: false });
  assert.deepEqual([words.action, words.calm], ["open", true]);
});

const receipt = {
  source: "cloud", rule: "unsure", reason: "", confidence: 0.4, threshold: 0.8, model: "sprat-small", device: null,
  prompt_tokens: 1310, cached_tokens: 24, completion_tokens: 20, continued_tokens: 0, first_token_ms: 84, device_ms: 400, cloud_ms: 1000,
  total_ms: 1400, bytes_sent: 512, cost_usd: 0.000013,
};

test("a receipt in words", () => {
  assert.deepEqual(facts(receipt), [
    { term: "Time", value: "1.40 s in all, first text after 84 ms, 400 ms on this device, 1.00 s in the cloud" },
    { term: "Tokens", value: "1,310 read (24 reused), 20 written, 20 tokens/s" },
    { term: "Sent", value: "512 bytes to the cloud" },
    { term: "Cost", value: "$0.000013" },
  ]);
  const seam = facts({ ...receipt, continued_tokens: 1200 }).find((fact) => fact.term === "Seam");
  assert.equal(seam?.value, "the cloud went on after 1,200 tokens of this device");
});

test("an exact answer has no tokens and sends nothing", () => {
  const exact = {
    ...receipt, source: "exact", prompt_tokens: 0, completion_tokens: 0, first_token_ms: null, device_ms: 0,
    cloud_ms: 0, total_ms: 0.4, bytes_sent: 0, cost_usd: 0,
  };
  assert.equal(tokensPerSecond(exact), null);
  assert.deepEqual(facts(exact).map((fact) => fact.value), ["under 1 ms in all", "Nothing left this device", "$0"]);
});

test("the announcer speaks sentences now and then, and the rest at the end", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const region = { textContent: "" };
  const announcer = new Announcer(region);
  announcer.stream("One. Tw");
  assert.equal(region.textContent, "");
  context.mock.timers.tick(2000);
  assert.equal(region.textContent, "One.");
  announcer.stream("One. Two. Three");
  announcer.finish("One. Two. Three", "Done.");
  assert.equal(region.textContent, "Two. Three Done.");
  context.mock.timers.tick(5000);
  assert.equal(region.textContent, "Two. Three Done.");
});
