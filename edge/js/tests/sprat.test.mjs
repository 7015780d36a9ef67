// The page's half of the protocol with the worker, against a worker that says what the test tells it to.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { engines as workers, links, loaded } from "./fake-workers.mjs";

// What is still loading at a test's end would keep Node waiting for other tabs. plan.test.mjs has a real one.
globalThis.BroadcastChannel = undefined;
const { Sprat, SpratError } = await import("../sprat.js");

const DEVICE = { kind: "cpu", words: "CPU" };
const MODEL = { name: "test", bytes: 7 };
const MESSAGES = [{ role: "user", content: "Hi" }];
/** Lets what is ready run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  workers.length = links.length = 0;
});


function open(options = {}) {
  const sprat = Sprat.open({ model: "models/tiny/", ...options });
  return { sprat, worker: workers.at(-1) };
}

async function ready(options) {
  const { sprat, worker } = open(options);
  loaded(worker, DEVICE, MODEL);
  await sprat.ready;
  return { sprat, worker };
}

/** Reads an answer to its end: its events, and the error if there was one. */
async function read(answer) {
  const events = [];
  try {
    for await (const event of answer) events.push(event);
    return { events };
  } catch (error) {
    return { events, error };
  }
}

test("loading passes absolute addresses on, and progress and warnings back", async () => {
  const told = [];
  const { sprat, worker } = open({
    cloud: "/v1",
    onProgress: (progress) => told.push(progress.stage),
    onWarning: (warning) => told.push(warning.code),
    onStatus: (status) => told.push(status.state),
  });
  const load = worker.asked("load");
  assert.equal(load.url, "https://example.org/page/models/tiny/");
  assert.deepEqual(load.lines.map(([url]) => url), [load.url]);
  assert.deepEqual(JSON.parse(load.settings), { cloud: { address: "https://example.org/v1", model: "sprat-small", here: false, price: {} } });
  assert.equal(links[0].asked("pack").url, load.url);
  assert.deepEqual(JSON.parse(links[0].asked("cloud").settings), { url: "https://example.org/v1", headers: {} });
  assert.deepEqual([sprat.state, sprat.device, sprat.model], ["loading", null, null]);
  worker.event(load, { type: "device", ...DEVICE });
  assert.deepEqual(sprat.device, DEVICE);
  worker.event(load, { type: "progress", stage: "download", loaded: 1, total: 7, message: "" });
  worker.event(load, { type: "warning", code: "storage_refused", message: "" });
  loaded(worker, DEVICE, MODEL);
  await sprat.ready;
  assert.deepEqual([sprat.state, sprat.model], ["ready", MODEL]);
  assert.deepEqual(told, ["loading", "loading", "download", "storage_refused", "ready", "ready"]);
});

test("an answer is its events in order", async () => {
  const { sprat, worker } = await ready();
  const answer = read(sprat.chat(MESSAGES, { mode: "device", private: true }));
  const chat = worker.asked("chat");
  assert.deepEqual(JSON.parse(chat.ask), { messages: MESSAGES, options: { mode: "device", private: true, level: "private" } });
  const events = [
    { type: "start", source: "device" },
    { type: "delta", source: "device", text: "Hel" },
    { type: "delta", source: "device", text: "lo" },
    { type: "end", text: "Hello", receipt: {} },
  ];
  for (const event of events) worker.event(chat, event);
  worker.says({ id: chat.id, value: undefined });
  assert.deepEqual(await answer, { events });
});

test("a question has a way to the cloud only if it may leave, and the engine never the keys", async () => {
  const { sprat, worker } = await ready({ cloud: "http://127.0.0.1:8787/v1", cloudHeaders: { authorization: "Bearer key" } });
  const [link] = links;
  assert.ok(!JSON.stringify(worker.heard).includes("key"));
  assert.equal(JSON.parse(worker.asked("load").settings).cloud.here, true);
  const lines = () => link.heard.filter(({ type }) => type === "question").length;
  void read(sprat.chat(MESSAGES));
  assert.ok(worker.asked("chat").port instanceof MessagePort);
  assert.equal(lines(), 1);
  void read(sprat.chat([{ role: "user", content: "what nobody may know" }], { private: true }));
  assert.equal(worker.asked("chat").port, null);
  // Known again, though the caller has forgotten to say it.
  void read(sprat.chat([{ role: "user", content: "what nobody may know" }]));
  assert.equal(worker.asked("chat").port, null);
  assert.equal(lines(), 1);
  sprat.dispose();
  assert.ok(link.ended);
});

