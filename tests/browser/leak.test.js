// Nothing of a private conversation leaves the browser or is written down: random conversations, each with something
// going wrong, in a browser that is watched from every side; and builds that leak on purpose, which the same check
// catches. LEAK_CONVERSATIONS, LEAK_SEED and LEAK_ONE_BY_ONE make
// longer, other and stricter runs.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { conversation } from "./lib/canary.js";
import { FAULTS, GPU_FAULTS } from "./lib/faults.js";
import { CIPHERS, LEAKS, LeakingBuild, STOPPED } from "./lib/leaks.js";
import { Random } from "./lib/random.js";
import { converse, learnOrdinary, type } from "./lib/run.js";
import { Server } from "./lib/server.js";
import { Tab, Talk } from "./lib/talk.js";
import { Watch, complaints } from "./lib/watch.js";

const CONVERSATIONS = Number(process.env.LEAK_CONVERSATIONS ?? 36);
/** Typing takes longer, and a GPU in software far longer. */
const TYPED = Math.max(7, Math.floor(CONVERSATIONS / 40));
const ON_A_GPU = Math.max(1, Math.floor(CONVERSATIONS / 200));
const SEED = Number(process.env.LEAK_SEED ?? 1);
/** A leaking build for each leak, rather than one with all of them. */
const ONE_BY_ONE = Boolean(process.env.LEAK_ONE_BY_ONE);
/** All that it has to say, so that there is a log to search. */
const ENV = { RUST_LOG: "debug" };

/** What the leaking builds use that no private conversation has any use for. */
const FORBIDDEN = ["sendBeacon", "WebSocket", "RTCPeerConnection", "image", "link", "EventSource", "XMLHttpRequest", "history", "title", "service worker"];

/** A watched browser for the time of a test. */
async function watched(options, work) {
  const watch = await Watch.start(options);
  try {
    return await work(watch);
  } finally {
    await watch.stop();
  }
}

describe("private conversations", () => {
  /** @type {Server} */
  let server;
  before(async () => (server = await Server.start({ env: ENV })));
  after(() => server?.kill());

  /** Runs `work` in a watched browser, and then nothing may be found. */
  const stays = (t, options, work) =>
    watched({ server, ...options }, async (watch) => {
      const tally = await work(watch);
      const report = await watch.report();
      const { hits, odd, needles, bytes } = report;
      t.diagnostic(JSON.stringify({ ...tally, wrong: tally.wrong.length, needles, bytes, hits: hits.length, odd: odd.length }));
      assert.deepEqual(tally.wrong, []);
      assert.deepEqual(complaints(report), []);
      assert.ok(server.log.length > 0, "a log without a line proves nothing");
      return tally;
    });

  test(`${CONVERSATIONS} of them, whatever goes wrong: not a byte`, async (t) => {
    const tell = (line) => t.diagnostic(line);
    const tally = await stays(t, {}, (watch) => converse(watch, { seed: SEED, conversations: CONVERSATIONS, tell }));
    assert.ok(tally.open > 0, "nothing was asked in the open, so nobody knows that it would have been seen");
    assert.deepEqual(Object.keys(tally.faults).sort(), Object.keys(FAULTS).sort());
  });

  test(`${TYPED} typed into the page: not a byte`, async (t) => {
    await stays(t, {}, (watch) => type(watch, { seed: SEED, conversations: TYPED }));
  });

  test(`${ON_A_GPU} on a GPU that is lost: not a byte`, async (t) => {
    for (let index = 0; index < ON_A_GPU; index += 1) {
      // A browser whose GPU has crashed three times gives it up: each has its own.
      const plan = { seed: SEED + index, conversations: 1, device: "webgpu", faults: Object.keys(GPU_FAULTS) };
      await stays(t, { webgpu: true }, (watch) => converse(watch, plan));
    }
  });
});

describe("builds that leak on purpose", () => {
  /** @type {LeakingBuild} */
  let build;
  /** @type {Server} */
  let server;
  /** @type {import("./lib/ordinary.js").Ordinary} */
  let ordinary;
  before(async () => {
    build = new LeakingBuild();
    server = await Server.start({ web: build.folder, env: ENV });
  });
  after(async () => {
    await server?.kill();
    build?.remove();
  });

  /** The check, on one private conversation that ends in an answer and one that ends in an error. */
  const check = (seed) =>
    watched({ server }, async (watch) => {
      if (ordinary === undefined) {
        await learnOrdinary(watch);
        ordinary = watch.ordinary;
      }
      watch.ordinary = ordinary;
      const random = new Random(seed);
      const tab = await new Tab(watch).open();
      for (const mode of ["device", "cloud"]) {
        const plan = conversation(random);
        plan.options = { mode, maxTokens: 60, temperature: 2, seed: SEED };
        await watch.keep(plan);
        await new Talk(tab, plan, random).askAll();
      }
      await watch.settled();
      await watch.look(tab.chat.page);
      return watch.report();
    });

  test("the real build is found in order", async () => assert.deepEqual(complaints(await check(SEED)), []));

  /** What the check says of a build with these leaks. */
  async function reportOn(leaks) {
    for (const leak of leaks) leak.build(build);
    try {
      return await check(SEED);
    } finally {
      build.restore();
    }
  }

  // A browser for each takes minutes, and each leak has a place of its own.
  const together = Object.values(LEAKS).filter(({ alone }) => !alone);
  /** @type {Promise<import("./lib/watch.js").Report> | undefined} */
  let all;
  const reportOnAll = () => (all ??= reportOn(together));

  for (const [name, leak] of Object.entries(LEAKS)) {
    test(`${name}: caught`, async () => {
      const { hits } = await (leak.alone || ONE_BY_ONE ? reportOn([leak]) : reportOnAll());
      const places = [...new Set(hits.map(({ where }) => where))];
      assert.ok(places.some((place) => leak.where.test(place)), `found only in ${places.join("; ")}`);
    });
  }

  for (const [name, leak] of Object.entries(STOPPED)) {
    test(`${name}: stopped`, async () => {
      const { hits, odd, foreign } = await reportOn([{ build: leak }]);
      assert.deepEqual([odd, foreign], [[], []]);
      // That it tried is seen in the worker; nothing has come out of there.
      assert.deepEqual(hits.filter(({ where }) => !/ in worker$/.test(where)), []);
    });
  }

  test("each way out is caught for being tried, whatever it carried", async () => {
    const { forbidden, odd } = await reportOnAll();
    for (const api of FORBIDDEN) assert.ok(forbidden.includes(`${api} in page`), `${api} is not among ${forbidden}`);
    for (const address of [/^POST \/v1\/statistics/, /^POST \/v1\/told/, /^GET \/style\.css\?v=/, /^GET \/icon\.svg with x-prefix/]) {
      assert.ok(odd.some((what) => address.test(what)), `${address} is not among ${odd}`);
    }
  });

  test("what no search can read is caught for not being ordinary", async () => {
    for (const leak of Object.values(CIPHERS)) {
      const { hits, odd } = await reportOn([leak]);
      assert.deepEqual(hits, []);
      assert.ok(odd.some((what) => leak.odd.test(what)), `only ${odd}`);
    }
  });
});
