// A service worker may start no worker, and this one has not imported what runs the engine in it: every face says so. A cloud
// can be asked.
import { SpratOpenAI as ServerClient } from "./sprat/cloud.js";
import { SpratOpenAI } from "./sprat/openai.js";
import { defineLanguageModel } from "./sprat/prompt-api.js";
import { Sprat } from "./sprat/sprat.js";

const failure = (work) => work.then(() => null, ({ name, code, cause }) => ({ name, code: cause?.code ?? code }));
const request = { model: "auto", messages: [{ role: "user", content: "Hello!" }] };
const text = (client) => client.chat.completions.create(request).then(({ choices }) => choices[0].message.content);

onmessage = async ({ data: { model }, ports: [reply] }) => {
  const LanguageModel = defineLanguageModel({ model });
  const result = {
    load: await failure(Sprat.load({ model })),
    stored: await failure(Sprat.stored()),
    openai: await failure(new SpratOpenAI({ model }).chat.completions.create(request)),
    promptApi: await failure(LanguageModel.create()),
    availability: await LanguageModel.availability(),
    cloud: await text(new ServerClient({ baseURL: new URL("v1", location.href) })),
    same: await text(new SpratOpenAI({ baseURL: new URL("v1", location.href) })),
  };
  reply.postMessage({ result });
};
