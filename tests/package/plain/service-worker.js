// The engine in a service worker, and the faces over it.
import { SpratOpenAI } from "./sprat/openai.js";
import { defineLanguageModel } from "./sprat/prompt-api.js";
import { Sprat } from "./sprat/service-worker.js";

/** Memories of the modules that run, whose sizes are no one's business but this test's. */
const memories = [];
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (...given) => {
  const made = await instantiate(...given);
  const memory = (made.instance ?? made).exports.memory;
  if (memory) memories.push(memory);
  return made;
};

/** What most seeds answer at length. */
const STORY = "Tell me a long story.";
const long = (seed) => ({ temperature: 2, seed });

const load = (model) => Sprat.load({ model, device: "cpu" });
const turn = (content) => [{ role: "user", content }];

async function answer(sprat, question, options) {
  for await (const event of sprat.chat(turn(question), options)) {
    if (event.type === "end") return { text: event.text, source: event.receipt.source };
  }
}

/** One answer after the other, until one fails: a single one may be over before that. */
async function answerAgain(sprat) {
  for (let seed = 1; seed < 50; seed += 1) await answer(sprat, STORY, long(seed));
}

const actions = {
  async chat({ model, question }) {
    const sprat = await load(model);
    const exact = await answer(sprat, "What is 17 * 23?");
    const first = await answer(sprat, question);
    const messages = [...turn(question), { role: "assistant", content: first.text }];
    const { tokens, level } = await sprat.save("one", messages);
    const said = { device: sprat.device, exact, answer: first, tokens: await sprat.count(turn(question)), saved: { tokens, level } };
    sprat.dispose();
    const another = await load(model);
    said.restored = (await another.restore("one")).tokens;
    another.dispose();
    return said;
  },

  async faces({ model, question }) {
    const client = new SpratOpenAI({ model, device: "cpu" });
    const { choices } = await client.chat.completions.create({ model: "auto", messages: turn(question) });
    const LanguageModel = defineLanguageModel({ model, device: "cpu" });
    const session = await LanguageModel.create();
    const promptApi = await session.prompt(question);
    return { openai: choices[0].message.content, promptApi, availability: await LanguageModel.availability() };
  },

  async stop({ model }) {
    const sprat = await load(model);
    try {
      // A short answer may be over before it is stopped.
      for (let seed = 1; seed < 20; seed += 1) {
        const stop = new AbortController();
        for await (const event of sprat.chat(turn(STORY), { ...long(seed), signal: stop.signal })) if (event.type === "delta") stop.abort();
      }
      return "answered";
    } catch ({ code }) {
      return code;
    } finally {
      sprat.dispose();
    }
  },

  stored: () => Sprat.stored(),

  async cycles({ model, times }) {
    const sizes = [];
    for (let time = 0; time < times; time += 1) {
      const sprat = await load(model);
      await answer(sprat, "Hello!", { maxTokens: 4 });
      sprat.dispose();
      sizes.push(memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0));
    }
    return sizes;
  },

  gpu: ({ model }) => Sprat.load({ model, device: "webgpu" }).then(() => "loaded", ({ code }) => code),

  async panic({ model, message, trap }) {
    const sprat = await load(model);
    const failure = ({ code, message }) => ({ code, message });
    const lost = answerAgain(sprat).catch(failure);
    // As what WebAssembly ends by itself reaches the service worker.
    if (trap) void Promise.reject(new WebAssembly.RuntimeError(message));
    else globalThis.panic(message);
    return [await lost, await load(model).catch(failure)];
  },
};

onmessage = (event) => {
  const { data, ports } = event;
  const done = actions[data.do](data).then(
    (result) => ({ result }),
    ({ name, code, message }) => ({ failure: `${name} ${code}: ${message}` }),
  );
  event.waitUntil(done.then((end) => ports[0].postMessage(end)));
};
