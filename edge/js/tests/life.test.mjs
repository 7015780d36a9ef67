// The engine's life, as the page knows it: modes, pauses, strikes and figures in what is said to the worker.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { engines, loaded, ready } from "./fake-workers.mjs";
import { Ledger } from "../ledger.js";
import { Life } from "../life.js";
import { Sprat } from "../sprat.js";
import { Strikes } from "../strikes.js";
import { watchVisibility } from "../visibility.js";

/** The site's storage, as the engines of this page find it. */
const kept = new Map();
Object.defineProperty(globalThis, "localStorage", {
  value: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) },
  configurable: true,
});

const MESSAGES = [{ role: "user", content: "Hi" }];

/** A page that can be hidden, shown and left. */
class FakePage extends EventTarget {
  visibilityState = "visible";
  set(state) {
    this.visibilityState = state;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}
afterEach(() => Reflect.deleteProperty(globalThis, "document"));

/** A world with a storage and a page; `life` opens an engine's. */
function world() {
  const values = new Map();
  const storage = { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value) };
  const page = new FakePage();
  const watch = (told, left) => watchVisibility(told, left, { document: page, window: page });
  const visit = () => {
    const ledger = new Ledger(storage);
    return { ledger, strikes: new Strikes(ledger, { now: () => 1e12, tab: storage }), watch, now: () => 1e12 };
  };
  const paused = [];
  const warnings = [];
  const life = (options = {}, given = visit()) => new Life({ onWarning: (warning) => warnings.push(warning.code), ...options }, (on) => paused.push(on), given);
  return { page, paused, warnings, life, storage };
}

test("the engine pauses while nobody sees the page, unless it shall not", () => {
  const { page, paused, life } = world();
  const one = life();
  page.set("hidden");
  page.set("visible");
  assert.deepEqual(paused, [false, true, false]);
  one.end();
  page.set("hidden");
  assert.equal(paused.length, 3, "nobody listens any more");
  life({ pauseHidden: false });
  assert.equal(paused.length, 3);
});

test("a kill is told once it is found, and keeps the engine on the CPU unless it was asked for", () => {
  const { life, warnings } = world();
  life().heard({ type: "risk", number: 1, step: "gpu", bytes: 5e6 });
  const { device, limits } = life().plan("auto");
  assert.deepEqual([device, limits.maxBytes, warnings], ["cpu", null, ["tab_killed"]]);
  assert.equal(life().plan("webgpu").device, "webgpu");
  life().heard({ type: "risk", number: 1, step: "memory", bytes: 4e6 });
  const second = life().plan("cpu").limits;
  assert.equal(second.maxBytes, 2e6);
  assert.match(second.why, /closed this tab twice/);
  assert.deepEqual(life({ maxBytes: 1e6 }).plan("cpu").limits, { maxBytes: 1e6, why: "" });
  const careless = life({ strikes: false }).plan("auto");
  assert.deepEqual([careless.device, careless.limits.maxBytes], ["auto", null]);
  assert.deepEqual(warnings, ["tab_killed"]);
});

test("a risk that ends, a worker that crashes, a page that is left and a dispose are no kills", () => {
  const endings = [
    (life) => life.heard({ type: "risk", number: 1, step: null }),
    (life) => life.survived(),
    (life) => life.end(),
    (_, page) => page.dispatchEvent(new Event("pagehide")),
  ];
  for (const ending of endings) {
    const { life, page } = world();
    const one = life();
    one.heard({ type: "risk", number: 1, step: "gpu", bytes: 5e6 });
    ending(one, page);
    assert.equal(life().plan("auto").device, "auto");
  }
});

test("figures are shown, kept without words of anybody's, and given to the next engine", () => {
  const { life, storage } = world();
  const figures = { adapter: "A card", model: "tiny", cpu: { prefill: 1, decode: 2 }, webgpu: { prefill: 3, decode: 4 } };
  const one = life();
  assert.equal(one.capability, null);
  one.heard({ type: "figures", key: "A card, tiny", figures });
  assert.deepEqual(one.capability, figures);
  assert.deepEqual(life().plan("auto").figures, { "A card, tiny": { ...figures, at: 1e12 } });
  assert.ok(storage.getItem("sprat").length < 300);
});

