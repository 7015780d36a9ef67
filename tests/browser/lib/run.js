// Many private conversations, each with a fault, in one watched browser.

import { canary, conversation } from "./canary.js";
import { FAULTS } from "./faults.js";
import { Random } from "./random.js";
import { Tab, Talk } from "./talk.js";

/** An open question between so many private ones: it must be seen, or the run proves nothing. */
const OPEN_EVERY = 10;
/** In so many of a hundred conversations, once each fault has been. */
const QUIET = 35;

/** The page with nobody asking anything in private: all that it may send. */
export async function learnOrdinary(watch, { query, device } = {}) {
  const tab = await new Tab(watch, query, device).open();
  await tab.chat.page.reload();
  await tab.reopened();
  await tab.driver.forget();
  await tab.driver.again();
  await tab.driver.use();
  await tab.driver.resume();
  const random = new Random(0);
  const talk = new Talk(tab, { system: null, questions: [] }, random);
  for (const mode of ["cloud", "auto"]) await talk.askOpen(canary(random, "word"), { mode });
  watch.learn();
  return tab;
}

/**
 * @param {import("./watch.js").Watch} watch
 * @param {{ seed: number, count: number, faults?: string[], tell?: (line: string) => void }} plan
 */
export async function converse(watch, { seed, count, faults = Object.keys(FAULTS), tell = () => {} }) {
  const random = new Random(seed);
  const tab = await learnOrdinary(watch);
  const tally = { conversations: 0, questions: 0, open: 0, faults: Object.fromEntries(faults.map((name) => [name, 0])), wrong: [] };
  for (let index = 0; index < count; index += 1) {
    const name = index < faults.length ? faults[index] : random.chance(QUIET) ? "nothing" : random.pick(faults);
    const plan = conversation(random);
    const talk = new Talk(tab, plan, random);
    await watch.keep(plan);
    try {
      await FAULTS[name](talk);
    } catch (error) {
      throw new Error(`conversation ${index} of seed ${seed}, with ${name}: ${error.stack}`);
    }
    tally.wrong.push(...talk.wrong.map((words) => `conversation ${index} of seed ${seed}, with ${name}: ${words}`));
    tally.conversations += 1;
    tally.questions += talk.asked;
    tally.faults[name] = (tally.faults[name] ?? 0) + 1;
    if (index % OPEN_EVERY === OPEN_EVERY - 1) {
      await askInTheOpen(watch, talk, random, tally);
      await watch.look(tab.chat.page);
      tell(`${index + 1} of ${count}`);
    }
  }
  await watch.look(tab.chat.page);
  return tally;
}

async function askInTheOpen(watch, talk, random, tally) {
  const one = canary(random, "word");
  await talk.askOpen(one, { mode: "cloud" });
  talk.expect(watch.saw(one), "the recorder has not seen an open question");
  tally.open += 1;
}
