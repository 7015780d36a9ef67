/** Short notes above the message box that stay until they are dismissed or no longer true. */
import { make } from "../sprat/element/dom.js";
import { byId } from "./dom.js";

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/** @param {{ key: string, words: string, dismiss?: boolean }} notice one with the same key replaces the earlier one */
export function showNotice({ key, words, dismiss = true }) {
  const element = make("div", { class: "notice", role: "status" }, make("p", {}, words));
  if (dismiss) {
    const close = make("button", { type: "button", class: "quiet small" }, "Dismiss");
    close.addEventListener("click", () => hideNotice(key));
    element.append(close);
  }
  hideNotice(key);
  shown.set(key, element);
  byId("notices", HTMLElement).append(element);
}

/** @param {string} key */
function hideNotice(key) {
  shown.get(key)?.remove();
  shown.delete(key);
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
