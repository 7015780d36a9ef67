// @ts-check
/**
 * A failure in words: what happened, and what the person can do about it. The engine's own message, which is in English and
 * knows the file or the limit, stands below as a detail; its hints are for developers.
 *
 * @import { Failure, Mode } from "./types.js"
 * @import { Key, Words } from "./words.js"
 * @typedef {"retry" | "open" | "new" | "reload" | "device"} Action
 * @typedef {{ heading: string, words: string, todo: string, detail: string, action: Action | null, calm: boolean }} Problem
 * @typedef {object} Circumstances
 * @property {boolean} private
 * @property {boolean} [found] whether it is private because of what is in it
 * @property {Mode} mode
 * @property {"nothing" | "draft" | "text"} kept what of the answer stays on the screen
 * @property {boolean} first whether it is the first question of its conversation
 * @property {boolean} own whether the element made its engine and may start it anew
 */

/** @type {Record<string, Action | null>} */
const ACTIONS = {
  bad_request: null,
  model_missing: "reload",
  model_corrupt: "reload",
  model_unsupported: null,
  network: "reload",
  cloud_unreachable: "retry",
  cloud_interrupted: "retry",
  cloud_refused: "retry",
  cloud_disabled: "device",
  private_unanswerable: "open",
  private_cloud: "device",
  private_found: null,
  consent_refused: "retry",
  context_too_long: "new",
  question_too_long: null,
  too_large: null,
  webgpu_unavailable: null,
  webgpu_lost: "retry",
  worker_lost: "retry",
  unsupported: null,
  aborted: "reload",
  internal: "retry",
};

/** What the message of the engine adds nothing to. */
const PLAIN = new Set(["private_unanswerable", "private_cloud", "private_found", "consent_refused", "question_too_long", "cloud_disabled"]);

/** What is no failure: a promise was kept. */
const CALM = new Set(["private_unanswerable", "private_cloud", "private_found", "consent_refused"]);

/**
 * @param {Failure} failure
 * @param {Circumstances} at
 * @param {Words} words
 * @returns {Problem}
 */
export function describe(failure, at, words) {
  const kind = kindOf(failure.code, at);
  const text = (/** @type {string} */ part) => words.say(/** @type {Key} */ (`error.${kind}.${part}`));
  const kept = at.kept === "nothing" ? "" : words.say(`kept.${at.kept}`);
  return {
    heading: text("heading"),
    words: `${text("words")} ${kept}`.trim(),
    todo: text("todo"),
    detail: PLAIN.has(kind) ? "" : failure.message.trim(),
    action: actionFor(kind, at),
    calm: CALM.has(kind),
  };
}

/**
 * @param {string} code
 * @param {Circumstances} at
 */
function kindOf(code, at) {
  if (code === "private_unanswerable" && at.found) return "private_found";
  // The person asked for two things that exclude each other; whatever the engine called it, this is the way out.
  if (at.private && at.mode === "cloud") return "private_cloud";
  // A new conversation would hold the same question again.
  if (code === "context_too_long" && at.first) return "question_too_long";
  return Object.hasOwn(ACTIONS, code) ? code : "internal";
}

/**
 * @param {string} kind
 * @param {Circumstances} at
 * @returns {Action | null}
 */
function actionFor(kind, at) {
  const action = ACTIONS[kind] ?? null;
  if (at.own) return action;
  // An engine that was given keeps in mind what was private, and only its owner can load it again.
  if (action === "open") return null;
  return action === "reload" ? "retry" : action;
}
