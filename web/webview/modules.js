/**
 * Starts the CPU's module from what the page brings along. Takes the place of the package's modules.js. The others are
 * left out: they would double the page, and the model that it brings is as quick without.
 */
// @ts-expect-error: only the built package has it
import * as cpu from "sprat/cpu/sprat_edge.js";
import { open } from "./files.js";

/**
 * @param {"cpu" | "webgpu" | "mix"} name
 * @returns {Promise<any>}
 */
export async function startModule(name) {
  if (name !== "cpu") throw new Error(`this page comes without the ${name} module`);
  await cpu.default({ module_or_path: await open("sprat/cpu/sprat_edge_bg.wasm") });
  return cpu;
}
