// <sprat-chat> with the real sprat-tiny: by its attributes alone, under the policy that the README asks for.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { hardQuestion } from "./lib/bench.js";
import { PATIENCE } from "./lib/browser.js";
import { ElementPage, launchPlain, serve } from "./lib/element.js";
import { WEB } from "./lib/server.js";

const MODEL = { model: "/models/sprat-tiny/", device: "cpu" };
let server;
let browser;
before(async () => {
  if (!existsSync(path.join(WEB, "sprat"))) throw new Error(`there is no built page in ${WEB}: build it with \`cargo xtask build\``);
  server = await serve({ web: WEB });
  browser = await launchPlain();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** A page whose model is ready. */
async function ready(attributes = {}) {
  const tab = await ElementPage.open(browser, server.origin, { fake: null, attributes: { ...MODEL, ...attributes } });
  tab.page.setDefaultTimeout(PATIENCE);
  await tab.page.waitForFunction(() => globalThis.told.some(({ name }) => name !== "sprat-answer"));
  assert.equal((await tab.told())[0].name, "sprat-ready");
  return tab;
}

test("loads, answers here, computes, and is gone when it is removed", async () => {
  const tab = await ready();
  await tab.text("Everything stays on this device").waitFor();
  const exact = await tab.ask("what is 17 * 23?");
  assert.equal(await exact.getAttribute("data-source"), "exact");
  assert.match(await exact.innerText(), /391/);
  await tab.page.evaluate(() => globalThis.chat.clear());
  const [example] = (await tab.told())[0].detail.model.examples.slice(-1);
  await tab.button(example).click();
  await tab.answers.first().and(tab.page.locator("[data-state=done]")).waitFor();
  assert.deepEqual(await tab.violations(), []);
  await tab.picture("model");
  assert.deepEqual(tab.mistakes.map(String), []);
  const workers = tab.page.workers();
  assert.ok(workers.length > 0);
  const ended = Promise.all(workers.map((worker) => worker.waitForEvent("close")));
  await tab.page.evaluate(() => globalThis.chat.remove());
  await ended;
  await tab.context.close();
});

test("what was asked in private is sent only once the person has said so, in a new conversation", async () => {
  const tab = await ready({ cloud: "/v1", private: "" });
  const question = hardQuestion();
  const asked = () => server.requests.filter((request) => request.endsWith("/chat/completions")).length;
  const answer = await tab.ask(question);
  assert.equal(await answer.getAttribute("data-state"), "error");
  await tab.text("the cloud was not asked").waitFor();
  assert.equal(asked(), 0);
  await tab.button("Ask without Private").click();
  await tab.button("Ask openly").click();
  await tab.page.waitForFunction(() => globalThis.chat.getAttribute("private") === null);
  // There is no cloud at that address, which the person is told; what counts is that it was asked.
  await tab.answers.first().and(tab.page.locator(":not([data-state=streaming])")).waitFor();
  assert.ok(asked() > 0);
  assert.equal(await tab.answers.count(), 1);
  assert.equal(await tab.chat.getAttribute("private"), null);
  await tab.context.close();
});

test("a card number turns Private on, where the person sees it, and a name is asked about with what would be sent", async () => {
  const tab = await ready({ cloud: "/v1" });
  const asked = () => server.requests.filter((request) => request.endsWith("/chat/completions")).length;
  const before = asked();
  const named = `My name is Ada Example. ${hardQuestion()}`;
  const answer = tab.ask(named);
  const dialog = tab.chat.getByRole("dialog");
  await dialog.waitFor();
  assert.match(await dialog.innerText(), new RegExp(`Send this to ${new URL(server.origin).host}`));
  assert.equal(await dialog.getByRole("listitem").innerText(), named);
  await dialog.getByRole("button", { name: "Don’t send" }).click();
  assert.equal(await (await answer).getAttribute("data-source"), "device");
  assert.equal(await tab.chat.getAttribute("private"), null);

  const found = await tab.ask(`My card is 4111 1111 1111 1111. ${hardQuestion()}`);
  assert.equal(await found.getAttribute("data-state"), "error");
  await tab.text("This stayed on this device").waitFor();
  assert.notEqual(await tab.chat.getAttribute("private"), null);
  assert.ok(await tab.chat.getByRole("switch").isChecked());
  assert.equal(asked(), before);
  await tab.context.close();
});
