// A plain page, with the package's folder beside it and no build: in a page, in a worker, in a service worker.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { launchAlone } from "../browser/lib/browser.js";
import { answersBoth, mistakesOf } from "./lib/consumer.js";
import { policy } from "./lib/policy.js";
import { serve } from "./lib/serve.js";
import { ROOT, copyOf, unpack } from "./lib/tarball.js";

let browser;
before(async () => (browser = await launchAlone()));
after(() => browser?.close());

/** The page under a policy, and the models on a server of their own, which other sites may ask. */
async function site(t, csp = policy, prepare = () => {}) {
  const models = await serve(path.join(ROOT, "web/models"), t, { "Access-Control-Allow-Origin": "*" });
  const folder = copyOf("plain", t);
  unpack(folder);
  const { origin } = await serve(folder, t, { "Content-Security-Policy": csp(models.origin) });
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  const mistakes = mistakesOf(page);
  await page.addInitScript(prepare);
  const model = `${models.origin}/sprat-tiny/`;
  await page.goto(`${origin}/?model=${model}`);
  return { page, model, mistakes, folder };
}

test("a page without a build chats under a strict content security policy", async (t) => {
  const { page, mistakes } = await site(t);
  await answersBoth(page);
  assert.deepEqual(mistakes, []);
});

test("a page that requires trusted types allows the workers' addresses in its default policy", async (t) => {
  const trusted = (models) => `${policy(models)}; require-trusted-types-for 'script'; trusted-types default`;
  const { page, mistakes } = await site(t, trusted, () => {
    const ours = (url) => (/\/sprat\/(worker|link)\.js$/.test(url) ? url : null);
    globalThis.trustedTypes?.createPolicy("default", { createScriptURL: ours });
  });
  await answersBoth(page);
  assert.deepEqual(mistakes, []);
});

test("the engine runs in a dedicated worker", async (t) => {
  const { page, model, mistakes } = await site(t);
  const answer = (question) =>
    page.evaluate(
      ([model, question]) =>
        new Promise((resolve, reject) => {
          globalThis.worker ??= new Worker("worker.js", { type: "module" });
          globalThis.worker.onmessage = ({ data }) => resolve(data);
          globalThis.worker.onerror = ({ message }) => reject(new Error(message));
          globalThis.worker.postMessage({ model, question });
        }),
      [model, question],
    );
  assert.deepEqual(await answer("What is 17 * 23?"), { text: "391", source: "exact" });
  assert.equal((await answer("Hello!")).source, "device");
  assert.deepEqual(mistakes, []);
});

/** Registers a service worker of the page's own; gives what asks it to do something, and waits for its answer. */
async function serviceWorker(page, script) {
  await page.evaluate(async (script) => {
    await navigator.serviceWorker.register(script, { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    globalThis.askServiceWorker = (request) => {
      const { port1, port2 } = new MessageChannel();
      active.postMessage(request, [port2]);
      return new Promise((resolve, reject) => {
        port1.onmessage = ({ data: { result, failure } }) => (failure ? reject(new Error(failure)) : resolve(result));
      });
    };
  }, script);
  return (request) => page.evaluate((request) => globalThis.askServiceWorker(request), request);
}

test("a service worker without the engine: every face says so, and a cloud answers", async (t) => {
  const { page, model } = await site(t);
  const ask = await serviceWorker(page, "service-worker-without.js");
  const unsupported = { name: "SpratError", code: "unsupported" };
  const promptApi = { ...unsupported, name: "NotSupportedError" };
  assert.deepEqual(await ask({ model }), {
    load: unsupported,
    stored: unsupported,
    openai: unsupported,
    promptApi,
    availability: "unavailable",
    cloud: "From afar.",
    same: "From afar.",
  });
});

test("a service worker with the engine: all faces answer in it, what it stores stays, and what was disposed of is given back", async (t) => {
  const { page, model } = await site(t);
  const ask = await serviceWorker(page, "service-worker.js");
  const question = "I am on holiday at the sea with two friends. What is the capital of France?";
  const { device, ...said } = await ask({ do: "chat", model, question });
  assert.equal(device.sealed, false, "no policy can keep a service worker from the network that it is for");
  assert.deepEqual(said.exact, { text: "391", source: "exact" });
  assert.equal(said.answer.source, "device");
  assert.ok(said.tokens > 3);
  assert.deepEqual(said.saved, { tokens: said.restored, level: "open" });
  assert.ok(said.restored > 0);
  assert.deepEqual(await ask({ do: "faces", model, question }), { openai: said.answer.text, promptApi: said.answer.text, availability: "available" });
  assert.deepEqual(await ask({ do: "stop", model }), "aborted");
  assert.equal(await ask({ do: "gpu", model }), "webgpu_unavailable");
  const stored = await ask({ do: "stored" });
  assert.deepEqual(stored.map(({ urls }) => urls), [[model]]);
  const [first, ...later] = await ask({ do: "cycles", model, times: 12 });
  assert.equal(later.length, 11);
  // Twelve models that are kept would be 40 MB; what goes when garbage is collected may cost one of them.
  assert.ok(later.at(-1) - later[2] < 8e6, `bytes of the module's memory: ${[first, ...later]}`);
});

for (const trap of [false, true]) {
  test(`a ${trap ? "trap" : "panic"} in a service worker fails what waits, and what comes, until the browser starts it again`, async (t) => {
    const { page, model, folder } = await site(t);
    const script = path.join(folder, "sprat/cpu/sprat_edge.js");
    // What Rust calls when it panics, for the test to call.
    const [hook, glue] = [/export function onPanic\(listener\)\s*\{/, readFileSync(script, "utf8")];
    assert.match(glue, hook);
    writeFileSync(script, glue.replace(hook, (begin) => `${begin} globalThis.panic = listener;`));
    const ask = await serviceWorker(page, "service-worker.js");
    const message = "panic at lib.rs:1";
    assert.deepEqual(await ask({ do: "panic", model, message, trap }), [
      { code: "worker_lost", message: `the engine's worker stopped: ${message}` },
      { code: "worker_lost", message: `the engine in this service worker stopped: ${message}` },
    ]);
  });
}
