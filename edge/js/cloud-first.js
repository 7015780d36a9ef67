// @ts-check
/**
 * The mode "prefer-cloud": the cloud is asked, and where it cannot answer, or may not be asked, this device does.
 */

import { failure } from "./thrown.js";

/** @typedef {import("./types.js").Receipt} Receipt */

/** Why the device answers in the cloud's place, by what became of the cloud. @type {Record<string, [rule: string, reason: string]>} */
const REASONS = {
  cloud_unreachable: ["cloud-first-unreachable", "The cloud could not be reached, so this device answered."],
  cloud_interrupted: ["cloud-first-interrupted", "The cloud broke off in the middle of its answer, so this device answered."],
  cloud_refused: ["cloud-first-refused", "The cloud refused the question, so this device answered."],
  cloud_disabled: ["cloud-first-off", "No cloud is set up, so this device answered."],
  consent_refused: ["cloud-first-refused-consent", "You chose not to send this, so this device answered."],
};

/**
 * Asks the cloud, then perhaps the device.
 *
 * @param {(ask: string, emit: (event: string) => void) => Promise<void>} answer answers a call, which is JSON
 * @param {{ messages: unknown, options: Record<string, unknown> }} ask
 * @param {(event: string) => void} emit takes an event as JSON
 */
export async function cloudFirst(answer, { messages, options }, emit) {
  const as = (/** @type {string} */ mode) => JSON.stringify({ messages, options: { ...options, mode } });
  /** @type {{ code: string, message: string, receipt?: Receipt }} */
  let trouble;
  try {
    return await answer(as("cloud"), emit);
  } catch (error) {
    trouble = failure(error);
  }
  // What is private was not sent, and is answered as everywhere: by the device, if it is sure.
  if (trouble.code === "private_unanswerable") return answer(as("auto"), once(emit));
  const why = Object.hasOwn(REASONS, trouble.code) ? REASONS[trouble.code] : null;
  if (!why) throw trouble;
  try {
    await answer(as("device"), explained(once(emit), why, trouble.receipt));
  } catch (error) {
    // Without a model here, what is wrong is that the cloud did not answer.
    throw ["model_missing", "model_unsupported", "too_large"].includes(failure(error).code) ? trouble : error;
  }
}

/**
 * Leaves out what the first try has told about the conversation already.
 * @param {(event: string) => void} emit
 * @returns {(event: string) => void}
 */
function once(emit) {
  return (event) => {
    if (JSON.parse(event).type !== "level") emit(event);
  };
}

/**
 * Puts into the receipt why the device has answered, and what asking the cloud has cost.
 * @param {(event: string) => void} emit
 * @param {[rule: string, reason: string]} why
 * @param {Receipt | undefined} spent
 * @returns {(event: string) => void}
 */
function explained(emit, [rule, reason], spent) {
  return (json) => {
    const event = JSON.parse(json);
    if (event.type !== "end") return emit(json);
    /** @type {Receipt} */
    const receipt = event.receipt;
    // What is computed exactly has its own reason.
    if (receipt.source === "device") Object.assign(receipt, { rule, reason });
    for (const field of /** @type {const} */ (["bytes_sent", "cost_usd", "cloud_ms", "total_ms"])) receipt[field] += spent?.[field] ?? 0;
    emit(JSON.stringify(event));
  };
}