test("a hidden page's engine is paused from its beginning, also one that takes a crashed one's place", async () => {
  globalThis.document = Object.assign(new FakePage(), { visibilityState: "hidden", baseURI: "https://example.org/page/" });
  const { sprat, engine } = await ready(Sprat);
  assert.equal(engine.asked("pause").paused, true);
  engine.onerror({ message: "boom" });
  assert.equal(engines.at(-1).asked("pause").paused, true);
  globalThis.document.set("visible");
  assert.equal(engines.at(-1).asked("pause").paused, false);
  sprat.dispose();
});

test("what the engine says of itself answers no call", async () => {
  const sprat = Sprat.open({ model: "models/tiny/" });
  const engine = engines.at(-1);
  const figures = { adapter: "A card", model: "tiny", cpu: null, webgpu: null };
  engine.says({ type: "risk", number: engine.asked("load").id, step: "memory", bytes: 7 });
  engine.says({ type: "figures", key: null, figures });
  assert.deepEqual([sprat.state, sprat.capability], ["loading", figures]);
  sprat.dispose();
});

test("a worker that crashes and a Sprat that is disposed of leave no mark", () => {
  const marks = () => JSON.parse(kept.get("sprat")).marks.length;
  const sprat = Sprat.open({ model: "models/tiny/" });
  const risk = () => engines.at(-1).says({ type: "risk", number: 1, step: "memory", bytes: 7 });
  risk();
  assert.equal(marks(), 1);
  engines.at(-1).onerror({ message: "boom" });
  assert.equal(marks(), 0);
  risk();
  assert.equal(marks(), 1);
  sprat.dispose();
  assert.equal(marks(), 0);
});

test("modes: what leaves, what the engine is told, and what a page's own default is", async () => {
  const cases = [
    [{}, {}, "auto", false, true],
    [{}, { mode: "prefer-device" }, "auto", false, true],
    [{}, { mode: "only-device" }, "device", false, false],
    [{}, { mode: "prefer-cloud" }, "cloud", true, true],
    [{}, { mode: "only-cloud" }, "cloud", false, true],
    [{ mode: "prefer-cloud" }, {}, "cloud", true, true],
    [{ mode: "only-device" }, { mode: "cloud" }, "cloud", false, true],
    [{ mode: "prefer-cloud" }, { private: true }, "cloud", true, false],
    [{ mode: "only-cloud" }, { level: "private" }, "cloud", false, false],
  ];
  for (const [load, chat, mode, cloudFirst, leaves] of cases) {
    const { sprat, engine } = await ready(Sprat, { cloud: "/v1", ...load });
    const answer = sprat.chat(MESSAGES, chat);
    answer.next().catch(() => {});
    const asked = engine.asked("chat");
    const name = JSON.stringify([load, chat]);
    assert.deepEqual([JSON.parse(asked.ask).options.mode, asked.cloudFirst, asked.port !== null], [mode, cloudFirst, leaves], name);
    sprat.dispose();
  }
  const { sprat } = await ready(Sprat);
  await assert.rejects(sprat.chat(MESSAGES, { mode: "clod" }).next(), { code: "bad_request" });
  sprat.dispose();
  assert.throws(() => Sprat.open({ model: "m/", mode: "clod" }), { code: "bad_request" });
});

test("where only the cloud is to answer no model is asked for, but a cloud is", async () => {
  assert.throws(() => Sprat.open({ mode: "only-cloud" }), { code: "bad_request" });
  for (const model of [undefined, "models/tiny/"]) {
    const sprat = Sprat.open({ model, mode: "only-cloud", cloud: "/v1" });
    const load = engines.at(-1).asked("load");
    assert.deepEqual([load.url, load.lines], ["", []]);
    loaded(engines.at(-1), { kind: "cpu", words: "CPU" }, null);
    await sprat.ready;
    assert.deepEqual([sprat.state, sprat.model], ["ready", null]);
    sprat.dispose();
  }
});
