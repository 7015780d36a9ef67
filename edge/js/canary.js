// @ts-check
/**
 * The canary: a few tokens, timed, that tell how fast a device is with a model, where its name only lets one guess.
 */

/** @typedef {import("./types.js").Speed} Speed */

/** Texts of some sixty tokens; the first warms up what is made at the first use. */
const WARM_UP = "Please write down the numbers from one to ten in words, one behind the other.";
const TIMED =
  "Tell me a long story about a small fish and the sea. The fish lives under a stone, the sea is deep and cold, and above it " +
  "the sun goes round day after day, over the boats, the birds and the people in the harbour.";
/** Tokens that are written. */
const WRITTEN = 16;
/** With fewer the time between two tokens is not known. */
const LEAST = 4;
/** No clock that is worth anything says that so few tokens took longer, in milliseconds. */
const LONGEST = 120e3;
/** A question as most are: how many tokens are read and written for an answer. */
const USUAL = { read: 64, written: 64 };

/**
 * Times a model that is loaded.
 *
 * @param {any} runtime
 * @param {AbortSignal} signal stops it, because somebody asks something
 * @param {number} [most] milliseconds after which it is given up
 * @returns {Promise<Speed | null>} zeros if it was given up, `null` where nothing can be told
 */
export async function measure(runtime, signal, most = LONGEST) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), most);
  const stop = () => late.abort();
  signal.addEventListener("abort", stop, { once: true });
  try {
    await trial(runtime, WARM_UP, 2, late.signal);
    return speed(await trial(runtime, TIMED, WRITTEN, late.signal));
  } catch {
    // The device that cannot answer this will be heard of when it is asked something.
    return late.signal.aborted && !signal.aborted ? { prefill: 0, decode: 0 } : null;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/**
 * How long a device may take that is to be better than one with this speed, generously: what is made at the first use
 * takes its time.
 * @param {Speed} other
 * @returns {number} milliseconds
 */
export function patience({ prefill, decode }) {
  return 3000 + 10_000 * (USUAL.read / prefill + WRITTEN / decode);
}

/**
 * How fast the model was, by a receipt.
 * @param {import("./types.js").Receipt | null} receipt
 * @returns {Speed | null} `null` where the clock cannot be believed, or too little was done
 */
export function speed(receipt) {
  if (!receipt || receipt.completion_tokens < LEAST) return null;
  const { prompt_tokens, cached_tokens, completion_tokens, first_token_ms: first, device_ms: all } = receipt;
  const read = prompt_tokens - cached_tokens;
  // Some browsers' clocks stand still, or go in steps of a tenth of a second.
  const isTime = first !== null && first > 0 && all > first && all < LONGEST && !(first % 100 === 0 && all % 100 === 0);
  if (!isTime || read < 1) return null;
  return { prefill: (read * 1000) / first, decode: ((completion_tokens - 1) * 1000) / (all - first) };
}

/**
 * Whether a GPU is the better choice: it is where nothing is known.
 * @param {Speed | null} cpu
 * @param {Speed | null} gpu
 */
export function isGpuBetter(cpu, gpu) {
  if (!cpu || !gpu) return true;
  const time = (/** @type {Speed} */ { prefill, decode }) => USUAL.read / prefill + USUAL.written / decode;
  return !(time(gpu) > time(cpu));
}

/**
 * @param {any} runtime
 * @param {string} content
 * @param {number} maxTokens
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Receipt | null>}
 */
async function trial(runtime, content, maxTokens, signal) {
  /** @type {import("./types.js").Receipt | null} */
  let receipt = null;
  const options = { mode: "device", maxTokens, temperature: 0, lookup: false };
  const emit = (/** @type {string} */ json) => {
    const event = JSON.parse(json);
    if (event.type === "end") receipt = event.receipt;
  };
  // There is no line: the cloud cannot be asked.
  await runtime.chat(JSON.stringify({ messages: [{ role: "user", content }], options }), undefined, async () => null, signal, emit);
  return receipt;
}
