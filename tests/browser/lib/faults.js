// What goes wrong while somebody talks in private. Each is a function of the talk that it happens to.

import { COMPLETIONS } from "./bench.js";
import { canary } from "./canary.js";
import { limitMemory } from "./wasm.js";

const WEIGHTS = /\/sprat-tiny\/model\.safetensors$/;
const MODULE = /\/cpu\/sprat_edge(_relaxed)?_bg\.wasm$/;
const MANIFEST = /\/sprat-tiny\/sprat\.json$/;
/** Waits of this many milliseconds and more are shortened: nobody sits through a time-out thousands of times. */
const HURRY = `{ const real = globalThis.setTimeout; globalThis.setTimeout = (call, wait, ...more) => real(call, wait >= 10_000 ? 500 : wait, ...more); }`;

/** Long enough for something to happen in its middle. */
const LONG = { mode: "auto", maxTokens: 120, temperature: 0.9 };

/** @typedef {import("./talk.js").Talk} Talk */

/** While a private answer is on its way, something happens; what becomes of the answer is checked by the talk. */
async function during(talk, happens) {
  const asked = talk.askNext(LONG);
  await talk.moment();
  await happens();
  return asked;
}

/** Ends a worker, that of the engine or that of the network, as a bug would: by an error that nobody catches. */
async function crashWorker(talk) {
  const script = talk.random.pick(["/worker.js", "/link.js"]);
  const worker = [...talk.watch.targets.workers].findLast(({ url }) => url.endsWith(script));
  await worker?.run(`setTimeout(() => { throw new Error("crashed by the test"); })`).catch(() => {});
  // Until the page has heard of it, and ended both workers.
  const { workers } = talk.watch.targets;
  for (let tries = 0; workers.has(worker) && tries < 500; tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Alters the engine's module on its way to the browser, which the page's service worker has kept as it was. */
async function alterModule(talk, edit) {
  talk.watch.recorder.alter(MODULE, edit);
  await talk.driver.page.evaluate(async () => Promise.all((await caches.keys()).map((name) => caches.delete(name))));
}

/** The module with another routing policy in it: one to which every question is open. */
function forgetPrivate(module) {
  const text = module.toString("latin1");
  const other = text.replaceAll('"private": true', '"private":false');
  if (other === text) throw new Error("the policy in the module has no word on what is private any more");
  return Buffer.from(other, "latin1");
}

/** A pack whose gate takes no answer of the device for right: whatever may be handed over is. */
function trustNothing(manifest) {
  const pack = JSON.parse(manifest);
  pack.calibration.threshold = pack.calibration.early.threshold = 1;
  return Buffer.from(JSON.stringify(pack));
}

/** What only a GPU can do. */
export const GPU_FAULTS = {
  /** @param {Talk} talk */
  async "GPU process crashed"(talk) {
    // Without awaiting: whether the process was there is the browser's business.
    await during(talk, () => talk.chat.session.send("Browser.crashGpuProcess").catch(() => {}));
    // The CPU has taken over, with what was private.
    await talk.askTainted();
    await talk.askAll();
    talk.expect(talk.warned.has("webgpu_lost"), "no GPU was lost");
  },
};

export const FAULTS = {
  /** @param {Talk} talk */
  async nothing(talk) {
    await talk.askAll();
  },

  async "stopped in the middle"(talk) {
    await talk.askNext(LONG, { stopAfter: talk.random.below(60) });
    await talk.askAll();
  },

  async "left in the middle"(talk) {
    await talk.askNext(LONG, { leaveAfter: 1 + talk.random.below(8) });
    await talk.askAll();
  },

  async "asked again and again"(talk) {
    for (let count = 0; count < 3; count += 1) await talk.askNext();
    await talk.askAll();
  },

  async "cloud only"(talk) {
    const reply = await talk.askNext({ mode: "cloud" });
    talk.expect(reply.code === "private_unanswerable", `Private with Cloud only ended as ${reply.code}`);
    await talk.askAll();
  },

  async "private forgotten by the caller"(talk) {
    await talk.askAll();
    await talk.askTainted();
  },

  async "worker crashed"(talk) {
    await during(talk, () => crashWorker(talk));
    // The same engine, in a new worker: what was private is private there too.
    await talk.askTainted();
    await talk.askAll();
    talk.expect(talk.warned.has("worker_lost"), "no worker crashed");
    await talk.renew();
  },

  async "engine replaced in the middle"(talk) {
    await during(talk, () => talk.driver.again());
    await talk.askAll();
  },

  async "model loaded again in the middle"(talk) {
    await during(talk, () => talk.driver.use());
    await talk.askAll();
    await talk.askTainted();
  },

  async "policy loaded again in the middle"(talk) {
    const { recorder } = talk.watch;
    await alterModule(talk, forgetPrivate);
    recorder.alter(MANIFEST, trustNothing);
    // First the gate's half of it, under an answer that goes on; then all of it, in a new engine.
    const loads = talk.random.pick([() => talk.driver.use(), () => talk.driver.again()]);
    await during(talk, loads);
    await talk.askNext();
    await talk.askTainted();
    await talk.renew();
    const reply = await talk.askNext({ mode: "cloud" });
    talk.expect(reply.code === "consent_refused", `with a policy to which nothing is private it ended as ${reply.code}`);
    await talk.askAll();
    recorder.honest();
    await talk.renew();
  },

  async "offline and back"(talk) {
    const { context } = talk.watch;
    await during(talk, () => context.setOffline(true));
    await talk.askNext();
    await context.setOffline(false);
    await talk.askAll();
  },

  async "cloud silent until the time-out"(talk) {
    const { recorder, targets } = talk.watch;
    targets.inWorker = HURRY;
    await talk.renew();
    targets.inWorker = "";
    recorder.stall(COMPLETIONS);
    const open = talk.askOpen(canary(talk.random, "word"), { mode: "cloud" });
    await talk.moment();
    await talk.askAll();
    await open;
    recorder.honest();
    await talk.askTainted();
    await talk.renew();
  },

  async "cloud breaks off in the middle"(talk) {
    const hold = talk.watch.recorder.holdAnswer(2);
    const open = talk.askOpen(canary(talk.random, "word"), { mode: "cloud" });
    await Promise.race([hold.reached, open]);
    await talk.askNext();
    hold.cut();
    await open;
    await talk.askAll();
  },

  async "model missing"(talk) {
    await talk.driver.forget();
    talk.watch.recorder.lose(WEIGHTS);
    await talk.renew();
    await talk.askAll();
    talk.watch.recorder.honest();
    await talk.renew();
  },

  async "model damaged"(talk) {
    await talk.driver.forget();
    talk.watch.recorder.alter(WEIGHTS, (body) => Buffer.from(body).fill(0x55, talk.random.below(body.length)));
    await talk.renew();
    await talk.askAll();
    talk.watch.recorder.honest();
    await talk.renew();
  },

  async "out of memory"(talk) {
    // From hardly enough to begin, up to enough for some of an answer.
    const pages = talk.random.below(160);
    await alterModule(talk, (body) => limitMemory(body, pages));
    await talk.renew();
    await talk.askNext(LONG);
    await talk.askAll();
    talk.watch.recorder.honest();
    await talk.renew();
  },

  async "page loaded again in the middle"(talk) {
    await during(talk, () => talk.driver.page.reload());
    await talk.reopened();
    await talk.askAll();
  },

  async "tab crashed"(talk) {
    await during(talk, async () => {
      const crashed = talk.driver.page.waitForEvent("crash");
      talk.chat.session.send("Page.crash").catch(() => {});
      await crashed;
    });
    await talk.newTab();
    await talk.askAll();
  },
};
