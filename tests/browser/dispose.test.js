// `dispose()` gives everything back: loading, asking and disposing again and again leaves no worker, and the memory of the
// page and of its process as it was. DISPOSE_CYCLES makes longer runs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Bench } from "./lib/bench.js";

const CYCLES = Number(process.env.DISPOSE_CYCLES ?? 12);
/** Until then, what is made once is made. */
const WARM = 5;
/** One kept model, or one kept module's memory, is more than this in a few cycles. */
const MOST_HEAP = 1e6;
const MOST_PROCESS = 60e6;

/** @type {Bench} */
let bench;
before(async () => {
  bench = await Bench.start({ webgpu: false });
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Dispose</title>");
});
after(() => bench?.stop());

test(`${CYCLES} times loaded, asked and disposed of`, async (t) => {
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
    const renderers = processInfo.filter(({ type }) => type === "renderer");
    const resident = renderers.map(({ id }) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1]) * 1024);
    return { heap: metrics.find(({ name }) => name === "JSHeapUsedSize").value, process: resident.reduce((a, b) => a + b) };
  }

  const cycle = () =>
    page.evaluate(async () => {
      const { Sprat } = await import("/sprat/sprat.js");
      const sprat = await Sprat.load({ model: "/models/sprat-tiny/", cloud: "/v1", device: "cpu" });
      let text = "";
      for await (const event of sprat.chat([{ role: "user", content: "Hello!" }], { mode: "device", maxTokens: 8, temperature: 0 })) {
        if (event.type === "end") text = event.text;
      }
      sprat.dispose();
      return text;
    });

  const first = await cycle();
  assert.notEqual(first, "");
  for (let done = 1; done < WARM; done += 1) assert.equal(await cycle(), first);
  const start = await memory();
  for (let done = WARM; done < CYCLES; done += 1) assert.equal(await cycle(), first);
  // A worker's thread ends a little after it was told to.
  for (let waited = 0; page.workers().length > 0 && waited < 100; waited += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(page.workers().length, 0);
  const end = await memory();
  const grown = { heap: end.heap - start.heap, process: end.process - start.process };
  t.diagnostic(JSON.stringify({ cycles: CYCLES, start, end, grown }));
  assert.ok(grown.heap < MOST_HEAP, `the heap grew by ${grown.heap} bytes`);
  assert.ok(grown.process < MOST_PROCESS, `the process grew by ${grown.process} bytes`);
  await context.close();
});
