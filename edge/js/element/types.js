// @ts-check
/**
 * The types of `<sprat-chat>`, and nothing else: this file holds no code.
 *
 * @typedef {import("../types.js").ChatEvent} ChatEvent
 * @typedef {import("../types.js").DeviceInfo} DeviceInfo
 * @typedef {import("../types.js").Level} Level
 * @typedef {import("../types.js").ModelInfo} ModelInfo
 * @typedef {import("../types.js").Receipt} Receipt
 * @typedef {import("../types.js").Source} Source
 * @typedef {import("../types.js").Message} Message
 *
 * @typedef {"auto" | "device" | "prefer-cloud" | "cloud"} Mode
 * @typedef {"auto" | "light" | "dark"} Theme
 *
 * @typedef {object} SpratLike what the element asks of a `Sprat` that it is given
 * @property {import("../sprat.js").Sprat["chat"]} chat
 * @property {PromiseLike<void>} ready
 * @property {import("../sprat.js").Sprat["state"]} state
 * @property {DeviceInfo | null} device
 * @property {ModelInfo | null} model
 *
 * @typedef {object} Answer what `ask` resolves to
 * @property {string} text
 * @property {Receipt} receipt
 *
 * @typedef {object} ReadyDetail of the event `sprat-ready`
 * @property {DeviceInfo | null} device
 * @property {ModelInfo | null} model
 *
 * @typedef {object} AnswerDetail of the event `sprat-answer`
 * @property {boolean} private
 * @property {string | null} question null in a private conversation, so that no listener passes it on by accident
 * @property {string | null} text null in a private conversation
 * @property {Receipt} receipt
 *
 * @typedef {object} ErrorDetail of the event `sprat-error`
 * @property {string} code a stable name, as of a SpratError
 * @property {string} message
 * @property {string} hint
 * @property {"load" | "answer"} during
 *
 * @typedef {object} Failure a SpratError, or anything else that was thrown
 * @property {string} code
 * @property {string} message
 * @property {string} hint
 * @property {string} partial the answer so far
 * @property {Receipt | null} receipt
 *
 * @typedef {{ stage: import("../types.js").Progress["stage"], loaded: number, total: number }} Loading
 *
 * @typedef {{ state: "none" } | { state: "loading", progress: Loading | null }
 *   | { state: "ready", device: DeviceInfo | null, model: ModelInfo | null }
 *   | { state: "failed", failure: Failure }} Status where loading the model stands
 *
 * @typedef {object} Turn one question and what has come back so far
 * @property {string} question
 * @property {"streaming" | "done" | "error"} state
 * @property {Source | null} source who wrote what is shown; null until someone starts to answer
 * @property {string} text
 * @property {string | null} draft the device's text of which it was not sure, until the cloud has replaced it
 * @property {string | null} handover the rule by which the cloud was asked; null without a handover
 * @property {Receipt | null} receipt
 * @property {Failure | null} failure
 * @property {boolean} stopped whether the person stopped it
 * @property {string[]} found kinds of private matter in the conversation, that raised its level
 */
export {};
