// <sprat-chat> in a page of somebody else, with a fake Sprat: its words, its levels, its life, and without a trace.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ElementPage, launchPlain, serve } from "./lib/element.js";

const CLOUD = { cloud: "https://api.example.org/v1" };
let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launchPlain();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** @type {import("./lib/element.js").InPage} */
const inPage = (options, body) => ElementPage.within(browser, server.origin, options, body);

describe("words", () => {
  test("the language is the element's, the page's, or the browser's", () =>
    inPage({ attributes: { lang: "ko-KR" }, context: { locale: "ja-JP" } }, async (tab, page) => {
      const placeholder = () => tab.message.getAttribute("placeholder");
      assert.equal(await placeholder(), "무엇이든 물어보세요");
      const again = (change) => page.evaluate(change).then(placeholder);
      assert.equal(await again(() => globalThis.chat.removeAttribute("lang")), "Ask something", "the page is in English");
      await page.evaluate(() => document.documentElement.removeAttribute("lang"));
      assert.equal(await again(() => globalThis.chat.setAttribute("lang", "")), "質問を入力");
      assert.equal(await again(() => (globalThis.chat.lang = "fr")), "Ask something");
    }));

  test("a page can bring its own, of one word or of a language, at any time", () =>
    inPage({}, async (tab, page) => {
      await tab.ask("17 * 23");
      await page.evaluate(() => {
        globalThis.chat.lang = "fr";
        globalThis.chat.strings = { send: "Envoyer", "source.exact": "Calculé", "error.unknown": "x" };
      });
      await tab.button("Envoyer").waitFor();
      await tab.button("Calculé").waitFor();
      assert.equal(await tab.chat.getByRole("group").first().getAttribute("lang"), "fr");
      await page.evaluate(() => (globalThis.chat.strings = {}));
      await tab.button("Send").waitFor();
    }));
});

test("an answer's Markdown is shown, and nothing in it runs or is fetched", () =>
  inPage({}, async (tab, page) => {
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    const answer = await tab.ask("markup");
    assert.match(await answer.innerText(), /<img src=x onerror=.*<script>/);
    assert.equal(await page.evaluate(() => globalThis.broken), undefined);
    assert.deepEqual(requests, []);
    assert.deepEqual(await answer.locator("img, script, [onerror]").count(), 0);
    const whole = await tab.ask("What is a sprat?");
    const link = whole.getByRole("link", { name: "the article" });
    assert.equal(await link.getAttribute("rel"), "noopener noreferrer nofollow");
    assert.equal(await link.getAttribute("referrerpolicy"), "no-referrer");
    assert.equal(await whole.locator("table td").count(), 4);
    assert.equal(await whole.locator("ol > li").count(), 2);
    // In private, an address that could carry what was said is not there to be followed.
    await page.evaluate(() => globalThis.chat.setAttribute("private", ""));
    assert.equal(await whole.getByRole("link").count(), 0);
    assert.match(await whole.innerText(), /the article \(https:\/\/example\.org\/sprat\)/);
  }));

test("ask, stop and clear; events tell what came of it", () =>
  inPage({ attributes: CLOUD }, async (tab, page) => {
    const ask = (text) => page.evaluate((text) => globalThis.chat.ask(text), text);
    assert.equal((await ask(" 17 * 23 ")).text, "17 × 23 = 391");
    assert.equal(await ask("  "), null);
    assert.equal(await ask("broken"), null);
    const stopped = ask("endless");
    await tab.text("Once upon a time").waitFor();
    assert.equal(await page.evaluate(() => globalThis.chat.busy), true);
    assert.equal(await ask("another"), null, "one answer at a time");
    await page.evaluate(() => globalThis.chat.stop());
    assert.equal(await stopped, null);
    const cleared = ask("endless");
    await tab.text("Once upon a time").last().waitFor();
    await page.evaluate(() => globalThis.chat.clear());
    assert.equal(await cleared, null);
    assert.equal(await tab.answers.count(), 0);
    const told = await tab.told();
    assert.deepEqual(told.map(({ name }) => name), ["sprat-ready", "sprat-answer", "sprat-error"]);
    assert.equal(told[0].detail.model.name, "sprat-tiny");
    const { question, text, private: isPrivate, receipt } = told[1].detail;
    assert.deepEqual([question, text, isPrivate, receipt.source], ["17 * 23", "17 × 23 = 391", false, "exact"]);
    assert.deepEqual(told[2].detail, { code: "cloud_unreachable", message: "a fake cloud_unreachable", hint: "", during: "answer" });
  }));

