// Makes the built page (web/dist) into one that an app brings along: dist/webview/, a folder, and
// dist/webview-single.html, one file. Opened from a file, a page has no server: browsers load no modules for it, start no
// worker by its address and fetch nothing. So all scripts become classic ones, and all else is in them.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { builtIn } from "./built.mjs";

const PAGE = path.resolve("web/dist");
const OWN = path.resolve("web/webview");
const MODEL = "models/sprat-tiny";
const STYLES = ["style.css"];
const FOLDER = "dist/webview";
const FILE = "dist/webview-single.html";

/** What only other pages need: a GPU's module, and the one that mixes. They would double the page. */
const LEFT_OUT = /\/(webgpu\/sprat_edge|mix\/sprat_mix)\.js$/;

const bundled = {
  name: "bundled",
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /\/start-worker\.js$/ }, () => ({ path: path.join(OWN, "start-worker.js") }));
    // The one of the package has all modules' scripts in it.
    onResolve({ filter: /^sprat\/worker\.js$/ }, () => ({ path: path.resolve("edge/js/worker.js") }));
    onResolve({ filter: /^sprat\// }, ({ path: name }) => ({ path: path.join(PAGE, name) }));
    onLoad({ filter: LEFT_OUT }, () => ({ contents: 'throw new Error("this page comes without that module");' }));
    // A classic script does not know its address; the files beside it are found by the one that it would have had.
    onLoad({ filter: /\/dist\/sprat\/.*\.js$/ }, ({ path: name }) => {
      const address = JSON.stringify(`bundle:///${path.relative(PAGE, name)}`);
      return { contents: readFileSync(name, "utf8").replaceAll("import.meta.url", address) };
    });
  },
};

/** One classic script of a module and all that it imports. */
async function classic(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    minify: true,
    charset: "utf8",
    plugins: [bundled, builtIn(path.join(PAGE, "sprat"))],
  });
  return outputFiles[0].text;
}

const bytes = (name) => readFileSync(path.join(PAGE, name));
const text = (name) => bytes(name).toString("utf8");

/** What the worker needs, as a script: see web/webview/start-worker.js. */
async function data() {
  const model = readdirSync(path.join(PAGE, MODEL)).filter((name) => name !== "README.md");
  // Both of the CPU's: the app's webview may be of any kind.
  const modules = ["cpu/sprat_edge_bg.wasm", "cpu/sprat_edge_relaxed_bg.wasm", "link/sprat_link_bg.wasm"].map((name) => `sprat/${name}`);
  const names = [...modules, ...model.map((name) => `${MODEL}/${name}`)];
  const files = Object.fromEntries(names.map((name) => [name, gzipSync(bytes(name), { level: 9 }).toString("base64")]));
  const [engine, link] = await Promise.all(["engine.js", "link.js"].map((name) => classic(path.join(OWN, name))));
  // No text in it may end a script element.
  return `globalThis.spratBundle=${JSON.stringify({ engine, link, files }).replaceAll("<", "\\u003c")};\n`;
}

/** Replaces what must be there; a page that has changed is not taken for one that was. */
function replace(page, old, replacement) {
  if (page.split(old).length !== 2) throw new Error(`web/dist/index.html must have this once: ${old}`);
  return page.replace(old, () => replacement);
}

/** The page with another policy, without a cloud, and without what it does not bring along. */
function html(policy) {
  let page = text("index.html");
  page = replace(page, /(?<=http-equiv="Content-Security-Policy" content=")[^"]*/, policy);
  page = replace(page, '<html lang="en">', '<html lang="en" data-cloud="off" data-device="cpu" data-model="bundled">');
  page = replace(page, /<!-- The page itself needs no other host[\s\S]*? -->\s*/, "");
  page = replace(page, /(?:<link rel="modulepreload".*?>\s*)+/, "");
  // Without it the page registers no service worker: an app is its own way to have it offline.
  page = replace(page, /<link rel="manifest".*?>\s*/, "");
  page = replace(page, /<meta name="build".*?>\s*/, "");
  // The models that it would mix are three times as large as the rest.
  page = replace(page, 'id="mix-open"', 'id="mix-open" hidden');
  page = replace(page, 'id="mix-open-too"', 'id="mix-open-too" hidden');
  return page.replace(/^\s+\n/gm, "");
}

const policy = ({ scripts, styles, images }) =>
  `default-src 'none'; script-src ${scripts} 'wasm-unsafe-eval'; style-src ${styles}; img-src ${images}; ` +
  "worker-src blob:; connect-src 'none'; base-uri 'none'; form-action 'none'";

const SCRIPT = '<script type="module" src="app.js"></script>';

function folder(app, files) {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const name of [...STYLES, "icon.svg"]) cpSync(path.join(PAGE, name), path.join(FOLDER, name));
  const page = html(policy({ scripts: "'self'", styles: "'self'", images: "'self'" }));
  const scripts = '<script defer src="data.js"></script>\n    <script defer src="app.js"></script>';
  writeFileSync(path.join(FOLDER, "index.html"), replace(page, SCRIPT, scripts));
  writeFileSync(path.join(FOLDER, "app.js"), app);
  writeFileSync(path.join(FOLDER, "data.js"), files);
}

const hashOf = (content) => `'sha256-${createHash("sha256").update(content).digest("base64")}'`;

function single(app, files) {
  const style = STYLES.map(text).join("\n");
  const scripts = [files, app.replaceAll("</script", "<\\/script")];
  let page = html(policy({ scripts: scripts.map(hashOf).join(" "), styles: hashOf(style), images: "data:" }));
  page = replace(page, /(?:\s*<link rel="stylesheet".*?>)+/, `\n    <style>${style}</style>`);
  page = replace(page, SCRIPT, "");
  page = page.replaceAll("icon.svg", `data:image/svg+xml;base64,${bytes("icon.svg").toString("base64")}`);
  // At the end, where the page that they need is there.
  page = replace(page, "</body>", `${scripts.map((script) => `<script>${script}</script>\n`).join("")}</body>`);
  writeFileSync(FILE, page);
}

const [app, files] = await Promise.all([classic(path.join(PAGE, "app.js")), data()]);
folder(app, files);
single(app, files);
