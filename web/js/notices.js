/** Short notes above the message box that stay until they are dismissed or no longer true. */
import { byId, make } from "./dom.js";

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/**
 * @param {{
 *   key: string,
 *   words: string,
 *   heading?: string,
 *   action?: { words: string, run: () => void },
 *   dismiss?: boolean,
 * }} notice one with the same key replaces the earlier one
 */
export function showNotice({ key, words, heading, action, dismiss = true }) {
  const text = make("p", {}, ...(heading === undefined ? [] : [make("strong", {}, heading), " "]), words);
  const element = make("div", { class: "notice", role: "status" }, text);
  if (action !== undefined) {
    const button = make("button", { type: "button", class: "secondary" }, action.words);
    button.addEventListener("click", action.run);
    element.append(button);
  }
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
export function hideNotice(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}
