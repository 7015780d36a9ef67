// The whole way of a question, on both backends: answered here, computed, taken over, kept private, stopped, broken off.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bench, COMPLETIONS, canary, hardQuestion } from "./lib/bench.js";
import { strangers } from "./lib/browser.js";

for (const device of ["cpu", "webgpu"]) {
  describe(`the page on ${device}`, () => {
    /** @type {Bench} */
    let bench;
    /** @type {import("./lib/browser.js").ChatPage} */
    let chat;
    /** Words of private questions: never to be seen outside, whatever happens later. */
    const secrets = [];

    before(async () => {
      bench = await Bench.start();
      chat = await bench.page({ query: `device=${device}` });
    });
    after(() => bench?.stop());

    const completions = (from) => bench.recorder.since(from, COMPLETIONS);

    test("loads the model and says what it runs on", async () => {
      await chat.ready();
      const words = device === "cpu" ? /CPU/ : /WebGPU/;
      assert.match(await chat.page.getByRole("banner").innerText(), words);
      await chat.picture(`${device}-empty`);
    });

    test("answers each of its own example questions without the cloud", async () => {
      const examples = chat.page.getByRole("list", { name: "Questions to try" }).getByRole("button");
      const questions = await examples.allInnerTexts();
      assert.equal(questions.length, 4);
      const from = bench.recorder.requests.length;
      const sources = [];
      for (const question of questions) {
        await chat.startOver();
        const { state, source, text } = await chat.answer(question);
        assert.equal(state, "done", `${question}: ${text}`);
        sources.push(source);
      }
      assert.ok(sources.includes("device"), sources.join());
      assert.deepEqual(completions(from), [], sources.join());
      await chat.picture(`${device}-answered-here`);
    });

    test("computes what can be computed, and sends nothing", async () => {
      await chat.startOver();
      const from = bench.recorder.requests.length;
      const { state, source, text } = await chat.answer("what is 17 * 23?");
      assert.deepEqual([state, source], ["done", "exact"]);
      assert.match(text, /\b391\b/);
      assert.equal(bench.recorder.requests.length, from);
    });

    test("hands a hard question over, and the badge says so", async () => {
      await chat.startOver();
      const from = bench.recorder.requests.length;
      const word = canary();
      const answer = await chat.ask(hardQuestion(word));
      const { state, source, text } = await chat.finished(answer);
      assert.deepEqual([state, source], ["done", "cloud"], text);
      const calls = completions(from);
      assert.equal(calls.length, 1);
      assert.ok(calls[0].body.includes(word));
      const body = JSON.parse(calls[0].body);
      assert.equal(body.model, "sprat-small");
      assert.equal(body.stream, true);

      await answer.getByRole("button", { name: /cloud/i }).click();
      const receipt = answer.getByRole("group", { name: "Receipt" });
      await receipt.waitFor();
      assert.match(await receipt.innerText(), /sprat-small/);
      assert.ok(!bench.server.log.includes(word), "the server's log holds a person's words");
      await chat.picture(`${device}-handed-over`);
    });

    test("sends nothing of a private question, and the recorder would have seen it", async () => {
      await chat.startOver();
      const from = bench.recorder.requests.length;
      const events = chat.events.length;
      await chat.private.click();
      assert.ok(await chat.private.isChecked());
      const secret = canary();
      secrets.push(secret);
      const { state, source, text } = await chat.answer(hardQuestion(secret));
      assert.notEqual(source, "cloud");
      assert.equal(state, "error", `not sure enough, and not allowed to ask: ${text}`);
      await chat.picture(`${device}-private`);
      assert.equal((await chat.answer("what is 17 * 23?")).source, "exact");
      assert.deepEqual(chat.events.slice(events).map((request) => request.url()), []);
      assert.equal(bench.recorder.requests.length, from);

      // The control: the same kind of question in the open passes the recorder. Whatever the private one had sent
      // was sent before it, so it would be here by now. The engine may start anew in between; that reads files.
      await chat.startOver();
      const open = canary();
      assert.equal((await chat.answer(hardQuestion(open))).source, "cloud");
      const calls = bench.recorder.since(from).filter(({ method, url, body }) => method !== "GET" || url.search || body.length);
      assert.deepEqual(calls.map(({ method, path }) => `${method} ${path}`), ["POST /v1/chat/completions"]);
      assert.ok(bench.recorder.saw(open), "the recorder does not see what is sent");
      assert.ok(!bench.recorder.saw(secret), "a private word left the browser");
      assert.ok(chat.events.length > events, "the browser's own events do not show requests");
      assert.deepEqual(strangers(bench.recorder), []);
    });

    test("refuses Private with Cloud only, and sends nothing", async () => {
      await chat.startOver();
      const from = bench.recorder.requests.length;
      await chat.private.click();
      await chat.mode.selectOption("cloud");
      const secret = canary();
      secrets.push(secret);
      const { state } = await chat.answer(hardQuestion(secret));
      assert.equal(state, "error");
      assert.equal(bench.recorder.requests.length, from);
      assert.ok(!bench.recorder.saw(secret));
    });

    test("follows the mode", async () => {
      await chat.startOver();
      let from = bench.recorder.requests.length;
      await chat.mode.selectOption("device");
      const here = await chat.answer(hardQuestion());
      assert.deepEqual([here.state, here.source], ["done", "device"]);
      assert.equal(bench.recorder.requests.length, from);

      await chat.startOver();
      from = bench.recorder.requests.length;
      await chat.mode.selectOption("cloud");
      const there = await chat.answer("Hello! How are you?");
      assert.deepEqual([there.state, there.source], ["done", "cloud"]);
      assert.equal(completions(from).length, 1);
    });

    test("stops an answer from the cloud, keeps its text and hangs up", async () => {
      await chat.startOver();
      await chat.mode.selectOption("cloud");
      const hold = bench.recorder.holdAnswer(4);
      const answer = await chat.ask("Tell me a story about a small fish.");
      await hold.reached;
      await chat.page.waitForFunction((element) => element.dataset.source === "cloud", await answer.elementHandle());
      assert.equal(await answer.getAttribute("data-state"), "streaming");
      await chat.stop.click();
      const { state } = await chat.finished(answer);
      assert.equal(state, "done");
      await hold.left;
      await chat.send.waitFor();
      assert.equal((await chat.answer("what is 2 + 2?")).state, "done");
    });

    test("stops an answer from the device, and can be asked again", async () => {
      await chat.startOver();
      await chat.mode.selectOption("device");
      // A person is slower than a small model: the button is pressed by the page, the moment it is there.
      await chat.page.evaluate(() => {
        const { shadowRoot } = document.querySelector("sprat-chat");
        const press = new MutationObserver(() => {
          const button = [...shadowRoot.querySelectorAll("button")].find((one) => one.textContent === "Stop" && !one.hidden);
          if (button === undefined || shadowRoot.querySelector("[data-answer]") === null) return;
          press.disconnect();
          button.click();
        });
        press.observe(shadowRoot, { subtree: true, childList: true, attributes: true, characterData: true });
      });
      const answer = await chat.ask("Tell me a long story about a small fish and the sea.");
      const { state, text } = await chat.finished(answer);
      assert.equal(state, "done");
      assert.match(text, /Stopped/);
      const again = await chat.answer("Hello!");
      assert.deepEqual([again.state, again.source], ["done", "device"]);
    });

    test("keeps what it has when the server dies in the middle of taking over", async () => {
      await chat.startOver();
      const hold = bench.recorder.holdAnswer(4);
      const answer = await chat.ask(hardQuestion());
      await hold.reached;
      await chat.page.waitForFunction((element) => element.dataset.source === "cloud", await answer.elementHandle());
      await bench.server.kill();
      hold.cut();
      const { state, text } = await chat.finished(answer);
      assert.equal(state, "error");
      assert.match(text, /broke off|interrupted|connection/i);
      const words = await answer.locator(".text, .draft").allInnerTexts();
      assert.notEqual(words.join("").trim(), "", "what had arrived is gone");
      await chat.picture(`${device}-broken-off`);

      // Nobody there: the device still answers what it can, and says what it cannot.
      const refused = await chat.answer(hardQuestion());
      // A draft before it may have left no room on the device; then the cloud was its only hope, and nobody answered.
      if (refused.state === "error") assert.match(refused.text, /The cloud refused|cannot be reached/i);
      else assert.deepEqual([refused.state, refused.source], ["done", "device"]);
      assert.equal((await chat.answer("what is 17 * 23?")).source, "exact");

      await bench.server.run();
      await chat.startOver();
      const back = await chat.answer(hardQuestion());
      assert.deepEqual([back.state, back.source], ["done", "cloud"], back.text);
    });

    test("went through all of this without an uncaught error, and leaves without a word", async () => {
      assert.deepEqual(chat.mistakes, []);
      // What a page sends at its very end is sent here.
      await chat.context.close();
      assert.equal(secrets.length, 2);
      for (const secret of secrets) assert.ok(!bench.recorder.saw(secret), "a private word left the browser");
      assert.deepEqual(strangers(bench.recorder), []);
    });
  });
}
