// Weights on the device: fetched chunk by chunk, planned before, shared by tabs, evicted when there is no room, and in
// IndexedDB where the browser's file system is refused.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Bench } from "./lib/bench.js";

const WORKER = /\/worker\.js$/;
const TINY = "/models/sprat-tiny/";
/** The same files under another name, from a server that knows no ranges. */
const OTHER = "/models/other/";

/** @type {Bench} */
let bench;
/** The manifest of the model, and its weights. */
let manifest, weights;

before(async () => {
  bench = await Bench.start({ webgpu: false });
  const read = async (file) => Buffer.from(await (await fetch(`${bench.server.origin}${TINY}${file}`)).arrayBuffer());
  manifest = JSON.parse((await read("sprat.json")).toString());
  weights = manifest.files.toSorted((a, b) => b.size - a.size)[0];
  for (const { path } of manifest.files) bench.recorder.offer(`${OTHER}${path}`, "application/octet-stream", await read(path));
  bench.recorder.offer(`${OTHER}sprat.json`, "application/json", JSON.stringify({ ...manifest, name: "other" }));
  bench.recorder.offer("/empty.html", "text/html", "<!doctype html><title>empty</title>");
});
after(() => bench?.stop());
afterEach(() => bench?.recorder.honest());

/** Runs `code` in the engine's worker before anything else does. */
function inWorker(code) {
  bench.recorder.alter(WORKER, (body) => Buffer.concat([Buffer.from(`${code}\n`), body]));
}

/** A tab without a chat in it, in which a model can be loaded, which computes its known value. */
async function tab(context) {
  const page = await context.newPage();
  await page.goto(`${bench.server.origin}/empty.html`);
  await page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const told = { progress: [], warnings: [] };
    const listeners = {
      onProgress: ({ stage, loaded, total }) => stage === "download" && told.progress.push([loaded, total]),
      onWarning: ({ code }) => told.warnings.push(code),
    };
    const load = async (model, { keep = false } = {}) => {
      told.progress.length = told.warnings.length = 0;
      const sprat = await Sprat.load({ model, device: "cpu", ...listeners });
      const { stored } = sprat.model;
      if (keep) kept = sprat;
      else sprat.dispose();
      return { stored, ...told };
    };
    let kept;
    const release = () => kept.dispose();
    const names = async () => (await Sprat.stored()).map(({ name }) => name).sort();
    Object.assign(globalThis, { Sprat, load, release, names, told });
  });
  return page;
}

/** Has the model's manifest cut the weights into more chunks than are asked for at once; gives what it says of them. */
async function finely() {
  const bytes = Buffer.from(await (await fetch(`${bench.server.origin}${TINY}${weights.path}`)).arrayBuffer());
  const chunk_bytes = 256 * 1024;
  const sha256 = [];
  for (let at = 0; at < bytes.length; at += chunk_bytes) {
    sha256.push(createHash("sha256").update(bytes.subarray(at, at + chunk_bytes)).digest("hex"));
  }
  const fine = { ...weights, chunk_bytes, sha256 };
  const files = manifest.files.map((file) => (file.path === weights.path ? fine : file));
  bench.recorder.alter(/sprat\.json$/, () => Buffer.from(JSON.stringify({ ...manifest, files })));
  return fine;
}

async function withContext(work) {
  const context = await bench.browser.newContext();
  try {
    await work(context);
  } finally {
    await context.close();
  }
}

const asked = (from, folder = TINY) => bench.recorder.since(from).filter(({ path }) => path === `${folder}${weights.path}`);

test("a plan before the download; every chunk asked for once; nothing the second time", () =>
  withContext(async (context) => {
    const page = await tab(context);
    const bytes = manifest.files.reduce((sum, { size }) => sum + size, 0);
    const plan = () => page.evaluate((model) => Sprat.plan(model), TINY);
    let from = bench.recorder.requests.length;
    const { room, ...first } = await plan();
    assert.ok(room > bytes);
    assert.deepEqual(first, { bytes, stored: 0, missing: bytes, evictable: 0, store: "opfs", persisted: false });
    assert.deepEqual(asked(from), []);

    from = bench.recorder.requests.length;
    const loaded = await page.evaluate((model) => load(model), TINY);
    assert.deepEqual([loaded.stored, loaded.warnings], [true, []]);
    assert.equal(bench.recorder.since(from, /sprat\.json$/).length, 1, "the manifest is asked for once");
    assert.deepEqual(loaded.progress.at(-1), [bytes, bytes]);
    const starts = asked(from).map(({ headers }) => Number(/^bytes=(\d+)-\d+$/.exec(headers.range)?.[1]));
    const chunks = weights.sha256.map((_, index) => index * weights.chunk_bytes);
    assert.deepEqual(starts.toSorted((a, b) => a - b), chunks);

    from = bench.recorder.requests.length;
    const [pack] = await page.evaluate(() => Sprat.stored());
    assert.deepEqual([pack.name, pack.bytes], [manifest.name, bytes]);
    assert.ok(pack.used > Date.now() - 3_600_000 && pack.used <= Date.now() + 60_000, String(pack.used));
    assert.deepEqual((await plan()).missing, 0);
    await page.evaluate((model) => load(model), TINY);
    assert.deepEqual(asked(from), []);
    assert.equal(await page.evaluate((model) => Sprat.forget(model), TINY), true);
    assert.deepEqual(await page.evaluate(() => names()), []);
  }));

