// @ts-check
/**
 * One turn as a plain value, and how each event changes it. No DOM, so that every path (handover, a cloud that breaks
 * off, stop) can be tested without a browser.
 *
 * @import { ChatEvent, Failure, Turn } from "./types.js"
 */

/**
 * @param {string} question
 * @returns {Turn}
 */
export function begin(question) {
  return {
    question,
    state: "streaming",
    source: null,
    text: "",
    draft: null,
    handover: null,
    receipt: null,
    failure: null,
    stopped: false,
    found: [],
  };
}

/**
 * @param {Turn} turn
 * @param {ChatEvent} event
 * @returns {Turn}
 */
export function apply(turn, event) {
  switch (event.type) {
    case "level":
      return { ...turn, found: event.found };
    case "start":
      // Whoever starts, starts anew: a cloud that tries again, or the device whose draft stands after all.
      return { ...turn, source: event.source, text: "", draft: event.source === "cloud" ? turn.draft : null };
    case "delta":
      return { ...turn, source: event.source, text: turn.text + event.text };
    case "handover":
      return { ...turn, draft: turn.text, text: "", handover: event.rule };
    case "end":
      return { ...turn, state: "done", source: event.receipt.source, text: event.text, draft: null, receipt: event.receipt };
    default:
      // A newer engine may send more kinds of event than are known here.
      return turn;
  }
}

/**
 * The turn after it failed or was stopped. Nothing that was shown is lost: the text so far stays, and so does the draft
 * when the cloud had not replaced it yet.
 *
 * @param {Turn} turn
 * @param {Failure} failure
 * @returns {Turn}
 */
export function fail(turn, failure) {
  const stopped = failure.code === "aborted";
  let { text, draft } = turn;
  if (text === "" && draft === null) text = failure.partial;
  if (failure.code === "private_unanswerable" && text !== "") {
    // The device was not sure of it and nobody else may be asked: it is a draft that stays one.
    [draft, text] = [text, ""];
  }
  const writer = turn.source ?? failure.receipt?.source ?? (text ? "device" : null);
  return {
    ...turn,
    state: stopped ? "done" : "error",
    source: text === "" && draft ? "device" : writer,
    text,
    draft,
    receipt: failure.receipt,
    failure: stopped ? null : failure,
    stopped,
  };
}

/**
 * What stands as the answer: the text, or the draft where nothing replaced it.
 *
 * @param {Turn} turn
 */
export function kept(turn) {
  return turn.text !== "" ? turn.text : (turn.draft ?? "");
}

/**
 * Reads anything thrown as a failure.
 *
 * @param {unknown} thrown
 * @returns {Failure}
 */
export function failureOf(thrown) {
  const error = /** @type {Partial<Failure> & { name?: string }} */ (
    typeof thrown === "object" && thrown !== null ? thrown : { message: String(thrown) }
  );
  const code = typeof error.code === "string" ? error.code : error.name === "AbortError" ? "aborted" : "internal";
  const { message = "", hint = "", partial = "", receipt = null } = error;
  return { code, message, hint, partial, receipt };
}
