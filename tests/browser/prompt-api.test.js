// The Prompt API over a real model, held against the behaviours that web-platform-tests' ai/language-model asks of browsers:
// names, order of checks, types of errors. Each test is named after the group there; docs/package.md lists what differs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bench, COMPLETIONS } from "./lib/bench.js";
import { PATIENCE } from "./lib/browser.js";

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;
/** @type {import("playwright-core").CDPSession} */
let devtools;

/** In the page: the class, one session that keeps the model loaded, and how to say what became of a promise. */
async function prepare() {
  const { defineLanguageModel } = await import("/sprat/prompt-api.js");
  globalThis.LanguageModel = defineLanguageModel({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu" });
  globalThis.keeper = await LanguageModel.create();
  /** The name of what it was rejected with: a DOMException's, or the class of an error. */
  globalThis.failure = (promise) =>
    Promise.resolve(promise).then(
      () => "resolved",
      (error) => (error instanceof DOMException ? error.name : error.constructor.name),
    );
  globalThis.thrown = async (call) => failure(new Promise((resolve) => resolve(call())));
  globalThis.SENTENCE = "Please write a sentence in English. ";
}

before(async () => {
  bench = await Bench.start({ webgpu: false });
  page = await (await bench.browser.newContext()).newPage();
  page.setDefaultTimeout(PATIENCE);
  devtools = await page.context().newCDPSession(page);
  // A file that is no page is shown as one, with the server's rules for pages.
  await page.goto(`${bench.server.origin}/sprat/sse.js`);
  await page.evaluate(prepare);
});
after(async () => {
  await bench?.stop();
});

test("interface: methods, attributes and names are the API's", async () => {
  const seen = await page.evaluate(async () => {
    const session = await LanguageModel.create();
    const types = (names) => names.map((name) => typeof session[name]);
    return {
      methods: types(["prompt", "promptStreaming", "append", "measureContextUsage", "clone", "destroy", "addEventListener"]),
      statics: [typeof LanguageModel.create, typeof LanguageModel.availability, LanguageModel.name],
      attributes: types(["contextUsage", "contextWindow", "oncontextoverflow", "topK", "temperature"]),
      is: [session instanceof LanguageModel, session instanceof EventTarget, Object.prototype.toString.call(session)],
      constructed: await thrown(() => new LanguageModel()),
      strange: await failure(LanguageModel.prototype.prompt.call({}, "Hi")),
    };
  });
  assert.deepEqual([...new Set(seen.methods)], ["function"]);
  assert.deepEqual(seen.statics, ["function", "function", "LanguageModel"]);
  assert.deepEqual(seen.attributes, ["number", "number", "object", "undefined", "undefined"]);
  assert.deepEqual(seen.is, [true, true, "[object LanguageModel]"]);
  assert.deepEqual([seen.constructed, seen.strange], ["TypeError", "TypeError"]);
});

test("availability: a valid word for whatever is plausible, an error for what is malformed", async () => {
  const seen = await page.evaluate(async () => {
    const plausible = [];
    for (const topK of [undefined, -2, 0, 1, 1.5, 99]) {
      for (const temperature of [undefined, -0.5, 0, 7]) {
        for (const languages of [["en"], ["en", "ja", "ko"], ["unk"]]) {
          for (const type of ["text", "audio", "image"]) {
            const expected = [{ type, languages }];
            plausible.push(await LanguageModel.availability({ topK, temperature, expectedInputs: expected, expectedOutputs: expected }));
          }
        }
      }
    }
    const text = (languages) => ({ expectedInputs: [{ type: "text", languages }] });
    return {
      plausible: [...new Set(plausible)].sort(),
      simple: await LanguageModel.availability(),
      canonical: await LanguageModel.availability(text(["EN"])),
      tag: [await failure(LanguageModel.availability(text(["en-abc-invalid"]))), await failure(LanguageModel.create(text(["en-abc-invalid"])))],
      type: await failure(LanguageModel.availability({ expectedInputs: [{ type: "soup" }] })),
      create: await failure(LanguageModel.create({ expectedOutputs: [{ type: "image" }] })),
    };
  });
  assert.deepEqual(seen.plausible, ["available", "unavailable"]);
  assert.deepEqual([seen.simple, seen.canonical], ["available", "available"]);
  assert.deepEqual([...seen.tag, seen.type, seen.create], ["RangeError", "RangeError", "TypeError", "NotSupportedError"]);
});

test("create: first prompts, sampling modes, monitor, quota", async () => {
  const seen = await page.evaluate(async () => {
    const [system, user] = [{ role: "system", content: "you are a robot" }, { role: "user", content: "hello" }];
    const made = (initialPrompts) => failure(LanguageModel.create({ initialPrompts }));
    const modes = ["most-predictable", "predictable", "slightly-predictable", "balanced", "slightly-creative", "creative", "most-creative"];
    const kept = [];
    for (const samplingMode of modes) kept.push((await (await LanguageModel.create({ samplingMode })).clone()).samplingMode);
    const events = [];
    let created = false;
    const monitor = (target) => target.addEventListener("downloadprogress", (event) => events.push([event.loaded, event.total, event.lengthComputable, created]));
    await LanguageModel.create({ monitor });
    created = true;
    const mine = new Error("mine");
    const throws = await LanguageModel.create({ monitor: () => { throw mine; } }).catch((error) => error === mine);
    const long = SENTENCE.repeat(keeper.contextWindow);
    const usage = await keeper.measureContextUsage(long);
    const quota = await LanguageModel.create({ initialPrompts: [{ role: "system", content: long }] }).catch(({ name, requested, quota }) => ({ name, requested, quota }));
    return { prompts: [await made([system, user]), await made([]), await made([user]), await made([user, system]), await made([system, system])],
      modes, kept, events, throws, quota, usage, window: keeper.contextWindow };
  });
  assert.deepEqual(seen.prompts, ["resolved", "resolved", "resolved", "TypeError", "TypeError"]);
  assert.deepEqual(seen.kept, seen.modes);
  assert.deepEqual(seen.events, [[0, 1, true, false], [1, 1, true, false]]);
  assert.equal(seen.throws, true);
  assert.deepEqual([seen.quota.name, seen.quota.quota], ["QuotaExceededError", seen.window]);
  assert.ok(Math.abs(seen.quota.requested - seen.usage) <= 5, `${seen.quota.requested} and ${seen.usage}`);
});

test("tools: what is no tool is a TypeError, a tool is more than this model can do", async () => {
  const seen = await page.evaluate(async () => {
    const tool = { name: "lookup", description: "Looks up", inputSchema: { type: "object", properties: {} } };
    const circle = { type: "object" };
    circle.self = circle;
    const all = [[{ ...tool, inputSchema: null }], [{ ...tool, inputSchema: {} }], [{ ...tool, inputSchema: circle }], [{ ...tool, name: "" }], [tool, tool], [tool], []];
    const names = [];
    for (const tools of all) names.push(await failure(LanguageModel.create({ tools, ...(tools.length > 0 && { expectedOutputs: [{ type: "tool-call" }] }) })));
    return [...names, await failure(LanguageModel.create({ tools: [tool] }))];
  });
  assert.deepEqual(seen, [...Array(5).fill("TypeError"), "NotSupportedError", "resolved", "TypeError"]);
});

test("abort: before, at once and with a reason, of every method; the session stays usable", async () => {
  const seen = await page.evaluate(async () => {
    const session = await LanguageModel.create();
    const whole = async (stream) => { for await (const _ of stream); };
    const calls = {
      create: (signal) => LanguageModel.create({ signal }),
      clone: (signal) => session.clone({ signal }),
      append: (signal) => session.append(SENTENCE, { signal }),
      prompt: (signal) => session.prompt(SENTENCE, { signal }),
      promptStreaming: async (signal) => session.promptStreaming(SENTENCE, { signal }).pipeTo(new WritableStream()),
      reader: async (signal) => whole(session.promptStreaming(SENTENCE, { signal })),
    };
    const mine = new DOMException("test", "VersionError");
    const names = {};
    for (const [name, call] of Object.entries(calls)) {
      for (const reason of [undefined, mine]) {
        const controller = new AbortController();
        const promise = call(controller.signal);
        controller.abort(reason);
        (names[name] ??= []).push(await failure(promise), await failure(call(controller.signal)));
      }
    }
    const progress = [];
    for (const at of [0, 1]) {
      const controller = new AbortController();
      let events = 0;
      const monitor = (target) => target.addEventListener("downloadprogress", ({ loaded }) => {
        if (loaded === at) controller.abort(mine);
        if (controller.signal.aborted) events += 1;
      });
      progress.push(await failure(LanguageModel.create({ monitor, signal: controller.signal })), events);
    }
    return { names, progress, usage: session.contextUsage, then: typeof (await session.prompt("Hello!")) };
  });
  for (const [name, errors] of Object.entries(seen.names)) assert.deepEqual(errors, ["AbortError", "AbortError", "VersionError", "VersionError"], name);
  assert.deepEqual(seen.progress, ["VersionError", 1, "VersionError", 1]);
  assert.deepEqual([seen.usage, seen.then], [0, "string"]);
});

test("destroy: what goes on and what comes after is an InvalidStateError, attributes stay", async () => {
  const seen = await page.evaluate(async () => {
    const session = await LanguageModel.create();
    const going = failure(session.prompt(SENTENCE));
    session.destroy();
    const after = [session.prompt("Hi"), session.append("Hi"), session.clone(), session.measureContextUsage("Hi")];
    return [await going, ...(await Promise.all(after.map(failure))), await thrown(() => session.promptStreaming("Hi")), typeof session.contextWindow, typeof session.contextUsage];
  });
  assert.deepEqual(seen, [...Array(6).fill("InvalidStateError"), "number", "number"]);
});

test("prompt: what is no prompt is read as a text, an empty one is for append only, a late system prompt is a TypeError", async () => {
  const seen = await page.evaluate(async () => {
    const user = (content) => [{ role: "user", content }];
    const said = [];
    for (const input of [null, undefined, {}]) said.push(typeof (await (await LanguageModel.create()).prompt(input)));
    const empty = [];
    for (const input of ["", [], user([]), user([{ type: "text", value: "" }])]) {
      const session = await LanguageModel.create();
      empty.push(await session.append(input), session.promptStreaming(input) instanceof ReadableStream, await failure(session.prompt(input)));
      session.destroy();
    }
    const system = (content) => ({ role: "system", content });
    const session = await LanguageModel.create();
    const late = [await failure(session.prompt([...user("foo"), system("bar")])), await failure(session.prompt([system("a"), system("b")])),
      await failure(session.append([...user("foo"), system("bar")]))];
    // An object that is no list is a text.
    const text = session.append(system("foo"));
    late.push(await failure(session.append([system("bar")])), await failure(text));
    const begun = await LanguageModel.create({ initialPrompts: user("first") });
    late.push(await failure(begun.prompt([system("late")])));
    return { said, empty: [...new Set(empty)], late };
  });
  assert.deepEqual(seen.said, ["string", "string", "string"]);
  // Browsers answer these; the engine takes no empty question.
  assert.deepEqual(seen.empty, [undefined, true, "NotSupportedError"]);
  assert.deepEqual(seen.late, ["TypeError", "TypeError", "TypeError", "TypeError", "resolved", "TypeError"]);
});

test("context: usage grows by what was measured, a clone has it, what never fits is refused, what is old makes room", async () => {
  const seen = await page.evaluate(async () => {
    const initialPrompts = [{ role: "system", content: "The word of the day is banana." }];
    const begun = await LanguageModel.create({ initialPrompts });
    const initial = [begun.contextUsage, await begun.measureContextUsage(initialPrompts)];
    const session = await LanguageModel.create();
    const measured = await session.measureContextUsage(SENTENCE);
    await session.append(SENTENCE);
    const usage = session.contextUsage;
    const copy = await session.clone();
    await copy.prompt("Hello!");
    const clone = [copy.contextWindow === session.contextWindow, copy.contextUsage > session.contextUsage, session.contextUsage === usage];
    const long = SENTENCE.repeat(session.contextWindow);
    const requested = await session.measureContextUsage(long);
    const refused = [];
    for (const call of [() => session.append(long), () => session.prompt(long)]) refused.push(await call().catch((error) => [error.name, error.requested - requested, error.quota === session.contextWindow]));
    let overflows = 0;
    session.oncontextoverflow = () => (overflows += 1);
    let half = SENTENCE;
    while ((await session.measureContextUsage(half)) < session.contextWindow * 0.6) half += half;
    await session.append(half);
    const answered = typeof (await session.prompt(half).catch((error) => error));
    return { initial, measured, usage, clone, refused, overflows, answered, within: session.contextUsage <= session.contextWindow };
  });
  assert.equal(seen.initial[0], seen.initial[1]);
  assert.ok(seen.measured > 0);
  assert.equal(seen.usage, seen.measured);
  assert.deepEqual(seen.clone, [true, true, true]);
  for (const [name, more, quota] of seen.refused) assert.deepEqual([name, more >= 0 && more <= 50, quota], ["QuotaExceededError", true, true]);
  assert.deepEqual([seen.answered, seen.overflows, seen.within], ["string", 1, true]);
});

test("streaming and concurrency: prompts of one session all resolve, in their order, also after a collection of garbage", async () => {
  const answers = page.evaluate(async () => {
    const session = await LanguageModel.create();
    const read = async (stream) => (await Array.fromAsync(stream)).join("");
    const all = Promise.all([session.prompt("Hello!"), read(session.promptStreaming("Hello!")), read(session.promptStreaming("What is 17 * 23?"))]);
    return all;
  });
  await devtools.send("HeapProfiler.collectGarbage");
  const [first, second, third] = await answers;
  assert.ok(first.length > 0 && second.length > 0);
  assert.match(third, /391/);
});

test("constraints and prefixes are refused by name, not ignored", async () => {
  const seen = await page.evaluate(async () => {
    const circle = {};
    circle.self = circle;
    const asked = [{ type: "object" }, circle, { type: "soup" }, /hello/].map((responseConstraint) => failure(keeper.prompt("Hi", { responseConstraint })));
    const prefix = [{ role: "user", content: "Hi" }, { role: "assistant", content: "{", prefix: true }];
    const wrong = [{ role: "user", content: "Hi", prefix: true }];
    return [...(await Promise.all(asked)), await failure(keeper.prompt(prefix)), await failure(keeper.prompt(wrong))];
  });
  assert.deepEqual(seen, [...Array(5).fill("NotSupportedError"), "SyntaxError"]);
});

test("nothing of all this was asked of a cloud", () => {
  assert.deepEqual(bench.recorder.requests.filter(({ path }) => COMPLETIONS.test(path)), []);
});
