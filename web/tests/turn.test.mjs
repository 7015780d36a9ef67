import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../js/conversation.js";
import { apply, begin, fail, failureOf, kept } from "../js/turn.js";

const receipt = (source) => ({
  source, rule: "r", reason: "", prompt_tokens: 1, cached_tokens: 0, completion_tokens: 1, continued_tokens: 0,
  device_ms: 1, cloud_ms: 0, total_ms: 1, bytes_sent: source === "cloud" ? 99 : 0, cost_usd: 0,
});
const failure = (code, more = {}) => ({ code, message: "", hint: "", partial: "", receipt: null, ...more });
const run = (...events) => events.reduce(apply, begin("Why?"));
const failed = (conversation, index, code, events = []) =>
  conversation.update(index, fail(events.reduce(apply, conversation.turn(index)), failure(code)));

const DRAFT = [
  { type: "start", source: "device" },
  { type: "delta", source: "device", text: "Because of " },
  { type: "delta", source: "device", text: "wind" },
  { type: "handover", from: "device", to: "cloud", rule: "unsure", reason: "Not sure enough." },
];

test("a handover keeps the draft until the cloud has finished", () => {
  let turn = run(...DRAFT);
  assert.deepEqual([turn.draft, turn.text, turn.handover], ["Because of wind", "", "Not sure enough."]);
  turn = apply(turn, { type: "start", source: "cloud" });
  turn = apply(turn, { type: "delta", source: "cloud", text: "The Moon" });
  assert.deepEqual([turn.source, turn.draft, turn.text], ["cloud", "Because of wind", "The Moon"]);
  turn = apply(turn, { type: "end", text: "The Moon.", receipt: receipt("cloud") });
  assert.deepEqual([turn.state, turn.draft, turn.text, turn.source], ["done", null, "The Moon.", "cloud"]);
});

test("a cloud that never begins leaves the device's draft", () => {
  const turn = fail(run(...DRAFT), failure("cloud_unreachable"));
  assert.deepEqual([turn.state, turn.source, kept(turn)], ["error", "device", "Because of wind"]);
});

test("a cloud that breaks off leaves draft and partial text", () => {
  const cut = run(...DRAFT, { type: "start", source: "cloud" }, { type: "delta", source: "cloud", text: "The" });
  const turn = fail(cut, failure("cloud_interrupted", { partial: "The" }));
  assert.deepEqual([turn.state, turn.source, turn.draft, kept(turn)], ["error", "cloud", "Because of wind", "The"]);
});

test("a draft that stands after all becomes the answer, and is completed", () => {
  const back = run(
    ...DRAFT,
    { type: "start", source: "cloud" },
    { type: "delta", source: "cloud", text: "The M" },
    { type: "start", source: "device" },
    { type: "delta", source: "device", text: "Because of wind" },
    { type: "delta", source: "device", text: "." },
  );
  assert.deepEqual([back.source, back.draft, back.text], ["device", null, "Because of wind."]);
});

test("a cloud that tries again begins its text anew", () => {
  const cloud = [{ type: "start", source: "cloud" }, { type: "delta", source: "cloud", text: "The" }];
  const turn = run(...DRAFT, ...cloud, ...cloud);
  assert.deepEqual([turn.draft, turn.text], ["Because of wind", "The"]);
});

test("an unanswerable private question keeps its text as a draft", () => {
  const turn = fail(run(...DRAFT.slice(0, 3)), failure("private_unanswerable", { partial: "Because of wind" }));
  assert.deepEqual([turn.state, turn.source, turn.text, turn.draft], ["error", "device", "", "Because of wind"]);
});

test("stop is no error and keeps what came", () => {
  const turn = fail(run(...DRAFT.slice(0, 2)), failure("aborted"));
  assert.deepEqual([turn.state, turn.stopped, turn.failure, kept(turn)], ["done", true, null, "Because of "]);
  const early = fail(begin("Why?"), failure("aborted"));
  assert.deepEqual([early.state, early.source, kept(early)], ["done", null, ""]);
});

test("unknown events change nothing", () => {
  const turn = begin("Why?");
  assert.equal(apply(turn, { type: "thinking" }), turn);
});

test("anything thrown becomes a failure", () => {
  assert.equal(failureOf(new DOMException("x", "AbortError")).code, "aborted");
  assert.deepEqual(failureOf("odd"), failure("internal", { message: "odd" }));
  assert.equal(failureOf(undefined).code, "internal");
  assert.equal(failureOf(Object.assign(new Error("m"), { code: "network", hint: "h" })).hint, "h");
});

test("a conversation stays private", () => {
  const conversation = new Conversation({ private: false });
  conversation.makePrivate();
  assert.equal(conversation.private, true);
  assert.throws(() => {
    conversation.private = false;
  }, TypeError);
});

test("turns without text are left out of what is sent", () => {
  const conversation = new Conversation({ private: false });
  const first = conversation.ask("One?");
  failed(conversation, first, "network");
  const second = conversation.ask("Two?");
  failed(conversation, second, "cloud_unreachable", DRAFT);
  const third = conversation.ask("Three?");
  assert.deepEqual(conversation.messages(third), [
    { role: "user", content: "Two?" },
    { role: "assistant", content: "Because of wind" },
    { role: "user", content: "Three?" },
  ]);
  conversation.again(second);
  assert.deepEqual(conversation.messages(second), [{ role: "user", content: "Two?" }]);
});

test("a conversation knows whether something of it was sent", () => {
  const conversation = new Conversation({ private: false });
  const index = conversation.ask("One?");
  conversation.update(index, run(...DRAFT.slice(0, 3), { type: "end", text: "x", receipt: receipt("device") }));
  assert.equal(conversation.sent, false);
  conversation.again(index);
  failed(conversation, index, "cloud_unreachable", DRAFT);
  assert.equal(conversation.sent, true);
});
