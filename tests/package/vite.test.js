// A Vite project that has installed the package: types, build, development server, and what a build leaves out.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { launchAlone } from "../browser/lib/browser.js";
import { answersBoth, ask, mistakesOf } from "./lib/consumer.js";
import { policy } from "./lib/policy.js";
import { serve } from "./lib/serve.js";
import { ROOT } from "./lib/tarball.js";
import { build, develop, install, run } from "./lib/vite.js";

let browser;
before(async () => {
  install();
  browser = await launchAlone();
});
after(() => browser?.close());

/** The models on a server of their own, which other sites may ask. */
const models = (t) => serve(path.join(ROOT, "web/models"), t, { "Access-Control-Allow-Origin": "*" });

/** Opens the page at an address. */
async function chats(t, address, { origin }) {
  const page = await browser.newPage();
  t.after(() => page.close());
  const mistakes = mistakesOf(page);
  await page.goto(`${address}/?model=${origin}/sprat-tiny/`);
  await answersBoth(page);
  assert.deepEqual(mistakes, []);
}

test("TypeScript, strict, finds nothing wrong with the types", () => {
  run("tsc");
});

test("a built page chats under a strict policy, and fetches only the module that it needs", async (t) => {
  const from = await models(t);
  // The page's icon is an empty one.
  const csp = `${policy(from.origin)}; img-src data:`;
  const { origin, asked } = await serve(build(t), t, { "Content-Security-Policy": csp });
  await chats(t, origin, from);
  const engines = asked.filter((file) => /sprat_edge.*\.wasm$/.test(file));
  assert.equal(engines.length, 1, engines.join(", "));
});

test("a page in development chats", async (t) => {
  await chats(t, await develop(t), await models(t));
});

test("a page that only asks the cloud downloads no engine, and its build has none", async (t) => {
  const built = build(t, "cloud");
  // Nor does the build write any: neither a module nor a worker.
  const files = readdirSync(built, { recursive: true }).filter((file) => path.extname(file));
  assert.deepEqual(files.map((file) => path.extname(file)).sort(), [".html", ".js"], files.join(", "));
  const { origin, asked } = await serve(built, t);
  const page = await browser.newPage();
  t.after(() => page.close());
  const message = { role: "assistant", content: "From afar." };
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({ json: { id: "1", object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }] } }),
  );
  await page.goto(`${origin}/`);
  assert.deepEqual(await ask(page, "Hello!"), { state: "cloud", text: "From afar." });
  // The page and its one script.
  assert.equal(asked.length, 2, asked.join(", "));
});
