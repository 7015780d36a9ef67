// Private conversations as people have them: typed into the page, with its switch, its modes and its buttons.

import { canary } from "./canary.js";
import { hardQuestion } from "./bench.js";

/**
 * @typedef {import("./browser.js").ChatPage} ChatPage
 * @typedef {import("./canary.js").Conversation} Plan
 * @typedef {{ chat: ChatPage, watch: import("./watch.js").Watch, plan: Plan, random: import("./random.js").Random }} Typed
 */

async function goPrivate({ chat }) {
  await chat.startOver();
  await chat.private.click();
}

/** Asks all questions; gives the states of the answers. @param {Typed} typed */
async function askAll(typed) {
  const { chat, plan } = typed;
  const ends = [];
  for (const { question } of plan.questions) ends.push(await read(typed, await chat.ask(question)));
  return ends;
}

/** An answer to its end; its receipt, problem and notices are kept for the search. @param {Typed} typed */
async function read({ chat, watch }, answer) {
  const { state, source } = await chat.finished(answer);
  const badge = answer.locator(".badge");
  if ((await badge.isVisible()) && (await badge.isEnabled())) {
    await badge.click();
    watch.note("a receipt or an error", await answer.getByRole("group", { name: "Receipt" }).innerText());
  }
  const { page } = chat;
  for (const shown of [answer.locator(".problem"), answer.locator(".meta"), page.locator("#notices"), page.locator(".chat .notices"), page.getByRole("banner")]) {
    watch.note("a receipt or an error", await shown.innerText());
  }
  return { state, source };
}

export const WAYS = {
  /** @param {Typed} typed */
  async "from the beginning"(typed) {
    await goPrivate(typed);
    return askAll(typed);
  },

  async "with Cloud only, then on this device"(typed) {
    await goPrivate(typed);
    const { chat, plan } = typed;
    await chat.mode.selectOption("cloud");
    const refused = await chat.ask(plan.questions[0].question);
    const end = await read(typed, refused);
    if (end.state !== "error") throw new Error("Private with Cloud only was answered");
    await refused.getByRole("button", { name: "Ask this device" }).click();
    return [end, await read(typed, chat.answers.last()), ...(await askAll(typed))];
  },

  async "switched on while the cloud answers"(typed) {
    const { chat, watch, random } = typed;
    await chat.startOver();
    await chat.mode.selectOption("cloud");
    const one = canary(random, "word");
    watch.release(one);
    const hold = watch.recorder.holdAnswer(3);
    const open = await chat.ask(hardQuestion(one.text));
    await hold.reached;
    await chat.private.click();
    await hold.left;
    await chat.finished(open);
    await chat.mode.selectOption("auto");
    // What was asked in the open goes along as history; it stays here now.
    return askAll(typed);
  },

  async "stopped, and loaded again in the middle"(typed) {
    const { chat, plan } = typed;
    await goPrivate(typed);
    await chat.mode.selectOption("device");
    await chat.ask(plan.questions[0].question);
    await chat.page.keyboard.press("Escape");
    await chat.send.waitFor();
    await chat.ask(plan.questions[0].question);
    await chat.page.reload();
    await chat.ready();
    return WAYS["from the beginning"](typed);
  },

  async "kept private when asked, then given up"(typed) {
    const { chat } = typed;
    await goPrivate(typed);
    const ends = await askAll(typed);
    await chat.private.click();
    await chat.page.getByRole("button", { name: "Stay private" }).click();
    ends.push(...(await askAll(typed)));
    await chat.private.click();
    await chat.page.getByRole("button", { name: "Start a new one", exact: true }).click();
    await chat.ready();
    return ends;
  },

  async "without a network"(typed) {
    await goPrivate(typed);
    await typed.watch.context.setOffline(true);
    const ends = await askAll(typed);
    await typed.watch.context.setOffline(false);
    return ends;
  },

  async "typed and never sent"(typed) {
    const { chat, plan } = typed;
    await goPrivate(typed);
    for (const { question } of plan.questions) await chat.message.pressSequentially(question.slice(0, 60));
    await chat.page.reload();
    await chat.ready();
    return [];
  },
};
