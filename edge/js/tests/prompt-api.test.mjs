// The Prompt API's class and sessions: what the specification and its web platform tests ask for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { defineLanguageModel } from "../prompt-api.js";
import { SpratError } from "../sprat.js";
import { answer, count, FakeSprat, handover, read, turn } from "./fake-sprat.mjs";

/** A class over one fake that answers with `script`; counts tokens unless told otherwise. */
function setup(script = [answer(["Hel", "lo"])], options = {}) {
  const sprat = new FakeSprat(...script);
  sprat.count = count;
  return { sprat, LanguageModel: defineLanguageModel({ sprat, ...options }) };
}

/** A class that opens an engine, which the test says the state of. */
function unloaded({ stored = [], ...options } = {}) {
  const opened = [];
  const Sprat = {
    stored: async () => stored,
    open(given) {
      const sprat = new FakeSprat(answer(["Hi"]));
      sprat.state = "loading";
      sprat.ready = new Promise((resolve, reject) => {
        sprat.loaded = () => {
          if (sprat.state === "loading") sprat.state = "ready";
          resolve();
        };
        sprat.failed = (error) => ((sprat.state = "failed"), reject(error));
      });
      opened.push({ sprat, ...given });
      return sprat;
    },
  };
  const model = "https://example.org/models/tiny/";
  return { opened, LanguageModel: defineLanguageModel({ model, engine: async () => ({ Sprat }), ...options }) };
}

const named = (name) => (error) => {
  assert.ok(error instanceof DOMException, `${error}`);
  assert.equal(error.name, name);
  return true;
};
const rejects = (promise, name) => assert.rejects(promise, named(name));
const said = (sprat) => sprat.asked.at(-1).messages.map(({ role, content }) => `${role}: ${content}`);

test("a session has what the API says", async () => {
  const { LanguageModel } = setup();
  const session = await LanguageModel.create();
  assert.ok(session instanceof LanguageModel && session instanceof EventTarget);
  assert.deepEqual([session.contextUsage, session.contextWindow, session.inputUsage, session.inputQuota], [0, 100, 0, 100]);
  assert.deepEqual([session.oncontextoverflow, session.onquotaoverflow, session.topK, session.temperature], [null, null, undefined, undefined]);
  assert.throws(() => new LanguageModel(), TypeError);
  const { create } = LanguageModel;
  assert.ok((await create()) instanceof LanguageModel, "create needs its class");
});

test("prompts are answered in one conversation, on the device", async () => {
  const { sprat, LanguageModel } = setup([answer(["A"]), answer(["B"])]);
  const session = await LanguageModel.create({
    initialPrompts: [{ role: "system", content: "Be short" }, { role: "user", content: "1" }, { role: "assistant", content: "one" }],
  });
  assert.equal(session.contextUsage, 16);
  assert.equal(await session.prompt("Hi"), "A");
  assert.deepEqual(said(sprat), ["system: Be short", "user: 1", "assistant: one", "user: Hi"]);
  assert.equal(sprat.asked[0].options.mode, "device");
  assert.equal(session.contextUsage, 26);
  assert.equal(session.receipt.source, "device");
  await session.append([{ role: "user", content: [{ type: "text", value: "x" }, { type: "text", value: "y" }] }]);
  assert.equal(await session.prompt([{ role: "assistant", content: "z" }, { role: "user", content: "?" }]), "B");
  assert.deepEqual(said(sprat).slice(3), ["user: Hi", "assistant: A", "user: xy", "assistant: z", "user: ?"]);
});

