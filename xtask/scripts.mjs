// Makes one file of the engine's worker, in the folder of the package that is named. The policy that seals the worker
// lets it load no script of any address: `import("./x.js?what was asked")` would be a way out. Firefox holds a worker's
// static imports against that policy too, so there may be none.

import path from "node:path";
import { build } from "esbuild";
import { builtIn } from "./built.mjs";

const [folder] = process.argv.slice(2);
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
