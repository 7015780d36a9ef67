// What a webview may lack, one by one and all at once: the unpacked package in a plain page, from a server that sends no
// special headers, as an asset loader does. And the page that an app brings along, with little memory.

import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ChatPage, launchAlone } from "../browser/lib/browser.js";
import { limitMemory, memoryOf, pageProcess } from "../browser/lib/processes.js";
import { serve } from "./lib/serve.js";
import { ROOT, copyOf, unpack } from "./lib/tarball.js";

const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 3, isMobile: true, hasTouch: true };
/** Runs in page and workers before anything else. */
const NO_GPU = `Object.defineProperty(navigator, "gpu", { value: undefined });`;
const NO_OPFS = `if (navigator.storage) navigator.storage.getDirectory = () => Promise.reject(new DOMException("refused", "SecurityError"));`;
const NO_DATABASE = `indexedDB.open = () => { throw new DOMException("refused", "SecurityError"); };`;
const NO_STORAGE = `Object.defineProperty(navigator, "storage", { value: undefined });`;

/** @type {Record<string, { context?: object, slow?: number, without?: string, kept?: boolean }>} `kept`: false where the model cannot be stored */
const PLACES = {
  "a small phone with a slow processor": { context: PHONE, slow: 6 },
  "OPFS refused": { without: NO_OPFS },
  "OPFS and IndexedDB refused": { without: NO_OPFS + NO_DATABASE, kept: false },
  "no storage at all, as on a page that is not secure": { without: NO_STORAGE + NO_DATABASE, kept: false },
  "all of it": { context: PHONE, slow: 6, without: NO_GPU + NO_OPFS + NO_DATABASE, kept: false },
};

/** In the page: loads the model and asks it; a second load shows what was kept. */
async function visit(model) {
  const { Sprat } = await import("./sprat/sprat.js");
  const warnings = [];
  const sprat = await Sprat.load({ model, onWarning: ({ code }) => warnings.push(code) });
  const answers = [];
  for (const content of ["What is 17 * 23?", "Hello!"]) {
    for await (const event of sprat.chat([{ role: "user", content }])) {
      if (event.type === "end") answers.push([event.receipt.source, event.text]);
    }
  }
  const seen = { answers, warnings, stored: sprat.model.stored, device: sprat.device.kind, isolated: crossOriginIsolated, threads: typeof SharedArrayBuffer };
  sprat.dispose();
  return seen;
}

let browser;
before(async () => (browser = await launchAlone()));
after(() => browser?.close());

describe("a model answers with", () => {
  let site;
  const stops = [];
  before(async () => {
    const t = { after: (stop) => stops.push(stop) };
    const folder = copyOf("plain", t);
    unpack(folder);
    cpSync(path.join(ROOT, "web/models"), path.join(folder, "models"), { recursive: true });
    site = await serve(folder, t);
  });
  after(() => Promise.all(stops.map((stop) => stop())));

  for (const [name, { context = {}, slow, without = "", kept = true }] of Object.entries(PLACES)) {
    test(name, async (t) => {
      const own = await browser.newContext(context);
      t.after(() => own.close());
      await own.addInitScript({ content: without });
      await own.route(/\/sprat\/(worker|link)\.js$/, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: without + (await response.text()) });
      });
      const page = await own.newPage();
      if (slow) await (await own.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: slow });
      const mistakes = [];
      page.on("pageerror", (error) => mistakes.push(String(error)));
      await page.goto(`${site.origin}/worker.js`);
      const seen = await page.evaluate(visit, "models/sprat-tiny/");
      assert.deepEqual(seen.answers[0], ["exact", "391"]);
      assert.equal(seen.answers[1][0], "device");
      assert.match(seen.answers[1][1], /\w/);
      assert.deepEqual([seen.device, seen.isolated, seen.threads], ["cpu", false, "undefined"]);
      if (!kept) assert.deepEqual([seen.stored, seen.warnings.includes("storage_refused")], [false, true]);
      assert.deepEqual(mistakes, []);
    });
  }
});

describe("with 512 MB of memory", () => {
  const MOST = 512 * 2 ** 20;

  test("the page that an app brings along answers, and is refused what would be more", async (t) => {
    const own = await browser.newContext(PHONE);
    t.after(() => own.close());
    const chat = new ChatPage(own, "");
    chat.page = await own.newPage();
    // A small file in the page's own process, for the limit to be there before the page is.
    const address = (file) => pathToFileURL(path.join(ROOT, "dist", file)).href;
    await chat.page.goto(address("webview/icon.svg"));
    const id = await pageProcess(await browser.newBrowserCDPSession());
    limitMemory(id, MOST);
    await chat.page.goto(address("webview/index.html"));
    await chat.ready();
    const said = await chat.answer("Hello!");
    assert.deepEqual([said.state, said.source], ["done", "device"]);
    const { peak } = memoryOf(id);
    t.diagnostic(`peak of the page's process: ${(peak / 1e6).toFixed(0)} MB`);
    assert.ok(peak < MOST, `${peak} bytes`);
    // Else the limit would be none: a page without it is given this.
    const given = await chat.page
      .evaluate((bytes) => {
        const kept = [];
        for (let at = 0; at < 8; at += 1) kept.push(new Uint8Array(bytes / 8).fill(1));
        return kept.length;
      }, MOST)
      .catch(() => "refused");
    assert.equal(given, "refused");
  });
});