test("a failed answer can be asked again in its place", () =>
  inPage({}, async (tab, page) => {
    await tab.ask("only once");
    assert.match(await tab.answers.first().innerText(), /Half an[\s\S]*The cloud broke off/);
    await tab.button("Retry").click();
    await tab.text("Answered: only once").waitFor();
    assert.equal(await tab.answers.count(), 1);
    const calls = await page.evaluate(() => globalThis.sprat.calls);
    assert.deepEqual(calls.map(({ messages }) => messages.length), [1, 1], "what had failed is not told to the model");
  }));

test("a receipt says who answered, why, how sure it was, and what was sent", () =>
  inPage({ attributes: CLOUD }, async (tab) => {
    const answer = await tab.ask("a hard question");
    const badge = answer.getByRole("button", { name: "Cloud · 1.2 kB" });
    assert.equal(await badge.getAttribute("aria-expanded"), "false");
    await badge.click();
    const words = await answer.getByRole("group", { name: "Receipt" }).innerText();
    for (const part of ["sprat-small in the cloud", "only 41% sure of its answer, below the 80% needed", "41%; 80% would be enough", "1.2 kB to the cloud"]) {
      assert.ok(words.includes(part), part);
    }
  }));

describe("private", () => {
  test("is passed on, is plain about it, and what was said is in no event", () =>
    inPage({ attributes: CLOUD }, async (tab, page) => {
      await tab.text("What this device is not sure of goes to api.example.org").waitFor();
      await tab.private.click();
      await tab.text("Nothing leaves this device, even if it is not sure").waitFor();
      assert.equal(await page.evaluate(() => globalThis.chat.private), true);
      assert.deepEqual(await tab.message.evaluate((box) => [box.spellcheck, box.getAttribute("writingsuggestions")]), [false, "false"]);
      await tab.ask("a secret");
      await tab.ask("a hard secret");
      await tab.text("the cloud was not asked").waitFor();
      assert.deepEqual(await page.evaluate(() => globalThis.sprat.calls.map((call) => call.private)), [true, true]);
      const told = await tab.told();
      assert.deepEqual(told.map(({ name }) => name), ["sprat-ready", "sprat-answer", "sprat-error"]);
      assert.doesNotMatch(JSON.stringify(told), /secret|herring|empire/);
    }));

  test("can only be left by starting anew, which the person is asked for", () =>
    inPage({ attributes: { ...CLOUD, private: "" } }, async (tab, page) => {
      await tab.ask("a secret");
      await tab.private.click();
      await tab.button("Stay private").click();
      assert.ok(await tab.private.isChecked());
      assert.equal(await tab.answers.count(), 1);
      await tab.private.click();
      await tab.button("Start a new one").click();
      await page.waitForFunction(() => !globalThis.chat.private);
      assert.ok(!(await tab.private.isChecked()));
      assert.equal(await tab.answers.count(), 0);
      await tab.ask("hi");
      const { messages, private: isPrivate } = await page.evaluate(() => globalThis.sprat.calls.at(-1));
      assert.deepEqual([messages.length, isPrivate], [1, false]);
      // A page's script can do so without asking, and it starts anew, too.
      await page.evaluate(() => {
        globalThis.chat.private = true;
        globalThis.chat.private = false;
      });
      assert.equal(await tab.answers.count(), 0);
    }));

  test("stops what was asked in the open and is still coming", () =>
    inPage({ attributes: CLOUD }, async (tab) => {
      await tab.message.fill("endless");
      await tab.message.press("Enter");
      await tab.text("Once upon a time").waitFor();
      await tab.private.click();
      await tab.text("Stopped", { exact: true }).waitFor();
    }));

  test("with Cloud only, nothing is asked of a person but what to change", () =>
    inPage({ attributes: { ...CLOUD, private: "", mode: "cloud" } }, async (tab, page) => {
      await tab.text("Private and Cloud only exclude each other: nothing can be answered").waitFor();
      await tab.ask("broken");
      await tab.button("Ask this device").click();
      assert.equal(await page.evaluate(() => globalThis.chat.mode), "device");
      await page.waitForFunction(() => globalThis.sprat.calls.length === 2);
      assert.deepEqual(await page.evaluate(() => globalThis.sprat.calls.map(({ mode }) => mode)), ["cloud", "device"]);
    }));
});

