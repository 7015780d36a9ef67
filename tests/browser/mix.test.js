// "Mix your own sprat": specialists merged in the page, by sliders and by recipes.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Bench, PACK } from "./lib/bench.js";

/** @type {Bench} */
let bench;
before(async () => {
  bench = await Bench.start({ webgpu: false });
});
after(() => bench?.stop());
afterEach(() => bench?.recorder.honest());

const packs = (from) => bench.recorder.since(from, PACK).map((seen) => seen.path);

/** Moves a slider as a hand does: there, and let go. */
async function slide(page, name, value) {
  const slider = page.getByRole("slider", { name });
  await slider.evaluate((element, value) => {
    element.value = value;
    element.dispatchEvent(new Event("input", { bubbles: true }));
    element.dispatchEvent(new Event("change", { bubbles: true }));
  }, String(value));
}

/** The three answers of a mix, once they are whole. */
async function answers(page, mixed) {
  const dialog = page.getByRole("dialog", { name: "Mix your own sprat" });
  await page.waitForFunction(
    (before) => {
      const words = document.querySelector("#mix-words").textContent;
      const answers = [...document.querySelectorAll(".mix-answer")].map((answer) => answer.textContent);
      return /^Mixed and loaded/.test(words) && JSON.stringify(answers) !== before && !answers.some((text) => /^(…|)$/.test(text));
    },
    mixed ? JSON.stringify(mixed) : "",
  );
  // The last answer grows for a while after it has begun.
  let texts = await dialog.locator(".mix-answer").allInnerTexts();
  for (;;) {
    await page.waitForTimeout(1500);
    const now = await dialog.locator(".mix-answer").allInnerTexts();
    if (JSON.stringify(now) === JSON.stringify(texts)) return texts;
    texts = now;
  }
}

test("sliders mix a model in the page, which answers at once, and in the chat", async () => {
  const chat = await bench.page();
  const { page } = chat;
  await chat.ready();
  await page.getByRole("button", { name: "Mix your own sprat" }).click();
  const dialog = page.getByRole("dialog", { name: "Mix your own sprat" });
  await dialog.getByText(/^To download, once: 1\d\.\d MB/).waitFor();
  await chat.picture("mix-before");

  let from = bench.recorder.requests.length;
  await dialog.getByRole("button", { name: "Mix", exact: true }).click();
  const even = await answers(page);
  await chat.picture("mix-even");
  const fetched = new Set(packs(from).filter((file) => file.endsWith(".safetensors")));
  assert.equal(fetched.size, 4, "the base and three specialists");

  // Nothing but numbers change, so nothing is fetched; and the answers are other ones.
  from = bench.recorder.requests.length;
  for (const [name, value] of [["Small talk", 0], ["Home commands", 0]]) await slide(page, name, value);
  await slide(page, "Word problems", 1);
  const math = await answers(page, even);
  await chat.picture("mix-math");
  assert.match(math[1], /3 \+ 4 = 7/, "a specialist by itself knows its subject");
  assert.doesNotMatch(math[2], /^OK, bedroom thermostat 21 degrees\.$/, "and forgets the others'");
  assert.deepEqual(packs(from).filter((file) => !file.endsWith("sprat.json")), []);

  await slide(page, "Word problems", 0);
  await slide(page, "Home commands", 1);
  const home = await answers(page, math);
  assert.match(home[2], /^OK, bedroom thermostat 21 degrees\.$/);

  await dialog.getByRole("button", { name: "Chat" }).click();
  await chat.mode.selectOption("device");
  const { source, text } = await chat.answer("Set the bedroom to 21 degrees.");
  assert.equal(source, "device");
  assert.match(text, /OK, bedroom thermostat 21 degrees\./);

  await page.locator("#model-button").click();
  const facts = page.getByRole("dialog", { name: "On this device" });
  await facts.getByText("sprat-chat + sprat-math + sprat-home").waitFor();
  await facts.getByText("Only in this page").waitFor();
  await facts.getByRole("button", { name: "Mix your own" }).click();
  await dialog.getByRole("button", { name: "Back to the page's model" }).click();
  await dialog.getByText("The page's own model answers again.").waitFor();
  await dialog.getByRole("button", { name: "Chat" }).click();
  await page.locator("#model-button").click();
  await facts.getByText("sprat-tiny", { exact: true }).waitFor();
  assert.deepEqual(chat.mistakes, []);
});

