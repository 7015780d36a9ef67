// Tells the service worker of a built page what it is made of: the list of its files in sw.js, and the name of the build in
// index.html. `cargo xtask` and Trunk (Trunk.toml) run it over what they have gathered; by hand: node web/precache.mjs web/dist

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";

const KINDS = new Set([".css", ".html", ".js", ".svg", ".wasm", ".webmanifest"]);
/** Models are in the engine's own store. */
const LEFT_OUT = /^(models\/|sw\.js$)/;
/** A GPU's module, and the one that mixes, are large, and most visits do without: the CPU's module always works. */
const LATER = /^sprat\/(webgpu|mix)\//;
/** Its builds, of which a browser takes one. */
const CPU = /^sprat\/cpu\/.*\.wasm$/;

const [folder = process.env.TRUNK_STAGING_DIR] = process.argv.slice(2);
if (!folder) throw new Error("say which folder the built page is in");

const bytes = (name) => readFileSync(path.join(folder, name));
const sha256 = (content) => createHash("sha256").update(content).digest("hex");

/** Replaces what stands for the build, also of an earlier run; a file that has no place for it is not passed over. */
function fill(name, place, value) {
  const text = bytes(name).toString("utf8");
  if (text.split(place).length !== 2) throw new Error(`${name} must have this once: ${place}`);
  return text.replace(place, () => value);
}

const names = readdirSync(folder, { recursive: true })
  .map((name) => name.split(path.sep).join("/"))
  .filter((name) => KINDS.has(path.extname(name)) && !LEFT_OUT.test(name) && statSync(path.join(folder, name)).isFile())
  .sort();

/** How a browser chooses, as the package does, on one line. A page without the package has nothing to choose. */
async function choice() {
  if (!existsSync(path.join(folder, "sprat/simd.js"))) return "() => false";
  // By its text, since Node asks a package.json around it whether a file is a module.
  const { hasRelaxedSimd } = await import(`data:text/javascript;base64,${bytes("sprat/simd.js").toString("base64")}`);
  const chooses = String(hasRelaxedSimd);
  if (chooses.includes("\n")) throw new Error("sprat/simd.js is not as it is published: its function has one line there");
  return chooses;
}

// The page's address is its folder's. Its name of the build is made of all else, and of the service worker as it is without.
writeFileSync(path.join(folder, "sw.js"), fill("sw.js", /^const hasRelaxedSimd = .*;$/m, `const hasRelaxedSimd = ${await choice()};`));
const worker = fill("sw.js", /^const BUILD = .*;$/m, "const BUILD = { version: \"\", files: {}, later: {}, cpu: [] };");
const files = names.filter((name) => name !== "index.html").map((name) => [name, sha256(bytes(name))]);
const bare = fill("index.html", /(?<=<meta name="build" content=")[^"]*/, "");
const version = sha256(JSON.stringify([files, bare, worker])).slice(0, 16);
const html = fill("index.html", /(?<=<meta name="build" content=")[^"]*/, version);
writeFileSync(path.join(folder, "index.html"), html);

const isLater = (/** @type {string} */ name) => LATER.test(name) || CPU.test(name);
const build = {
  version,
  files: Object.fromEntries([["", sha256(html)], ...files.filter(([name]) => !isLater(name))]),
  later: Object.fromEntries(files.filter(([name]) => isLater(name))),
  cpu: names.filter((name) => CPU.test(name)),
};
writeFileSync(path.join(folder, "sw.js"), fill("sw.js", /^const BUILD = .*;$/m, `const BUILD = ${JSON.stringify(build)};`));