describe("level", () => {
  const asked = (page) => page.evaluate(() => globalThis.sprat.calls.map(({ level }) => level));

  test("is chosen by the person, rises at once, and is lowered only by starting anew", () =>
    inPage({ attributes: CLOUD }, async (tab, page) => {
      await tab.ask("hi");
      await tab.level.selectOption("ask");
      await tab.text("You are asked before anything goes to api.example.org").waitFor();
      await tab.ask("hi");
      assert.equal(await tab.answers.count(), 2);
      await tab.level.selectOption("open");
      await tab.button("Keep asking me").click();
      assert.equal(await tab.level.inputValue(), "ask");
      await tab.private.click();
      assert.equal(await tab.level.inputValue(), "private");
      await tab.ask("hi");
      // From Private the way leads back to what was chosen before.
      await tab.private.click();
      await tab.button("Start a new one").click();
      await page.waitForFunction(() => globalThis.chat.level === "ask");
      assert.equal(await tab.answers.count(), 0);
      await tab.level.selectOption("open");
      await tab.ask("hi");
      assert.deepEqual(await asked(page), ["open", "ask", "private", "open"]);
      assert.deepEqual(await page.evaluate(() => [globalThis.chat.level, globalThis.chat.private]), ["open", false]);
    }));

  test("rises by what is found, for this conversation alone", () =>
    inPage({ attributes: CLOUD }, async (tab, page) => {
      const answer = tab.ask("my name");
      await tab.chat.getByRole("dialog").getByRole("button", { name: "Send", exact: true }).click();
      assert.equal(await (await answer).getAttribute("data-source"), "cloud");
      assert.equal(await tab.level.inputValue(), "ask");
      assert.equal(await page.evaluate(() => globalThis.chat.level), "open");
      await page.evaluate(() => globalThis.chat.clear());
      assert.equal(await tab.level.inputValue(), "open");
    }));

  test("a question to the person goes away with the answer that is stopped", () =>
    inPage({ attributes: CLOUD }, async (tab, page) => {
      const answer = page.evaluate(() => globalThis.chat.ask("my name"));
      await tab.chat.getByRole("dialog").waitFor();
      await page.evaluate(() => globalThis.chat.stop());
      assert.equal(await answer, null);
      await tab.chat.getByRole("dialog").waitFor({ state: "hidden" });
      assert.deepEqual(await page.evaluate(() => globalThis.sprat.consents), [false]);
    }));
});

test("attributes are properties, and what they do not know is the default", () =>
  inPage({ attributes: { mode: "sideways", theme: "pink", device: "abacus" } }, async (tab, page) => {
    const read = () => page.evaluate(() => [globalThis.chat.mode, globalThis.chat.theme, globalThis.chat.device, globalThis.chat.private]);
    assert.deepEqual(await read(), ["auto", "auto", "auto", false]);
    await tab.mode.selectOption("device");
    assert.equal(await tab.chat.getAttribute("mode"), "device", "also where the person chose");
    await page.evaluate(() => {
      Object.assign(globalThis.chat, { mode: "cloud", theme: "dark", device: "cpu", private: true, cloudModel: "m", cloud: "/v1" });
    });
    assert.deepEqual(await read(), ["cloud", "dark", "cpu", true]);
    const attributes = await page.evaluate(() => ["cloud-model", "cloud", "private"].map((name) => globalThis.chat.getAttribute(name)));
    assert.deepEqual(attributes, ["m", "/v1", ""]);
    assert.equal(await tab.mode.inputValue(), "cloud");
  }));

test("a theme overrules the system; variables and parts reach the inside, the page's rules do not", () =>
  inPage({ context: { colorScheme: "dark" }, attributes: { theme: "light" } }, async (tab, page) => {
    const look = (selector, property) =>
      page.evaluate(
        ([selector, property]) => {
          const part = selector === "" ? globalThis.chat : globalThis.chat.shadowRoot.querySelector(selector);
          return getComputedStyle(part)[property];
        },
        [selector, property],
      );
    assert.equal(await look("", "backgroundColor"), "rgb(246, 248, 247)");
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("sprat-chat { --sprat-accent: rgb(1, 2, 3); } sprat-chat::part(send) { border-radius: 0px; }");
      document.adoptedStyleSheets = [sheet];
    });
    assert.equal(await look("[part=send]", "backgroundColor"), "rgb(1, 2, 3)");
    assert.equal(await look("[part=send]", "borderRadius"), "0px");
    assert.notEqual(await look("[part=send]", "display"), "none");
  }));

test("nothing is stored", () =>
  inPage({}, async (tab, page) => {
    await tab.ask("What is a sprat?");
    const stored = await page.evaluate(async () => {
      const files = [];
      for await (const name of (await navigator.storage.getDirectory()).keys()) files.push(name);
      const [databases, stores] = [await indexedDB.databases(), await caches.keys()];
      return [localStorage.length, sessionStorage.length, document.cookie, databases.length, stores.length, files];
    });
    assert.deepEqual(stored, [0, 0, "", 0, 0, []]);
  }));

