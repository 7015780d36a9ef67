// A function as the way to the cloud, over a real line: what it is asked, and what the engine hears of its answers.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { layQuestion } from "../cloud-fetch.js";
import { Line } from "../line.js";
import { SpratError } from "../sprat.js";

/** @type {MessagePort[]} */
const ports = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

function ask(cloudFetch, over = new AbortController()) {
  const port = layQuestion(cloudFetch, { url: "https://api.example/v1/", headers: { "X-App": "1" } }, over.signal);
  ports.push(port);
  return new Line(port).ask('{"a":1}');
}

test("the function is asked what a server would be, and its answer flows", async () => {
  let asked;
  const flow = ask(async (request) => {
    asked = request;
    return new Response("data: [DONE]\n\n", { headers: { "content-type": "text/event-stream" } });
  });
  await flow.head();
  assert.deepEqual([flow.status, flow.kind, flow.from], [200, "text/event-stream", 0]);
  assert.equal(Buffer.from(await flow.next()).toString(), "data: [DONE]\n\n");
  assert.equal(await flow.next(), undefined);
  const { signal, ...request } = asked;
  assert.deepEqual(request, {
    url: "https://api.example/v1/chat/completions",
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream", "X-App": "1" },
    body: '{"a":1}',
  });
  assert.equal(signal.aborted, false);
});

test("a refusal is a status, every other failure an error", async () => {
  const failing = (code) => ask(() => Promise.reject(new SpratError({ code, message: "no" })));
  const flow = failing("cloud_refused");
  await flow.head();
  assert.deepEqual([flow.status, await flow.next()], [403, undefined]);
  await assert.rejects(failing("cloud_unreachable").head(), { name: "SpratError", message: "no" });
});

test("an engine that wants no more stops the function", async () => {
  let asked;
  const arrived = new Promise((resolve) => (asked = resolve));
  const flow = ask((request) => (asked(request.signal), new Promise(() => {})));
  flow.head().catch(() => {});
  const signal = await arrived;
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  flow.end();
  await aborted;
});

test("a question that is over stops the function, also when the engine can say nothing any more", async () => {
  let asked;
  const arrived = new Promise((resolve) => (asked = resolve));
  const over = new AbortController();
  ask((request) => (asked(request.signal), new Promise(() => {})), over).head().catch(() => {});
  const signal = await arrived;
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  over.abort();
  await aborted;
});
