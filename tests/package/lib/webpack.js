// A webpack project with the package in it, as `npm install sprat` leaves it.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { tarball } from "./tarball.js";

const PROJECT = fileURLToPath(new URL("../webpack/", import.meta.url));

/** Builds the page in a folder, which it gives; there is no configuration. */
export function bundle(t) {
  const npm = ["install", "--no-save", "--no-package-lock", "--prefer-offline", "--no-audit", "--no-fund", "--silent", tarball()];
  execFileSync("npm", npm, { cwd: PROJECT, stdio: "inherit" });
  const folder = mkdtempSync(path.join(tmpdir(), "sprat-webpack-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const webpack = path.join(PROJECT, "node_modules/.bin/webpack");
  execFileSync(webpack, ["build", "--mode", "production", "--output-path", folder], { cwd: PROJECT, encoding: "utf8" });
  cpSync(path.join(PROJECT, "index.html"), path.join(folder, "index.html"));
  return folder;
}