test("whoever is to be asked is shown what would be sent, and only a clear yes opens a way", async () => {
  const { sprat, worker } = await ready({ cloud: "/v1" });
  const offer = { to: "https://example.org/v1", model: "sprat-small", reason: "It is not sure.", messages: MESSAGES, stop: [] };
  const shown = [];
  const answers = [true, false, "yes", () => Promise.reject(new Error("closed")), undefined, async () => true];
  for (const answer of answers) {
    const onAsk = (offer) => (shown.push(offer), typeof answer === "function" ? answer() : answer);
    void read(sprat.chat(MESSAGES, { level: "ask", onAsk: answer === undefined ? undefined : onAsk }));
    const chat = worker.asked("chat");
    assert.equal(chat.port, null, "nobody was asked yet");
    worker.event(chat, { type: "ask", ...offer });
    await turn();
    const consent = worker.asked("consent");
    assert.equal(consent.id, chat.id);
    const yes = answer === true || (typeof answer === "function" && answer === answers.at(-1));
    assert.equal(consent.port instanceof MessagePort, yes, String(answer));
    worker.says({ id: chat.id, value: undefined });
  }
  assert.deepEqual(shown, Array(5).fill(offer));
  sprat.dispose();
});

test("what was found in a conversation stays with its turns", async () => {
  const { sprat, worker } = await ready({ cloud: "/v1" });
  const found = [{ role: "user", content: "my card is 4111 1111 1111 1111" }];
  const first = read(sprat.chat(found));
  const chat = worker.asked("chat");
  worker.event(chat, { type: "level", level: "private", found: ["card"] });
  worker.says({ id: chat.id, value: undefined });
  assert.deepEqual((await first).events, [{ type: "level", level: "private", found: ["card"] }]);
  void read(sprat.chat([...found, { role: "assistant", content: "" }, { role: "user", content: "and?" }]));
  assert.equal(JSON.parse(worker.asked("chat").ask).options.level, "private");
  assert.equal(worker.asked("chat").port, null);
  sprat.dispose();
});

test("what a worker finds stays known when it crashes before anybody has read of it", async () => {
  const { sprat, worker } = await ready({ cloud: "/v1" });
  const found = { role: "user", content: "my card is 4111 1111 1111 1111" };
  const other = { role: "user", content: "and this came with it, word for word" };
  const call = sprat.chat([found, { role: "assistant", content: "ok" }, other]);
  void call.next().catch(() => {});
  await turn();
  worker.event(worker.asked("chat"), { type: "level", level: "private", found: ["card"] });
  worker.onerror({ message: "boom" });
  void read(sprat.chat([other]));
  await turn();
  assert.equal(JSON.parse(workers.at(-1).asked("chat").ask).options.level, "private");
  assert.equal(workers.at(-1).asked("chat").port, null);
  sprat.dispose();
});

test("device only, and a call that was stopped before it began, have no way out", async () => {
  const { sprat, worker } = await ready({ cloud: "/v1" });
  void read(sprat.chat(MESSAGES, { mode: "device" }));
  assert.equal(worker.asked("chat").port, null);
  sprat.dispose();
});

test("without a cloud there is no way out at all", async () => {
  const { sprat, worker } = await ready();
  void read(sprat.chat(MESSAGES));
  assert.equal(worker.asked("chat").port, null);
  assert.equal(links[0].asked("cloud"), undefined);
  sprat.dispose();
});

test("the link is the engine's equal: when it crashes, both are replaced", async () => {
  const { sprat, worker } = await ready();
  links[0].onerror({ message: "out of memory" });
  assert.ok(worker.ended && links[0].ended);
  assert.deepEqual([workers.length, links.length, sprat.state], [2, 2, "loading"]);
  sprat.dispose();
});

