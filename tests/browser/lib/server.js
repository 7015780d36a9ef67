// The real server, as a person starts it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const BINARY = process.env.SPRAT_BIN ?? path.join(ROOT, "target/debug/sprat");
export const WEB = process.env.SPRAT_WEB ?? path.join(ROOT, "web/dist");

async function freePort() {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

export class Server {
  #child = null;
  #log = "";

  /** A running server on a port of its own, with the page that is in the folder `web`, and more of an environment. */
  static async start({ web = WEB, env = {} } = {}) {
    for (const [what, file, how] of [
      ["the server", BINARY, "build it with `cargo build -p sprat`, or say where it is in SPRAT_BIN"],
      ["the page", path.join(web, "index.html"), "build it with `cargo xtask build`, or say where it is in SPRAT_WEB"],
    ]) {
      if (!existsSync(file)) throw new Error(`${what} is not at ${file}: ${how}`);
    }
    const server = new Server();
    Object.assign(server, { web, env });
    server.port = await freePort();
    await server.run();
    return server;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it (again), on the same port, and waits until it can answer. */
  async run() {
    const args = ["serve", "--host", "127.0.0.1", "--port", String(this.port), "--device", "cpu", "--web", this.web];
    const env = { ...process.env, ...this.env };
    const child = spawn(BINARY, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => (this.#log += text));
    }
    let ended = false;
    child.on("error", (error) => ((ended = true), (this.#log += error.message)));
    child.on("exit", () => (ended = true));
    for (;;) {
      if (ended) throw new Error(`sprat serve ended before it was ready:\n${this.#log.slice(-20_000)}`);
      const ready = await fetch(`${this.origin}/readyz`).catch(() => null);
      if (ready?.ok) return;
      // Polling is how anyone waits for a server's readiness.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** What it has written; it must not hold a word of a conversation. */
  get log() {
    return this.#log;
  }

  /** As a power cut ends it. */
  async kill() {
    if (this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
