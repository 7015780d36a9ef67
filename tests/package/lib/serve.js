// A web server for files, with nothing that a cheap host would not do.

import { once } from "node:events";
import { createReadStream, statSync } from "node:fs";
import http from "node:http";
import path from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * Serves a folder until the tests of `t` are over.
 * @param {string} folder
 * @param {{ after: (stop: () => unknown) => void }} t
 * @param {Record<string, string>} [headers] with every answer
 * @returns {Promise<{ origin: string, asked: string[] }>} `asked`: the paths that were asked for
 */
export async function serve(folder, t, headers = {}) {
  const asked = [];
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    asked.push(pathname);
    const file = path.join(folder, pathname.endsWith("/") ? `${pathname}index.html` : pathname);
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined || !file.startsWith(folder)) return response.writeHead(404, headers).end();
    const type = TYPES[path.extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { ...headers, "Content-Type": type, "Content-Length": size });
    createReadStream(file).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => (server.closeAllConnections(), server.close()));
  return { origin: `http://127.0.0.1:${server.address().port}`, asked };
}
