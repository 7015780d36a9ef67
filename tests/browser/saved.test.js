// Conversations that are saved on the device: at the next visit they go on as if nothing had been, and nothing of them is
// read again. What is damaged is refused, and nothing else breaks.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Bench } from "./lib/bench.js";

const FIRST = "My diary of the summer: what can you do for me?";
const SECOND = "And what is your name?";

/** @type {Bench} */
let bench;
/** @type {import("playwright-core").Page} */
let page;

before(async () => {
  bench = await Bench.start({ webgpu: false });
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Saved</title>");
  page = await (await bench.browser.newContext()).newPage();
  await visit();
});
after(() => bench?.stop());

/** Opens the page, anew if it was open, with a model in it. */
async function visit() {
  await page.goto(`${bench.server.origin}/blank.html`);
  await page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    globalThis.Sprat = Sprat;
    globalThis.warnings = [];
    const onWarning = ({ code }) => globalThis.warnings.push(code);
    globalThis.sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu", onWarning });
    /** The answer to a conversation, or the code of what went wrong. */
    globalThis.ask = async (messages, options = {}) => {
      try {
        for await (const event of globalThis.sprat.chat(messages, { mode: "device", temperature: 0, maxTokens: 24, ...options })) {
          if (event.type === "end") return { text: event.text, receipt: event.receipt };
        }
      } catch (error) {
        return { code: error.code };
      }
    };
    globalThis.code = (promise) => promise.then(() => "none", (error) => error.code);
    /** Flips a bit in the middle of a file of every saved conversation. */
    globalThis.damage = async (name) => {
      const sprat = await (await navigator.storage.getDirectory()).getDirectoryHandle("sprat");
      for await (const folder of (await sprat.getDirectoryHandle("saved")).values()) {
        const file = await folder.getFileHandle(name);
        const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        const out = await file.createWritable();
        await out.write(bytes);
        await out.close();
      }
    };
  });
}

test("saved, and restored after a reload: the same answer, and nothing is read again", async () => {
  const first = await page.evaluate(
    async ([question, next]) => {
      const messages = [{ role: "user", content: question }];
      messages.push({ role: "assistant", content: (await ask(messages, { private: true })).text });
      // The call forgets to say what the conversation is.
      const saved = await sprat.save("summer", messages);
      return { messages, saved, answer: await ask([...messages, { role: "user", content: next }]) };
    },
    [FIRST, SECOND],
  );
  assert.equal(first.saved.level, "private");
  assert.ok(first.saved.tokens > 20, `${first.saved.tokens} tokens`);

  await visit();
  const second = await page.evaluate(async (next) => {
    const list = await Sprat.saved();
    const restored = await sprat.restore("summer");
    const messages = [...restored.messages, { role: "user", content: next }];
    return { list, restored, answer: await ask(messages), sent: await ask(messages, { mode: "cloud" }), warnings };
  }, SECOND);
  assert.deepEqual(second.list, [first.saved]);
  assert.deepEqual(second.restored, { messages: first.messages, level: "private", tokens: first.saved.tokens });
  assert.equal(second.answer.text, first.answer.text);
  assert.equal(second.answer.receipt.cached_tokens, first.saved.tokens);
  assert.equal(second.sent.code, "private_unanswerable");
  assert.deepEqual(second.warnings, []);
});

test("nothing of a text is in the store's names, and what a killed tab has left is no conversation", async () => {
  const seen = await page.evaluate(async () => {
    const sprat = await (await navigator.storage.getDirectory()).getDirectoryHandle("sprat");
    const saved = await sprat.getDirectoryHandle("saved");
    await saved.getDirectoryHandle("0123456789abcdef0123456789abcdef-1", { create: true });
    const list = await Sprat.saved();
    const names = [];
    for await (const name of saved.keys()) names.push(name);
    return { names, list: list.length };
  });
  assert.equal(seen.list, 1);
  assert.equal(seen.names.length, 1);
  assert.match(seen.names[0], /^[0-9a-f]{32}-\d+$/);
});

