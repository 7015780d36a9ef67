// The page that an app brings along, on a phone's screen and without a network: from a file, and from an address that
// the app answers.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ChatPage, launchAlone } from "../browser/lib/browser.js";
import { ROOT } from "./lib/tarball.js";

const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, offline: true };
const DIST = path.join(ROOT, "dist");

let browser;
before(async () => (browser = await launchAlone()));
after(() => browser?.close());

/** Opens an address that is not the web's; everything that the page asks any network for is in `requests`. */
async function open(t, address, { answer } = {}) {
  const context = await browser.newContext(PHONE);
  t.after(() => context.close());
  const requests = [];
  await context.route(/^https?:/, (route) => {
    const file = answer?.(route.request().url());
    if (file) return route.fulfill({ path: file });
    requests.push(route.request().url());
    return route.abort();
  });
  const violations = [];
  context.on("console", (message) => {
    // The engine's worker tries whether it is sealed, and is told that it is.
    if (message.type() === "error" && !message.text().includes("'data:,'")) violations.push(message.text());
  });
  const chat = new ChatPage(context, "");
  chat.page = await context.newPage();
  chat.page.on("pageerror", (error) => chat.mistakes.push(error));
  await chat.page.goto(address);
  return Object.assign(chat, { requests, violations });
}

/** @param {ChatPage & { requests: string[], violations: string[] }} chat */
async function chats(chat) {
  const exact = await chat.answer("What is 17 * 23?");
  assert.equal(exact.source, "exact");
  assert.match(exact.text, /391/);
  await chat.ready();
  const said = await chat.answer("Hello!");
  assert.deepEqual([said.state, said.source], ["done", "device"]);
  assert.ok(await chat.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the screen");
  assert.equal(await chat.page.locator("#notices").innerText(), "");
  assert.deepEqual(chat.requests, []);
  assert.deepEqual(chat.violations, []);
  assert.deepEqual(chat.mistakes, []);
}

const file = (name) => pathToFileURL(path.join(DIST, name)).href;

describe("without a network", () => {
  test("the folder chats from a file", async (t) => {
    await chats(await open(t, file("webview/index.html")));
  });

  test("the single file chats from a file", async (t) => {
    const chat = await open(t, file("webview-single.html"));
    await chats(chat);
    await chat.picture("webview-single");
  });

  test("the folder chats from an address that the app answers, as an asset loader does", async (t) => {
    const origin = "https://appassets.example";
    const answer = (url) => url.startsWith(`${origin}/`) && path.join(DIST, "webview", new URL(url).pathname);
    const chat = await open(t, `${origin}/index.html`, { answer });
    await chats(chat);
    // An app that brings the page along is its own way to have it offline.
    assert.equal(await chat.page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
  });

  test("a private conversation and the one after it each have an engine of their own", async (t) => {
    const chat = await open(t, file("webview-single.html"));
    await chat.ready();
    await chat.private.click();
    assert.equal((await chat.answer("Hello!")).source, "device");
    await chat.startOver();
    assert.equal((await chat.answer("Hello!")).source, "device");
    assert.deepEqual(chat.requests, []);
  });
});

test("the single file holds no address of another file", () => {
  const page = readFileSync(path.join(DIST, "webview-single.html"), "utf8");
  const head = page.slice(0, page.indexOf("<script>"));
  assert.doesNotMatch(head, /(?:src|href)="(?!data:|#)/);
});