test("what is no prompt is read as Web IDL does, or refused with the right error", async () => {
  const { sprat, LanguageModel } = setup();
  const session = await LanguageModel.create();
  for (const [input, text] of [[{}, "[object Object]"], [undefined, "undefined"], [7, "7"], [[{ role: "user", content: 5 }], "5"]]) {
    await session.prompt(input);
    assert.equal(sprat.asked.at(-1).messages.at(-1).content, text);
  }
  for (const empty of [[], [{ role: "user", content: [] }], ""]) {
    await session.prompt(empty);
    assert.deepEqual(sprat.asked.at(-1).messages.at(-1), { role: "user", content: "" });
  }
  const before = sprat.asked.length;
  const user = { role: "user", content: "x" };
  for (const input of [[null], ["text"], [{ role: "user" }], [{ content: "x" }], [{ role: "tool", content: "x" }],
    [{ role: "user", content: [{ type: "soup", value: "x" }] }], [{ role: "user", content: [{ type: "text" }] }],
    [{ role: "user", content: [{ type: "text", value: 7 }] }], [{ role: "system", content: "late" }]]) {
    await assert.rejects(session.prompt(input), TypeError, JSON.stringify(input));
    await assert.rejects(session.append(input), TypeError);
  }
  for (const input of [[{ ...user, prefix: true }], [{ role: "assistant", content: "x", prefix: true }, user]]) {
    await rejects(session.prompt(input), "SyntaxError");
  }
  for (const part of [{ type: "image", value: {} }, { type: "audio", value: {} }, { type: "tool-response", value: {} }]) {
    await rejects(session.prompt([{ role: "user", content: [part] }]), "NotSupportedError");
  }
  await rejects(session.prompt([user, { role: "assistant", content: "{", prefix: true }]), "NotSupportedError");
  assert.equal(sprat.asked.length, before);
});

test("a system prompt comes first, once, in create, append or prompt", async () => {
  const { sprat, LanguageModel } = setup();
  const system = { role: "system", content: "Be short" };
  const user = { role: "user", content: "x" };
  for (const initialPrompts of [[user, system], [system, system]]) await assert.rejects(LanguageModel.create({ initialPrompts }), TypeError);
  await assert.rejects((await LanguageModel.create({ initialPrompts: [system] })).append([system]), TypeError);
  const appended = await LanguageModel.create({ initialPrompts: [] });
  await appended.append([system]);
  await appended.prompt("Hi");
  assert.deepEqual(said(sprat), ["system: Be short", "user: Hi"]);
  await (await LanguageModel.create()).prompt([system, user]);
  assert.deepEqual(said(sprat), ["system: Be short", "user: x"]);
});

const TOOL = { name: "lookup", description: "Looks things up", inputSchema: { type: "object", properties: {}, required: [] } };

test("tools that are none are a TypeError, before it is an error that there can be none", async () => {
  const { LanguageModel } = setup();
  const circle = { type: "object" };
  circle.self = circle;
  const mine = new Error("mine");
  const schemas = [null, undefined, {}, "object", { type: "string" }, { type: "object", properties: "x" }, { type: "object", required: "x" }, circle];
  const wrong = [...schemas.map((inputSchema) => [{ ...TOOL, inputSchema }]), [{ ...TOOL, name: "" }], [{ ...TOOL, description: "" }], [TOOL, TOOL], [TOOL, null]];
  for (const tools of wrong) {
    await assert.rejects(LanguageModel.create({ tools, expectedOutputs: [{ type: "tool-call" }] }), TypeError);
  }
  await assert.rejects(LanguageModel.create({ tools: [TOOL] }), TypeError, "without tool-call among the outputs");
  const inputSchema = { type: "object", toJSON: () => { throw mine; } };
  await assert.rejects(LanguageModel.create({ tools: [{ ...TOOL, inputSchema }] }), (error) => error === mine);
});

test("a monitor that throws leaves nothing on the caller's signal", async () => {
  const { LanguageModel } = setup();
  const { signal } = new AbortController();
  let listeners = 0;
  signal.addEventListener = () => (listeners += 1);
  signal.removeEventListener = () => (listeners -= 1);
  const mine = new Error("mine");
  await assert.rejects(LanguageModel.create({ signal, monitor: () => { throw mine; } }), (error) => error === mine);
  assert.equal(listeners, 0);
});

