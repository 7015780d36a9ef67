// A copy of the Vite project with the package in it, as `npm install sprat` leaves it.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { tarball } from "./tarball.js";

const PROJECT = fileURLToPath(new URL("../vite/", import.meta.url));

/** Installs the tarball into the project; its lock does not name it, because it is new with every build. */
export function install() {
  const npm = ["install", "--no-save", "--no-package-lock", "--prefer-offline", "--no-audit", "--no-fund", "--silent", tarball()];
  execFileSync("npm", npm, { cwd: PROJECT, stdio: "inherit" });
}

/** Runs one of the project's programs; what it says is in the error, if it fails. */
export function run(program, ...args) {
  return execFileSync(path.join(PROJECT, "node_modules/.bin", program), args, { cwd: PROJECT, encoding: "utf8" });
}

/** Builds the page in a folder of the project; gives the folder with what was built. */
export function build(t, page = ".") {
  const folder = mkdtempSync(path.join(tmpdir(), "sprat-vite-"));
  t.after(() => rmSync(folder, { recursive: true }));
  run("vite", "build", page, "--logLevel", "warn", "--emptyOutDir", "--outDir", folder);
  return folder;
}

/** Vite's development server; gives its address. */
export async function develop(t) {
  const vite = spawn(path.join(PROJECT, "node_modules/.bin/vite"), ["--host", "127.0.0.1", "--port", "0", "--clearScreen", "false"], {
    cwd: PROJECT,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => vite.kill());
  let said = "";
  for await (const text of vite.stdout) {
    said += text;
    const [address] = said.match(/http:\/\/127\.0\.0\.1:\d+/) ?? [];
    if (address) return address;
  }
  throw new Error(`Vite ended before it listened: ${said}`);
}
