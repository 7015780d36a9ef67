// The parts of <sprat-chat> that need no browser.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { SpratChat } from "../element.js";
import { Announcer, splitSpeakable } from "../element/announce.js";
import { Conversation } from "../element/conversation.js";
import { laneOf } from "../element/lane.js";
import { describe } from "../element/problem.js";
import { facts, howSure, sent, tokensPerSecond, why } from "../element/receipt.js";
import { apply, begin, fail, failureOf, kept } from "../element/turn.js";
import { chooseLanguage, LANGUAGES, Words } from "../element/words.js";

const english = new Words(["en"]);
const RECEIPT = {
  source: "cloud", rule: "unsure", reason: "From the engine.", confidence: 0.799, threshold: 0.8, bound: null,
  model: "sprat-small", device: null, prompt_tokens: 1310, cached_tokens: 24, completion_tokens: 20, continued_tokens: 0,
  first_token_ms: 84, device_ms: 400, cloud_ms: 1000, total_ms: 1400, bytes_sent: 1234, cost_usd: 0.000013,
};

test("the module can be imported without a DOM", () => {
  assert.ok(SpratChat.observedAttributes.includes("private"));
});

test("all languages have the same keys, placeholders, and no empty words", () => {
  const holes = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  const { en, ...others } = LANGUAGES;
  for (const [language, strings] of Object.entries(others)) {
    assert.deepEqual(Object.keys(strings), Object.keys(en), language);
    for (const [key, text] of Object.entries(strings)) {
      assert.deepEqual(holes(text), holes(en[key]), `${language}: ${key}`);
      assert.notEqual(text.trim(), "", `${language}: ${key}`);
    }
  }
});

test("each rule that ends in an answer has words, in English the policy's own", () => {
  const policy = JSON.parse(readFileSync(new URL("../../../shared/route/policy.json", import.meta.url), "utf8"));
  const answering = policy.rules.filter(({ id, then }) => typeof then === "string" && then !== "ask" && !["device-first", "go-on"].includes(id));
  assert.ok(answering.length > 10);
  for (const { id, reason } of answering) assert.equal(LANGUAGES.en[`why.${id}`], reason);
});