test("a recipe has a line to each of its packs", async () => {
  open({ model: { merge_method: "linear", models: [{ model: "a/" }, { model: "b/" }, { model: "a/" }] } });
  const at = (name) => `https://example.org/page/${name}/`;
  assert.deepEqual(workers[0].asked("load").lines.map(([url]) => url), [at("a"), at("b")]);
});

test("a failure comes typed, after the events before it, with the text so far", async () => {
  const { sprat, worker } = await ready();
  const answer = read(sprat.chat(MESSAGES));
  const chat = worker.asked("chat");
  worker.event(chat, { type: "start", source: "device" });
  worker.event(chat, { type: "delta", source: "device", text: "Per" });
  worker.says({ id: chat.id, error: { code: "private_unanswerable", message: "unsure", hint: "Rephrase it." } });
  const { events, error } = await answer;
  assert.equal(events.length, 2);
  assert.ok(error instanceof SpratError);
  assert.deepEqual([error.code, error.hint, error.partial], ["private_unanswerable", "Rephrase it.", "Per"]);
});

test("leaving the loop, and a signal, stop the answer in the worker", async () => {
  const { sprat, worker } = await ready();
  const leaving = (async () => {
    for await (const event of sprat.chat(MESSAGES)) if (event.type === "start") break;
  })();
  const left = worker.asked("chat");
  worker.event(left, { type: "start", source: "device" });
  await leaving;
  assert.deepEqual(worker.asked("abort"), { type: "abort", id: left.id });

  const stop = new AbortController();
  const answer = read(sprat.chat(MESSAGES, { signal: stop.signal }));
  const stopped = worker.asked("chat");
  stop.abort();
  assert.deepEqual(worker.asked("abort"), { type: "abort", id: stopped.id });
  worker.says({ id: stopped.id, error: { code: "aborted", message: "stopped", partial: "so far" } });
  const { error } = await answer;
  assert.deepEqual([error.code, error.partial], ["aborted", "so far"]);

  const late = await read(sprat.chat(MESSAGES, { signal: stop.signal }));
  assert.equal(late.error.code, "aborted");
  assert.equal(worker.asked("chat").id, stopped.id, "what was stopped before it began was asked");
});

test("a crashed worker fails what waits, and another takes its place", async () => {
  const warnings = [];
  const { sprat, worker } = await ready({ onWarning: (warning) => warnings.push(warning.code) });
  const answer = read(sprat.chat(MESSAGES));
  worker.says({ type: "panic", message: "panic at lib.rs:1" });
  const { error } = await answer;
  assert.deepEqual([error.code, error.message], ["worker_lost", "the engine's worker stopped: panic at lib.rs:1"]);
  assert.match(error.hint, /^Ask again/);
  assert.ok(worker.ended);
  const [, second] = workers;
  assert.deepEqual([sprat.state, warnings], ["loading", ["worker_lost"]]);
  loaded(second, DEVICE, MODEL);
  await sprat.ready;
  assert.equal(sprat.state, "ready");
});

test("an adapter and its scale come back after a crash; what is no scale is the caller's mistake", async () => {
  const { sprat, worker } = await ready();
  const swap = sprat.adapt("lora/", { scale: 0.5 });
  const { id, scale, lines } = worker.asked("adapt");
  assert.deepEqual([scale, lines.map(([url]) => url)], [0.5, ["https://example.org/page/lora/"]]);
  assert.deepEqual([sprat.adapter, sprat.adapterScale], [null, null]);
  worker.says({ id });
  await swap;
  for (const scale of [NaN, Infinity, -Infinity, 10.1, "1", null]) await assert.rejects(sprat.adapt("lora/", { scale }), { code: "bad_request" });
  assert.deepEqual([sprat.adapter, sprat.adapterScale], ["https://example.org/page/lora/", 0.5]);
  worker.says({ type: "panic", message: "" });
  const load = workers[1].asked("load");
  assert.deepEqual([load.adapter, load.scale, load.lines.length], [sprat.adapter, 0.5, 2]);
  loaded(workers[1], DEVICE, MODEL);
  await sprat.ready;
  const off = sprat.adapt(null);
  workers[1].says({ id: workers[1].asked("adapt").id });
  await off;
  assert.deepEqual([sprat.adapter, sprat.adapterScale], [null, null]);
});