test("four chunks are on their way at once, and none is asked for twice", () =>
  withContext(async (context) => {
    const page = await tab(context);
    const from = bench.recorder.requests.length;
    const { sha256: chunks } = await finely();
    // The first answer shows that the server knows ranges; the others wait. A browser's cache would let only one at a
    // time be asked for and written.
    const release = bench.recorder.delay(new RegExp(weights.path), { behind: 1 });
    const loading = page.evaluate((model) => load(model), TINY);
    while (asked(from).length < 5) await setTimeout(10);
    release();
    assert.equal((await loading).stored, true);
    assert.equal(asked(from).length, chunks.length);
  }));

test("a tab that waits for another one's download sees how far it is, and fetches nothing", () =>
  withContext(async (context) => {
    const [one, two] = [await tab(context), await tab(context)];
    const from = bench.recorder.requests.length;
    const release = bench.recorder.delay(new RegExp(weights.path));
    const first = one.evaluate((model) => load(model), TINY);
    await one.waitForFunction(() => told.progress.length > 0);
    const second = two.evaluate((model) => load(model), TINY);
    // It waits: its lock is asked for.
    await two.waitForFunction(async () => (await navigator.locks.query()).pending.length > 0);
    release();
    const [seen, other] = await Promise.all([first, second]);
    assert.deepEqual([seen.stored, other.stored], [true, true]);
    const [, total] = seen.progress.at(-1);
    assert.ok(other.progress.some(([loaded]) => loaded > 0 && loaded < total), JSON.stringify(other.progress));
    // The last step may come when this tab waits no more.
    assert.ok(other.progress.every(([, of]) => of === total) && other.progress.at(-1)[0] > total / 2, JSON.stringify(other.progress));
    assert.equal(asked(from).length, weights.sha256.length);
  }));

/**
 * Offers models whose weights stop in their middle until `go` is called, from a server that knows no ranges.
 * @param {string[]} names
 */
async function offerHalves(names) {
  const read = async (file) => Buffer.from(await (await fetch(`${bench.server.origin}${TINY}${file}`)).arrayBuffer());
  const bytes = await read(weights.path);
  const half = bytes.length >> 1;
  let go;
  const opened = new Promise((resolve) => (go = resolve));
  for (const name of names) {
    for (const { path } of manifest.files) bench.recorder.offer(`/models/${name}/${path}`, "application/octet-stream", await read(path));
    bench.recorder.offer(`/models/${name}/sprat.json`, "application/json", JSON.stringify({ ...manifest, name }));
    bench.recorder.offer(`/models/${name}/${weights.path}`, "", async (reply) => {
      reply.writeHead(200, { "content-length": bytes.length, "cache-control": "no-store" });
      reply.write(bytes.subarray(0, half));
      await opened;
      reply.end(bytes.subarray(half));
    });
  }
  return { half, go };
}

/** A worker that was ended lets go of its pack a little later. */
const letGo = (page) =>
  page.waitForFunction(async () => !(await navigator.locks.query()).held.some(({ name }) => name.startsWith("sprat pack ")));

