// A webpack project that has installed the package: its build chats.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { launchAlone } from "../browser/lib/browser.js";
import { answersBoth, mistakesOf } from "./lib/consumer.js";
import { policy } from "./lib/policy.js";
import { serve } from "./lib/serve.js";
import { ROOT } from "./lib/tarball.js";
import { bundle } from "./lib/webpack.js";

let browser;
before(async () => (browser = await launchAlone()));
after(() => browser?.close());

test("a page built without a configuration chats under a strict policy, and fetches one module of the engine", async (t) => {
  const models = await serve(path.join(ROOT, "web/models"), t, { "Access-Control-Allow-Origin": "*" });
  const { origin, asked } = await serve(bundle(t), t, { "Content-Security-Policy": `${policy(models.origin)}; img-src data:` });
  const page = await browser.newPage();
  const mistakes = mistakesOf(page);
  await page.goto(`${origin}/?model=${models.origin}/sprat-tiny/`);
  await answersBoth(page);
  assert.deepEqual(mistakes, []);
  // The one that it runs on, and the other worker's, by names that webpack has given them.
  assert.equal(asked.filter((file) => file.endsWith(".wasm")).length, 2, asked.join(", "));
});
