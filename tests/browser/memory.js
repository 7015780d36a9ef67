// How much memory a pack needs in a page: `node memory.js PACK...`. Each pack has a browser of its own, twice: with an empty
// store, download included, and with what that has stored. docs/package.md has the table.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";
import { findChromium } from "./lib/browser.js";
import { memoryOf, pageProcess } from "./lib/processes.js";
import { WEB } from "./lib/server.js";
import { serveFiles } from "./lib/static.js";

const packs = process.argv.slice(2).map((folder) => path.resolve(folder));
if (packs.length === 0) throw new Error("usage: node memory.js PACK...");

/** Runs in the page: loads the pack and answers with 64 tokens after a prompt of some 128; the engine stays. */
async function answer(device) {
  const { Sprat } = await import("/sprat/sprat.js");
  globalThis.sprat = await Sprat.load({ model: "/pack/", device });
  const question = "Tell me: ".padEnd(512, "the fish swim in the sea ");
  const options = { mode: "device", temperature: 0, maxTokens: 64, lookup: false };
  for await (const event of globalThis.sprat.chat([{ role: "user", content: question }], options)) {
    if (event.type === "end") return { tokens: event.receipt.prompt_tokens + event.receipt.completion_tokens, bytes: globalThis.sprat.model.bytes };
  }
}

/** Bytes of all WebAssembly memories of a worker. */
async function wasmBytes(client) {
  const { result } = await client.send("Runtime.evaluate", { expression: "WebAssembly.Memory.prototype" });
  const { objects } = await client.send("Runtime.queryObjects", { prototypeObjectId: result.objectId });
  const sum = "function () { return this.reduce((bytes, { buffer }) => bytes + buffer.byteLength, 0); }";
  const { result: bytes } = await client.send("Runtime.callFunctionOn", { objectId: objects.objectId, functionDeclaration: sum, returnByValue: true });
  return bytes.value;
}

/** One visit to a page with the pack. */
async function visit(origin, userDataDir) {
  const browser = await puppeteer.launch({ executablePath: findChromium(), userDataDir, args: ["--no-sandbox", "--no-first-run"], protocolTimeout: 0 });
  try {
    const page = await browser.newPage();
    await page.goto(`${origin}/sprat/sse.js`);
    const devtools = await browser.target().createCDPSession();
    const process = await pageProcess(devtools);
    const empty = memoryOf(process).resident;
    const { tokens, bytes } = await page.evaluate(answer, "cpu");
    const { peak } = memoryOf(process);
    const heap = async (client) => (await client.send("Runtime.getHeapUsage")).usedSize;
    const clients = page.workers().map(({ client }) => client);
    const heaps = await Promise.all([page.createCDPSession().then(heap), ...clients.map(heap)]);
    const wasm = await Promise.all(clients.map(wasmBytes));
    const add = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
    return { pack: bytes, tokens, empty, peak, heaps: add(heaps), wasm: add(wasm), version: await browser.version() };
  } finally {
    await browser.close();
  }
}

const MB = (bytes) => (bytes / 1e6).toFixed(0);
for (const pack of packs) {
  const profile = mkdtempSync(path.join(tmpdir(), "sprat-memory-"));
  const files = await serveFiles([["/sprat/", path.join(WEB, "sprat")], ["/pack/", pack]]);
  try {
    const first = await visit(files.origin, profile);
    const again = await visit(files.origin, profile);
    console.log(`${path.basename(pack)}: ${MB(first.pack)} MB, ${first.tokens} tokens, ${first.version}`);
    console.log(`  peak of the page's process  ${MB(first.peak)} MB from an empty store, ${MB(again.peak)} MB from the store, of which an empty page is ${MB(first.empty)} MB`);
    console.log(`  WebAssembly memory          ${MB(again.wasm)} MB`);
    console.log(`  JavaScript heaps            ${(again.heaps / 1e6).toFixed(1)} MB, the page's and both workers'`);
  } finally {
    files.close();
    rmSync(profile, { recursive: true, force: true });
  }
}