describe("no room", () => {
  const SMALL = `navigator.storage.estimate = async () => ({ quota: 1e6, usage: 0 });`;
  // Twice: what was refused is tried once more, because another tab may have made room meanwhile.
  const FULL_TWICE = `{
    const write = FileSystemSyncAccessHandle.prototype.write;
    let full = 2;
    FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
      if (full > 0 && options?.at > 1e6) throw (full -= 1), new DOMException("no more", "QuotaExceededError");
      return write.call(this, bytes, options);
    };
  }`;
  for (const [name, code] of [["told by the browser", SMALL], ["in the middle", FULL_TWICE]]) {
    test(`${name}: what another tab uses stays, and goes when nobody uses it`, () =>
      withContext(async (context) => {
        const [one, two] = [await tab(context), await tab(context)];
        await one.evaluate((model) => load(model, { keep: true }), TINY);
        inWorker(code);
        const refused = await two.evaluate((model) => load(model), OTHER);
        assert.deepEqual([refused.stored, refused.warnings], [false, ["storage_refused"]]);
        assert.deepEqual(await two.evaluate(() => names()), [manifest.name]);
        await one.evaluate(() => release());
        await letGo(two);
        const loaded = await two.evaluate((model) => load(model), OTHER);
        assert.deepEqual([loaded.stored, loaded.warnings], [true, ["evicted"]]);
        assert.deepEqual(await two.evaluate(() => names()), ["other"]);
      }));
  }

  test("two tabs fill the store with two models: both answer, one gives way to the other, nothing in use is removed", () =>
    withContext(async (context) => {
      const sides = ["left", "right"];
      const { half, go } = await offerHalves(sides);
      const tabs = [await tab(context), await tab(context)];
      const bytes = manifest.files.reduce((sum, { size }) => sum + size, 0);
      // Chromium tells pages a fixed figure, and gives this: nobody knows before the middle.
      const session = await context.newCDPSession(tabs[0]);
      await session.send("Storage.overrideQuotaForOrigin", { origin: bench.server.origin, quotaSize: Math.round(1.4 * bytes) });
      const loads = tabs.map((one, side) => one.evaluate((model) => load(model, { keep: true }), `/models/${sides[side]}/`));
      for (const one of tabs) await one.waitForFunction((half) => told.progress.at(-1)?.[0] >= half, half);
      go();
      // Both compute their known value, or they would not be loaded.
      const loaded = await Promise.all(loads);
      for (const { stored, warnings } of loaded) assert.deepEqual(warnings, stored ? [] : ["storage_refused"]);
      assert.equal(loaded.filter(({ stored }) => stored).length, 1, "there is room for one");
      assert.deepEqual(await tabs[0].evaluate(() => names()), sides.filter((_, side) => loaded[side].stored));
      for (const one of tabs) await one.evaluate(() => release());
      await letGo(tabs[1]);
      // What could not be finished is in nobody's way any more, though the store is full to the last bytes.
      const next = await tabs[1].evaluate((model) => load(model), "/models/right/");
      assert.equal(next.stored, true, next.warnings.join());
      assert.deepEqual(await tabs[1].evaluate(() => names()), ["right"]);
    }));
});

test("a content-length that is not kept, and a server that lets no other origin read: typed errors, nothing stored", () =>
  withContext(async (context) => {
    const [{ path, size }] = manifest.files;
    bench.recorder.offer("/models/cut/sprat.json", "application/json", JSON.stringify({ ...manifest, name: "cut" }));
    bench.recorder.offer(`/models/cut/${path}`, "", (reply) => {
      reply.writeHead(200, { "content-length": size + 9, "cache-control": "no-store" });
      reply.write(Buffer.alloc(9), () => reply.destroy());
    });
    const page = await tab(context);
    const codeOf = (model) => page.evaluate((model) => load(model).then(() => "loaded", ({ code }) => code), model);
    assert.equal(await codeOf("/models/cut/"), "network");
    assert.equal(await codeOf("http://elsewhere.test/models/tiny/"), "network");
    assert.deepEqual(await page.evaluate(() => names()), []);
  }));

test("no file system: the model is in IndexedDB, for the next time too", () =>
  withContext(async (context) => {
    inWorker(`navigator.storage.getDirectory = () => Promise.reject(new DOMException("refused", "SecurityError"));`);
    const page = await tab(context);
    const first = await page.evaluate((model) => load(model), TINY);
    assert.deepEqual([first.stored, first.warnings], [true, []]);
    const plan = await page.evaluate((model) => Sprat.plan(model), TINY);
    assert.deepEqual([plan.missing, plan.store], [0, "indexeddb"]);
    const from = bench.recorder.requests.length;
    const second = await page.evaluate((model) => load(model), TINY);
    assert.equal(second.stored, true);
    assert.deepEqual(asked(from), []);
    assert.deepEqual(await page.evaluate(() => names()), [manifest.name]);
    assert.equal(await page.evaluate((model) => Sprat.forget(model), TINY), true);
    assert.deepEqual(await page.evaluate(() => names()), []);
  }));

test("neither file system nor database: the plan says that it would be in memory", () =>
  withContext(async (context) => {
    inWorker(`{
      navigator.storage.getDirectory = () => Promise.reject(new DOMException("refused", "SecurityError"));
      IDBFactory.prototype.open = () => { throw new DOMException("refused", "SecurityError"); };
    }`);
    const plan = await (await tab(context)).evaluate((model) => Sprat.plan(model), TINY);
    assert.deepEqual([plan.stored, plan.store], [0, "memory"]);
  }));
