// What every page here has: a text box "Message", a button "Ask", and an output that says how the answer went.

import assert from "node:assert/strict";

/** Asks, and waits for the end of the answer: its text, and who answered or the error's code. */
export async function ask(page, question) {
  await page.getByRole("textbox", { name: "Message" }).fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
  const output = page.locator("output:not([data-state=waiting])");
  await output.waitFor();
  return { state: await output.getAttribute("data-state"), text: await output.innerText() };
}

/** The two questions of every consumer: one that needs no model, and one that does. */
export async function answersBoth(page) {
  assert.deepEqual(await ask(page, "What is 17 * 23?"), { state: "exact", text: "391" });
  const said = await ask(page, "Hello!");
  assert.equal(said.state, "device");
  assert.match(said.text, /\w/);
}

/** Collects what the page throws or refuses; all of it is a mistake. */
export function mistakesOf(page) {
  const mistakes = [];
  page.on("pageerror", (error) => mistakes.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") mistakes.push(message.text());
  });
  return mistakes;
}
