// What counts as an ordinary request where private text must not leave.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Ordinary } from "./lib/ordinary.js";

const request = (path, headers = {}) => ({ method: "GET", url: new URL(path, "http://127.0.0.1"), headers, body: Buffer.alloc(0) });
const oddity = (path, headers) => {
  const ordinary = new Ordinary();
  ordinary.learn([request("/sw.js", { referer: "http://127.0.0.1/" })], []);
  return ordinary.oddity(request(path, headers), () => false, new Set(['"v1"']));
};

test("what was seen before anybody asked, what a cache adds, and a file that names itself", () => {
  assert.equal(oddity("/sw.js", { referer: "http://127.0.0.1/" }), null);
  assert.equal(oddity("/sw.js", { referer: "http://127.0.0.1/sw.js" }), null);
  assert.equal(oddity("/sw.js", { range: "bytes=5-", "if-none-match": '"v1"' }), null);
});

test("another address, another value of a header, and a body are odd", () => {
  assert.equal(oddity("/sw.js?x"), "GET /sw.js?x");
  assert.equal(oddity("/sw.js", { referer: "http://127.0.0.1/sw.js?x" }), "GET /sw.js with referer: http://127.0.0.1/sw.js?x");
  assert.equal(oddity("/sw.js", { range: "bytes=x" }), "GET /sw.js with range: bytes=x");
  const ordinary = new Ordinary();
  ordinary.learn([request("/")], []);
  assert.equal(ordinary.oddity({ ...request("/"), body: Buffer.from("x") }, () => false, new Set()), "GET / with a body");
});
