/**
 * What is in index.html.
 *
 * @import { SpratChat } from "../../edge/js/element/sprat-chat.js"
 */

/**
 * The element of that id and kind in index.html.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`index.html has no ${kind.name} with the id ${id}`);
  return element;
}

/** The chat; by then its element is defined. */
export function chatElement() {
  return /** @type {SpratChat} */ (byId("chat", HTMLElement));
}