test("each error code of the engine has words of its own", () => {
  const types = readFileSync(new URL("../types.js", import.meta.url), "utf8");
  const codes = [.../@typedef \{("bad_request"[^}]*)\} ErrorCode/.exec(types)[1].matchAll(/"(\w+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 10);
  const at = { private: false, mode: "auto", kept: "nothing", first: false, own: true };
  const headings = codes.map((code) => describe(failureOf({ code, message: "" }), at, english).heading);
  assert.equal(new Set(headings).size, codes.length);
  assert.equal(describe(failureOf({ code: "newer" }), at, english).heading, LANGUAGES.en["error.internal.heading"]);
});

test("the language is the first wanted one that there are words in", () => {
  assert.equal(chooseLanguage(["ko-KR"]), "ko");
  assert.equal(chooseLanguage(["fr", "JA_jp", "ko"]), "ja");
  assert.equal(chooseLanguage(["fr", "__proto__", ""]), "en");
  assert.equal(new Words(["ko-KR"]).language, "ko-KR");
  assert.equal(new Words(["fr"]).language, "en", "English words are not French");
  assert.equal(new Words(["not a tag", "ja"]).language, "ja");
  assert.equal(new Words(["en-GB"]).language, "en-GB");
});

test("a page's own words take the place of single ones, and of a whole language", () => {
  const words = new Words(["fr"], { send: "Envoyer", stop: 7, unknown: "x" });
  assert.equal(words.say("send"), "Envoyer");
  assert.equal(words.say("stop"), "Stop");
  assert.equal(words.language, "fr");
  assert.equal(words.find("toString"), null);
});

test("placeholders are filled once, and with the text as it is", () => {
  const words = new Words(["en"], { "by.cloud": "{model} {other}" });
  assert.equal(words.say("by.cloud", { model: "{other} $& $1" }), "{other} $& $1 {other}");
});

test("numbers as people read them", () => {
  assert.equal(english.percent(0.7999), "79%", "cut down, never up to the threshold");
  assert.equal(english.percent(0.8), "80%");
  const sizes = [0, 1, 999, 1234, 999_960, 4_500_000].map((bytes) => english.bytes(bytes));
  assert.deepEqual(sizes, ["0 bytes", "1 byte", "999 bytes", "1.2 kB", "1 MB", "4.5 MB"]);
  assert.equal(english.cost(0.000013), "$0.000013");
  assert.match(new Words(["ko"]).bytes(12), /12바이트/);
  assert.deepEqual(["en", "ko", "ja"].map((tag) => new Words([tag]).list(["a", "b", "c"])), ["a, b, c", "a, b, c", "a、b、c"]);
  const times = [0.2, 84.4, 1840, 12_340, 59_980, 125_000].map((ms) => english.duration(ms));
  assert.deepEqual(times, ["1 ms", "84 ms", "1.84s", "12.3s", "1 min 0 sec", "2 min 5 sec"]);
});

test("a receipt in words", () => {
  assert.match(why(RECEIPT, english), /only 79% sure/);
  assert.equal(why({ ...RECEIPT, rule: "newer" }, new Words(["ja"])), "From the engine.");
  assert.equal(howSure(RECEIPT, english), "79%; 80% would be enough");
  assert.equal(howSure({ ...RECEIPT, confidence: 0.9 }, english), "90%; 80% is enough");
  assert.equal(howSure({ ...RECEIPT, confidence: null }, english), null);
  assert.equal(sent(RECEIPT, english), "1.2 kB to the cloud");
  assert.equal(sent({ ...RECEIPT, bytes_sent: 0 }, english), "Nothing left this device");
  assert.deepEqual(facts({ ...RECEIPT, continued_tokens: 3 }, english).map(({ term }) => term), ["Sent", "Time", "Tokens", "Seam", "Cost"]);
  const [, time, tokens, cost] = facts(RECEIPT, english).map(({ value }) => value);
  assert.equal(time, "1.4s in all, first text after 84 ms, 400 ms on this device, 1s in the cloud");
  assert.equal(tokens, "1,310 read, 20 written, 24 reused, 20 tokens/s");
  assert.equal(cost, "$0.000013");
});

test("an exact answer has no tokens, and costs and sends nothing", () => {
  const none = { prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0, device_ms: 0, cloud_ms: 0, bytes_sent: 0, cost_usd: 0 };
  const exact = { ...RECEIPT, ...none, source: "exact", first_token_ms: null, total_ms: 0.4 };
  assert.equal(tokensPerSecond(exact), null);
  assert.deepEqual(facts(exact, english).map(({ value }) => value), ["Nothing left this device", "1 ms in all", "$0"]);
});

test("private and cloud only exclude each other, whatever the code", () => {
  const at = { private: true, mode: "cloud", kept: "nothing", first: true, own: true };
  const { action, calm } = describe(failureOf({ code: "bad_request" }), at, english);
  assert.deepEqual([action, calm], ["device", true]);
});

test("only the element's own engine can be asked in the open what was private, or be loaded again", () => {
  const at = { private: true, mode: "auto", kept: "draft", first: true };
  const action = (code, own) => describe(failureOf({ code }), { ...at, own }, english).action;
  assert.deepEqual([action("private_unanswerable", true), action("private_unanswerable", false)], ["open", null]);
  assert.deepEqual([action("network", true), action("network", false)], ["reload", "retry"]);
});

test("a first question that is too long is not asked again in a new conversation", () => {
  const at = { private: false, mode: "auto", kept: "nothing", own: true };
  const action = (first) => describe(failureOf({ code: "context_too_long" }), { ...at, first }, english).action;
  assert.deepEqual([action(true), action(false)], [null, "new"]);
});

const run = (...events) => events.reduce(apply, begin("q"));
const start = (source) => ({ type: "start", source });
const delta = (text, source = "device") => ({ type: "delta", source, text });
const handover = { type: "handover", from: "device", to: "cloud", rule: "unsure", reason: "" };

test("a draft stays until the cloud has answered, and stands if it never does", () => {
  const drafting = run(start("device"), delta("dr"), delta("aft"), handover);
  assert.deepEqual([drafting.draft, drafting.text], ["draft", ""]);
  const lost = fail(apply(apply(drafting, start("cloud")), delta("half", "cloud")), failureOf({ code: "cloud_interrupted" }));
  assert.deepEqual([lost.draft, lost.text, lost.state], ["draft", "half", "error"]);
  const ended = apply(drafting, { type: "end", text: "whole", receipt: RECEIPT });
  assert.deepEqual([ended.draft, ended.text, ended.source, ended.state], [null, "whole", "cloud", "done"]);
});

test("a stop is no failure; an answer that may not stand is a draft", () => {
  const stopped = fail(run(start("device"), delta("so far")), failureOf({ name: "AbortError" }));
  assert.deepEqual([stopped.state, stopped.failure, stopped.stopped, kept(stopped)], ["done", null, true, "so far"]);
  const unsure = fail(run(start("device"), delta("maybe")), failureOf({ code: "private_unanswerable" }));
  assert.deepEqual([unsure.draft, unsure.text, unsure.source], ["maybe", "", "device"]);
});

test("a draft that stands after all becomes the answer; a cloud that tries again begins its text anew", () => {
  const cloud = [start("cloud"), delta("The", "cloud")];
  const back = run(start("device"), delta("draft"), handover, ...cloud, start("device"), delta("draft"), delta("."));
  assert.deepEqual([back.source, back.draft, back.text], ["device", null, "draft."]);
  const again = run(start("device"), delta("draft"), handover, ...cloud, ...cloud);
  assert.deepEqual([again.draft, again.text], ["draft", "The"]);
});

test("a cloud that never begins leaves the draft; events of a newer engine change nothing", () => {
  const left = fail(run(start("device"), delta("draft"), handover), failureOf({ code: "cloud_unreachable" }));
  assert.deepEqual([left.state, left.source, kept(left)], ["error", "device", "draft"]);
  const turn = begin("q");
  assert.equal(apply(turn, { type: "thinking" }), turn);
});

test("anything thrown becomes a failure", () => {
  assert.equal(failureOf(new DOMException("x", "AbortError")).code, "aborted");
  assert.deepEqual(failureOf("odd"), { code: "internal", message: "odd", hint: "", partial: "", receipt: null });
  assert.equal(failureOf(undefined).code, "internal");
  assert.equal(failureOf(Object.assign(new Error("m"), { code: "network", hint: "h" })).hint, "h");
});

test("a turn without an answer is left out of what is asked next", () => {
  const conversation = new Conversation();
  const first = conversation.ask("one");
  conversation.update(first, fail(conversation.turn(first), failureOf("gone")));
  const second = conversation.ask("two");
  conversation.update(second, apply(conversation.turn(second), { type: "end", text: "2", receipt: RECEIPT }));
  const third = conversation.ask("three");
  assert.deepEqual(conversation.messages(third).map(({ content }) => content), ["two", "2", "three"]);
  assert.ok(conversation.sent);
});

test("a conversation's level can only rise", () => {
  const conversation = new Conversation("ask");
  conversation.raise("open");
  assert.equal(conversation.level, "ask");
  conversation.raise("private");
  conversation.raise("ask");
  assert.deepEqual([conversation.level, conversation.private], ["private", true]);
  assert.throws(() => (conversation.level = "open"), TypeError);
});

test("a conversation knows whether something of it was sent, and a turn can be asked again", () => {
  const conversation = new Conversation();
  const index = conversation.ask("q");
  conversation.update(index, run(start("device"), delta("x"), { type: "end", text: "x", receipt: { ...RECEIPT, source: "device", bytes_sent: 0 } }));
  assert.equal(conversation.sent, false);
  conversation.again(index);
  assert.deepEqual(conversation.messages(index), [{ role: "user", content: "q" }]);
  conversation.update(index, fail(run(start("device"), delta("x"), handover), failureOf({ code: "cloud_unreachable" })));
  assert.equal(conversation.sent, true);
});

test("where questions go, in words", () => {
  const at = { level: "open", mode: "auto", cloud: "api.example", sent: false };
  const said = (more) => Object.values(laneOf({ ...at, ...more }, english)).join();
  assert.equal(said({}), "false,What this device is not sure of goes to api.example");
  assert.equal(said({ level: "ask" }), "false,You are asked before anything goes to api.example");
  assert.equal(said({ level: "ask", mode: "cloud" }), "false,Every question goes to api.example, once you have agreed");
  assert.equal(said({ level: "private", sent: true }), "true,From here on, nothing leaves this device");
  assert.equal(said({ level: "ask", cloud: null }), "true,Everything stays on this device");
});

test("only whole sentences are spoken, also without spaces between them", () => {
  assert.deepEqual(splitSpeakable("One. Two? Thr"), { now: "One. Two?", later: " Thr" });
  assert.deepEqual(splitSpeakable("It costs 3.5"), { now: "", later: "It costs 3.5" });
  assert.deepEqual(splitSpeakable("魚です。小さ"), { now: "魚です。", later: "小さ" });
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

test("the README names each part and variable that there is, and no other", () => {
  const folder = new URL("../element/", import.meta.url);
  const sources = readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(new URL(name, folder), "utf8"));
  const found = (pattern, texts) => [...new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name)))].sort();
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const paragraph = (start) => readme.slice(readme.indexOf(`\n${start}`)).split("\n\n")[0];
  assert.deepEqual(found(/`([a-z]+)`/g, [paragraph("Parts:")]), found(/\bpart: "([a-z]+)"/g, sources));
  assert.deepEqual(found(/`(--sprat-[a-z-]+)`/g, [paragraph("Variables:")]), found(/var\((--sprat-[a-z-]+)/g, sources));
});

test("the style sheets know no left and right", () => {
  const physical = /(?:^|[\s;{])(?:(?:margin|padding|border|inset)-(?:left|right)[a-z-]*|left|right|float|width|height)\s*:|text-align:\s*(?:left|right)/;
  // Four lengths are top, right, bottom, left.
  const four = /(?:margin|padding|inset):\s*\S+\s+([^\s;]+)\s+\S+\s+(?!\1;)[^\s;]+;/;
  for (const name of ["styles.js", "styles-shared.js", "styles-conversation.js"]) {
    const rules = readFileSync(new URL(`../element/${name}`, import.meta.url), "utf8").split("\n").filter((line) => !line.startsWith("@"));
    for (const rule of rules) {
      assert.doesNotMatch(rule, physical, name);
      assert.doesNotMatch(rule, four, name);
    }
  }
  assert.match(".a { margin-left: 1px; }", physical);
  assert.match(".a { padding: 0 1px 0 2px; }", four);
});
