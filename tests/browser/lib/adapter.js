// LoRA adapters for sprat-tiny, made as a person makes them: PEFT's files, and `sprat pack` over them.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "./server.js";

const SPRAT = process.env.SPRAT_BIN ?? path.join(ROOT, "target/debug/sprat");
const MODEL = path.join(ROOT, "web/models/sprat-tiny");

/**
 * A pack of a random adapter, as files by their names.
 * @param {string} folder where it is made
 * @param {string} name
 * @param {number} seed
 */
export function makeAdapter(folder, name, seed) {
  const config = JSON.parse(readFileSync(path.join(MODEL, "config.json"), "utf8"));
  const [rank, input, out] = [4, config.intermediate_size, config.hidden_size];
  let state = seed;
  const draw = (count, size) =>
    Float32Array.from({ length: count }, () => ((state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 30 - 1) * size);
  const tensors = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const module = `base_model.model.model.layers.${layer}.mlp.down_proj`;
    tensors.push([`${module}.lora_A.weight`, [rank, input], draw(rank * input, 0.3)]);
    tensors.push([`${module}.lora_B.weight`, [out, rank], draw(out * rank, 0.3)]);
  }
  const header = {};
  let end = 0;
  for (const [tensor, shape, { byteLength }] of tensors) {
    header[tensor] = { dtype: "F32", shape, data_offsets: [end, (end += byteLength)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const source = path.join(folder, `${name}-peft`);
  mkdirSync(source);
  const weights = [size, json, ...tensors.map(([, , values]) => Buffer.from(values.buffer))];
  writeFileSync(path.join(source, "adapter_model.safetensors"), Buffer.concat(weights));
  const settings = { peft_type: "LORA", r: rank, lora_alpha: rank, target_modules: ["down_proj"] };
  writeFileSync(path.join(source, "adapter_config.json"), JSON.stringify(settings));
  const pack = path.join(folder, name);
  execFileSync(SPRAT, ["pack", source, "--out", pack, "--base", MODEL], { stdio: "pipe" });
  return Object.fromEntries(readdirSync(pack).map((file) => [file, readFileSync(path.join(pack, file))]));
}