describe("life", () => {
  test("several on a page are strangers, and can share one engine", () =>
    inPage({}, async (tab, page) => {
      await page.evaluate(() => {
        const other = document.createElement("sprat-chat");
        other.sprat = globalThis.sprat;
        document.querySelector("#there").append(other);
      });
      await tab.ask("17 * 23");
      assert.equal(await page.locator("sprat-chat").nth(1).locator("[data-answer]").count(), 0);
      await page.locator("sprat-chat").nth(1).getByRole("textbox").fill("17 * 23");
      await page.locator("sprat-chat").nth(1).getByRole("textbox").press("Enter");
      await page.locator("sprat-chat").nth(1).locator("[data-state=done]").waitFor();
      assert.equal(await tab.answers.count(), 1);
      assert.deepEqual(await tab.violations(), []);
    }));

  test("moved, it keeps its conversation and the answer that is coming", () =>
    inPage({}, async (tab, page) => {
      await tab.ask("17 * 23");
      await tab.message.fill("endless");
      await tab.message.press("Enter");
      await tab.text("Once upon a time").waitFor();
      await page.evaluate(() => document.querySelector("#there").append(globalThis.chat));
      assert.equal(await tab.answers.count(), 2);
      assert.equal(await page.evaluate(() => globalThis.chat.busy), true);
      await tab.button("Stop").click();
      await tab.text("Stopped", { exact: true }).waitFor();
    }));

  test("removed, it stops, and leaves the engine that it was given alone", () =>
    inPage({}, async (tab, page) => {
      const answer = page.evaluate(() => globalThis.chat.ask("endless"));
      await tab.text("Once upon a time").waitFor();
      await page.evaluate(() => globalThis.chat.remove());
      assert.equal(await answer, null);
      assert.equal(await page.evaluate(() => globalThis.sprat.disposed), false);
      assert.equal(await page.evaluate(() => globalThis.chat.ask("17 * 23")), null, "out of the page it asks nothing");
      await page.evaluate(() => document.querySelector("#here").append(globalThis.chat));
      await tab.ask("17 * 23");
    }));

  test("properties that were set before the element was one are taken over", () =>
    inPage({}, async (tab, page) => {
      const taken = await page.evaluate(async () => {
        const early = document.implementation.createHTMLDocument().createElement("sprat-chat");
        Object.assign(early, { sprat: globalThis.sprat, strings: { send: "Go" } });
        globalThis.chat.replaceWith(early);
        return [early.sprat === globalThis.sprat, early.strings.send, Object.hasOwn(early, "sprat")];
      });
      assert.deepEqual(taken, [true, "Go", false]);
      await tab.button("Go").waitFor();
    }));

  test("one that was given loads, or fails to, and says so", () =>
    inPage({ fake: { ready: false } }, async (tab, page) => {
      await tab.chat.getByRole("progressbar").waitFor();
      await page.evaluate(() => globalThis.sprat.load());
      await tab.chat.getByRole("progressbar").waitFor({ state: "hidden" });
      await page.evaluate(async () => {
        const { FakeSprat } = await import("/fake.js");
        globalThis.chat.sprat = new FakeSprat({ ready: false });
        globalThis.chat.sprat.break("model_corrupt");
      });
      await tab.text("The model’s files are damaged").waitFor();
      assert.equal(await tab.button("Load again").count(), 0, "its owner has to");
      const told = await tab.told();
      assert.deepEqual(told.map(({ name }) => name), ["sprat-ready", "sprat-error"]);
      assert.deepEqual([told[1].detail.code, told[1].detail.during], ["model_corrupt", "load"]);
    }));
});

test("an engine of its own that cannot load can be tried again, and is disposed of with the element", async () => {
  const tab = await ElementPage.open(browser, server.origin, { fake: null });
  const { page } = tab;
  await page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const { dispose } = Sprat.prototype;
    globalThis.disposed = 0;
    Sprat.prototype.dispose = function () {
      globalThis.disposed += 1;
      dispose.call(this);
    };
  });
  const disposed = () => page.evaluate(() => globalThis.disposed);
  await page.evaluate(() => globalThis.chat.setAttribute("model", "/no/model/"));
  await tab.button("Load again").click();
  await tab.button("Load again").waitFor();
  assert.equal(await disposed(), 1, "the one before");
  const errors = (await tab.told()).filter(({ name }) => name === "sprat-error");
  assert.deepEqual(errors.map(({ detail }) => detail.during), ["load", "load"]);
  await page.evaluate(() => document.querySelector("#there").append(globalThis.chat));
  assert.equal(await disposed(), 1, "moved, it keeps its engine");
  await page.evaluate(() => globalThis.chat.remove());
  await page.waitForFunction(() => globalThis.disposed === 2);
  await tab.context.close();
});
