// <sprat-chat> for everybody: axe, the keyboard, a screen reader, narrow screens, text that runs to the left, no motion.

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

/** What is in the chat's shadow, seen by a function in the page. */
const inside = (tab, look) => tab.chat.evaluate(look);

const STATES = {
  empty: [{}, async () => {}],
  loading: [{ fake: { ready: false } }, async (tab) => tab.chat.getByRole("progressbar").waitFor()],
  talk: [{}, async (tab) => tab.ask("What is a sprat?")],
  receipt: [{}, async (tab) => (await tab.ask("a hard question")).getByRole("button", { name: /^Cloud/ }).click()],
  error: [{}, async (tab) => tab.ask("broken")],
  private: [
    {},
    async (tab) => {
      await tab.private.click();
      await tab.ask("a hard question");
    },
  ],
  dialog: [
    { attributes: { private: "" } },
    async (tab) => {
      await tab.ask("hi");
      await tab.private.click();
      await tab.chat.getByRole("dialog").waitFor();
    },
  ],
};

for (const theme of ["light", "dark"]) {
  describe(`axe finds nothing in ${theme}`, () => {
    for (const [name, [options, reach]] of Object.entries(STATES)) {
      test(name, () =>
        inPage({ ...options, attributes: { ...CLOUD, theme, ...options.attributes } }, async (tab) => {
          await reach(tab);
          await tab.picture(`${theme}-${name}`);
          assert.deepEqual(await tab.violations(), []);
        }),
      );
    }
  });
}

test("axe would find what is wrong", () =>
  inPage({}, async (tab, page) => {
    await page.evaluate(() => globalThis.chat.shadowRoot.querySelector("textarea").removeAttribute("aria-label"));
    await page.evaluate(() => globalThis.chat.shadowRoot.querySelector("textarea").removeAttribute("placeholder"));
    assert.notDeepEqual(await tab.violations(), []);
  }));

/** What has the keyboard inside the chat, and whether the eye can see that. */
function focused(tab) {
  return inside(tab, (chat) => {
    const element = chat.shadowRoot.activeElement;
    if (element === null) return { name: "outside", visible: true };
    const looks = () => {
      const parts = [element, element.closest("form")].filter(Boolean).map((part) => getComputedStyle(part));
      return parts.map(({ outline, boxShadow, borderColor }) => [outline, boxShadow, borderColor].join()).join();
    };
    const look = looks();
    element.blur();
    const visible = looks() !== look;
    element.focus({ preventScroll: true, focusVisible: true });
    return { name: element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent, visible };
  });
}

test("everything can be done with the keyboard, in the order in which it is read", () =>
  inPage({ attributes: CLOUD }, async (tab, page) => {
    const order = [];
    for (let step = 0; step < 10; step += 1) {
      await page.keyboard.press("Tab");
      const { name, visible } = await focused(tab);
      assert.ok(visible, `no focus to be seen on ${name}`);
      order.push(name);
    }
    const examples = ["what is 17 * 23?", "What is a sprat?", "Write a haiku about the sea."];
    assert.deepEqual(order, ["New conversation", "Conversation", ...examples, "Who may read this", "Message", "Private", "Mode", "Send"]);

    await tab.message.focus();
    await page.keyboard.press("Enter");
    await page.keyboard.type("17 * 23");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("please");
    await page.keyboard.press("Enter");
    const answer = tab.answers.first();
    await answer.and(page.locator("[data-state=done]")).waitFor();
    assert.equal(await tab.answers.count(), 1, "an empty message is not asked");
    assert.equal((await focused(tab)).name, "Message", "the next question can be typed at once");
    assert.equal((await page.evaluate(() => globalThis.sprat.calls[0])).messages[0].content, "17 * 23\nplease");

    await page.keyboard.type("endless");
    await page.keyboard.press("Enter");
    await tab.text("Once upon a time").waitFor();
    await page.keyboard.press("Escape");
    await tab.text("Stopped", { exact: true }).waitFor();
    assert.equal((await focused(tab)).name, "Message");
  }));

