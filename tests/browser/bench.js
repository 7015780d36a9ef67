// How fast a pack answers in a page: `node bench.js PACK [--device cpu] [--threads 1] [--prompt 128] [--tokens 64]
// [--repeat 5] [--json]`.
// `sprat bench page` runs this. Two answers a round, to a prompt that no cache knows: of one token, and of many. The
// first is the prompt's time; what the second takes beyond the rounds' median of the first is the other tokens'.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { Bench } from "./lib/bench.js";
import { memoryOf, pageProcess } from "./lib/processes.js";
import { ISOLATED } from "./lib/recorder.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: "string", default: "cpu" },
    threads: { type: "string", default: "1" },
    prompt: { type: "string", default: "128" },
    tokens: { type: "string", default: "64" },
    repeat: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("usage: node bench.js PACK [--device cpu] [--threads N] [--prompt N] [--tokens N] [--repeat N] [--json]");
const [threads, prompt, tokens, repeat] = [values.threads, values.prompt, values.tokens, values.repeat].map(Number);

/** Runs in the page. */
async function measure({ device, threads, prompt, tokens, repeat }) {
  const { Sprat } = await import("/sprat/sprat.js");
  const started = performance.now();
  const sprat = await Sprat.load({ model: "/bench-pack/", cloud: null, device, threads });
  const load = performance.now() - started;
  // Without lookup: random weights go round in circles, which guesses would make faster than any text is.
  const options = (maxTokens) => ({ mode: "device", temperature: 0, lookup: false, maxTokens });
  const ask = async (content, maxTokens) => {
    for await (const event of sprat.chat([{ role: "user", content }], options(maxTokens))) {
      if (event.type === "end") return event.receipt;
    }
  };
  const rounds = [];
  for (let round = 0; round <= repeat; round += 1) {
    const text = (salt) => `${round}${salt} `.padEnd(prompt, "the fish swim in the sea ");
    const first = await ask(text("a"), 1);
    const whole = await ask(text("b"), tokens + 1);
    if (whole.completion_tokens !== tokens + 1) throw new Error("the model ended its answer early");
    if (round > 0) rounds.push({ prompt: first.prompt_tokens, read: first.prompt_tokens - first.cached_tokens, first: first.device_ms, whole: whole.device_ms });
  }
  return { load, rounds, device: sprat.device };
}

/** Milliseconds from the beginning of the page's load to its first token, the model being stored. */
async function firstToken({ device, threads }) {
  const { Sprat } = await import("/sprat/sprat.js");
  const sprat = await Sprat.load({ model: "/bench-pack/", cloud: null, device, threads });
  const options = { mode: "device", temperature: 0, maxTokens: 1 };
  for await (const event of sprat.chat([{ role: "user", content: "Hello!" }], options)) {
    // Its text may be empty, so its end is what counts.
    if (event.type !== "end") continue;
    const time = performance.now();
    sprat.dispose();
    return time;
  }
  throw new Error("the model has no first token");
}

function spread(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], min: sorted[0], max: sorted.at(-1) };
}

const bench = await Bench.start();
try {
  for (const file of readdirSync(folder)) {
    bench.recorder.offer(`/bench-pack/${file}`, "application/octet-stream", readFileSync(path.join(folder, file)));
  }
  bench.recorder.offer("/blank.html", "text/html", "<!doctype html><title>Bench</title>", ISOLATED);
  const page = await (await bench.browser.newContext()).newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(`${bench.server.origin}/blank.html`);
  const { load, rounds, device } = await page.evaluate(measure, { device: values.device, threads, prompt, tokens, repeat });
  // Of this browser only: others may run beside it.
  const { peak } = memoryOf(await pageProcess(await bench.browser.newBrowserCDPSession()));
  const firsts = [];
  for (let round = 0; round < repeat; round += 1) {
    await page.goto(`${bench.server.origin}/blank.html?${round}`);
    firsts.push(await page.evaluate(firstToken, { device: values.device, threads }));
  }
  const prompts = spread(rounds.map(({ first }) => first));
  const result = {
    browser: `Chromium ${bench.browser.version()}`,
    device: device.words,
    threads: device.threads,
    pack: path.basename(folder),
    prompt_tokens: rounds[0].prompt,
    tokens,
    load_ms: load,
    prefill_tokens_per_second: spread(rounds.map(({ read, first }) => (read / first) * 1e3)),
    decode_tokens_per_second: spread(rounds.map(({ whole }) => (tokens / (whole - prompts.median)) * 1e3)),
    first_token_ms: spread(firsts),
    peak_bytes: peak,
  };
  if (values.json) {
    console.log(JSON.stringify(result, null, 2));
  } else {
    const show = ({ median, min, max }) => `${median.toFixed(1)} [${min.toFixed(1)} to ${max.toFixed(1)}]`;
    console.log(`${result.browser}, ${device.words}, threads: ${device.threads}, ${result.pack}`);
    console.log(`load     ${load.toFixed(0)} ms, from an empty store`);
    console.log(`prefill  ${show(result.prefill_tokens_per_second)} tokens/s (${result.prompt_tokens} tokens)`);
    console.log(`decode   ${show(result.decode_tokens_per_second)} tokens/s (${tokens} tokens)`);
    console.log(`first    ${show(result.first_token_ms)} ms from the page's load to its first token, from the store`);
    console.log(`memory   ${(result.peak_bytes / 1e6).toFixed(0)} MB peak of the page's process`);
  }
} finally {
  await bench.stop();
}