test("damaged keys and values are refused with a warning, and the text is read again", async () => {
  const seen = await page.evaluate(async (next) => {
    const other = await sprat.save("other", [{ role: "user", content: "Hello!" }]);
    await damage("cache").catch(() => {});
    const restored = await sprat.restore("summer");
    const again = await sprat.restore("summer");
    const bytes = (await Sprat.saved()).find(({ name }) => name === "summer").bytes;
    return { other, restored, again, warnings, bytes, level: restored.level, text: (await ask([...restored.messages, { role: "user", content: next }])).text };
  }, SECOND);
  assert.deepEqual(seen.warnings, ["saved_corrupt"]);
  assert.deepEqual([seen.restored.tokens, seen.again.tokens], [0, 0]);
  assert.equal(seen.level, "private");
  assert.notEqual(seen.text, "");
  // What was damaged is gone.
  assert.ok(seen.bytes < 5000, `${seen.bytes} bytes`);
});

test("a damaged text is refused, and nothing else breaks", async () => {
  const seen = await page.evaluate(async () => {
    await damage("text");
    const list = await Sprat.saved();
    const codes = [await code(sprat.restore("summer")), await code(sprat.restore("never")), await code(sprat.restore("")), await code(sprat.save("x", "no messages"))];
    await sprat.save("summer", [{ role: "user", content: "Hello again!" }], { level: "ask" });
    const restored = await sprat.restore("summer");
    const gone = [await Sprat.forgetSaved("other"), await Sprat.forgetSaved("other")];
    return { list, codes, restored, gone, answer: await ask([{ role: "user", content: "Hello!" }]) };
  });
  assert.deepEqual(seen.list, []);
  assert.deepEqual(seen.codes, ["saved_corrupt", "saved_missing", "bad_request", "bad_request"]);
  assert.deepEqual(seen.restored, { messages: [{ role: "user", content: "Hello again!" }], level: "ask", tokens: 0 });
  assert.deepEqual(seen.gone, [true, false]);
  assert.notEqual(seen.answer.text, "");
});

test("a clone and its origin go on in turns, and neither is read again", async () => {
  const turns = await page.evaluate(async () => {
    const { defineLanguageModel } = await import("/sprat/prompt-api.js");
    const LanguageModel = defineLanguageModel({ sprat });
    const one = await LanguageModel.create();
    await one.prompt("Tell me about the sea and the small fish in it.");
    const two = await one.clone();
    const turns = [];
    for (const word of ["whales", "ships", "islands"]) {
      for (const session of [one, two]) {
        const held = session.contextUsage;
        await session.prompt(`What about the ${word} of ${session === one ? "the north" : "the south"}?`);
        turns.push({ held, prompt: session.receipt.prompt_tokens, cached: session.receipt.cached_tokens });
      }
    }
    return turns;
  });
  // What a session holds is counted with the beginning of the next answer.
  for (const { held, prompt, cached } of turns) assert.ok(cached >= held - 8 && cached < prompt, JSON.stringify(turns));
});

test("they go with their model, and a store that is full says so", async () => {
  const kept = await page.evaluate(async () => [(await Sprat.saved()).length, await Sprat.forget("/models/sprat-tiny/"), (await Sprat.saved()).length]);
  assert.deepEqual(kept, [1, true, 0]);
  bench.recorder.alter(/\/worker\.js$/, (body) =>
    Buffer.concat([Buffer.from(`FileSystemSyncAccessHandle.prototype.write = () => { throw new DOMException("full", "QuotaExceededError"); };\n`), body]),
  );
  await visit();
  const seen = await page.evaluate(async () => [await code(sprat.save("summer", [{ role: "user", content: "Hello!" }])), (await Sprat.saved()).length]);
  assert.deepEqual(seen, ["storage_refused", 0]);
  bench.recorder.honest();
});
