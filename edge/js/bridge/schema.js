// @ts-check
/**
 * Every message of the bridge, as data. The bridge checks messages against it, and the table and the JSON Schema file
 * in docs/webview are made from it, so none of the three can disagree.
 *
 * Schemas are JSON Schema (2020-12), of which validate.js knows the keywords that are used here.
 */

import { MAX_SCALE } from "../given.js";
import { MODE_NAMES } from "../mode.js";

/**
 * @typedef {object} Schema
 * @property {"object" | "array" | "string" | "integer" | "number" | "boolean" | "null"} [type]
 * @property {string} [description]
 * @property {readonly (string | number | boolean | null)[]} [enum]
 * @property {number} [minLength]
 * @property {number} [maxLength] in UTF-16 units
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {Schema} [items]
 * @property {number} [minItems]
 * @property {number} [maxItems]
 * @property {Record<string, Schema>} [properties]
 * @property {readonly string[]} [required]
 * @property {boolean | Schema} [additionalProperties]
 * @property {number} [maxProperties]
 * @property {readonly Schema[]} [anyOf]
 *
 * @typedef {object} Method
 * @property {string} name
 * @property {"host" | "page"} from who sends it
 * @property {"request" | "notification" | "either"} kind "either": a host that needs no answer may leave the id out
 * @property {boolean} [long] it goes on for a while: it counts as in flight, and `sprat.stop` ends it
 * @property {Schema} params
 * @property {Schema} [result]
 * @property {string} about one sentence for the table
 */

/** The version of this list. A message that changes its meaning raises it. */
export const PROTOCOL = 1;

/** Longest text of one message of a conversation; the engine takes no more of all together. */
const MAX_TEXT = 1 << 20;
const MAX_URL = 8192;

/** @param {Record<string, Schema>} properties @param {string[]} [required] @returns {Schema} */
const object = (properties, required = []) => ({ type: "object", properties, required, additionalProperties: false });
/** @param {number} [maxLength] @returns {Schema} */
const text = (maxLength = 1024) => ({ type: "string", maxLength });
/** What the engine or the host has written, of any length. @type {Schema} */
const TEXT = { type: "string" };
/** @param {number} minimum @param {number} [maximum] @returns {Schema} */
const number = (minimum, maximum) => ({ type: "number", minimum, ...(maximum !== undefined && { maximum }) });
/** @param {number} minimum @param {number} [maximum] @returns {Schema} */
const integer = (minimum, maximum = Number.MAX_SAFE_INTEGER) => ({ type: "integer", minimum, maximum });
/** @param {string[]} words @returns {Schema} */
const oneOf = (...words) => ({ type: "string", enum: words });
/** @param {string} [description] @returns {Schema} */
const flag = (description) => ({ type: "boolean", ...(description && { description }) });
/** @param {Schema} schema @returns {Schema} */
const orNull = (schema) => ({ anyOf: [schema, { type: "null" }] });

/** A field whose inside is the engine's business. @type {Schema} */
const ANY_OBJECT = { type: "object", additionalProperties: true };
/** @type {Schema} */
const HEADERS = { type: "object", additionalProperties: text(8192), maxProperties: 64 };

/** An id that a host may give a request. @type {Schema} */
export const ID = { anyOf: [{ type: "string", minLength: 1, maxLength: 128 }, integer(Number.MIN_SAFE_INTEGER)] };
/** The id that the page has given a `host.fetch` or `host.ask`. @type {Schema} */
const FETCH_ID = { type: "string", minLength: 1, maxLength: 128 };

/** @type {Schema} */
const RECIPE = object(
  {
    merge_method: text(64),
    base_model: text(MAX_URL),
    models: { type: "array", minItems: 1, maxItems: 16, items: object({ model: text(MAX_URL), parameters: ANY_OBJECT }, ["model"]) },
    parameters: ANY_OBJECT,
  },
  ["merge_method", "models"],
);

/** @type {Schema} */
const MODEL = { anyOf: [text(MAX_URL), RECIPE] };

