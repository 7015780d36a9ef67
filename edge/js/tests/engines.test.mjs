// Finding, proving, gaining and losing a device, with modules that compute nothing.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Engines } from "../engines.js";
import { receipt } from "./fake-sprat.mjs";

const turns = async () => {
  for (let turn = 0; turn < 30; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

// Node has one of its own, or none.
Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });

/** A browser's GPU, for this test. */
function adapter(info) {
  const gpu = { requestAdapter: async () => info && { info, limits: { maxBufferSize: 1e9 } } };
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
}
afterEach(() => Reflect.deleteProperty(navigator, "gpu"));

const CARD = { description: "A card" };
const ABOUT = { name: "tiny", bytes: 3e6 };
const KEY = "WebGPU: A card, tiny, 3000000 bytes";
/** Milliseconds to the first token and to the last of 16, of a device. */
const QUICK = [10, 85];
const SLOW = [100.5, 1600];

/** Engines, what happened in them, and what they told the page. `speeds` by kind. */
function setUp({ speeds = {}, fail = {}, files = [{ size: ABOUT.bytes }], without = null } = {}) {
  const world = { log: [], told: [], offers: [], runtimes: [], lose: {} };
  const line = pack(...files.map(({ size }) => size));
  class Runtime {
    constructor() {
      world.runtimes.push(this);
    }
    async open(kind, words) {
      this.kind = kind;
      this.words = words || "CPU";
      if (fail.open === kind) throw { code: "webgpu_unavailable", message: "no device" };
    }
    note(what) {
      world.log.push(`${this.kind} ${what}`);
    }
    async fetch() {
      this.note("fetch");
      return ABOUT.bytes;
    }
    async load() {
      this.note("load");
      return JSON.stringify({ name: "tiny" });
    }
    async adapter(url, scale) {
      if (url === fail.adapter) throw { code: "wrong_base", message: "" };
      this.fetched = scale === 1 ? url : `${url} x ${scale}`;
    }
    async adapt() {
      this.note(`under ${this.fetched ?? "nothing"}`);
      this.fetched = null;
    }
    offer() {
      const isTold = world.told.some(({ type, state, device }) => type === "status" && state === "ready" && device.kind === this.kind);
      world.offers.push([this.kind, world.log.at(-1), isTold]);
    }
    lost() {
      return new Promise((resolve) => (world.lose[this.kind] = resolve));
    }
    async chat(ask, line, person, signal, emit) {
      this.note("measured");
      const [first, all] = speeds[this.kind] ?? QUICK;
      if (world.during) await world.during(this.kind);
      if (signal.aborted) throw { code: "aborted", message: "" };
      emit(JSON.stringify({ type: "end", receipt: receipt({ prompt_tokens: 64, completion_tokens: 16, first_token_ms: first, device_ms: all }) }));
    }
    retire() {
      this.note("retired");
    }
    fail(code) {
      this.note(`failed ${code}`);
    }
    pause(paused) {
      if (paused) this.note("paused");
    }
  }
  /** Threads that come at once. */
  const crew = {
    threads: 1,
    isSealed: true,
    dismiss: async () => {},
    async gather(_, { count }, bytes) {
      if (count > 1) world.log.push(`${count} threads for ${bytes}`);
      crew.threads = count;
    },
  };
  const means = { crew, modules: { has: (name) => name !== without, start: async () => ({ Runtime }) }, sealed: Promise.resolve(true), tell: (message) => world.told.push(message) };
  const engines = new Engines(means);
  const how = { device: "auto", threads: { count: 1, from: 0 }, settings: "{}", limits: { maxBytes: null, why: "" }, canary: true, figures: {} };
  const { signal } = new AbortController();
  world.load = (changes = {}, url = "https://example.org/tiny/") =>
    engines.load({ ...how, ...changes }, { url, recipe: null, lines: new Map(url ? [[url, line]] : []), weights: null, adapter: null, scale: 1 }, signal, () => {});
  world.adapt = (adapter, scale = 1, line = pack(1e5)) => engines.adapt({ adapter, scale, lines: new Map(adapter ? [[adapter, line]] : []) }, signal, () => {});
  world.kind = () => engines.ask(async ({ kind }) => kind);
  return Object.assign(world, { engines });
}

