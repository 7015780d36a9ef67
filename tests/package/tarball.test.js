// What is in the tarball: everything that it promises, and everything that its files ask for.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { packed, unpack } from "./lib/tarball.js";

const folder = mkdtempSync(path.join(tmpdir(), "sprat-tarball-"));
after(() => rmSync(folder, { recursive: true }));
unpack(folder);

const files = new Set(packed());
const source = (file) => readFileSync(path.join(folder, "sprat", file), "utf8");
const manifest = JSON.parse(source("package.json"));
const scripts = [...files].filter((file) => file.endsWith(".js"));

test("every file that package.json names is there", () => {
  const named = Object.values(manifest.exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry)));
  for (const file of [...named, manifest.main, manifest.types, ...manifest.sideEffects].map((file) => file.replace("./", ""))) {
    const there = file.endsWith("*") ? [...files].some((other) => other.startsWith(file.slice(0, -1))) : files.has(file);
    assert.ok(there, `${file} is not in the tarball`);
  }
});

test("every entry has types", () => {
  for (const [entry, target] of Object.entries(manifest.exports)) {
    if (typeof target !== "string") assert.ok(target.types?.endsWith(".d.ts"), `${entry} has no types`);
  }
});

test("every file that a script asks for is there", () => {
  const asked = /(?:\bfrom\s*|\bimport\s*\(?\s*|new URL\(\s*)["'`](\.[^"'`$]*)["'`]/g;
  const comments = /\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm;
  const missing = scripts.flatMap((script) =>
    [...source(script).replace(comments, "").matchAll(asked)]
      .map(([, file]) => path.join(path.dirname(script), file))
      .filter((file) => !files.has(file))
      .map((file) => `${script} asks for ${file}`),
  );
  assert.deepEqual(missing, []);
});

test("bundlers are told which files do something when they are imported", () => {
  const acts = /customElements\.define\(|(?:^|[;}])(?:serveEngine|serveLink|runInPlace)\(/m;
  const found = scripts.filter((script) => acts.test(source(script))).map((script) => `./${script}`);
  assert.deepEqual(manifest.sideEffects.toSorted(), found.toSorted());
});

test("nothing is published that is not for users", () => {
  const strange = [...files].filter((file) => /test|\.map$|jsconfig|\.rs$|\.toml$/.test(file));
  assert.deepEqual(strange, []);
});

test("importing it does nothing where there are no workers, and loading is a typed error", async () => {
  const { Sprat } = await import(pathToFileURL(path.join(folder, "sprat/sprat.js")).href);
  const typed = { name: "SpratError", code: "unsupported" };
  await assert.rejects(Sprat.load({ model: "https://models.example/" }), typed);
  await assert.rejects(Sprat.stored(), typed);
});
