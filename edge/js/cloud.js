// @ts-check
/**
 * The OpenAI-shaped client of `sprat/openai` for pages that only ask a server. Nothing that it imports names the engine,
 * so that a bundler writes no engine's files.
 *
 *     import { SpratOpenAI } from "sprat/cloud";
 *     const client = new SpratOpenAI({ baseURL: "/v1" });
 *
 * It runs where no worker can be started too, as in a service worker or in Node.js.
 *
 * @module sprat/cloud
 */

import { Client } from "./openai-client.js";
import { CloudClient } from "./openai-cloud.js";
import { APIError } from "./openai-error.js";

/** @typedef {import("./openai-client.js").RequestOptions} RequestOptions */
/** @typedef {import("./openai-cloud.js").CloudOptions} CloudOptions */

export { APIError };
export { Stream } from "./openai-client.js";

/** A client of a server alone. Every failure is an {@link APIError}. */
export class SpratOpenAI extends Client {
  /** @param {CloudOptions} options */
  constructor(options) {
    if (!options?.baseURL) throw new APIError({ code: "bad_request", message: "options.baseURL must be the base address of a server" });
    const cloud = new CloudClient(options);
    super((request, _, controller) => cloud.create(request, controller));
  }
}
