import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { hasRelaxedSimd } from "../simd.js";

const [NODE] = process.versions.node.split(".").map(Number);
const SIMD = new URL("../simd.js", import.meta.url).href;

test("relaxed SIMD is used where it computes what it should", () => {
  assert.equal(hasRelaxedSimd(), NODE > 20);
});

test("an engine that takes it and computes something else is not given it", { skip: NODE !== 20 && "Node 20 is one" }, () => {
  const says = (/** @type {string} */ code) =>
    execFileSync(process.execPath, ["--experimental-wasm-relaxed-simd", "--input-type=module", "--eval", code], { encoding: "utf8" }).trim();
  // It takes the instruction: without it, `false` below would say nothing.
  const dot = [65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 147, 2, 26, 11];
  const module = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, dot.length + 3, 1, dot.length + 1, 0, ...dot];
  assert.equal(says(`console.log(WebAssembly.validate(new Uint8Array([${module}])))`), "true");
  assert.equal(says(`import { hasRelaxedSimd } from ${JSON.stringify(SIMD)}; console.log(hasRelaxedSimd())`), "false");
});

test("it uses nothing around it: the page's service worker has a copy of it", () => {
  assert.equal(new Function(`return (${hasRelaxedSimd})()`)(), hasRelaxedSimd());
});

test("no WebAssembly, no relaxed SIMD", (t) => {
  const { Module } = WebAssembly;
  t.after(() => (WebAssembly.Module = Module));
  WebAssembly.Module = /** @type {any} */ (
    class {
      constructor() {
        throw new WebAssembly.CompileError("blocked by a policy");
      }
    }
  );
  assert.equal(hasRelaxedSimd(), false);
});