test("options are checked as specified", async () => {
  const { LanguageModel } = setup(undefined, { languages: ["en", "ko"] });
  const both = [LanguageModel.create, LanguageModel.availability];
  for (const call of both) {
    await assert.rejects(call({ expectedInputs: [{ type: "text", languages: ["en-abc-invalid"] }] }), RangeError);
    await assert.rejects(call({ expectedInputs: [{ type: "soup" }] }), TypeError);
    await assert.rejects(call({ samplingMode: "wild" }), TypeError);
    await assert.rejects(call({ samplingMode: "balanced", topK: 3 }), TypeError);
  }
  const none = [{ expectedInputs: [{ type: "image" }] }, { expectedOutputs: [{ type: "audio" }] }, { expectedOutputs: [{ type: "text", languages: ["unk"] }] },
    { tools: [TOOL], expectedOutputs: [{ type: "tool-call" }] }, { thinking: { effort: "high" } }];
  for (const options of none) {
    assert.equal(await LanguageModel.availability(options), "unavailable");
    await rejects(LanguageModel.create(options), "NotSupportedError");
  }
  for (const options of [{ topK: 0 }, { topK: NaN }, { temperature: -0.5 }]) {
    assert.equal(await LanguageModel.availability(options), "unavailable");
    await assert.rejects(LanguageModel.create(options), RangeError);
  }
  const fine = [{}, { expectedInputs: [], expectedOutputs: [{ type: "text", languages: ["EN", "ko-KR"] }] }, { tools: [] }, { thinking: { effort: "none" } }];
  for (const options of fine) assert.equal(await LanguageModel.availability(options), "available");
});

test("sampling is what was asked for", async () => {
  const { sprat, LanguageModel } = setup();
  const asked = async (options) => {
    const session = await LanguageModel.create(options);
    await session.prompt("Hi");
    const { temperature, topK } = sprat.asked.at(-1).options;
    return [temperature, topK, session.samplingMode, session.temperature, session.topK];
  };
  assert.deepEqual(await asked({}), [0, undefined, "most-predictable", undefined, undefined]);
  const [creative, , mode] = await asked({ samplingMode: "creative" });
  assert.ok(creative > 0.7 && mode === "creative");
  assert.deepEqual(await asked({ topK: 3.9, temperature: Infinity }), [2, 3, null, 2, 3]);
});

test("a constraint is refused, not pretended", async () => {
  const { sprat, LanguageModel } = setup();
  const session = await LanguageModel.create();
  for (const responseConstraint of [{ type: "object" }, /x/]) {
    await rejects(session.prompt("Hi", { responseConstraint }), "NotSupportedError");
    await rejects(session.measureContextUsage("Hi", { responseConstraint }), "NotSupportedError");
    await assert.rejects(session.promptStreaming("Hi", { responseConstraint }).getReader().read(), named("NotSupportedError"));
  }
  await assert.rejects(session.prompt("Hi", { responseConstraint: "x" }), TypeError);
  await assert.rejects(session.prompt("Hi", { omitResponseConstraintInput: true }), TypeError);
  assert.equal(sprat.asked.length, 0);
});

test("a stream gives the text as it comes, and holds back what may be replaced", async () => {
  const { LanguageModel } = setup();
  const stream = (await LanguageModel.create()).promptStreaming("Hi");
  assert.equal(Object.prototype.toString.call(stream), "[object ReadableStream]");
  assert.deepEqual((await read(stream)).items, ["Hel", "lo"]);
  const auto = setup([handover(["Wrong"], ["Ri", "ght"]), handover(["Wrong"], ["Right"])], { mode: "auto" });
  const session = await auto.LanguageModel.create();
  assert.deepEqual((await read(session.promptStreaming("Hi"))).items, ["Ri", "ght"]);
  assert.equal(await session.prompt("Hi"), "Right");
  assert.deepEqual(said(auto.sprat).slice(0, 2), ["user: Hi", "assistant: Right"]);
});

