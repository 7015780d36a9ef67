// The page without a network: what one visit keeps, that it is of one build, and that it is nothing anybody has said.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { canary, hardQuestion } from "./lib/bench.js";
import { ChatPage, PATIENCE, launchAlone } from "./lib/browser.js";
import { ROOT, Server, WEB } from "./lib/server.js";

const web = path.join(mkdtempSync(path.join(os.tmpdir(), "sprat-offline-")), "web");
let server;
let browser;
/** @type {ChatPage} */
let chat;
before(async () => {
  cpSync(WEB, web, { recursive: true });
  server = await Server.start({ web });
  browser = await launchAlone();
  chat = await visit(await browser.newContext());
});
after(async () => {
  await browser?.close();
  await server?.kill();
  rmSync(path.dirname(web), { recursive: true, force: true });
});

async function visit(context) {
  const chat = new ChatPage(context, server.origin);
  chat.page = await context.newPage();
  chat.page.setDefaultTimeout(PATIENCE);
  chat.page.on("pageerror", (error) => chat.mistakes.push(error));
  await chat.page.goto(`${server.origin}/?device=cpu`);
  return chat.ready();
}

/** Another build: every page of it says so. */
function build(name) {
  appendFileSync(path.join(web, "app.js"), `document.documentElement.dataset.test = "${name}";\n`);
  execFileSync("node", [path.join(ROOT, "web/precache.mjs"), web]);
}
/** Resolves when the browser has looked for another build: what it finds must be whole, and not about to be written. */
const looked = (chat) => chat.page.evaluate(async () => void (await (await navigator.serviceWorker.ready).update().catch(() => {})));
const built = (chat) => chat.page.evaluate(() => document.documentElement.dataset.test);

/**
 * What is kept, once a service worker has kept something other than `before`: the caches' names, and all addresses. A look for
 * a new build that comes while one is under way is the same one to a browser, and finds what that finds: as at a visit after
 * this one, there is another after a while.
 */
async function kept(chat, before = []) {
  for (let tries = 1; ; tries += 1) {
    const [state, names, addresses] = await chat.page.evaluate(async (again) => {
      const registration = await navigator.serviceWorker.ready;
      if (again) await registration.update().catch(() => {});
      const names = await caches.keys();
      const lists = names.map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url));
      return [registration.active.state, names, (await Promise.all(lists)).flat()];
    }, tries % 100 === 0);
    if (state === "activated" && names.length === 1 && String(names) !== String(before)) return { names, addresses };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const sealed = (chat) =>
  chat.page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", device: "cpu" });
    const { device } = sprat;
    sprat.dispose();
    return device.sealed;
  });

test("what is kept are the files of the page and of the engine, and nothing that was asked or answered", async () => {
  const word = canary();
  assert.equal((await chat.answer(hardQuestion(word))).source, "cloud");
  const { addresses } = await kept(chat);
  const paths = addresses.map((address) => address.slice(server.origin.length));
  for (const needed of ["/", "/app.js", "/sprat/worker.js", "/sprat/cpu/sprat_edge_relaxed_bg.wasm", "/sprat/link/sprat_link_bg.wasm"]) {
    assert.ok(paths.includes(needed), needed);
  }
  // Of the CPU's modules the one that this browser takes.
  assert.deepEqual(paths.filter((at) => /\?|^\/v1|^\/models|webgpu|mix\/|edge_bg/.test(at)), []);
});

test("without a server and a network it loads, answers, and the engine's worker is as sealed as before", async () => {
  await server.kill();
  await chat.context.setOffline(true);
  await chat.page.reload();
  await chat.ready();
  const here = await chat.answer("What is the capital of France?");
  assert.deepEqual([here.state, here.source], ["done", "device"]);
  assert.match(here.text, /Paris/);
  assert.equal((await chat.answer("what is 17 * 23?")).source, "exact");
  assert.equal(await sealed(chat), true);
  assert.deepEqual(chat.mistakes, []);
});

test("a new build is taken at the next visit, whole, and is there without a network from then on", async () => {
  await server.run();
  await chat.context.setOffline(false);
  await chat.page.reload();
  await chat.ready();
  const { names } = await kept(chat);
  await looked(chat);
  build("second");
  const second = await visit(chat.context);
  assert.equal(await built(second), "second");
  await kept(second, names);
  await second.context.setOffline(true);
  await second.page.reload();
  await second.ready();
  assert.equal(await built(second), "second");
  assert.equal((await second.answer("what is 17 * 23?")).source, "exact");
  assert.deepEqual(second.mistakes, []);
  await second.context.setOffline(false);
});

test("a build that is not whole is not kept: the page works from the network, and without one as the build before", async () => {
  // As in the middle of a copy to the server: a file is there that is not of this build.
  await looked(chat);
  build("third");
  appendFileSync(path.join(web, "style.css"), "/* newer */\n");
  const third = await visit(chat.context);
  assert.equal(await built(third), "third");
  await chat.context.setOffline(true);
  await third.page.reload();
  await third.ready();
  assert.equal(await built(third), "second");
  await chat.context.setOffline(false);

  const other = await visit(await browser.newContext());
  const registered = () => other.page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length);
  // It was tried, and given up.
  await other.page.evaluate(async () => {
    const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" }).catch(() => null);
    const { installing } = registration ?? {};
    if (installing) await new Promise((resolve) => installing.addEventListener("statechange", () => installing.state === "redundant" && resolve()));
  });
  assert.equal(await registered(), 0);
  assert.deepEqual(await other.page.evaluate(() => caches.keys()), []);
  assert.equal((await other.answer("what is 17 * 23?")).source, "exact");
});

test("a page that has only the plain one of the CPU's modules keeps that", async () => {
  rmSync(path.join(web, "sprat/cpu/sprat_edge_relaxed_bg.wasm"));
  build("plain");
  const plain = await visit(await browser.newContext());
  const { addresses } = await kept(plain);
  assert.ok(addresses.includes(`${server.origin}/sprat/cpu/sprat_edge_bg.wasm`));
  await plain.context.setOffline(true);
  await plain.page.reload();
  await plain.ready();
  assert.match((await plain.answer("What is the capital of France?")).text, /Paris/);
});

test("a browser finds nothing wrong with the manifest", async () => {
  const session = await chat.context.newCDPSession(chat.page);
  const { errors, url, data } = await session.send("Page.getAppManifest");
  assert.deepEqual([errors, new URL(url).pathname], [[], "/manifest.webmanifest"]);
  for (const { src } of JSON.parse(data).icons) {
    const icon = await fetch(new URL(src, url));
    assert.equal(icon.headers.get("content-type"), "image/svg+xml", src);
  }
});
