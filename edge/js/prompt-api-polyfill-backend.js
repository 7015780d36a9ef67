// @ts-check
/**
 * A backend for GoogleChromeLabs' `prompt-api-polyfill`, for pages that have that polyfill already; see edge/README.md for how
 * to put it there. Everybody else takes `prompt-api.js`, which needs no polyfill.
 */

import { begin, Engine, linked, mayChangeHands, standing } from "./faces.js";
import { domException, whileCreating, whilePrompting } from "./prompt-api-errors.js";
import { unsupported } from "./prompt-api-input.js";

/** @typedef {import("./faces.js").EngineOptions} EngineOptions */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {{ role: string, parts: { text?: string }[] }} Content a message as the polyfill has it, after Gemini's API */

/** Engines by the configuration that they were made from: the polyfill makes a backend for each session. @type {WeakMap<object, Engine>} */
const engines = new WeakMap();

/** The backend. Its configuration, `window.SPRAT_CONFIG`, is a `sprat` or the options to load one, and any `apiKey`, by which the polyfill knows that it is wanted. */
export default class SpratBackend {
  #engine;
  #chat;
  #system = "";

  /** @param {EngineOptions & { apiKey?: string, mode?: import("./types.js").Mode, private?: boolean, level?: import("./types.js").Level }} config */
  constructor(config) {
    const { apiKey: _, mode = "device", private: isPrivate, level, ...options } = config;
    const engine = engines.get(config) ?? new Engine(/** @type {EngineOptions} */ (options));
    engines.set(config, engine);
    this.#engine = engine;
    this.#chat = { mode, ...(isPrivate && { private: true }), ...(level && { level }) };
    this.modelName = "sprat";
  }

  /** @param {import("./prompt-api-input.js").CreateCoreOptions} [options] */
  static availability(options = {}) {
    // Languages are the polyfill's to check.
    const types = ["expectedInputs", "expectedOutputs"].map((name) => [name, (/** @type {any} */ (options)[name] ?? []).map((/** @type {any} */ one) => ({ type: one.type }))]);
    return unsupported({ ...options, ...Object.fromEntries(types) }, []) === null ? "available" : "unavailable";
  }

  /**
   * @param {object} _options
   * @param {{ systemInstruction?: string }} session
   * @param {EventTarget & { __lastProgressLoaded?: number }} [monitor]
   */
  async createSession(_options, { systemInstruction = "" }, monitor) {
    this.#system = systemInstruction;
    /** @param {import("./types.js").Progress} progress */
    const listener = ({ stage, loaded, total }) => {
      const share = Math.floor((loaded / total) * 65536) / 65536;
      if (!monitor || stage !== "download" || !(share < 1) || share <= (monitor.__lastProgressLoaded ?? -1)) return;
      monitor.__lastProgressLoaded = share;
      monitor.dispatchEvent(new ProgressEvent("downloadprogress", { loaded: share, total: 1, lengthComputable: true }));
    };
    this.#engine.listeners.add(listener);
    try {
      const sprat = await this.#engine.get();
      await sprat.ready;
      return sprat;
    } catch (error) {
      throw whileCreating(error);
    } finally {
      this.#engine.listeners.delete(listener);
    }
  }

  /** Answers cannot be constrained here. @param {object} _schema @returns {never} */
  convertSchema(_schema) {
    throw domException("NotSupportedError", "this model's answers cannot be constrained");
  }

  /**
   * @param {Content[]} contents
   * @returns {Promise<{ text: string, usage: number }>}
   */
  async generateContent(contents) {
    let [text, usage] = ["", 0];
    for await (const chunk of this.#chunks(contents)) {
      text += chunk.text();
      usage = chunk.usageMetadata.totalTokenCount || usage;
    }
    return { text, usage };
  }

  /** @param {Content[]} contents */
  async generateContentStream(contents) {
    return this.#chunks(contents);
  }

  /**
   * Tokens of a conversation. Where the engine cannot count, a quarter of the characters, as the polyfill's other backends say.
   * @param {Content[]} contents
   * @returns {Promise<number>}
   */
  async countTokens(contents) {
    const messages = this.#messages(contents ?? []);
    const { current } = this.#engine;
    if (current?.count) return current.count(messages);
    return Math.ceil(messages.reduce((length, { content }) => length + content.length, 0) / 4);
  }

  /** @param {Content[]} contents */
  async *#chunks(contents) {
    const { controller } = linked();
    try {
      const sprat = await this.#engine.get();
      const options = this.#chat;
      const events = await begin(sprat, this.#messages(contents), { ...options, signal: controller.signal });
      for await (const piece of standing(events, mayChangeHands(sprat, options))) {
        const { text } = piece;
        if (piece.type === "text") yield { text: () => text, usageMetadata: { totalTokenCount: 0 } };
        else yield { text: () => "", usageMetadata: { totalTokenCount: piece.receipt.prompt_tokens + piece.receipt.completion_tokens } };
      }
    } catch (error) {
      throw whilePrompting(error);
    } finally {
      // Whoever stops reading wants no more.
      controller.abort();
    }
  }

  /** @param {Content[]} contents @returns {Message[]} */
  #messages(contents) {
    const messages = contents.map(({ role, parts }) => ({
      role: /** @type {Message["role"]} */ (role === "model" ? "assistant" : role === "system" ? "system" : "user"),
      content: parts.map(({ text }) => text ?? "").join(""),
    }));
    const hasSystem = messages.some(({ role }) => role === "system");
    return this.#system && !hasSystem ? [{ role: "system", content: this.#system }, ...messages] : messages;
  }
}