/** A line to a pack whose files have these sizes. */
function pack(...sizes) {
  const manifest = new TextEncoder().encode(JSON.stringify({ name: "tiny", files: sizes.map((size) => ({ size })) }));
  const open = () => ({ status: 200, head: async () => {}, next: once(manifest), end() {} });
  return { open, keep() {}, close() {} };
}

/** Gives a value once, then the end. */
function once(value) {
  return async () => ([value] = [undefined, value])[1];
}

const figures = (world) => world.told.filter(({ type }) => type === "figures");

test("both devices are timed at the first load, and the faster one goes on", async () => {
  for (const [speeds, kind] of [[{ cpu: SLOW, webgpu: QUICK }, "webgpu"], [{ cpu: QUICK, webgpu: SLOW }, "cpu"]]) {
    adapter(CARD);
    const world = setUp({ speeds });
    assert.equal((await world.load()).device.kind, "cpu", "the CPU answers at once");
    await turns();
    assert.equal(await world.kind(), kind);
    const [{ key, figures: told }] = figures(world);
    assert.equal(key, KEY);
    assert.deepEqual([told.adapter, told.model], ["WebGPU: A card", "tiny"]);
    const faster = kind === "webgpu" ? told.webgpu : told.cpu;
    assert.ok(faster.decode > 100 && Math.min(told.cpu.decode, told.webgpu.decode) < 100);
    assert.ok(world.log.includes(kind === "webgpu" ? "cpu retired" : "webgpu retired"), "the other one gives its memory back");
  }
});

test("what was measured before decides: no module for a slower GPU, no second measurement", async () => {
  const [quick, slow] = [{ prefill: 1000, decode: 100 }, { prefill: 100, decode: 10 }];
  for (const [cpu, webgpu, kinds] of [[quick, slow, ["cpu"]], [slow, quick, ["cpu", "webgpu"]]]) {
    adapter(CARD);
    const world = setUp();
    const known = { adapter: "WebGPU: A card", model: "tiny", cpu, webgpu };
    await world.load({ figures: { [KEY]: known } });
    await turns();
    assert.deepEqual(world.runtimes.map(({ kind }) => kind), kinds);
    assert.deepEqual(figures(world), [{ type: "figures", key: null, figures: known }]);
    assert.ok(!world.log.some((entry) => entry.endsWith("measured")));
  }
});

test("without proof today's rule holds: a clock that stands still, a question or a hidden page meanwhile, no canary", async () => {
  const asking = setUp({ speeds: { cpu: QUICK, webgpu: SLOW } });
  asking.during = () => (delete asking.during, asking.kind());
  const hidden = setUp({ speeds: { cpu: QUICK, webgpu: SLOW } });
  hidden.during = () => (delete hidden.during, hidden.engines.pause(true), hidden.engines.pause(false));
  const cases = [[setUp({ speeds: { cpu: [0, 0], webgpu: SLOW } }), {}], [asking, {}], [hidden, {}], [setUp({ speeds: { webgpu: SLOW } }), { canary: false }]];
  for (const [world, how] of cases) {
    adapter(CARD);
    await world.load(how);
    await turns();
    assert.equal(await world.kind(), "webgpu");
    assert.deepEqual(figures(world), []);
  }
  for (const info of [null, { description: "SwiftShader" }]) {
    adapter(info);
    const world = setUp();
    await world.load();
    await turns();
    assert.deepEqual(world.runtimes.map(({ kind }) => kind), ["cpu"]);
  }
});

test("a model that is too large is refused before anything of it is fetched", async () => {
  const world = setUp();
  await assert.rejects(world.load({ limits: { maxBytes: 2e6, why: "" } }), { code: "too_large" });
  assert.deepEqual(world.log, ["cpu failed too_large"]);
});

test("where only the cloud is to answer no model is looked for", async () => {
  const world = setUp();
  assert.deepEqual(await world.load({}, ""), { device: { kind: "cpu", words: "CPU", threads: 1, sealed: true }, model: null });
  assert.deepEqual(world.log, ["cpu failed model_missing"]);
});