/** @type {Schema} */
const LOAD = object({
  model: MODEL,
  cloud: orNull(text(MAX_URL)),
  cloudModel: text(256),
  cloudHeaders: HEADERS,
  cloudPrice: object({ prompt: number(0, 1e6), completion: number(0, 1e6) }),
  hostFetch: flag("the cloud is asked by the host, through host.fetch"),
  hostAsk: flag("the person is asked by the host, through host.ask; without it the answer is no"),
  mode: oneOf(...MODE_NAMES),
  device: oneOf("auto", "cpu", "webgpu"),
  maxBytes: integer(0),
  canary: flag("false: the devices are not timed, and WebGPU is taken wherever there is hardware for it"),
  strikes: flag("false: no notice is taken of pages that the system has ended"),
  pauseHidden: flag("false: the model goes on to write while nobody sees the page"),
});

/** @type {Schema} */
const MESSAGES = {
  type: "array",
  minItems: 1,
  maxItems: 1024,
  items: object({ role: oneOf("system", "user", "assistant"), content: text(MAX_TEXT) }, ["role", "content"]),
};
/** The same as the page sends them. @type {Schema} */
const WRITTEN = { type: "array", items: object({ role: oneOf("system", "user", "assistant"), content: TEXT }, ["role", "content"]) };

/** @type {Schema} */
const LEVEL = oneOf("open", "ask", "private");
/** The name of a saved conversation. @type {Schema} */
const NAME = { type: "string", minLength: 1, maxLength: 200 };

/** @type {Schema} */
const CHAT_OPTIONS = object({
  mode: oneOf(...MODE_NAMES),
  level: LEVEL,
  private: flag("nothing derived from this conversation leaves the device"),
  maxTokens: integer(1),
  temperature: number(0, 2),
  topK: integer(0),
  topP: number(0, 1),
  minP: number(0, 1),
  repetitionPenalty: number(0.1, 10),
  seed: integer(0, 2 ** 32 - 1),
  stop: { anyOf: [text(), { type: "array", maxItems: 16, items: text() }] },
  lookup: flag(),
});

/** What would be sent, and where to. @type {Schema} */
const OFFER = object(
  {
    to: TEXT,
    model: TEXT,
    reason: TEXT,
    messages: WRITTEN,
    stop: { type: "array", items: TEXT },
  },
  ["to", "model", "reason", "messages", "stop"],
);

/** @type {Record<string, Schema>} */
const STATE = {
  state: oneOf("empty", "loading", "ready", "failed", "disposed"),
  device: orNull(ANY_OBJECT),
  model: orNull(ANY_OBJECT),
};

/** A saved conversation. @type {Schema} */
const SAVED = object(
  { name: NAME, model: TEXT, level: LEVEL, tokens: integer(0), bytes: integer(0), saved: number(0) },
  ["name", "model", "level", "tokens", "bytes", "saved"],
);

/** A stored model. @type {Schema} */
const STORED = object(
  { name: TEXT, bytes: integer(0), urls: { type: "array", items: TEXT }, used: number(0) },
  ["name", "bytes", "urls", "used"],
);

/** The adapter that is over the model, if there is one. @type {Schema} */
const OVER = orNull(object({ url: TEXT, scale: number(-MAX_SCALE, MAX_SCALE) }, ["url", "scale"]));

const REMOVED = object({ removed: flag("whether there was one") }, ["removed"]);

