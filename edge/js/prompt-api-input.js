// @ts-check
/**
 * What the Prompt API takes, read as its specification reads it: conversions of Web IDL, then the algorithms "validate and
 * canonicalize". Names of errors are the specification's; no error repeats what was said.
 */

import { domException } from "./prompt-api-errors.js";

/** @typedef {import("./types.js").Message} Message */
/** @typedef {{ type: string, value: unknown }} MessageContent */
/** @typedef {{ role: "system" | "user" | "assistant", content: string | MessageContent[], prefix?: boolean }} PromptMessage */
/** @typedef {string | PromptMessage[]} Prompt */
/** @typedef {{ type: string, languages?: string[] }} Expected */
/** @typedef {"most-predictable" | "predictable" | "slightly-predictable" | "balanced" | "slightly-creative" | "creative" | "most-creative"} SamplingMode */
/**
 * @typedef {object} CreateCoreOptions
 * @property {number} [topK] deprecated, as is `temperature`, but obeyed
 * @property {number} [temperature]
 * @property {SamplingMode} [samplingMode]
 * @property {Expected[]} [expectedInputs]
 * @property {Expected[]} [expectedOutputs]
 * @property {Tool[]} [tools] checked, then refused: the engine calls none
 * @property {{ effort?: string, includeThoughts?: boolean }} [thinking]
 */
/** @typedef {{ name: string, description: string, inputSchema: object }} Tool */
/** @typedef {{ responseConstraint?: object, omitResponseConstraintInput?: boolean, signal?: AbortSignal }} PromptOptions */
/** @typedef {{ samplingMode: SamplingMode | null, temperature?: number, topK?: number }} Sampling */

const ROLES = ["system", "user", "assistant"];
const TYPES = ["text", "image", "audio", "tool-call", "tool-response"];

/** Temperatures of the modes. @type {Record<SamplingMode, number>} */
const TEMPERATURES = {
  "most-predictable": 0,
  predictable: 0.3,
  "slightly-predictable": 0.5,
  balanced: 0.7,
  "slightly-creative": 0.9,
  creative: 1.1,
  "most-creative": 1.4,
};
/** A small model is best when it does not gamble. @type {SamplingMode} */
const DEFAULT_MODE = "most-predictable";
const MAX_TEMPERATURE = 2;
const MAX_TOP_K = 2 ** 32 - 1;

/**
 * The messages of a prompt.
 * @param {unknown} input
 * @param {boolean} hasInput whether the session has messages already
 * @returns {Message[]}
 */
export function messagesOf(input, hasInput) {
  const given = isSequence(input) ? [...input] : [{ role: "user", content: String(input) }];
  if (given.length === 0) return [{ role: "user", content: "" }];
  return given.map((one, at) => {
    const message = messageOf(one);
    if (message.prefix && (message.role !== "assistant" || at !== given.length - 1)) {
      throw domException("SyntaxError", "only a last message of the assistant can be a prefix");
    }
    if (message.role === "system" && (hasInput || at > 0)) throw new TypeError("a system prompt must come first in its session");
    const content = message.content.map((part) => textOf(part)).join("");
    // A part that is no prefix would be an answer of its own: better none than another one than was asked for.
    if (message.prefix) throw domException("NotSupportedError", "this model cannot go on with a prefix");
    return { role: message.role, content };
  });
}

/**
 * A message by its dictionary.
 * @param {any} given
 * @returns {{ role: Message["role"], content: { type: string, value: unknown }[], prefix: boolean }}
 */
function messageOf(given) {
  if (typeof given !== "object" || given === null) throw new TypeError("a message must be an object");
  const { role, content, prefix } = given;
  if (!ROLES.includes(role)) throw new TypeError('the role of a message must be "system", "user" or "assistant"');
  if (content === undefined) throw new TypeError("a message must have content");
  const parts = isSequence(content) ? [...content] : [{ type: "text", value: String(content) }];
  for (const part of parts) {
    if (!TYPES.includes(part?.type)) throw new TypeError("the type of a message's content must be one of the API's");
    if (part.value === undefined) throw new TypeError("a message's content must have a value");
  }
  return { role, content: parts, prefix: prefix === true };
}

/** @param {{ type: string, value: unknown }} part */
function textOf({ type, value }) {
  if (type !== "text") throw domException("NotSupportedError", "this model reads text only");
  if (typeof value !== "string") throw new TypeError("the value of a text must be a string");
  return value;
}

