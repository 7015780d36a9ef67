/**
 * A failure in words: what happened, and what the person can do about it. What happened is told by the engine, which
 * knows the file or the limit; its hints are for developers, so what to do is told here, in terms of this page.
 *
 * @import { Failure, Mode } from "./types.d.ts"
 * @typedef {"retry" | "open" | "new" | "reload" | "device"} Action
 * @typedef {{ heading: string, sentence: string, todo: string, action: Action | null, calm: boolean }} Words
 * @typedef {{ private: boolean, mode: Mode, kept: "nothing" | "draft" | "text", first: boolean, found?: boolean }} Circumstances
 */

/** @type {Record<string, { heading: string, sentence: string, todo: string, action: Action | null }>} */
const TABLE = {
  bad_request: {
    heading: "The question could not be sent",
    sentence: "The engine did not accept it.",
    todo: "Change the question and send it again.",
    action: null,
  },
  model_missing: {
    heading: "The model is not there",
    sentence: "A file of the model could not be found.",
    todo: "Try again, or check the model's address.",
    action: "reload",
  },
  model_corrupt: {
    heading: "The model's files are damaged",
    sentence: "A file is not what its checksum says, so it was not used.",
    todo: "Load it again. If that does not help, the files on the server are damaged.",
    action: "reload",
  },
  network: {
    heading: "The network failed",
    sentence: "A file could not be downloaded.",
    todo: "Check the connection and try again; what has arrived is kept.",
    action: "reload",
  },
  cloud_unreachable: {
    heading: "The cloud cannot be reached",
    sentence: "The question could not be delivered.",
    todo: "Retry, or set Mode to Device only.",
    action: "retry",
  },
  cloud_interrupted: {
    heading: "The cloud broke off",
    sentence: "The connection ended in the middle of the answer.",
    todo: "Retry to ask again.",
    action: "retry",
  },
  cloud_refused: {
    heading: "The cloud refused",
    sentence: "It did not accept the question.",
    todo: "Retry in a moment.",
    action: "retry",
  },
  cloud_disabled: {
    heading: "The cloud is switched off",
    sentence: "This page runs without a cloud.",
    todo: "Set Mode to Automatic or Device only.",
    action: "device",
  },
  private_unanswerable: {
    heading: "This device is not sure enough to answer",
    sentence: "The question stayed here: Private is on, so the cloud was not asked.",
    todo: "Ask it differently, or ask it without Private in a new conversation.",
    action: "open",
  },
  consent_refused: {
    heading: "Nothing was sent",
    sentence: "You chose not to send this, and this device cannot answer it.",
    todo: "Ask again and agree, or leave out what is personal.",
    action: "retry",
  },
  context_too_long: {
    heading: "The conversation is too long",
    sentence: "It no longer fits what this model can read at once.",
    todo: "Start a new conversation, or shorten the question.",
    action: "new",
  },
  webgpu_unavailable: {
    heading: "WebGPU is not available",
    sentence: "This browser offers no graphics adapter that works.",
    todo: "Open the page without ?device=webgpu.",
    action: null,
  },
  webgpu_lost: {
    heading: "The graphics adapter was lost",
    sentence: "The browser took the adapter away in the middle of the work.",
    todo: "Ask again: the model moves to the processor.",
    action: "retry",
  },
  unsupported: {
    heading: "This browser cannot run the model",
    sentence: "Something the engine needs is missing.",
    todo: "Use a current Chrome, Edge, Firefox or Safari.",
    action: null,
  },
  internal: {
    heading: "Something went wrong",
    sentence: "The engine stopped with an error of its own.",
    todo: "Try again; if it repeats, load the model again.",
    action: "retry",
  },
};

/**
 * @param {Failure} failure
 * @param {Circumstances} at
 * @returns {Words}
 */
export function describe(failure, at) {
  const known = TABLE[failure.code] ?? TABLE["internal"];
  if (known === undefined) throw new Error("the table of errors has no entry for internal");
  const kept = failure.code === "private_unanswerable" || failure.code === "consent_refused";
  const calm = failure.code === "consent_refused" || (at.private && (kept || at.mode === "cloud"));

  if (at.private && at.mode === "cloud") {
    // The person asked for two things that exclude each other; whatever the engine called it, this is the way out.
    return {
      heading: "Private and Cloud only exclude each other",
      sentence: "The question stayed on this device.",
      todo: "Set Mode to Automatic or Device only.",
      action: "device",
      calm,
    };
  }
  if (failure.code === "private_unanswerable" && at.found) {
    return {
      heading: "This stayed on this device",
      sentence: "It holds something that must not leave, such as a card number or a key, and this device is not sure enough to answer.",
      todo: "Leave that out and ask again.",
      action: null,
      calm: true,
    };
  }
  // The promise of a private conversation is the page's to word.
  const own = failure.code === "private_unanswerable" && at.private;
  const words = {
    ...known,
    sentence: `${own ? known.sentence : asSentence(failure.message) || known.sentence} ${KEPT[at.kept]}`.trim(),
    todo: failure.code in TABLE ? known.todo : failure.hint || known.todo,
    calm,
  };
  if (failure.code === "context_too_long" && at.first) {
    // A new conversation would hold the same question again.
    return { ...words, heading: "The question is too long", todo: "Shorten it.", action: null };
  }
  return words;
}

/**
 * The engine's messages are written to stand behind a colon.
 *
 * @param {string} message
 */
export function asSentence(message) {
  const text = message.trim();
  if (text === "") return "";
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}

/** @type {Record<Circumstances["kept"], string>} */
const KEPT = {
  nothing: "",
  draft: "Above is this device's draft; it may be wrong.",
  text: "Above is what had arrived.",
};

/** @type {Record<Action, string>} */
export const ACTION_WORDS = {
  retry: "Retry",
  open: "Ask without private",
  new: "Ask in a new conversation",
  reload: "Load again",
  device: "Ask this device",
};
