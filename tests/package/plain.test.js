// A plain page, with the package's folder beside it and no build: in a page, in a worker, in a service worker.

import assert from "node:assert/strict";
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
  return { page, model, mistakes };
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

test("in a service worker every face says that there is no engine, and a cloud answers", async (t) => {
  const { page, model } = await site(t);
  const seen = await page.evaluate(async (model) => {
    await navigator.serviceWorker.register("service-worker.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    active.postMessage({ model }, [port2]);
    return new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
  }, model);
  const unsupported = { name: "SpratError", code: "unsupported" };
  const promptApi = { ...unsupported, name: "NotSupportedError" };
  assert.deepEqual(seen, {
    load: unsupported,
    stored: unsupported,
    openai: unsupported,
    promptApi,
    availability: "unavailable",
    cloud: "From afar.",
    same: "From afar.",
  });
});