/**
 * What a session is made of, or a `TypeError` or `RangeError`.
 * @param {CreateCoreOptions} options
 */
export function checkOptions({ expectedInputs, expectedOutputs, samplingMode, topK, temperature, tools }) {
  for (const { type, languages } of [...(expectedInputs ?? []), ...(expectedOutputs ?? [])]) {
    if (!TYPES.includes(type)) throw new TypeError("an expected type must be one of the API's");
    Intl.getCanonicalLocales(languages ?? []);
  }
  checkTools(tools ?? []);
  if (samplingMode === undefined) return;
  if (!(samplingMode in TEMPERATURES)) throw new TypeError("samplingMode must be one of the API's");
  if (topK !== undefined || temperature !== undefined) throw new TypeError("samplingMode cannot be combined with topK or temperature");
}

/**
 * Tools that are no tools are an error before it is one that there can be none. What a schema's getters throw is passed on.
 * @param {Iterable<Partial<Tool>>} tools
 */
function checkTools(tools) {
  const names = new Set();
  for (const tool of tools) {
    const { name, description } = tool ?? {};
    if (!name || !description) throw new TypeError("a tool must have a name and a description");
    if (names.has(name)) throw new TypeError("two tools have the same name");
    names.add(name);
    const schema = /** @type {any} */ (tool.inputSchema);
    const isObject = typeof schema === "object" && schema !== null && schema.type === "object";
    if (!isObject) throw new TypeError("a tool's inputSchema must be a JSON schema of an object");
    const { properties = {}, required = [] } = schema;
    if (typeof properties !== "object" || properties === null) throw new TypeError("properties of a tool's inputSchema must be an object");
    if (!Array.isArray(required)) throw new TypeError("required of a tool's inputSchema must be a list");
    // Refuses circles.
    JSON.stringify(schema);
  }
}

/**
 * Why no session can be had with these options; `null` if one can.
 * @param {CreateCoreOptions} options that were checked
 * @param {readonly string[]} languages those that the model knows
 * @returns {string | null}
 */
export function unsupported({ expectedInputs = [], expectedOutputs = [], tools = [], thinking }, languages) {
  const known = new Set(Intl.getCanonicalLocales([...languages]));
  for (const expected of [...expectedInputs, ...expectedOutputs]) {
    if (expected.type !== "text") return "this model reads and writes text only";
    const tags = Intl.getCanonicalLocales(expected.languages ?? []);
    if (!tags.every((tag) => known.has(tag) || known.has(new Intl.Locale(tag).language))) return "this model does not know one of the languages";
  }
  if ([...tools].length > 0) return "this model calls no tools";
  if (thinking && ((thinking.effort ?? "none") !== "none" || thinking.includeThoughts)) return "this model does not think before it answers";
  return null;
}

/**
 * How tokens are to be chosen, or a `RangeError`.
 * @param {CreateCoreOptions} options that were checked
 * @returns {Sampling}
 */
export function samplingOf({ samplingMode, topK, temperature }) {
  if (topK === undefined && temperature === undefined) {
    const mode = samplingMode ?? DEFAULT_MODE;
    return { samplingMode: mode, temperature: TEMPERATURES[mode] };
  }
  // Not a number is in no range.
  if (temperature !== undefined && !(temperature >= 0)) throw new RangeError("temperature must not be negative");
  if (topK !== undefined && !(topK >= 1)) throw new RangeError("topK must be at least 1");
  return {
    samplingMode: null,
    temperature: temperature === undefined ? undefined : Math.min(temperature, MAX_TEMPERATURE),
    topK: topK === undefined ? undefined : Math.min(Math.floor(topK), MAX_TOP_K),
  };
}

/**
 * Refuses what constrains an answer: the engine in the page cannot, and an answer that only may fit would be a pretence.
 * @param {PromptOptions} options
 */
export function checkConstraint({ responseConstraint, omitResponseConstraintInput }) {
  if (responseConstraint === undefined || responseConstraint === null) {
    if (omitResponseConstraintInput) throw new TypeError("omitResponseConstraintInput needs a responseConstraint");
    return;
  }
  if (typeof responseConstraint !== "object") throw new TypeError("responseConstraint must be a JSON schema or a RegExp");
  throw domException("NotSupportedError", "this model's answers cannot be constrained");
}

/** @param {unknown} value @returns {value is Iterable<any>} */
function isSequence(value) {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}