/** @type {Method[]} */
const FROM_HOST = [
  {
    name: "sprat.load",
    from: "host",
    kind: "request",
    long: true,
    params: LOAD,
    result: object(STATE, ["state", "device", "model"]),
    about: "Loads a model, or none where `mode` is `only-cloud`; `sprat.progress` tells how far it is.",
  },
  {
    name: "sprat.chat",
    from: "host",
    kind: "request",
    long: true,
    params: object({ messages: MESSAGES, options: CHAT_OPTIONS }, ["messages"]),
    result: object({ text: TEXT, receipt: ANY_OBJECT }, ["text", "receipt"]),
    about: "Answers a conversation; `sprat.event` brings the text as it comes.",
  },
  {
    name: "sprat.adapt",
    from: "host",
    kind: "request",
    long: true,
    params: object({ adapter: orNull(text(MAX_URL)), scale: number(-MAX_SCALE, MAX_SCALE) }, ["adapter"]),
    result: object({ adapter: OVER }, ["adapter"]),
    about: "Puts a LoRA adapter over the loaded model, `scale` times as much of it (1 if it is not said), in the place of the one before, or takes that off.",
  },
  {
    name: "sprat.stop",
    from: "host",
    kind: "either",
    params: object({ id: ID }, ["id"]),
    result: object({ stopped: flag() }, ["stopped"]),
    about: "Stops the load, chat or other long request of that id, which then fails with `aborted`.",
  },
  {
    name: "sprat.status",
    from: "host",
    kind: "request",
    params: object({}),
    result: object(
      { ...STATE, adapter: OVER, protocol: integer(1), inFlight: integer(0), refused: { type: "object", additionalProperties: integer(0) } },
      ["state", "device", "model", "adapter", "protocol", "inFlight", "refused"],
    ),
    about: "What is loaded, what is in flight, and what was refused so far, by reason.",
  },
  {
    name: "sprat.dispose",
    from: "host",
    kind: "either",
    params: object({}),
    result: object({ disposed: flag("whether there was something") }, ["disposed"]),
    about: "Ends the engine and what it was doing. `sprat.load` starts another.",
  },
  {
    name: "sprat.memoryWarning",
    from: "host",
    kind: "either",
    params: object({ level: oneOf("normal", "moderate", "critical") }, ["level"]),
    result: object({ unloaded: flag(), pending: flag("it is unloaded when the answer has ended") }, ["unloaded", "pending"]),
    about: "At `critical` the engine is unloaded: at once when idle, else after the answer. `normal` takes that back.",
  },
  {
    name: "sprat.save",
    from: "host",
    kind: "request",
    long: true,
    params: object({ name: NAME, messages: MESSAGES, level: LEVEL, private: flag() }, ["name", "messages"]),
    result: SAVED,
    about: "Saves a conversation on the device, in the place of one with the same name. It keeps its level.",
  },
  {
    name: "sprat.restore",
    from: "host",
    kind: "request",
    long: true,
    params: object({ name: NAME }, ["name"]),
    result: object({ messages: WRITTEN, level: LEVEL, tokens: integer(0) }, ["messages", "level", "tokens"]),
    about: "A saved conversation, which the loaded model remembers again.",
  },
  {
    name: "sprat.saved",
    from: "host",
    kind: "request",
    long: true,
    params: object({}),
    result: object({ conversations: { type: "array", items: SAVED } }, ["conversations"]),
    about: "The saved conversations, the last used first.",
  },
  {
    name: "sprat.forgetSaved",
    from: "host",
    kind: "request",
    long: true,
    params: object({ name: NAME }, ["name"]),
    result: REMOVED,
    about: "Removes a saved conversation.",
  },
  {
    name: "sprat.plan",
    from: "host",
    kind: "request",
    long: true,
    params: object({ model: MODEL }),
    result: object(
      {
        bytes: integer(0),
        stored: integer(0),
        missing: integer(0),
        room: orNull(number(0)),
        evictable: integer(0),
        store: oneOf("opfs", "indexeddb", "memory"),
        persisted: flag(),
      },
      ["bytes", "stored", "missing", "room", "evictable", "store", "persisted"],
    ),
    about: "What a model would take, in bytes; nothing of it is downloaded but its manifest.",
  },
  {
    name: "sprat.stored",
    from: "host",
    kind: "request",
    long: true,
    params: object({}),
    result: object({ models: { type: "array", items: STORED } }, ["models"]),
    about: "The models that are stored on the device.",
  },
  {
    name: "sprat.forget",
    from: "host",
    kind: "request",
    long: true,
    params: object({ model: text(MAX_URL) }, ["model"]),
    result: REMOVED,
    about: "Removes a stored model, by an address it was loaded from, and the conversations saved with it.",
  },
  {
    name: "sprat.persist",
    from: "host",
    kind: "request",
    params: object({}),
    result: object({ persisted: flag() }, ["persisted"]),
    about: "Asks the browser to keep what is stored, also when the device gets full.",
  },
  {
    name: "host.fetch.chunk",
    from: "host",
    kind: "notification",
    params: object(
      { id: FETCH_ID, seq: integer(0), data: text(MAX_TEXT * 4), encoding: oneOf("text", "base64") },
      ["id", "seq", "data"],
    ),
    about: "The next piece of a body; `seq` counts from 0. `base64` for bytes that were not decoded.",
  },
  {
    name: "host.fetch.end",
    from: "host",
    kind: "notification",
    params: object({ id: FETCH_ID, seq: integer(0) }, ["id", "seq"]),
    about: "The body is complete; `seq` is the number of chunks.",
  },
  {
    name: "host.fetch.error",
    from: "host",
    kind: "notification",
    params: object({ id: FETCH_ID }, ["id"]),
    about: "The connection broke in the middle of a body.",
  },
];

