// Who may read a conversation: what is found in it raises its level, and whoever is to be asked sees what would be sent.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bench, COMPLETIONS, canary, hardQuestion } from "./lib/bench.js";

/** @type {Bench} */
let bench;
/** @type {import("./lib/browser.js").ChatPage} */
let chat;
before(async () => {
  bench = await Bench.start({ webgpu: false });
  chat = await (await bench.page()).ready();
});
after(() => bench?.stop());

const personal = (word) => `My name is Ada Example. ${hardQuestion(word)}`;
const question = () => chat.page.getByRole("dialog", { name: /^Send this to/ });
const completions = (from) => bench.recorder.since(from, COMPLETIONS);

test("the engine's worker is sealed, and says so", async () => {
  const device = await chat.page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", device: "cpu" });
    const tokens = await sprat.count([{ role: "user", content: "Hello!" }]);
    const { device } = sprat;
    sprat.dispose();
    return { ...device, tokens };
  });
  assert.equal(device.sealed, true);
  assert.ok(device.tokens > 3, `${device.tokens} tokens`);
});

test("a no sends nothing, and the device's answer stands", async () => {
  const from = bench.recorder.requests.length;
  const word = canary();
  const answer = await chat.ask(personal(word));
  await question().waitFor();
  await chat.picture("ask");
  assert.equal(await question().getByRole("listitem").innerText(), personal(word));
  assert.equal(await question().evaluate((dialog) => dialog.getRootNode().activeElement?.textContent), "Don’t send");
  await question().getByRole("button", { name: "Don’t send" }).click();
  const { state, source } = await chat.finished(answer);
  assert.deepEqual([state, source], ["done", "device"]);
  assert.deepEqual(completions(from), []);
  assert.ok(!bench.recorder.saw(word));
});

test("a yes sends exactly what was shown", async () => {
  const from = bench.recorder.requests.length;
  const word = canary();
  const answer = await chat.ask(personal(word));
  await question().waitFor();
  const shown = await question().getByRole("listitem").allInnerTexts();
  await question().getByRole("button", { name: "Send", exact: true }).click();
  const { state, source } = await chat.finished(answer);
  assert.deepEqual([state, source], ["done", "cloud"]);
  const [call, ...more] = completions(from);
  assert.deepEqual(more, []);
  assert.deepEqual(JSON.parse(call.body).messages.map(({ content }) => content), shown);
  assert.equal(shown.at(-1), personal(word));
});

test("in mode Cloud only a no is told, and nothing is sent", async () => {
  await chat.startOver();
  await chat.mode.selectOption("cloud");
  const from = bench.recorder.requests.length;
  const answer = await chat.ask(personal(canary()));
  await question().waitFor();
  await chat.page.keyboard.press("Escape");
  const { state, text } = await chat.finished(answer);
  assert.equal(state, "error");
  assert.match(text, /Nothing was sent/);
  assert.deepEqual(completions(from), []);
});

test("a card number makes the conversation private, for good", async () => {
  await chat.startOver();
  const from = bench.recorder.requests.length;
  const word = canary();
  const { state, text } = await chat.answer(`My card is 4111 1111 1111 1111. ${hardQuestion(word)}`);
  assert.equal(state, "error");
  assert.match(text, /stayed on this device/);
  assert.ok(await chat.private.isChecked());
  await chat.picture("found-private");
  assert.equal((await chat.answer(hardQuestion(word))).state, "error");
  assert.deepEqual(completions(from), []);
  assert.ok(!bench.recorder.saw(word));
  assert.deepEqual(chat.mistakes, []);
});

test("a person can choose to be asked each time, whatever is in the conversation", async () => {
  await chat.startOver();
  await chat.level.selectOption("ask");
  const from = bench.recorder.requests.length;
  const word = canary();
  const first = await chat.ask(hardQuestion(word));
  await question().waitFor();
  assert.equal(await question().getByRole("listitem").innerText(), hardQuestion(word));
  await question().getByRole("button", { name: "Don’t send" }).click();
  assert.equal((await chat.finished(first)).source, "device");
  assert.deepEqual(completions(from), []);
  await chat.startOver();
  assert.equal(await chat.level.inputValue(), "ask", "it stays chosen");
  await chat.level.selectOption("open");
  assert.equal((await chat.answer(hardQuestion())).source, "cloud");
  assert.equal(completions(from).length, 1);
});

test("a page that shows nobody anything has nothing sent", async () => {
  const from = bench.recorder.requests.length;
  const ends = await chat.page.evaluate(async (content) => {
    const { Sprat } = await import("/sprat/sprat.js");
    const sprat = await Sprat.load({ model: "/models/sprat-tiny/", device: "cpu", cloud: "/v1" });
    const ask = async (options) => {
      try {
        for await (const event of sprat.chat([{ role: "user", content }], options)) {
          if (event.type === "end") return event.receipt.source;
        }
      } catch (error) {
        return error.code;
      }
    };
    const ends = [await ask({}), await ask({ mode: "cloud" }), await ask({ mode: "cloud", onAsk: () => "yes" })];
    sprat.dispose();
    return ends;
  }, personal(canary()));
  assert.deepEqual(ends, ["device", "consent_refused", "consent_refused"]);
  assert.deepEqual(completions(from), []);
});
