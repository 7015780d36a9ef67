// @ts-check
/**
 * Reads a chat request as the service does: field by field, and a field that is not known is an error, because what is not
 * done must not look done. No error repeats what a field holds.
 */

import { isMode } from "./mode.js";
import { invalid } from "./openai-error.js";

/** @typedef {import("./openai-types.js").ChatRequest} ChatRequest */
/** @typedef {import("./types.js").ChatOptions} ChatOptions */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Mode} Mode */

/** What the service knows and a model in a page cannot do, with the values that ask for nothing. @type {Record<string, (value: any) => boolean>} */
const CLOUD_ONLY = {
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  x_continue: () => false,
  frequency_penalty: (value) => value === 0,
  presence_penalty: (value) => value === 0,
  logit_bias: (value) => typeof value === "object" && Object.keys(value).length === 0,
  user: () => false,
  response_format: (value) => value?.type === "text",
  tools: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === "none" || value === "auto",
  parallel_tool_calls: () => true,
  n: (value) => value === 1,
};

const SHARED = [
  "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k",
  "min_p", "repetition_penalty", "seed", "stop", "x_private",
];
const KNOWN = new Set([...SHARED, ...Object.keys(CLOUD_ONLY)]);

const MAX_STOPS = 16;
const MAX_STOP_CHARACTERS = 256;
const MAX_U32 = 2 ** 32 - 1;

/**
 * What both kinds of request must have right.
 * @param {ChatRequest} request
 * @returns {{ stream: boolean, includeUsage: boolean }}
 */
export function check(request) {
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw invalid("body", "must be an object with model and messages");
  }
  for (const name of Object.keys(request)) {
    if (!KNOWN.has(name)) throw invalid(printable(name), "is no field that this client knows");
  }
  if (typeof request.model !== "string" || request.model === "") throw invalid("model", "is required");
  if (!Array.isArray(request.messages)) throw invalid("messages", "must be a list");
  if (request.messages.length === 0) throw invalid("messages", "must hold at least one message");
  flag("x_private", request.x_private);
  const stream = flag("stream", request.stream);
  return { stream, includeUsage: usageOf(request, stream) };
}

/**
 * A request for an engine in the page.
 * @param {ChatRequest} request
 * @param {string | undefined} name of the model that is loaded
 * @returns {{ messages: Message[], options: ChatOptions }}
 */
export function forEngine(request, name) {
  for (const [field, asksNothing] of Object.entries(CLOUD_ONLY)) {
    const value = request[/** @type {keyof ChatRequest} */ (field)];
    if (value !== undefined && value !== null && !asksNothing(value)) {
      throw invalid(field, "is not supported by a model in the page; ask the service");
    }
  }
  const limit = whole("max_completion_tokens", request.max_completion_tokens, 1, MAX_U32);
  const older = whole("max_tokens", request.max_tokens, 1, MAX_U32);
  const topK = whole("top_k", request.top_k, -1, MAX_U32);
  const options = {
    mode: modeOf(request.model, name),
    private: request.x_private ?? undefined,
    maxTokens: limit ?? older,
    temperature: number("temperature", request.temperature, 0, 2),
    topP: topP(request.top_p),
    topK: topK === undefined ? undefined : Math.max(topK, 0),
    minP: number("min_p", request.min_p, 0, 1),
    repetitionPenalty: number("repetition_penalty", request.repetition_penalty, 0.1, 10),
    seed: whole("seed", request.seed, 0, MAX_U32),
    stop: stops(request.stop),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { messages: request.messages.map(message), options: Object.fromEntries(given) };
}

/**
 * Who is to answer. The loaded model's own name means that model.
 * @param {string} model
 * @param {string | undefined} name
 * @returns {Mode}
 */
function modeOf(model, name) {
  if (isMode(model)) return model;
  if (model === name) return "device";
  const error = invalid("model", 'must be "auto", "device", "cloud", another mode, or the name of the model that is loaded');
  error.status = 404;
  error.error.code = "model_not_found";
  throw error;
}

/**
 * @param {any} value
 * @param {number} at
 * @returns {Message}
 */
function message(value, at) {
  const here = `messages[${at}]`;
  if (typeof value !== "object" || value === null) throw invalid(here, "must be an object with role and content");
  for (const [name, held] of Object.entries(value)) {
    const forgotten = (name === "refusal" && held === null) || (name === "tool_calls" && Array.isArray(held) && held.length === 0);
    if (name !== "role" && name !== "content" && !forgotten) {
      throw invalid(`${here}.${printable(name)}`, "is not supported by a model in the page");
    }
  }
  const role = value.role === "developer" ? "system" : value.role;
  if (role !== "system" && role !== "user" && role !== "assistant") {
    throw invalid(`${here}.role`, "must be system, developer, user or assistant");
  }
  return { role, content: text(value.content, `${here}.content`) };
}

/**
 * @param {any} content
 * @param {string} here
 * @returns {string}
 */
function text(content, here) {
  if (typeof content === "string") return content;
  if (content === null) return "";
  if (!Array.isArray(content)) throw invalid(here, "must be a string or a list of text parts");
  const parts = content.map((part, at) => {
    if (part?.type === "text" && typeof part.text === "string") return part.text;
    throw invalid(`${here}[${at}]`, 'must be a text part: {"type": "text", "text": "..."}');
  });
  return parts.join("\n");
}

/**
 * @param {ChatRequest} request
 * @param {boolean} stream
 */
function usageOf({ stream_options: options }, stream) {
  if (options === undefined || options === null) return false;
  if (typeof options !== "object") throw invalid("stream_options", "must be an object");
  if (!stream) throw invalid("stream_options", "needs stream to be true");
  for (const name of Object.keys(options)) {
    if (name !== "include_usage") throw invalid(`stream_options.${printable(name)}`, "is no field that this client knows");
  }
  return flag("stream_options.include_usage", options.include_usage);
}

/** @param {string} name @param {unknown} value */
function flag(name, value) {
  if (value !== undefined && value !== null && typeof value !== "boolean") throw invalid(name, "must be true or false");
  return value === true;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} low
 * @param {number} high
 */
function number(name, value, low, high) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") throw invalid(name, "must be a number");
  // Not a number is in no range.
  if (!(value >= low && value <= high)) throw invalid(name, `must be between ${low} and ${high}`);
  return value;
}

/** @type {typeof number} */
function whole(name, value, low, high) {
  if (value !== undefined && value !== null && !Number.isInteger(value)) throw invalid(name, "must be a whole number");
  return number(name, value, low, high);
}

/** @param {unknown} value */
function topP(value) {
  const share = number("top_p", value, 0, 1);
  if (share === 0) throw invalid("top_p", "must be above 0 and at most 1");
  return share;
}

/** @param {unknown} value @returns {string[] | undefined} */
function stops(value) {
  if (value === undefined || value === null) return undefined;
  const list = Array.isArray(value) ? value : [value];
  if (list.length > MAX_STOPS) throw invalid("stop", `must hold at most ${MAX_STOPS} texts`);
  const fits = (/** @type {unknown} */ stop) => typeof stop === "string" && stop !== "" && [...stop].length <= MAX_STOP_CHARACTERS;
  if (!list.every(fits)) throw invalid("stop", `every text must have 1 to ${MAX_STOP_CHARACTERS} characters`);
  return list;
}

/** A field's name as an error may repeat it: it should be a name, but anybody can write anything. @param {string} name */
function printable(name) {
  return name.slice(0, 64).replace(/[^A-Za-z0-9._[\]-]/g, "?");
}
