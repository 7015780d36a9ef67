// The browser's processes on this machine, and their memory (Linux).

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * The process that holds the page: of all for pages, the one with the most memory.
 * @param {{ send: (method: "SystemInfo.getProcessInfo") => Promise<any> }} browser a DevTools session of the browser's own
 * @returns {Promise<number>} its id
 */
export async function pageProcess(browser) {
  const { processInfo } = await browser.send("SystemInfo.getProcessInfo");
  const pages = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => ({ id, ...memoryOf(id) }));
  if (pages.length === 0) throw new Error("the browser has no process for a page");
  return pages.reduce((one, other) => (other.resident > one.resident ? other : one)).id;
}

/**
 * Bytes of a process: in memory now, the most that ever were, and of all that it may write to, touched or not.
 * @param {number} id
 */
export function memoryOf(id) {
  const status = readFileSync(`/proc/${id}/status`, "utf8");
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  return { resident: bytes("VmRSS"), peak: bytes("VmHWM"), writable: bytes("VmData") };
}

/**
 * Keeps a process below so many bytes of memory: the kernel refuses it more to write to than would fill them. Needs no
 * rights and no cgroup. What it has reserved and not touched stays out of the sum: a browser reserves half a gigabyte.
 * @param {number} id
 * @param {number} bytes
 */
export function limitMemory(id, bytes) {
  const { resident, writable } = memoryOf(id);
  execFileSync("prlimit", ["--pid", String(id), `--data=${writable + bytes - resident}`]);
}
