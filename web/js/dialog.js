/** The page's one question to the person: a modal dialog with two answers. Escape and the backdrop mean no. */
import { byId } from "./dom.js";

/**
 * @param {{ heading: string, words: string, yes: string, no: string, shown?: string[] }} question `shown`: what it is about,
 *   word for word
 * @returns {Promise<boolean>}
 */
function askPerson({ heading, words, yes, no, shown = [] }) {
  const dialog = byId("ask-dialog", HTMLDialogElement);
  const yesButton = byId("ask-yes", HTMLButtonElement);
  const noButton = byId("ask-no", HTMLButtonElement);
  byId("ask-heading", HTMLHeadingElement).textContent = heading;
  byId("ask-words", HTMLParagraphElement).textContent = words;
  const list = byId("ask-shown", HTMLUListElement);
  list.hidden = shown.length === 0;
  list.ariaLabel = words;
  list.replaceChildren(...shown.map((text) => item(text)));
  yesButton.textContent = yes;
  noButton.textContent = no;

  return new Promise((resolve) => {
    dialog.returnValue = "";
    yesButton.onclick = () => dialog.close("yes");
    noButton.onclick = () => dialog.close("no");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    closeOnBackdrop(dialog);
    dialog.showModal();
    // The answer that changes nothing has the focus.
    noButton.focus();
  });
}

/** May a private conversation be given up for a new one that isn't private? */
export function mayLeavePrivate() {
  return askPerson({
    heading: "Start a new conversation?",
    words:
      "A private conversation stays private. Turning Private off removes this conversation from the page and starts a new one.",
    yes: "Start a new conversation",
    no: "Stay private",
  });
}

/** May this one question of a private conversation be asked in the open? */
export function mayAskOpenly() {
  return askPerson({
    heading: "Ask without private?",
    words:
      "This question alone goes into a new conversation, where the cloud may read it. The private conversation is removed from the page.",
    yes: "Ask in a new conversation",
    no: "Keep it private",
  });
}

/**
 * May exactly this be sent to the cloud?
 *
 * @param {{ to: string, messages: { content: string }[] }} offer
 */
export function mayBeSent({ to, messages }) {
  return askPerson({
    heading: `Send this to ${new URL(to).host}?`,
    words: "The conversation holds something personal. Exactly this would be sent:",
    yes: "Send",
    no: "Don't send",
    shown: messages.map(({ content }) => content),
  });
}

/** @param {string} text */
function item(text) {
  const element = document.createElement("li");
  element.dir = "auto";
  element.textContent = text;
  return element;
}

/** @param {HTMLDialogElement} dialog */
export function closeOnBackdrop(dialog) {
  dialog.onclick = (event) => {
    // Clicks on the content have a child as their target; the dialog itself has no padding of its own.
    if (event.target === dialog) dialog.close("");
  };
}