test("a worker that crashed on a GPU is replaced by one on the CPU", async () => {
  const { worker } = open();
  const load = worker.asked("load");
  assert.equal(load.device, "auto");
  worker.says({ type: "gpu" });
  worker.says({ type: "panic", message: "" });
  assert.equal(workers[1].asked("load").device, "cpu");
  workers[1].says({ type: "panic", message: "" });
  assert.equal(workers[2].asked("load").device, "cpu");
});

test("threads are workers that end with the engine, and after a crash there are none", () => {
  Object.defineProperty(globalThis, "crossOriginIsolated", { value: true, configurable: true });
  const { worker, sprat } = open({ threads: 3 });
  Reflect.deleteProperty(globalThis, "crossOriginIsolated");
  assert.deepEqual(worker.asked("load").threads, { count: 3, from: 0 });
  worker.says({ type: "threads", count: 2 });
  const [, ...threads] = workers;
  assert.deepEqual([threads.length, worker.asked("threads").ports.length], [2, 2]);
  worker.says({ type: "panic", message: "a thread of the engine stopped" });
  assert.ok(threads.every(({ ended }) => ended));
  assert.equal(workers[3].asked("load").threads.count, 1);
  sprat.dispose();
  for (const port of [...worker.asked("threads").ports, ...threads.map((thread) => thread.asked("thread").port)]) port.close();
});

test("load waits for the engine that takes a crashed one's place, and rejects when there is none any more", async () => {
  const first = Sprat.load({ model: "models/tiny/" });
  workers[0].says({ type: "panic", message: "a thread of the engine stopped" });
  await turn();
  loaded(workers[1], DEVICE, MODEL);
  const sprat = await first;
  assert.equal(sprat.state, "ready");
  sprat.dispose();
  workers.length = 0;
  const never = assert.rejects(Sprat.load({ model: "models/tiny/" }), { code: "worker_lost" });
  for (let at = 0; at < workers.length && at < 20; at++) {
    workers[at].says({ type: "panic", message: "" });
    await turn();
  }
  await never;
});

test("a worker that always crashes is given up", async () => {
  const { sprat } = open();
  for (let at = 0; at < workers.length && at < 20; at++) workers[at].onerror?.({ message: "no such file" });
  assert.ok(workers.length < 20);
  await assert.rejects(sprat.ready, { code: "worker_lost" });
  assert.equal(sprat.state, "failed");
  const { error } = await read(sprat.chat(MESSAGES));
  assert.deepEqual([error.code, error.hint], ["worker_lost", "Reload the page."]);
});

test("load rejects without a cloud, and leaves the cloud where there is one", async () => {
  const failure = { code: "model_corrupt", message: "chunk 3" };
  const alone = Sprat.load({ model: "m/" });
  workers[0].says({ id: workers[0].asked("load").id, error: failure });
  await assert.rejects(alone, { code: "model_corrupt" });
  assert.ok(workers[0].ended);

  const warnings = [];
  const helped = Sprat.load({ model: "m/", cloud: "/v1", onWarning: (warning) => warnings.push(warning) });
  workers[1].says({ id: workers[1].asked("load").id, error: failure });
  const sprat = await helped;
  assert.deepEqual([sprat.state, sprat.model, warnings], ["failed", null, [failure]]);
  assert.ok(!workers[1].ended);
});

test("a change of device in the worker is told", async () => {
  const { sprat, worker } = await ready();
  worker.says({ type: "status", state: "loading", device: { kind: "cpu", words: "CPU" }, model: null });
  assert.deepEqual([sprat.state, sprat.model], ["loading", null]);
  worker.says({ type: "status", state: "ready", device: DEVICE, model: MODEL });
  assert.deepEqual([sprat.state, sprat.model], ["ready", MODEL]);
});