test("every risk is told before it is taken, and when it is over", async () => {
  adapter(CARD);
  const world = setUp({ fail: { open: "webgpu" } });
  await world.load();
  await turns();
  const risks = world.told.filter(({ type }) => type === "risk");
  const begun = risks.filter(({ step }) => step !== null);
  assert.deepEqual(begun.map(({ step, bytes }) => [step, bytes]), [["gpu", 0], ["memory", ABOUT.bytes]]);
  assert.deepEqual(risks.filter(({ step }) => step === null).map(({ number }) => number).sort(), begun.map(({ number }) => number).sort());
});

test("a pause holds for the engines that there are and for those that come", async () => {
  adapter(CARD);
  const world = setUp();
  world.engines.pause(true);
  await world.load();
  await turns();
  assert.deepEqual(world.log.filter((entry) => entry.endsWith("paused")).sort(), ["cpu paused", "webgpu paused"]);
  assert.ok(!world.log.some((entry) => entry.endsWith("measured")), "a clock that goes on while nothing is computed");
  assert.equal(await world.kind(), "webgpu", "loading goes on");
});

test("a CPU gets its threads before its model, and a GPU none", async () => {
  const world = setUp();
  const { device } = await world.load({ threads: { count: 2, from: 0 }, device: "cpu" });
  assert.deepEqual(world.log.slice(0, 3), ["cpu fetch", "2 threads for 3000000", "cpu load"]);
  assert.equal(device.threads, 2);
  adapter(CARD);
  const other = setUp();
  const loaded = await other.load({ threads: { count: 2, from: 0 }, device: "webgpu" });
  assert.deepEqual([loaded.device.threads, other.log.includes("2 threads for 3000000")], [1, false]);
});

test("a GPU that is lost is replaced by a CPU with the same model", async () => {
  adapter(CARD);
  const world = setUp();
  await world.load({ device: "webgpu" });
  world.lose.webgpu("driver");
  await turns();
  assert.equal(await world.kind(), "cpu");
  assert.deepEqual(world.log, ["webgpu fetch", "webgpu load", "webgpu retired", "cpu fetch", "cpu load"]);
  assert.deepEqual(world.told.filter(({ type }) => type === "status").map(({ state, device }) => `${device.kind} ${state}`), ["webgpu ready", "cpu loading", "cpu ready"]);
});

test("an adapter goes along to the device that takes over, and to the CPU after a lost GPU", async () => {
  adapter(CARD);
  const world = setUp({ speeds: { cpu: SLOW, webgpu: QUICK } });
  await world.load();
  await world.adapt("one");
  await turns();
  assert.equal(await world.kind(), "webgpu");
  assert.equal(world.log.filter((entry) => /under|retired/.test(entry)).at(-1), "cpu retired");
  const last = (kind) => world.log.findLast((entry) => entry.startsWith(`${kind} under`));
  assert.deepEqual([last("cpu"), last("webgpu")], ["cpu under one", "webgpu under one"]);
  await world.adapt("two");
  world.lose.webgpu("driver");
  await turns();
  assert.equal(await world.kind(), "cpu");
  assert.deepEqual([last("webgpu"), last("cpu")], ["webgpu under two", "cpu under two"]);
  // It answers when the adapter is over it, and when the page knows that it is ready.
  assert.deepEqual(world.offers.at(-1), ["cpu", "cpu under two", true]);
  await world.adapt(null);
  assert.equal(last("cpu"), "cpu under nothing");
});

test("an adapter's scale goes along too, and another one is another adapter whose size is known", async () => {
  adapter(CARD);
  const world = setUp({ speeds: { cpu: SLOW, webgpu: QUICK } });
  await world.load();
  await world.adapt("one", 0.5);
  await turns();
  const under = () => world.log.filter((entry) => /under/.test(entry)).at(-1);
  assert.equal(under(), "webgpu under one x 0.5");
  await world.adapt("one", 0.5);
  const before = world.log.length;
  const unread = { open: () => assert.fail("asked again"), close: () => (unread.closed = true) };
  await world.adapt("one", 2, unread);
  assert.deepEqual(world.log.slice(before), ["webgpu under one x 2"]);
  assert.ok(unread.closed);
  world.lose.webgpu("driver");
  await turns();
  assert.equal(under(), "cpu under one x 2");
});

