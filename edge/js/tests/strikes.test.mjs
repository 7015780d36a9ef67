import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Ledger, VERSION } from "../ledger.js";
import { Strikes, caution } from "../strikes.js";

class FakeStorage {
  values = new Map();
  getItem(key) {
    return this.values.get(key) ?? null;
  }
  setItem(key, value) {
    this.values.set(key, String(value));
  }
}

const HOUR = 3600e3;
const NONE = { cpu: false, maxBytes: null };

/** A browser with one tab; `visit` is a page in it that begins anew. */
function browser() {
  const world = { storage: new FakeStorage(), tab: new FakeStorage(), at: 1e12 };
  world.visit = (tab = world.tab) => new Strikes(new Ledger(world.storage), { now: () => world.at, tab });
  return world;
}

test("what ended well leaves no mark", () => {
  const world = browser();
  const page = world.visit();
  page.risk("gpu", 5e6)();
  assert.deepEqual(world.visit().look(), NONE);
  assert.ok(!world.storage.getItem("sprat").includes("gpu"));
});

test("a first kill keeps it off the GPU, a second to smaller models, and a week forgets both", () => {
  const world = browser();
  world.visit().risk("gpu", 80e6);
  assert.deepEqual(world.visit().look(), { cpu: true, maxBytes: null });
  assert.deepEqual(world.visit().look(), { cpu: true, maxBytes: null }, "one kill is one strike");
  world.at += HOUR;
  world.visit().risk("memory", 60e6);
  assert.deepEqual(world.visit().look(), { cpu: true, maxBytes: 30e6 });
  world.at += 6.9 * 24 * HOUR;
  assert.deepEqual(world.visit().look(), { cpu: true, maxBytes: 30e6 });
  world.at += HOUR * 4;
  assert.deepEqual(world.visit().look(), NONE);
});

test("another version begins anew", () => {
  const world = browser();
  world.visit().risk("gpu", 80e6);
  world.storage.setItem("sprat", world.storage.getItem("sprat").replace(VERSION, "0.0.1"));
  assert.deepEqual(world.visit().look(), NONE);
  assert.equal(VERSION, JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version);
});

test("a living page's marks are no tombstones: its own, and those of another tab", () => {
  const world = browser();
  const page = world.visit();
  page.risk("memory", 5e6);
  assert.deepEqual(page.look(), NONE);
  const other = world.visit(new FakeStorage());
  assert.deepEqual(other.look(), NONE);
  // No step takes so long: that tab was killed, and closed.
  world.at += HOUR;
  assert.deepEqual(other.look(), { cpu: true, maxBytes: null });
});

test("a page that is hidden, or left, may be killed", () => {
  const world = browser();
  const page = world.visit();
  page.hide(true);
  const over = page.risk("memory", 5e6);
  assert.deepEqual(world.visit().look(), NONE);
  page.hide(false);
  assert.match(world.storage.getItem("sprat"), /memory/);
  page.hide(true);
  assert.deepEqual(world.visit().look(), NONE);
  over();
  page.hide(false);
  assert.deepEqual(world.visit().look(), NONE);
});

test("storage that refuses, is absent or holds nonsense is no storage", () => {
  const throwing = { getItem: () => assert.fail("refused"), setItem: () => assert.fail("refused") };
  const full = { getItem: () => null, setItem: () => { throw new DOMException("full", "QuotaExceededError"); } };
  const nonsense = ["", "null", "7", "{", "[]", '{"version":1}', `{"version":"${VERSION}","figures":[],"marks":{},"strikes":null}`];
  const holding = nonsense.map((text) => ({ getItem: () => text, setItem() {} }));
  for (const storage of [null, throwing, full, ...holding]) {
    const strikes = new Strikes(new Ledger(storage), { tab: storage });
    const over = strikes.risk("gpu", 1);
    assert.deepEqual(strikes.look(), NONE);
    over();
  }
  const whole = { version: VERSION, figures: { a: { at: 1, cpu: "fast", webgpu: null } }, marks: [7, {}], strikes: [null, { step: "x", bytes: 1, at: 1 }] };
  const ledger = new Ledger({ getItem: () => JSON.stringify(whole), setItem() {} });
  assert.deepEqual(ledger.read(), { version: VERSION, figures: {}, marks: [], strikes: [] });
});

test("without a size there is nothing to be smaller than", () => {
  const strike = { step: "gpu", bytes: 0, at: 0 };
  assert.deepEqual(caution([strike, strike]), { cpu: true, maxBytes: null });
});

test("of figures the newest are kept", () => {
  const ledger = new Ledger(new FakeStorage());
  const figures = { adapter: "A card", model: "tiny", cpu: { prefill: 1, decode: 1 }, webgpu: null };
  for (let at = 0; at < 20; at += 1) ledger.learn(`key ${at}`, figures, at);
  assert.deepEqual(Object.keys(ledger.read().figures).length, 16);
  assert.deepEqual(ledger.read().figures["key 19"], { ...figures, at: 19 });
  assert.equal(ledger.read().figures["key 3"], undefined);
});