test("prompts of one session wait for each other; sessions do not", async () => {
  const { sprat, LanguageModel } = setup([["hang"], answer(["B"]), answer(["C"])]);
  const session = await LanguageModel.create();
  const stop = new AbortController();
  const queued = new AbortController();
  const first = session.prompt("1", { signal: stop.signal });
  const second = session.prompt("2");
  const third = session.prompt("3", { signal: queued.signal });
  await turn();
  assert.equal(sprat.asked.length, 1);
  queued.abort();
  await rejects(third, "AbortError");
  assert.equal(await (await LanguageModel.create()).prompt("other"), "B");
  stop.abort();
  await rejects(first, "AbortError");
  assert.equal(await second, "C");
  assert.deepEqual(said(sprat), ["user: 2"], "a stopped prompt is still in the session");
  assert.equal(sprat.running, 0);
});

test("everything can be stopped, at once, with the signal's own reason", async () => {
  const reason = new Error("mine");
  const { sprat, LanguageModel } = setup([[...answer(["One"]).slice(0, -1), "hang"]]);
  const session = await LanguageModel.create();
  const calls = {
    create: (signal) => LanguageModel.create({ signal }),
    prompt: (signal) => session.prompt("Hi", { signal }),
    append: (signal) => session.append("Hi", { signal }),
    measure: (signal) => session.measureContextUsage("Hi", { signal }),
    clone: (signal) => session.clone({ signal }),
    stream: async (signal) => {
      const { error } = await read(session.promptStreaming("Hi", { signal }));
      throw error;
    },
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const why of [undefined, reason]) {
      const controller = new AbortController();
      const promise = call(controller.signal);
      controller.abort(why);
      const check = why ? (error) => error === why : named("AbortError");
      await assert.rejects(promise, check, name);
      await assert.rejects(async () => call(controller.signal), check, name);
    }
  }
  assert.throws(() => session.promptStreaming("Hi", { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  const late = new AbortController();
  const reader = session.promptStreaming("Hi", { signal: late.signal }).getReader();
  assert.equal((await reader.read()).value, "One");
  late.abort(reason);
  await assert.rejects(reader.read(), (error) => error === reason);
  await turn();
  assert.deepEqual([sprat.running, session.contextUsage], [0, 0]);
});

test("a stream that nobody reads any more stops, and leaves no trace", async () => {
  const { sprat, LanguageModel } = setup([[...answer(["One"]).slice(0, -1), "hang"], answer(["B"])]);
  const session = await LanguageModel.create();
  for await (const text of session.promptStreaming("Hi")) if (text) break;
  await turn();
  assert.equal(sprat.running, 0);
  assert.equal(await session.prompt("2"), "B");
  assert.deepEqual(said(sprat), ["user: 2"]);
});

test("destroying rejects what goes on and what comes after; what is known stays", async () => {
  const { sprat, LanguageModel } = setup([["hang"]]);
  const session = await LanguageModel.create();
  const going = [session.prompt("1"), session.prompt("2"), read(session.promptStreaming("3")).then(({ error }) => Promise.reject(error))];
  const settled = Promise.allSettled(going);
  await turn();
  session.destroy();
  session.destroy();
  for (const { reason } of await settled) named("InvalidStateError")(reason);
  for (const call of [() => session.prompt("x"), () => session.append("x"), () => session.clone(), () => session.measureContextUsage("x"), async () => session.promptStreaming("x")]) {
    await rejects(call(), "InvalidStateError");
  }
  assert.deepEqual([typeof session.contextWindow, typeof session.contextUsage, sprat.running], ["number", "number", 0]);
});

test("the signal of create ends the session later too", async () => {
  const { LanguageModel } = setup([["hang"]]);
  const stop = new AbortController();
  const session = await LanguageModel.create({ signal: stop.signal });
  const going = session.prompt("1");
  stop.abort();
  await rejects(going, "AbortError");
  await rejects(session.prompt("2"), "AbortError");
});

test("a clone goes its own way from where the session is", async () => {
  const { sprat, LanguageModel } = setup([answer(["A"]), answer(["B"]), answer(["C"])]);
  const session = await LanguageModel.create({ topK: 3, temperature: 1 });
  await session.prompt("1");
  const copy = await session.clone();
  assert.ok(copy instanceof LanguageModel);
  for (const name of ["contextUsage", "contextWindow", "topK", "temperature", "samplingMode"]) assert.equal(copy[name], session[name], name);
  await session.prompt("2");
  session.destroy();
  await copy.prompt("3");
  assert.deepEqual(said(sprat), ["user: 1", "assistant: A", "user: 3"]);
});

test("the oldest turns make room, the first prompts stay, and it is said", async () => {
  const { sprat, LanguageModel } = setup([answer(["A"])]);
  sprat.model = { name: "tiny", context: 26 };
  const session = await LanguageModel.create({ initialPrompts: [{ role: "system", content: "Be short" }] });
  const heard = [];
  session.oncontextoverflow = (event) => heard.push(event.type);
  session.onquotaoverflow = (event) => heard.push(event.type);
  session.addEventListener("contextoverflow", () => heard.push("listener"));
  await session.prompt("1");
  assert.deepEqual([session.contextUsage, heard], [16, []]);
  await session.prompt("2");
  assert.deepEqual(heard, []);
  await session.prompt("3");
  assert.deepEqual(said(sprat), ["system: Be short", "user: 2", "assistant: A", "user: 3"]);
  assert.deepEqual(heard, ["contextoverflow", "listener", "quotaoverflow"]);
  session.oncontextoverflow = session.onquotaoverflow = null;
  await session.append("4 5 6");
  assert.equal(heard.at(-1), "listener");

  const long = "word ".repeat(30);
  const before = session.contextUsage;
  for (const call of [() => session.prompt(long), () => session.append(long)]) {
    await assert.rejects(call(), (error) => {
      assert.deepEqual([error.name, error.requested, error.quota], ["QuotaExceededError", before + 34, 26]);
      return true;
    });
  }
  assert.equal(session.contextUsage, before, "a prompt that never fits has pushed others out");
  await assert.rejects(LanguageModel.create({ initialPrompts: [{ role: "user", content: long }] }), { name: "QuotaExceededError", requested: 34, quota: 26 });
});

test("without a way to count, the engine says what does not fit, and receipts how much there is", async () => {
  const tooLong = [new SpratError({ code: "context_too_long", message: "too long" })];
  const { sprat, LanguageModel } = setup([answer(["A"]), tooLong, answer(["B"]), tooLong]);
  sprat.count = undefined;
  const session = await LanguageModel.create();
  let overflows = 0;
  session.oncontextoverflow = () => (overflows += 1);
  await session.prompt("1");
  assert.equal(session.contextUsage, 13);
  assert.equal(await session.prompt("2"), "B");
  assert.deepEqual([said(sprat), overflows], [["user: 2"], 1]);
  await assert.rejects(session.prompt("3"), { name: "QuotaExceededError", requested: null, quota: 100 });
  await rejects(session.measureContextUsage("x"), "NotSupportedError");
  assert.equal(await (await defineLanguageModel({ sprat, count: async () => 7 }).create()).measureContextUsage("x"), 7);
});

test("measuring changes nothing", async () => {
  const { LanguageModel } = setup();
  const session = await LanguageModel.create();
  assert.deepEqual([await session.measureContextUsage("a b"), await session.measureInputUsage([{ role: "user", content: "a" }])], [6, 5]);
  assert.equal(session.contextUsage, 0);
});

test("failures of the engine have the API's names, and are kept as the cause", async () => {
  const cases = { private_unanswerable: "NotReadableError", cloud_refused: "NetworkError", cloud_disabled: "NotAllowedError",
    bad_request: "NotSupportedError", webgpu_lost: "UnknownError", worker_lost: "UnknownError", internal: "UnknownError" };
  for (const [code, name] of Object.entries(cases)) {
    const { LanguageModel } = setup([[...answer(["Per"]).slice(0, -1), new SpratError({ code, message: "no" })]]);
    const session = await LanguageModel.create();
    await assert.rejects(session.prompt("Hi"), (error) => {
      assert.deepEqual([error.cause.code, error.cause.partial], [code, "Per"]);
      return named(name)(error);
    });
    const { items, error } = await read(session.promptStreaming("Hi"));
    assert.deepEqual([items, error.name, session.contextUsage], [["Per"], name, 0]);
  }
});

test("a download is told in shares that grow from 0 to 1", async () => {
  const { opened, LanguageModel } = unloaded();
  const heard = [];
  const creating = LanguageModel.create({ monitor: (m) => m.addEventListener("downloadprogress", ({ loaded, total }) => heard.push([loaded, total])) });
  await turn();
  const [{ onProgress, sprat }] = opened;
  for (const loaded of [0, 25, 20, 25, 50, 100]) onProgress({ stage: "download", loaded, total: 100, message: "" });
  onProgress({ stage: "warmup", loaded: 99, total: 100, message: "" });
  assert.deepEqual(heard, [[0, 1], [0.25, 1], [0.5, 1]]);
  sprat.loaded();
  await creating;
  assert.deepEqual(heard.at(-1), [1, 1]);
  onProgress({ stage: "download", loaded: 75, total: 100, message: "" });
  assert.equal(heard.length, 4);
  await assert.rejects(LanguageModel.create({ monitor: () => { throw new RangeError("mine"); } }), RangeError);
});

test("stopping at any share ends the telling and the making", async () => {
  for (const at of [0, 0.5, 1]) {
    const { opened, LanguageModel } = unloaded();
    const stop = new AbortController();
    const heard = [];
    const monitor = (m) => m.addEventListener("downloadprogress", ({ loaded }) => {
      heard.push(loaded);
      if (loaded === at) stop.abort("mine");
    });
    const creating = LanguageModel.create({ monitor, signal: stop.signal });
    const result = assert.rejects(creating, (error) => error === "mine");
    await turn();
    opened[0]?.onProgress({ stage: "download", loaded: 1, total: 2, message: "" });
    opened[0]?.onProgress({ stage: "download", loaded: 1.5, total: 2, message: "" });
    opened[0]?.sprat.loaded();
    await result;
    assert.equal(heard.at(-1), at);
    await turn();
    assert.notEqual(opened[0]?.sprat.state, "ready", "an engine that nobody uses is left");
  }
});

test("availability is what is there, and asking downloads nothing", async () => {
  const { opened, LanguageModel } = unloaded();
  assert.equal(await LanguageModel.availability(), "downloadable");
  assert.equal(opened.length, 0);
  const creating = LanguageModel.create();
  await turn();
  assert.equal(await LanguageModel.availability(), "downloading");
  opened[0].sprat.loaded();
  const session = await creating;
  assert.equal(await LanguageModel.availability(), "available");
  assert.equal(await unloaded({ stored: [{ urls: ["https://example.org/models/tiny"] }] }).LanguageModel.availability(), "available");
  const copy = await session.clone();
  session.destroy();
  assert.equal(opened[0].sprat.state, "ready");
  copy.destroy();
  assert.equal(opened[0].sprat.state, "disposed", "the last session has left, its model has not");
  assert.equal(await LanguageModel.availability(), "downloadable");
});

test("a load that fails is named, and can be tried again", async () => {
  const cases = { network: "NetworkError", model_corrupt: "OperationError", unsupported: "NotSupportedError" };
  const { opened, LanguageModel } = unloaded();
  for (const [code, name] of Object.entries(cases)) {
    const creating = LanguageModel.create();
    const result = rejects(creating, name);
    await turn();
    opened.at(-1).sprat.failed(new SpratError({ code, message: "no" }));
    await result;
    assert.equal(opened.at(-1).sprat.state, "disposed");
  }
  const creating = LanguageModel.create();
  await turn();
  opened.at(-1).sprat.loaded();
  assert.equal(await (await creating).prompt("Hi"), "Hi");
  assert.equal(opened.length, 4);
});

test("a given engine that failed is unavailable, and stays the caller's", async () => {
  const { sprat, LanguageModel } = setup();
  const session = await LanguageModel.create();
  session.destroy();
  assert.equal(sprat.state, "ready");
  sprat.state = "failed";
  assert.equal(await LanguageModel.availability(), "unavailable");
});
