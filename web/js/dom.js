/** Two helpers for a page without a framework. */

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

/**
 * A new element with attributes and children; text is always set as text.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * A definition list of facts: term, value.
 *
 * @param {HTMLElement} list
 * @param {{ term: string, value: Node | string }[]} facts
 */
export function fillFacts(list, facts) {
  list.replaceChildren(
    ...facts.map(({ term, value }) => make("div", {}, make("dt", {}, term), make("dd", {}, value))),
  );
}
