// Our types where others' are expected. Nothing of this runs.

import type { LanguageModelV3, LanguageModelV4, ProviderV4 } from "@ai-sdk/provider";
import { generateText } from "ai";
import type OpenAI from "openai";

import { createSprat } from "../../../edge/js/ai-sdk.js";
import { SpratOpenAI } from "../../../edge/js/openai.js";
import { defineLanguageModel } from "../../../edge/js/prompt-api.js";
import { Sprat } from "../../../edge/js/sprat.js";

const sprat = await Sprat.load({ model: "models/sprat-tiny/" });

export const provider: ProviderV4 = createSprat({ sprat });
export const newest: LanguageModelV4 = createSprat({ model: "m/", cloud: "/v1" })("device", { private: true, minP: 0.1 });
export const older: LanguageModelV3 = createSprat({ sprat, specificationVersion: "v3" })();
await generateText({ model: createSprat({ sprat })("auto"), prompt: "Hi" });
// @ts-expect-error there is no such model
createSprat({ sprat })("gpt");
// @ts-expect-error neither a Sprat nor a model
createSprat({});

/** Where OpenAI says nothing, our service says `null`. */
type Ours<T> = Omit<T, "system_fingerprint">;

const client = new SpratOpenAI({ sprat });
const messages = [{ role: "user" as const, content: "Hi" }];
const whole = await client.chat.completions.create({ model: "auto", messages });
export const completion: Ours<OpenAI.ChatCompletion> = whole;
const stream = await client.chat.completions.create({ model: "auto", messages, stream: true, top_k: 5, x_private: true });
for await (const chunk of stream) {
  const same: Ours<OpenAI.ChatCompletionChunk> = chunk;
  console.log(same.choices[0]?.delta.content, chunk.x_receipt?.source);
}
export const body: OpenAI.ChatCompletionCreateParams = { model: "auto", messages, stream: true, stream_options: { include_usage: true } };
// @ts-expect-error misspelt
await client.chat.completions.create({ model: "auto", messages, max_token: 5 });

const LanguageModel = defineLanguageModel({ model: "models/sprat-tiny/", languages: ["en"] });
const session = await LanguageModel.create({ initialPrompts: [{ role: "system", content: "Be short" }] });
export const answer: string = await session.prompt([{ role: "user", content: [{ type: "text", value: "Hi" }] }]);
export const texts: ReadableStream<string> = (await session.clone()).promptStreaming("Hi");
session.oncontextoverflow = (event) => console.log(event.type);