test("a recipe can be loaded like a pack, and all of one model is that model", async () => {
  const chat = await bench.page();
  await chat.ready();
  const seen = await chat.page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const recipe = (weight) => ({
      merge_method: "linear",
      models: [
        { model: "models/lineage/sprat-math/", parameters: { weight } },
        { model: new URL("models/lineage/sprat-home/", location.href), parameters: { weight: 1 - weight } },
      ],
    });
    const ask = async (sprat) => {
      let text = "";
      const content = "Set the bedroom to 21 degrees.";
      const options = { mode: "device", temperature: 0, maxTokens: 40 };
      for await (const event of sprat.chat([{ role: "user", content }], options)) if (event.type === "end") text = event.text;
      return text;
    };
    // All of one model is that model, asked from its own pack.
    const sprat = await Sprat.load({ model: recipe(0), device: "cpu" });
    const first = [sprat.model.name, sprat.model.stored, await ask(sprat)];
    const own = await sprat.use("models/lineage/sprat-math/");
    const second = [own.name, await ask(sprat)];
    const stages = new Set();
    await sprat.use(recipe(1), { onProgress: ({ stage }) => stages.add(stage) });
    const third = await ask(sprat);
    sprat.dispose();
    return { first, second, third, stages: [...stages] };
  });
  assert.deepEqual(seen.first, ["sprat-math + sprat-home", false, "OK, bedroom thermostat 21 degrees."]);
  assert.equal(seen.second[0], "sprat-math");
  assert.equal(seen.third, seen.second[1]);
  assert.ok(seen.stages.includes("mix"), seen.stages.join());
});

test("what cannot be mixed is said, and the present model goes on answering", async () => {
  const chat = await bench.page();
  await chat.ready();
  const tiny = await (await fetch(`${bench.server.origin}/models/sprat-tiny/sprat.json`)).json();
  bench.recorder.offer("/models/other/sprat.json", "application/json", JSON.stringify({
    ...tiny,
    name: "other",
    files: tiny.files.map((file) => (file.path === "tokenizer.json" ? { ...file, sha256: ["00"] } : file)),
  }));
  const failures = await chat.page.evaluate(async () => {
    const { Sprat } = await import("/sprat/sprat.js");
    const sprat = await Sprat.load({ model: "models/sprat-tiny/", device: "cpu" });
    const home = { model: "models/lineage/sprat-home/", parameters: { weight: 1 } };
    const math = { model: "models/lineage/sprat-math/", parameters: { weight: 1 } };
    const linear = (models, more = {}) => ({ merge_method: "linear", models, ...more });
    const aborted = new AbortController();
    aborted.abort();
    const failures = {};
    for (const [name, recipe, options] of [
      ["no models", { merge_method: "linear" }],
      ["no recipe", 7],
      ["method", { merge_method: "blend", models: [home, math] }],
      ["weights", linear([home, { ...math, parameters: { weight: -1 } }])],
      ["overflow", linear([{ ...home, parameters: { weight: 1e9 } }, math], { parameters: { normalize: false } })],
      ["key", linear([home, math], { tokeniser: "union" })],
      ["slices", { ...linear([home]), slices: [{ sources: [{ model: "x", layer_range: [0, 2] }] }] }],
      ["base", { merge_method: "ties", models: [home, math] }],
      ["missing", linear([home, { model: "models/nobody/" }])],
      ["address", linear([home, { model: "http://[" }])],
      ["kin", linear([home, { ...math, model: "models/other/" }])],
      ["stopped", linear([home, math]), { signal: aborted.signal }],
    ]) {
      failures[name] = await sprat.use(recipe, options).then(() => "mixed", ({ code, message }) => `${code}: ${message}`);
    }
    let text = "";
    for await (const event of sprat.chat([{ role: "user", content: "Hello! How are you?" }], { mode: "device" })) {
      if (event.type === "end") text = event.text;
    }
    failures.after = `${sprat.state} ${sprat.model.name} ${text !== ""}`;
    sprat.dispose();
    failures.gone = await sprat.use("models/sprat-tiny/").then(() => "used", ({ code }) => code);
    return failures;
  });
  const expected = {
    "no models": /^bad_request: .*models/,
    "no recipe": /^bad_request: /,
    method: /^bad_request: .*blend/,
    weights: /^bad_request: .*sum to 0/,
    overflow: /^bad_request: merging/,
    key: /^bad_request: .*tokeniser/,
    slices: /^bad_request: /,
    base: /^bad_request: .*base_model/,
    missing: /^model_missing: .*models\/nobody/,
    address: /^bad_request: not a URL/,
    kin: /^bad_request: bad request: other and sprat-home can't be mixed: their tokenizer.json differs/,
    stopped: /^aborted/,
    after: /^ready sprat-tiny true$/,
    gone: /^aborted/,
  };
  for (const [name, pattern] of Object.entries(expected)) assert.match(failures[name], pattern, name);
});
