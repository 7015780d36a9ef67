// Many private conversations, each with a fault, in one watched browser.

import { canary, conversation } from "./canary.js";
import { FAULTS, GPU_FAULTS } from "./faults.js";
import { Random } from "./random.js";
import { Tab, Talk } from "./talk.js";
import { WAYS } from "./typed.js";

/** An open question between so many private ones: it must be seen, or the run proves nothing. */
const OPEN_EVERY = 10;
/** In so many of a hundred conversations, once each fault has been. */
const QUIET = 35;

const ALL = { ...FAULTS, ...GPU_FAULTS };

/** The page with nobody asking anything in private: all that it may send. */
async function learnOrdinary(watch, device) {
  const tab = await new Tab(watch, undefined, device).open();
  // The browser looks for a newer service worker when it likes.
  await tab.chat.page.evaluate(() => navigator.serviceWorker.ready.then((worker) => worker.update()).then(() => {}));
  await tab.chat.page.reload();
  await tab.reopened();
  await tab.driver.forget();
  await tab.driver.again();
  await tab.driver.use();
  await tab.driver.resume();
  const random = new Random(0);
  const talk = new Talk(tab, { system: null, questions: [] }, random);
  for (const mode of ["auto", "cloud"]) {
    const one = canary(random, "word");
    await talk.askOpen(one, { mode });
    if (mode === "cloud" && !watch.saw(one)) throw new Error("the recorder has not seen an open question");
  }
  watch.learn();
  return tab;
}

/**
 * A tab to talk in.
 *
 * @param {import("./watch.js").Watch} watch
 * @param {import("./ordinary.js").Ordinary | undefined} known what a browser before this one has learned to be ordinary
 * @param {string} [device]
 */
export async function openTab(watch, known, device) {
  if (known === undefined) return learnOrdinary(watch, device);
  watch.ordinary = known;
  const tab = await new Tab(watch, undefined, device).open();
  // Nobody has asked anything yet: a GPU's module is ordinary too.
  watch.learn();
  return tab;
}

/**
 * @typedef {object} Plan
 * @property {number} seed
 * @property {number} conversations
 * @property {import("./ordinary.js").Ordinary} [known]
 * @property {string[]} [faults]
 * @property {string} [device]
 * @property {(line: string) => void} [tell]
 */

/**
 * @param {import("./watch.js").Watch} watch
 * @param {Plan} plan
 */
export async function converse(watch, { seed, conversations, known, faults = Object.keys(FAULTS), device = "cpu", tell = () => {} }) {
  const tab = await openTab(watch, known, device);
  const tally = { conversations: 0, questions: 0, open: 0, faults: {}, ends: {}, wrong: [] };
  for (let index = 0; index < conversations; index += 1) {
    // Each has its own: how often the one before has drawn depends on how far its answers came.
    const random = new Random(seed * 100_003 + index);
    const name = index < faults.length ? faults[index] : random.chance(QUIET) ? "nothing" : random.pick(faults);
    const plan = conversation(random);
    const talk = new Talk(tab, plan, random);
    await watch.keep(plan);
    try {
      await ALL[name](talk);
    } catch (error) {
      throw new Error(`conversation ${index} of seed ${seed}, with ${name}: ${error.stack}`);
    }
    tally.wrong.push(...talk.wrong.map((words) => `conversation ${index} of seed ${seed}, with ${name}: ${words}`));
    tally.conversations += 1;
    tally.questions += talk.ends.length;
    count(tally.faults, name);
    for (const end of talk.ends) count(tally.ends, end);
    if (index % OPEN_EVERY === OPEN_EVERY - 1 || index === conversations - 1) {
      await askInTheOpen(watch, talk, random, tally);
      await watch.look(tab.chat.page);
      tell(`${index + 1} of ${conversations}`);
    }
  }
  return tally;
}

const count = (counts, name) => (counts[name] = (counts[name] ?? 0) + 1);

async function askInTheOpen(watch, talk, random, tally) {
  const one = canary(random, "word");
  await talk.askOpen(one, { mode: "cloud" });
  talk.expect(watch.saw(one), "the recorder has not seen an open question");
  tally.open += 1;
}

/**
 * The same by typing into the page.
 *
 * @param {import("./watch.js").Watch} watch
 * @param {Plan} plan
 */
export async function type(watch, { seed, conversations, known }) {
  const random = new Random(seed);
  const { chat } = await openTab(watch, known);
  const tally = { conversations: 0, questions: 0, open: 0, faults: {}, wrong: [] };
  const names = Object.keys(WAYS);
  for (let index = 0; index < conversations; index += 1) {
    const name = index < names.length ? names[index] : random.pick(names);
    const plan = conversation(random);
    await watch.keep(plan);
    const ends = await WAYS[name]({ chat, watch, plan, random });
    if (ends.some(({ source }) => source === "cloud")) tally.wrong.push(`typed conversation ${index} of seed ${seed}, ${name}: answered by the cloud`);
    tally.conversations += 1;
    tally.questions += ends.length;
    count(tally.faults, name);
    await watch.look(chat.page);
  }
  // Nobody is private any more, and the recorder still sees what is sent.
  await chat.startOver();
  await chat.mode.selectOption("cloud");
  const one = canary(random, "word");
  watch.release(one);
  await chat.answer(`What is ${one.text} ?`);
  if (!watch.saw(one)) tally.wrong.push("the recorder has not seen an open question");
  tally.open += 1;
  return tally;
}
