// The package as npm would publish it.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The one tarball in dist/npm. */
export function tarball() {
  const folder = path.join(ROOT, "dist/npm");
  const [file, ...more] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  if (!file || more.length > 0) throw new Error(`there must be one tarball in ${folder}: run \`cargo xtask package\``);
  return path.join(folder, file);
}

/** The files in the tarball, without npm's `package/` before them. */
export function packed() {
  const list = execFileSync("tar", ["-tzf", tarball()], { encoding: "utf8" });
  return list.trim().split("\n").map((name) => name.replace(/^package\//, ""));
}

/** A copy of a folder here, which the test may change; gone after the tests of `t`. */
export function copyOf(name, t) {
  const folder = mkdtempSync(path.join(tmpdir(), "sprat-package-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), folder, { recursive: true });
  return folder;
}

/** Unpacks the tarball as the folder `sprat` in `folder`. */
export function unpack(folder) {
  execFileSync("tar", ["-xzf", tarball(), "-C", folder, "--transform", "s:^package:sprat:"]);
}