test("a screen reader hears who answered, and a failure, politely", () =>
  inPage({}, async (tab) => {
    const region = tab.chat.locator("[aria-live=polite]");
    await tab.ask("17 * 23");
    assert.equal(await region.textContent(), "17 × 23 = 391 Answered by: Exact.");
    await tab.ask("broken");
    assert.match(await region.textContent(), /^The cloud cannot be reached\./);
    assert.equal(await tab.chat.getByRole("log").getAttribute("aria-live"), "off", "not every token");
  }));

/** Nothing sticks out of the chat, and every control is inside it. */
async function assertFits(tab, when) {
  const out = await inside(tab, (chat) => {
    const box = chat.getBoundingClientRect();
    const controls = [...chat.shadowRoot.querySelectorAll("button, textarea, select, input")];
    const outside = controls.filter((one) => {
      const { left, right } = one.getBoundingClientRect();
      return one.checkVisibility() && (left < box.left || right > box.right);
    });
    const scroll = chat.shadowRoot.querySelector("[role=log]");
    return [document.documentElement.scrollWidth - innerWidth, scroll.scrollWidth - scroll.clientWidth, outside.map((one) => one.textContent)];
  });
  assert.deepEqual(out, [0, 0, []], when);
}

for (const lang of ["en", "ko", "ja"]) {
  for (const dir of ["ltr", "rtl"]) {
    test(`fits 320 px in ${lang}, ${dir}`, () =>
      inPage({ context: { viewport: { width: 320, height: 640 } }, attributes: { ...CLOUD, lang, dir } }, async (tab) => {
        await assertFits(tab, "empty");
        await tab.ask(`What is ${"x".repeat(300)}?`);
        const answer = await tab.ask("hard");
        await answer.locator(".badge").click();
        await tab.picture(`${lang}-${dir}`);
        await assertFits(tab, "with a receipt");
        await tab.ask("broken");
        await tab.private.click();
        await assertFits(tab, "with a problem, in private");
      }));
  }
}

test("where text runs to the left the chat is mirrored, and each message follows its own script", () =>
  inPage({ attributes: { dir: "rtl" } }, async (tab) => {
    const answer = await tab.ask("שלום");
    const [send, toggle] = await Promise.all([tab.button("Send").boundingBox(), tab.private.boundingBox()]);
    assert.ok(send.x < toggle.x, "Send is at the end of its line, which is on the left");
    const directions = await answer.locator(".text > *").evaluateAll((parts) => parts.map((part) => getComputedStyle(part).direction));
    assert.deepEqual(directions, ["rtl", "rtl", "ltr"]);
    // The words are English ones for want of others: they stand on the right, and their full stop at their own end.
    const problem = (await tab.ask("broken")).locator(".problem > p").nth(1);
    const [first, last, box] = await problem.evaluate((p) => {
      const at = (offset) => {
        const range = document.createRange();
        range.setStart(p.firstChild, offset);
        range.setEnd(p.firstChild, offset + 1);
        return range.getBoundingClientRect();
      };
      return [at(0), at(p.textContent.length - 1), p.getBoundingClientRect()].map(({ left, right }) => ({ left, right }));
    });
    assert.ok(first.left < last.left && Math.abs(last.right - box.right) < 2, JSON.stringify([first, last, box]));
    await tab.picture("rtl-hebrew");
    assert.deepEqual(await tab.violations(), []);
  }));

test("nothing moves for people who want no motion", () =>
  inPage({ context: { reducedMotion: "reduce" } }, async (tab) => {
    await tab.message.fill("silent");
    await tab.message.press("Enter");
    await tab.text("Reading the question").waitFor();
    const moving = () => inside(tab, (chat) => chat.shadowRoot.getAnimations().length);
    assert.equal(await moving(), 0);
    await tab.page.emulateMedia({ reducedMotion: "no-preference" });
    assert.equal(await moving(), 1, "a dot breathes while nothing has come");
  }));
