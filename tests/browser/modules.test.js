// What the engine's modules import from JavaScript, read off the built files: nothing that could connect to anything.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { WEB } from "./lib/server.js";

/** What carries something out of a worker, by the names that bindings are built from. */
const WAYS_OUT = /fetch|xmlhttp|websocket|webtransport|eventsource|beacon|broadcast|rtc|importscripts|serviceworker|worker_new|new_worker|request_new|formdata|caches|cachestorage|location|navigate/i;
/** Not a way out: asking the browser for a GPU. */
const GPU = /gpu|adapter/i;

// Node 20 reads relaxed SIMD only on request.
if (process.versions.node.startsWith("20.")) setFlagsFromString("--experimental-wasm-relaxed-simd");

const read = (file) => readFileSync(path.join(WEB, "sprat", file));
const imports = (file) => WebAssembly.Module.imports(new WebAssembly.Module(read(file))).map(({ name }) => name);

/** The functions that the binding of an import calls. */
function bindings(file) {
  const code = read(file).toString();
  // Loading the module itself is the shell's, and the engine's worker is handed it compiled.
  const from = code.indexOf("__wbg_get_imports()");
  const to = code.indexOf("__wbg_finalize_init");
  assert.ok(from > 0 && to > from, `${file} is not built as it was`);
  return code.slice(from, to);
}

for (const [folder, file] of [["cpu", "sprat_edge"], ["cpu", "sprat_edge_relaxed"], ["webgpu", "sprat_edge"]]) {
  test(`the module ${folder}/${file} imports nothing that connects`, () => {
    const names = imports(`${folder}/${file}_bg.wasm`);
    assert.ok(names.length > 10, "an empty list proves nothing");
    assert.deepEqual(names.filter((name) => WAYS_OUT.test(name) && !GPU.test(name)), []);
    const called = bindings(`${folder}/sprat_edge.js`);
    assert.doesNotMatch(called, /\bfetch\(|XMLHttpRequest|WebSocket|EventSource|WebTransport|sendBeacon|importScripts|new Worker|import\(/);
  });
}

test("the engine's worker is one file, which imports and addresses no other", () => {
  const code = read("worker.js").toString();
  assert.equal(code.split("__wbg_get_imports()").length > 3, true, "the modules' scripts are not in it");
  assert.doesNotMatch(code, /\bimport\s*\(|^\s*import\b|\bimport\.meta\b|\bnew Worker\b|\bimportScripts\s*\(/m);
});

test("the module that mixes imports nothing that connects", () => {
  assert.deepEqual(imports("mix/sprat_mix_bg.wasm").filter((name) => WAYS_OUT.test(name)), []);
});

test("the module with the network is told from them by the same look", () => {
  assert.ok(imports("link/sprat_link_bg.wasm").some((name) => WAYS_OUT.test(name)));
  assert.match(bindings("link/sprat_link.js"), /\bfetch\(/);
});
