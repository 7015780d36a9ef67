// @ts-check
/**
 * LoRA adapters, beside the engine: what is over the model of an engine.
 */

import { alone } from "./alone.js";

/** The last of the swaps of each runtime: they wait for each other. @type {WeakMap<object, Promise<void>>} */
const swaps = new WeakMap();

/**
 * Puts an adapter over the model of an engine, in the place of the one before, or takes that off. It is fetched unless it
 * is stored; answers that are being made end before it is there.
 *
 * @param {import("./engines.js").Engine} engine
 * @param {import("./wanted.js").Wanted} wanted the model, and what is to be over it
 * @param {AbortSignal} signal
 * @param {(event: string) => void} emit
 * @returns {Promise<void>} rejects with a failure, and then the model is as it was
 */
export function putOver(engine, { adapter, scale, lines }, signal, emit) {
  const { runtime } = engine;
  const before = swaps.get(runtime) ?? Promise.resolve();
  const swap = before.then(async () => {
    if (engine.over === adapter && (adapter === null || engine.scale === scale)) return;
    if (adapter) await alone(`sprat ${adapter}`, signal, () => runtime.adapter(adapter, scale, lines.get(adapter), signal, emit));
    await runtime.adapt();
    [engine.over, engine.scale] = [adapter, scale];
  });
  swaps.set(runtime, swap.catch(() => {}));
  return swap;
}
