// A Sprat that answers what its test expects: no worker, no model, no network. What it says follows from the question.

const DEVICE = { kind: "cpu", words: "CPU (WASM SIMD)" };
const MODEL = {
  name: "sprat-tiny", description: "A small model.", license: "MIT", parameters: 4_200_000, context: 512, bytes: 4_500_000,
  examples: ["what is 17 * 23?", "What is a sprat?", "Write a haiku about the sea."], stored: true,
};
const RECEIPT = {
  source: "device", rule: "sure", reason: "This device is 94 % sure.", confidence: 0.943, threshold: 0.8, bound: null,
  model: "sprat-tiny", device: DEVICE.words, prompt_tokens: 21, cached_tokens: 0, completion_tokens: 48, first_token_ms: 38,
  device_ms: 412, cloud_ms: 0, total_ms: 415, continued_tokens: 0, bytes_sent: 0, cost_usd: 0,
};

const MARKDOWN = `A **sprat** is a small *oily* fish of the herring family.

1. It swims in schools
2. It lives in the \`North Sea\`:
   - near the coast
   - at night near the surface

| Name | Length |
| --- | --- |
| Sprat | 12 cm |
| Herring | 30 cm |

\`\`\`js
const fish = "sprat"; // a line that is longer than any narrow screen, so that it has to scroll
\`\`\`

> See [the article](https://example.org/sprat).`;

export class FakeSprat {
  calls = [];
  /** What the person said to what would be sent. */
  consents = [];
  disposed = false;
  state = "loading";
  device = null;
  model = null;
  #load;

  constructor({ ready = true } = {}) {
    this.ready = new Promise((resolve, reject) => (this.#load = { resolve, reject }));
    this.ready.catch(() => {});
    if (ready) this.load();
  }

  load() {
    Object.assign(this, { state: "ready", device: DEVICE, model: MODEL });
    this.#load.resolve();
  }

  break(code) {
    this.state = "failed";
    this.#load.reject(error(code));
  }

  async *chat(messages, options) {
    this.calls.push({ messages, mode: options.mode, level: options.level, private: options.level === "private" });
    const question = messages.at(-1).content;
    const said = Object.entries(ANSWERS).find(([word]) => question.includes(word))?.[1] ?? usual;
    yield* said(options, question, this);
  }

  dispose() {
    this.disposed = true;
  }
}

const ANSWERS = {
  "17 *": async function* () {
    yield* device("exact", "17 × 23 = 391", { source: "exact", rule: "exact", confidence: null, threshold: null, model: null, prompt_tokens: 0, completion_tokens: 0 });
  },
  hard: async function* ({ level }) {
    yield { type: "start", source: "device" };
    yield { type: "delta", source: "device", text: "The empire fell because of" };
    if (level === "private") throw error("private_unanswerable", { partial: "The empire fell because of" });
    yield { type: "handover", from: "device", to: "cloud", rule: "unsure", reason: "Not sure." };
    yield* device("cloud", "For several reasons at once: money, war and **succession**.", {
      source: "cloud", rule: "unsure", confidence: 0.41, model: "sprat-small", device: null, cloud_ms: 900, bytes_sent: 1234, cost_usd: 0.000013,
    });
  },
  name: async function* ({ onAsk, signal }, question, sprat) {
    yield { type: "level", level: "ask", found: ["name"] };
    const yes = await onAsk({ to: "https://api.example.org/v1", model: "m", reason: "", messages: [{ role: "user", content: question }], stop: [] });
    sprat.consents.push(yes);
    if (signal.aborted) throw error("aborted");
    if (!yes) throw error("consent_refused");
    yield* device("cloud", "Hello.", { source: "cloud", bytes_sent: 10 });
  },
  broken: async function* () {
    throw error("cloud_unreachable");
  },
  once: async function* (_, question) {
    if (tries++ % 2 === 0) throw error("cloud_interrupted", { partial: "Half an" });
    yield* device("device", `Answered: ${question}`, {});
  },
  endless: async function* ({ signal }) {
    yield { type: "start", source: "device" };
    yield { type: "delta", source: "device", text: "Once upon a time" };
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(error("aborted"))));
  },
  silent: async function* ({ signal }) {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(error("aborted"))));
  },
  markup: async function* () {
    yield* device("device", `<img src=x onerror="globalThis.broken = true"> <script>globalThis.broken = true</script> [a](javascript:globalThis.broken=true) ![b](https://tracker.example/p.png)`, {});
  },
  שלום: async function* () {
    yield* device("device", "ספראט הוא **דג קטן** ממשפחת ההרינג.\n\n- הוא שט בלהקות\n- הוא חי בים הצפוני\n\nIn English it is called sprat.", {});
  },
};
let tries = 0;

async function* usual() {
  yield* device("device", MARKDOWN, {});
}

async function* device(source, text, more) {
  yield { type: "start", source };
  for (const piece of text.match(/[\s\S]{1,7}/g)) yield { type: "delta", source, text: piece };
  yield { type: "end", text, receipt: { ...RECEIPT, ...more } };
}

function error(code, more = {}) {
  return Object.assign(new Error(`a fake ${code}`), { name: "SpratError", code, hint: "", partial: "", receipt: null, ...more });
}
