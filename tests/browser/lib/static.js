// A plain file server, as an app's asset loader is one: no special headers, no byte ranges.

import { once } from "node:events";
import { createReadStream, statSync } from "node:fs";
import http from "node:http";
import path from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

const isFile = (file) => statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;

/**
 * Serves folders, each under a prefix; the first that has a file gives it. Close it with `close()`.
 *
 * @param {[prefix: string, folder: string][]} folders
 */
export async function serveFiles(folders) {
  const find = (name) =>
    folders
      .filter(([prefix]) => name.startsWith(prefix))
      .map(([prefix, folder]) => path.join(folder, path.normalize(`/${name.slice(prefix.length)}`)))
      .find(isFile);
  const server = http.createServer(({ url }, reply) => {
    const file = find(decodeURIComponent(new URL(url, "http://localhost").pathname));
    if (!file) return reply.writeHead(404).end();
    reply.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream", "content-length": statSync(file).size });
    createReadStream(file).pipe(reply);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
