// `dispose()` gives everything back: loading, asking and disposing again and again leaves no worker, and the memory of the
// page, of its process and of the GPU's as it was. DISPOSE_CYCLES makes longer runs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Bench } from "./lib/bench.js";

/** How often; a software GPU's shaders are slow to compile. */
const CYCLES = { cpu: 12, webgpu: 8 };
/** Until then, what is made once is made. */
const WARM = 5;
/** One kept model, or one kept module's memory, is more than this in a few cycles. */
const MOST_HEAP = 1e6;
const MOST_PROCESS = 60e6;

/** @type {Bench} */
let bench;
before(async () => {
  bench = await Bench.start();
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Dispose</title>");
});
after(() => bench?.stop());

for (const device of ["cpu", "webgpu"]) {
  const cycles = Number(process.env.DISPOSE_CYCLES ?? CYCLES[device]);
  test(`${cycles} times loaded on ${device}, asked and disposed of`, (t) => run(t, device, cycles));
}

async function run(t, device, cycles) {
  const context = await bench.browser.newContext();
  const page = await context.newPage();
  await page.goto(`${bench.server.origin}/blank.html`);
  const session = await context.newCDPSession(page);
  const processes = await bench.browser.newBrowserCDPSession();
  await session.send("Performance.enable");

  /** Bytes of the page's heap after a collection, and of all of the browser's pages on the machine. */
  async function memory() {
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    const { processInfo } = await processes.send("SystemInfo.getProcessInfo");
    const resident = (kind) => {
      const ids = processInfo.filter(({ type }) => type === kind).map(({ id }) => id);
      return ids.map((id) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1]) * 1024).reduce((a, b) => a + b);
    };
    return { heap: metrics.find(({ name }) => name === "JSHeapUsedSize").value, process: resident("renderer"), gpu: resident("GPU") };
  }

  const cycle = () =>
    page.evaluate(async (device) => {
      const { Sprat } = await import("/sprat/sprat.js");
      const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: "/v1", device });
      let text = "";
      for await (const event of sprat.chat([{ role: "user", content: "Hello!" }], { mode: "device", maxTokens: 8, temperature: 0 })) {
        if (event.type === "end") text = event.text;
      }
      const used = sprat.device.kind;
      sprat.dispose();
      return `${used}: ${text}`;
    }, device);

  const first = await cycle();
  assert.match(first, new RegExp(`^${device}: .`));
  for (let done = 1; done < WARM; done += 1) assert.equal(await cycle(), first);
  const start = await memory();
  for (let done = WARM; done < cycles; done += 1) assert.equal(await cycle(), first);
  // A worker's thread ends a little after it was told to.
  for (let waited = 0; page.workers().length > 0 && waited < 100; waited += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(page.workers().length, 0);
  const end = await memory();
  const grown = { heap: end.heap - start.heap, process: end.process - start.process, gpu: end.gpu - start.gpu };
  t.diagnostic(JSON.stringify({ device, cycles, start, end, grown }));
  assert.ok(grown.heap < MOST_HEAP, `the heap grew by ${grown.heap} bytes`);
  assert.ok(grown.process < MOST_PROCESS, `the process grew by ${grown.process} bytes`);
  assert.ok(grown.gpu < MOST_PROCESS, `the GPU's process grew by ${grown.gpu} bytes`);
  await context.close();
}