test("dispose ends everything, and later calls say so", async () => {
  const { sprat, worker } = await ready();
  const answer = read(sprat.chat(MESSAGES));
  sprat.dispose();
  assert.equal((await answer).error.code, "aborted");
  assert.ok(worker.ended);
  assert.equal((await read(sprat.chat(MESSAGES))).error.code, "aborted");
  const aborted = { name: "SpratError", code: "aborted" };
  await assert.rejects(sprat.count(MESSAGES), aborted);
  await assert.rejects(sprat.use("other/"), aborted);
  sprat.dispose();
  assert.equal(sprat.state, "disposed");
  assert.equal(workers.length, 1);
});

test("mistakes in a call are the caller's", async () => {
  assert.throws(() => Sprat.open({}), { code: "bad_request" });
  assert.throws(() => Sprat.open(), { code: "bad_request" });
  assert.throws(() => Sprat.open({ model: "http://[" }), { code: "bad_request" });
  assert.throws(() => Sprat.open({ model: "m/", cloud: "http://" }), { code: "bad_request" });
  assert.throws(() => Sprat.open({ model: "m/", cloudHeaders: { "not a name": "x" } }), { code: "bad_request" });
  assert.equal(workers.length, 0, "no worker is started for nothing");
  const { sprat } = await ready();
  const loop = [];
  loop.push(loop);
  assert.equal((await read(sprat.chat(loop))).error.code, "bad_request");
});

test("stored and forget use a worker of their own and end it", async () => {
  const listed = Sprat.stored();
  workers[0].says({ id: workers[0].asked("stored").id, value: [{ name: "test", bytes: 7, urls: [] }] });
  assert.equal((await listed)[0].name, "test");
  await turn();
  assert.ok(workers[0].ended);
  const gone = Sprat.forget("models/tiny/");
  assert.equal(workers[1].asked("forget").url, "https://example.org/page/models/tiny/");
  workers[1].says({ id: workers[1].asked("forget").id, value: true });
  assert.equal(await gone, true);
});

const asked = (worker) => JSON.parse(worker.asked("chat").ask).options.level === "private";

test("what was private stays private when the worker that knew it is gone", async () => {
  const { sprat, worker } = await ready();
  const secret = [{ role: "user", content: "my diary, page one" }];
  const first = read(sprat.chat(secret, { private: true }));
  await turn();
  worker.event(worker.asked("chat"), { type: "delta", source: "device", text: "dear diary, how are you" });
  await turn();
  worker.onerror({ message: "boom" });
  await first;

  const ask = async (messages, options) => {
    const call = sprat.chat(messages, options);
    void call.next().catch(() => {});
    await turn();
    return asked(workers.at(-1));
  };
  const more = { role: "user", content: "and now?" };
  assert.equal(await ask([{ role: "user", content: "good morning to you all" }]), false);
  assert.equal(await ask([...secret, { role: "assistant", content: "I see" }, more]), true, "the thread goes on");
  assert.equal(await ask([{ role: "user", content: " dear diary, how are you " }]), true, "its answer, quoted");
  assert.equal(await ask([more], { private: true }), true);
  assert.equal(await ask([{ role: "system", content: "my diary, page one" }, { role: "user", content: "hi" }]), false);
  // What is no conversation is the worker's to refuse.
  for (const messages of [null, "hi", [null], [{ role: "user", content: 7 }]]) assert.equal(await ask(messages), false);
  sprat.dispose();
});

test("an engine after which there can be no other says what to do, then and later", async () => {
  const warnings = [];
  const { sprat, worker } = await ready({ onWarning: (warning) => warnings.push(warning.code) });
  const answer = read(sprat.chat(MESSAGES));
  worker.says({ type: "panic", message: "panic at lib.rs:1", hint: "Wait." });
  assert.deepEqual([(await answer).error.hint, sprat.state, workers.length, warnings], ["Wait.", "failed", 1, []]);
  const { error } = await read(sprat.chat(MESSAGES));
  assert.deepEqual([error.code, error.hint], ["worker_lost", "Wait."]);
});
