// @ts-check
/** Elements without a framework. Text is always set as text: nothing here, or in any module beside it, parses HTML. */

/**
 * A new element with attributes and children.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
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
 * The pairs of a definition list.
 *
 * @param {{ term: string, value: Node | string }[]} facts
 */
export function definitions(facts) {
  return facts.map(({ term, value }) => make("div", {}, make("dt", {}, term), make("dd", { dir: "auto" }, value)));
}

/** Paths on a square of 16 units. None of them points sideways, so none needs a mirror where text runs to the left. */
const ICONS = {
  plus: "M8 3v10M3 8h10",
  up: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  square: "M4.5 4.5h7v7h-7z",
  lock: "M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
};

/**
 * A drawing beside words; a screen reader passes over it.
 *
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * The language of an element, as HTML defines it: its own, or the nearest ancestor's, also across shadow roots.
 *
 * @param {Element} element
 * @returns {string}
 */
export function languageOf(element) {
  const nearest = element.closest("[lang]");
  if (nearest !== null) return nearest.getAttribute("lang")?.trim() ?? "";
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? languageOf(root.host) : "";
}
