// Makes the package's scripts what is published, in the folder of the package that is named: the engine's worker one file,
// and none of them with what only its readers want. Names stay, so that a stack trace can be read.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { build, transformSync } from "esbuild";
import { builtIn } from "./built.mjs";

const [folder] = process.argv.slice(2);

/** The policy that seals the worker lets it load no script of any address: `import("./x.js?what was asked")` would be a
 * way out. Firefox holds a worker's static imports against that policy too, so there may be none. */
await build({
  entryPoints: ["edge/js/worker.js"],
  outfile: path.join(folder, "worker.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  // Modules come compiled, from another worker. A bundler that finds their addresses would look for the files.
  define: { "import.meta.url": '"about:blank"' },
  plugins: [builtIn(folder)],
});

// Comments and indentation are a third of what a page would download of them.
for (const name of readdirSync(folder, { recursive: true })) {
  if (!name.endsWith(".js")) continue;
  const file = path.join(folder, name);
  const { code } = transformSync(readFileSync(file, "utf8"), { minifyWhitespace: true, charset: "utf8", sourcefile: name });
  writeFileSync(file, code);
}
