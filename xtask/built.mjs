// Where the package's own scripts find what is built beside them: for whoever bundles from edge/js.

import path from "node:path";

const SOURCES = path.resolve("edge/js");
const BUILT = /^\.\/(cpu|webgpu|mix|link)\/\w+\.js$/;

/**
 * The wasm-bindgen scripts that the sources import, from the folder of a built package.
 *
 * @param {string} folder
 * @returns {import("esbuild").Plugin}
 */
export const builtIn = (folder) => ({
  name: "built modules",
  setup({ onResolve }) {
    onResolve({ filter: BUILT }, ({ path: name, resolveDir }) =>
      resolveDir === SOURCES ? { path: path.resolve(folder, name) } : undefined,
    );
  },
});
