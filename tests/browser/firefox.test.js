// The CPU path in Firefox: the engine is not Chromium's alone. Driven by WebDriver BiDi, which stock Firefox speaks.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { after, before, test } from "node:test";
import puppeteer from "puppeteer-core";
import { edited, trying } from "./lib/leaks.js";
import { Recorder } from "./lib/recorder.js";
import { Server } from "./lib/server.js";

const PATIENCE = 120_000;
/** Firefox holds these against the page's policy in place of the worker's: there they are only taken away (seal.js). */
const OUTSIDE = ["EventSource", "FontFace"];

function findFirefox() {
  if (process.env.FIREFOX) return process.env.FIREFOX;
  for (const name of ["firefox-esr", "firefox"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("there is no Firefox: install it (`apt install firefox-esr`), or say where it is in FIREFOX");
}

/** @type {Server} */
let server;
/** @type {Recorder} */
let recorder;
/** @type {import("puppeteer-core").Browser} */
let browser;
/** @type {import("puppeteer-core").Page} */
let page;
const mistakes = [];
before(async () => {
  server = await Server.start();
  recorder = await new Recorder(server.origin).start();
  const { hostname, port } = new URL(recorder.address);
  const extraPrefsFirefox = {
    "network.proxy.type": 1,
    "network.proxy.http": hostname,
    "network.proxy.http_port": Number(port),
    "network.proxy.allow_hijacking_localhost": true,
  };
  const executablePath = findFirefox();
  browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true, defaultViewport: null, extraPrefsFirefox });
  page = await browser.newPage();
  page.on("pageerror", (error) => mistakes.push(error.message));
  await page.goto(`${server.origin}/?device=cpu`);
});
after(async () => {
  await browser?.close();
  await recorder?.stop();
  await server?.kill();
});

/** The library's own way to wait makes code of text, which the page's policy forbids. */
async function until(holds, value) {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE; ) {
    if (await page.evaluate(holds, value)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it never came to hold: ${holds}`);
}

async function answer(question) {
  const chat = await page.$("sprat-chat");
  const before = await chat.evaluate(({ shadowRoot }) => shadowRoot.querySelectorAll("[data-answer]").length);
  await chat.evaluate((chat) => chat.focus());
  await page.keyboard.type(question);
  await page.keyboard.press("Enter");
  const ended = (at) => {
    const answers = document.querySelector("sprat-chat").shadowRoot.querySelectorAll("[data-answer]");
    return ["done", "error"].includes(answers[at]?.dataset.state);
  };
  await until(ended, before);
  return page.evaluate((at) => {
    const element = document.querySelector("sprat-chat").shadowRoot.querySelectorAll("[data-answer]")[at];
    return { state: element.dataset.state, source: element.dataset.source, text: element.innerText };
  }, before);
}

test("answers here, computes, and hands over", async () => {
  await until(() => document.querySelector("sprat-chat").status?.state === "ready");
  assert.match(await page.$eval("#device-words", ({ textContent }) => textContent), /CPU/);
  const exact = await answer("what is 17 * 23?");
  assert.deepEqual([exact.state, exact.source], ["done", "exact"]);
  assert.match(exact.text, /\b391\b/);
  const here = await answer("What is the capital of France?");
  assert.deepEqual([here.state, here.source], ["done", "device"]);
  assert.match(here.text, /Paris/);
  const there = await answer("Explain in detail why the Roman Empire fell, and compare what three historians say about it.");
  assert.deepEqual([there.state, there.source], ["done", "cloud"], there.text);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, "firefox.png") });
});

test("takes the module for its SIMD", async () => {
  const relaxed = await page.evaluate(async () => (await import("/sprat/simd.js")).hasRelaxedSimd());
  const modules = recorder.requests.map(({ path }) => path).filter((path) => /\/cpu\/.*\.wasm$/.test(path));
  assert.deepEqual([...new Set(modules)], [`/sprat/cpu/sprat_edge${relaxed ? "_relaxed" : ""}_bg.wasm`]);
});

test("stores the model, and seals the engine's worker", async () => {
  const seen = await page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    // Firefox tells of what it refused from another process: on a busy machine later than the worker waits.
    for (let tries = 1; ; tries += 1) {
      const sprat = await Sprat.load({ model: "/models/sprat-tiny/", device: "cpu" });
      const { sealed } = sprat.device;
      const { stored } = sprat.model;
      sprat.dispose();
      if (sealed || tries === 3) return { sealed, stored };
    }
  });
  assert.deepEqual(seen, { sealed: true, stored: true });
  assert.deepEqual(mistakes, []);
});

test("the policy stops the engine's worker from whatever it tries, but for what Firefox leaves out of it", async () => {
  recorder.alter(/\/sprat\/worker\.js$/, (script) =>
    trying(OUTSIDE).reduce((code, [before, after]) => edited(code, before, after), String(script)),
  );
  const word = "zqvkxjtried";
  const ended = await page.evaluate(async (word) => {
    const { Sprat } = await import("/sprat/sprat.js");
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", device: "cpu" });
    let end = "without a word";
    try {
      const question = [{ role: "user", content: `What is ${word} ?` }];
      for await (const { type } of sprat.chat(question, { private: true, maxTokens: 4 })) end = type;
    } catch ({ code }) {
      end = code;
    }
    sprat.dispose();
    return end;
  }, word);
  assert.ok(["end", "private_unanswerable"].includes(ended), ended);
  const left = recorder.requests.filter(({ url, body }) => url.href.includes(word) || body.includes(word)).map(({ path, url }) => path + url.search);
  assert.deepEqual(left, []);
  assert.ok(recorder.requests.some(({ path }) => path.endsWith("/sprat/worker.js")), "the recorder sees nothing");
});