/** @type {Method[]} */
const FROM_PAGE = [
  {
    name: "sprat.connected",
    from: "page",
    kind: "notification",
    params: object({ protocol: integer(1), transport: text(64) }, ["protocol", "transport"]),
    about: "The page listens now.",
  },
  {
    name: "sprat.progress",
    from: "page",
    kind: "notification",
    params: object(
      { id: ID, stage: text(64), loaded: number(0), total: number(0), message: TEXT },
      ["id", "stage", "loaded", "total", "message"],
    ),
    about: "How far the load of that id is.",
  },
  {
    name: "sprat.event",
    from: "page",
    kind: "notification",
    params: object({ id: ID, event: ANY_OBJECT }, ["id", "event"]),
    about: "`level`, `start`, `delta` or `handover` of the chat of that id, as `sprat.chat()` gives them.",
  },
  {
    name: "sprat.warning",
    from: "page",
    kind: "notification",
    params: object({ code: text(64), message: TEXT }, ["code", "message"]),
    about: "Something went wrong and the engine goes on.",
  },
  {
    name: "sprat.state",
    from: "page",
    kind: "notification",
    params: object(STATE, ["state", "device", "model"]),
    about: "The engine's state or device changed.",
  },
  {
    name: "sprat.unloaded",
    from: "page",
    kind: "notification",
    params: object({ reason: oneOf("memory") }, ["reason"]),
    about: "The engine was unloaded because of a memory warning.",
  },
  {
    name: "host.ask",
    from: "page",
    kind: "request",
    params: object({ chat: ID, offer: OFFER }, ["chat", "offer"]),
    result: object({ yes: flag("the person has agreed that exactly this is sent, once") }, ["yes"]),
    about: "Asks the person, through the host, whether what is shown may be sent. Anything but `yes: true` is a no.",
  },
  {
    name: "host.ask.cancel",
    from: "page",
    kind: "notification",
    params: object({ id: FETCH_ID }, ["id"]),
    about: "Nobody waits for the answer to this `host.ask` any more: the question is taken back.",
  },
  {
    name: "host.fetch",
    from: "page",
    kind: "request",
    params: object(
      { url: text(MAX_URL), method: text(16), headers: HEADERS, body: orNull(TEXT), window: integer(1) },
      ["url", "method", "headers", "body", "window"],
    ),
    result: object({ status: integer(200, 599), headers: HEADERS }, ["status"]),
    about: "Asks the cloud on the page's behalf. The result is the head of the answer; chunks follow.",
  },
  {
    name: "host.fetch.ack",
    from: "page",
    kind: "notification",
    params: object({ id: FETCH_ID, bytes: integer(0) }, ["id", "bytes"]),
    about: "So many bytes of the body were read in all. No more than `window` bytes may be on the way beyond that.",
  },
  {
    name: "host.fetch.cancel",
    from: "page",
    kind: "notification",
    params: object({ id: FETCH_ID }, ["id"]),
    about: "Nobody reads this body any more.",
  },
];

/** Every message, by name. @type {ReadonlyMap<string, Method>} */
export const METHODS = new Map([...FROM_HOST, ...FROM_PAGE].map((method) => [method.name, method]));

/** The methods that a host may call. @type {ReadonlyMap<string, Method>} */
export const HOST_METHODS = new Map(FROM_HOST.map((method) => [method.name, method]));

/** What a host answers to `host.ask`. */
export const ASK_ANSWER = /** @type {Schema} */ (METHODS.get("host.ask")?.result);

/** What a host answers to `host.fetch`. */
export const FETCH_HEAD = /** @type {Schema} */ (METHODS.get("host.fetch")?.result);
