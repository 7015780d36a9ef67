// @ts-check
/**
 * What storing a model takes, told before anything is downloaded; and whether the browser will keep it.
 */

/** @typedef {import("./types.js").StoragePlan} StoragePlan */
/**
 * One pack's, as the engine tells it.
 * @typedef {{ name: string, bytes: number, stored: number, room: number | null, evictable: number, store: StoragePlan["store"] }} PackPlan
 */

/**
 * The plan of a model that is made of these packs.
 * @param {string[]} packs their addresses
 * @param {(url: string) => Promise<PackPlan>} ask
 * @returns {Promise<StoragePlan>}
 */
export async function planOf(packs, ask) {
  /** @type {PackPlan[]} */
  const plans = [];
  // One after the other: each has an engine of its own, for as long as it takes.
  for (const url of packs) plans.push(await ask(url));
  const sum = (/** @type {"bytes" | "stored"} */ what) => plans.reduce((sum, plan) => sum + plan[what], 0);
  const [{ room, store }] = plans;
  const [bytes, stored] = [sum("bytes"), sum("stored")];
  return {
    bytes,
    stored,
    missing: bytes - stored,
    room,
    // Seen from each of several packs the others could go.
    evictable: Math.min(...plans.map(({ evictable }) => evictable)),
    store,
    persisted: await isPersisted(),
  };
}

/**
 * Asks the browser to keep what this site stores, also when the device gets full. Firefox asks the person, so call it
 * where they would expect that.
 * @returns {Promise<boolean>} whether it will; never rejects
 */
export async function persist() {
  try {
    // Workers may not ask, and pages that are not secure have nothing to ask.
    return (await isPersisted()) || (await globalThis.navigator?.storage?.persist?.()) === true;
  } catch {
    return false;
  }
}

async function isPersisted() {
  try {
    return (await globalThis.navigator?.storage?.persisted?.()) === true;
  } catch {
    return false;
  }
}
