// The golden models (tests/goldens/model) as packs that the page's engine loads.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { BINARY, ROOT } from "./server.js";

const GOLDENS = path.join(ROOT, "tests/goldens/model");
/** In text/tokenizer.json every id is one character, from here on. */
const FIRST = 0x4e00;
const CHUNK = 65_536;

export const toText = (ids) => String.fromCharCode(...ids.map((id) => FIRST + id));
export const toIds = (text) => [...text].map((character) => character.charCodeAt(0) - FIRST);

/** All but one: without a cache, transformers turns every key anew for each length of a text under dynamic RoPE. */
export function goldenModels() {
  const made = (name) => existsSync(path.join(GOLDENS, name, "golden.json"));
  return readdirSync(GOLDENS).filter((name) => made(name) && name !== "llama-rope-dynamic");
}

/** One of each family: what else differs between goldens, the native suite proves on the same WGSL. */
export function familyModels() {
  const family = (name) => name.split("-")[0];
  const names = goldenModels();
  return names.filter((name, index) => names.findIndex((other) => family(other) === family(name)) === index);
}

function entry(name, bytes) {
  const sha256 = [];
  for (let at = 0; at < bytes.length; at += CHUNK) {
    sha256.push(createHash("sha256").update(bytes.subarray(at, at + CHUNK)).digest("hex"));
  }
  return { path: name, size: bytes.length, chunk_bytes: CHUNK, sha256 };
}

/**
 * @param {string} name of a folder in tests/goldens/model
 * @returns {{ golden: any, files: Map<string, Buffer> }}
 */
export function goldenPack(name) {
  const folder = path.join(GOLDENS, name);
  const golden = JSON.parse(readFileSync(path.join(folder, "golden.json"), "utf8"));
  const files = new Map();
  for (const file of readdirSync(folder)) {
    if (file === "config.json" || /^model.*\.safetensors$/.test(file)) files.set(file, readFileSync(path.join(folder, file)));
  }
  for (const file of ["tokenizer.json", "chat_template.jinja"]) files.set(file, readFileSync(path.join(GOLDENS, "text", file)));
  const manifest = {
    format: 1,
    name,
    description: "Random weights.",
    license: "MIT OR Apache-2.0",
    context: 128,
    parameters: 1,
    storage: name.includes("f16") ? "f16" : "f32",
    bos_token: toText([1]),
    eos_token: toText([2]),
    files: [...files].map(([file, bytes]) => entry(file, bytes)),
    // The engine's own proof while loading, here from transformers.
    check: {
      prompt: golden.prompt,
      tokens: golden.greedy.slice(0, 4),
      logprobs: golden.steps.slice(0, 4).map((step) => step.logprob),
    },
  };
  files.set("sprat.json", Buffer.from(JSON.stringify(manifest)));
  return { golden, files };
}

/**
 * A golden model in 8 bits, as `sprat pack` makes it.
 *
 * @param {string} name
 * @returns {Map<string, Buffer>} its files
 */
export function quantizedPack(name) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "sprat-quantized-"));
  try {
    const [source, pack] = ["source", "pack"].map((part) => path.join(folder, part));
    mkdirSync(source);
    for (const [file, bytes] of goldenPack(name).files) if (file !== "sprat.json") writeFileSync(path.join(source, file), bytes);
    // Its own question has no tokens in this vocabulary.
    execFileSync(BINARY, ["pack", source, "--out", pack, "--quant", "q8", "--no-check"], { stdio: "pipe" });
    return new Map(readdirSync(pack).map((file) => [file, readFileSync(path.join(pack, file))]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
