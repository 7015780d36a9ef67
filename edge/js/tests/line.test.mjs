// Both ends of a line, over a real channel: what is asked for comes piece by piece, and ends when nobody wants it.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { serve } from "../flows.js";
import { Line } from "../line.js";

/** @type {MessagePort[]} */
const ports = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** A line to a link that answers as `open` says. */
function lay(open) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serve(port1, open);
  return new Line(port2);
}

/** An answer of these pieces; the buffers that came back are in `spares`. */
function answer(pieces, spares = []) {
  const left = [...pieces];
  return {
    status: 206,
    kind: "text/plain",
    from: 7,
    async next(spare) {
      if (spare) spares.push(spare.byteLength);
      const piece = left.shift();
      return piece && new TextEncoder().encode(piece);
    },
  };
}

test("an answer is its head, its pieces and its end", async () => {
  const asked = [];
  const spares = [];
  const line = lay(async (request) => {
    asked.push(request);
    return answer(["one", "three"], spares);
  });
  const flow = line.open("a.bin", 7, true);
  await flow.head();
  assert.deepEqual([flow.status, flow.kind, flow.from], [206, "text/plain", 7]);
  assert.deepEqual(asked, [{ file: "a.bin", from: 7, fresh: true }]);
  const text = async () => new TextDecoder().decode((await flow.next()) ?? new Uint8Array());
  assert.deepEqual([await text(), await text()], ["one", "three"]);
  assert.equal(await flow.next(), undefined);
  assert.equal(await flow.next(), undefined, "an end is an end");
  assert.deepEqual(spares, [3, 5], "the memory of each piece goes back for the next");
});

test("what was read before is given once, and not asked for again", async () => {
  let asked = 0;
  const line = lay(async () => ((asked += 1), answer(["new"])));
  const kept = new TextEncoder().encode("{}");
  const text = async (...request) => {
    const flow = line.open(...request);
    await flow.head();
    let text = "";
    for (let piece = await flow.next(); piece; piece = await flow.next()) text += new TextDecoder().decode(piece);
    flow.end();
    return [text, flow.status];
  };
  line.keep("sprat.json", kept);
  for (const other of [["a.bin", 0, false], ["sprat.json", 7, false], ["sprat.json", 0, true]]) assert.deepEqual(await text(...other), ["new", 206]);
  assert.deepEqual(await text("sprat.json", 0, false), ["{}", 200]);
  assert.equal(asked, 3);
  assert.deepEqual(await text("sprat.json", 0, false), ["new", 206]);
  line.keep("sprat.json", kept);
  line.close();
  await assert.rejects(line.open("sprat.json", 0, false).head(), { name: "Refused" });
});

test("two answers on one line do not mix", async () => {
  const line = lay(async ({ body }) => answer([body, body]));
  const flows = [line.ask("a"), line.ask("b")];
  await Promise.all(flows.map((flow) => flow.head()));
  const next = async (flow) => new TextDecoder().decode(await flow.next());
  assert.deepEqual(await Promise.all(flows.map(next)), ["a", "b"]);
  assert.deepEqual(await Promise.all(flows.map(next)), ["a", "b"]);
});

test("a failure keeps its name and its words", async () => {
  const line = lay(async () => {
    throw Object.assign(new Error("no such chunk"), { name: "Refused" });
  });
  await assert.rejects(line.open("x", 0, false).head(), { name: "Refused", message: "no such chunk" });
  const broken = lay(async () => ({ ...answer([]), next: () => Promise.reject(new TypeError("network error")) }));
  const flow = broken.open("x", 0, false);
  await flow.head();
  await assert.rejects(flow.next(), { name: "TypeError", message: "network error" });
  assert.equal(await flow.next(), undefined);
});

test("ending, and closing the line, stop the request", async () => {
  /** @type {AbortSignal[]} */
  const signals = [];
  const silent = (_, signal) => {
    signals.push(signal);
    return new Promise(() => {});
  };
  const stopped = async (count) => {
    while (signals.length < count || !signals.every(({ aborted }) => aborted)) await new Promise((resolve) => setImmediate(resolve));
  };
  const line = lay(silent);
  const flow = line.ask("hello");
  flow.end();
  await stopped(1);
  line.ask("again");
  line.close();
  await stopped(2);
});

test("whoever waits on a line that is closed, and whoever asks on it, is told", async () => {
  const line = lay(() => new Promise(() => {}));
  const waiting = line.open("a", 0, false);
  const told = assert.rejects(waiting.head(), { name: "Refused" });
  line.close();
  await told;
  await assert.rejects(line.ask("b").head(), { name: "Refused" });
});