test("the limit of a model's size counts its adapter, of which only the manifest is asked for", async () => {
  const world = setUp();
  await world.load({ device: "cpu", limits: { maxBytes: 3.5e6, why: "" } });
  await world.adapt("small", 1, pack(1e5, 4e5));
  const large = Object.assign(pack(1e5, 5e5), { close: () => (large.closed = true) });
  await assert.rejects(world.adapt("large", 1, large), (error) => error.code === "too_large" && /adapter has 3\.6 MB, and at most 3\.5/.test(error.message));
  assert.ok(large.closed);
  assert.equal(world.log.at(-1), "cpu under small");
  // Not on top of the one before, and by what the server has now.
  await world.adapt("large", 1, pack(5e5));
  assert.equal(world.log.at(-1), "cpu under large");
});

test("a large adapter needs memory for itself alone: the model has its own already", async () => {
  const world = setUp();
  await world.load({ device: "cpu" });
  const { Memory } = WebAssembly;
  const asked = [];
  WebAssembly.Memory = class {
    constructor({ initial }) {
      asked.push(initial * 65_536);
      throw new RangeError("no room");
    }
  };
  try {
    await assert.rejects(world.adapt("large", 1, pack(300e6)), { code: "too_large" });
    await world.adapt(null);
  } finally {
    WebAssembly.Memory = Memory;
  }
  assert.equal(asked.length, 1);
  assert.ok(asked[0] >= 375e6 && asked[0] < 376e6, String(asked));
});

test("a model that comes back with its adapter is weighed with it", async () => {
  const world = setUp();
  const wanted = { url: "tiny", recipe: null, lines: new Map([["tiny", pack(3e6)], ["one", pack(1e6)]]), weights: null, adapter: "one", scale: 1 };
  const how = { device: "cpu", settings: "{}", limits: { maxBytes: 3.5e6, why: "" }, canary: true, figures: {} };
  await assert.rejects(world.engines.load(how, wanted, new AbortController().signal, () => {}), { code: "too_large" });
  assert.deepEqual(world.log, ["cpu failed too_large"]);
});

test("an adapter that cannot be had leaves the one before, and another model has none", async () => {
  const world = setUp({ fail: { adapter: "bad" } });
  await world.load({ device: "cpu" });
  await world.adapt("one");
  await assert.rejects(world.adapt("bad"), { code: "wrong_base" });
  await world.adapt("one");
  assert.deepEqual(world.log.filter((entry) => /under/.test(entry)), ["cpu under one"]);
  const line = { open: () => ({ head: async () => {}, next: async () => {}, end() {} }), close() {} };
  const next = { url: "other", recipe: null, lines: new Map([["other", line]]), weights: null, adapter: null, scale: 1 };
  await world.engines.use(next, new AbortController().signal, () => {});
  await world.adapt("one");
  assert.deepEqual(world.log.slice(-3), ["cpu fetch", "cpu load", "cpu under one"]);
});

test("closed engines give back what they hold, and are asked nothing", async () => {
  adapter(CARD);
  const world = setUp({ speeds: { cpu: SLOW, webgpu: QUICK } });
  await world.load();
  // The GPU's engine is on its way.
  world.engines.close();
  await turns();
  await assert.rejects(world.kind(), { code: "aborted" });
  await assert.rejects(world.load(), { code: "aborted" });
  assert.ok(world.log.includes("cpu retired"));
  const gpu = world.log.filter((entry) => entry.startsWith("webgpu"));
  assert.ok(!gpu.includes("webgpu load") || gpu.includes("webgpu retired"), String(gpu));
  assert.ok(!world.told.some(({ device }) => device?.kind === "webgpu"));
});

test("where there is no module for a GPU, none is looked for", async () => {
  adapter(CARD);
  const world = setUp({ without: "webgpu" });
  assert.equal((await world.load()).device.kind, "cpu");
  await turns();
  assert.deepEqual(world.runtimes.map(({ kind }) => kind), ["cpu"]);
  await assert.rejects(setUp({ without: "webgpu" }).load({ device: "webgpu" }), { code: "webgpu_unavailable" });
});
