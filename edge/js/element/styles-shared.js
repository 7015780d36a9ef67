// @ts-check
/**
 * What the chat and the page around it have in common: colours and measures, text, buttons, dialogs, facts. Sheets are
 * constructed, so that a strict content security policy has nothing to forbid. Only logical properties: the same rules
 * serve text that runs to the left.
 */

/** Each is a public variable of the same name without the underscore. */
const tokens = `
  --_accent: var(--sprat-accent, light-dark(#0b6e63, #55c2b1));
  --_accent-soft: var(--sprat-accent-soft, light-dark(#dff0ec, #15332f));
  --_on-accent: var(--sprat-on-accent, light-dark(#ffffff, #06201c));
  --_cloud: var(--sprat-cloud, light-dark(#24589c, #8ab6ee));
  --_cloud-soft: var(--sprat-cloud-soft, light-dark(#e3ecf8, #1a2b42));
  --_problem: var(--sprat-problem, light-dark(#9b2c20, #f0998d));
  --_problem-soft: var(--sprat-problem-soft, light-dark(#fbeae7, #3a1f1b));
  --_page: var(--sprat-page, light-dark(#f6f8f7, #101615));
  --_surface: var(--sprat-surface, light-dark(#ffffff, #18201f));
  --_sunken: var(--sprat-sunken, light-dark(#e7edeb, #202a28));
  --_ink: var(--sprat-ink, light-dark(#17211f, #e4ebe9));
  --_muted: var(--sprat-muted, light-dark(#54625f, #9dada8));
  --_line: var(--sprat-line, light-dark(#d5ddda, #2d3937));
  --_line-strong: var(--sprat-line-strong, light-dark(#7d8b87, #6f7f7b));
  --_radius: var(--sprat-radius, 0.625rem);
  --_measure: var(--sprat-measure, 44rem);
  --_font: var(--sprat-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK KR", sans-serif);
  --_mono: var(--sprat-mono, ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", "DejaVu Sans Mono", monospace);
`;

/**
 * The variables in one of the two themes. Not every browser that runs the engine knows light-dark().
 * @param {"$1" | "$2"} side
 */
const themed = (side) => tokens.replace(/light-dark\(([^\s,]+), ([^\s)]+)\)/g, side);

/** In a chat's shadow they are its host's, in a page's own sheets the page's. */
const themes = `
:host, :root {${themed("$1")}}
@media (prefers-color-scheme: dark) {
:host(:not([theme="light"])), :root {${themed("$2")}}
}
:host([theme="dark"]) {${themed("$2")}}
`;

const basics = `
* { box-sizing: border-box; }
[hidden] { display: none !important; }
p, dl, dd, ul, ol, blockquote { margin: 0; padding: 0; }
button, select, textarea { font: inherit; color: inherit; }
code, pre { font-family: var(--_mono); font-size: 0.875em; }
a { color: var(--_accent); text-underline-offset: 0.15em; overflow-wrap: anywhere; }
svg { flex: none; inline-size: 1rem; block-size: 1rem; fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }
/* Korean breaks between words, as its readers expect. */
:lang(ko) { word-break: keep-all; }
.muted { color: var(--_muted); font-size: 0.875rem; }
.title { font-size: 1.25rem; font-weight: 650; line-height: 1.3; letter-spacing: -0.01em; text-wrap: balance; }
.said { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
/* Around the whole conversation there is no room outside. */
.scroll:focus-visible, pre:focus-visible, .wide:focus-visible { outline-offset: -2px; }

button {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  gap: 0.375rem;
  min-block-size: 2.5rem;
  padding: 0.375rem 0.875rem;
  border: 1px solid transparent;
  border-radius: var(--_radius);
  background: none;
  cursor: pointer;
}
button:disabled { cursor: default; }
.primary { background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.primary.stop { background: var(--_ink); color: var(--_page); }
.secondary { border-color: var(--_line-strong); background: var(--_surface); }
.quiet { color: var(--_muted); }
.small { min-block-size: 1.75rem; padding: 0.125rem 0.375rem; font-size: 0.875rem; }
@media (hover: hover) {
  .primary:hover, .badge:hover:enabled { filter: brightness(1.08); }
  .quiet:hover { background: var(--_sunken); color: var(--_ink); }
  .secondary:hover, .example:hover { background: var(--_sunken); }
}
`;

const pieces = `
.facts { display: grid; gap: 0.5rem; font-size: 0.875rem; }
.facts > div { display: grid; grid-template-columns: minmax(4.5rem, 6.5rem) minmax(0, 1fr); gap: 0.75rem; }
.facts dt { color: var(--_muted); }
.facts dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.facts code { color: var(--_muted); }

.notice {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 0.5rem 0.75rem;
  padding: 0.625rem 0.75rem;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_surface);
  font-size: 0.875rem;
}
.notice > :first-child { flex: 1 1 12rem; min-inline-size: 0; overflow-wrap: anywhere; }
/* On a narrow screen its button stands below. */
.notice.bad > :first-child { flex-basis: 18rem; }
.notice.bad { border-color: var(--_problem); background: var(--_problem-soft); }
.notice .heading { color: var(--_problem); font-weight: 600; }
.notice .muted, .problem .muted { color: inherit; font-size: 0.8125rem; }

progress {
  grid-column: 1 / -1;
  appearance: none;
  inline-size: 100%;
  block-size: 0.375rem;
  overflow: hidden;
  border: 0;
  border-radius: 0.25rem;
  background: var(--_line);
  color: var(--_accent);
}
progress::-webkit-progress-bar { background: var(--_line); }
progress::-webkit-progress-value { background: var(--_accent); }
progress::-moz-progress-bar { background: var(--_accent); }
progress:indeterminate::-webkit-progress-bar { background: var(--_line-strong); animation: breathe 1.6s ease-in-out infinite; }
progress:indeterminate::-moz-progress-bar { background: var(--_line-strong); animation: breathe 1.6s ease-in-out infinite; }
@keyframes breathe { 50% { opacity: 0.25; } }

dialog {
  inline-size: min(28rem, 100% - 2rem);
  /* No padding: a click on the dialog itself is then one on the backdrop. */
  padding: 0;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_surface);
  color: var(--_ink);
}
dialog::backdrop { background: rgb(0 0 0 / 45%); }
.shown {
  max-block-size: min(16rem, 40dvh);
  overflow: auto;
  margin: 0;
  padding: 0.5rem 0.75rem;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  list-style: none;
  overflow-wrap: anywhere;
  white-space: pre-wrap;
}
.shown > li + li { margin-block-start: 0.5rem; padding-block-start: 0.5rem; border-block-start: 1px solid var(--_line); }
.body { display: grid; gap: 0.75rem; padding: 1.25rem; }
.actions { display: flex; flex-wrap: wrap; justify-content: end; gap: 0.5rem; margin-block-start: 0.5rem; }
/* Where they do not fit into one row, none looks lost. */
@media (max-width: 26rem) { .actions > button { flex-grow: 1; } }
`;

const preferences = `
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation: none !important; transition: none !important; }
  /* One rule each: a browser drops a whole list for one name that it doesn't know. */
  progress::-webkit-progress-bar { animation: none !important; }
  progress::-moz-progress-bar { animation: none !important; }
}
@media (forced-colors: active) {
  .meter { border: 1px solid ButtonText; }
  .fill, .tick, .dot, .switch > input:checked::before { forced-color-adjust: none; background: Highlight !important; }
}
`;

/** @type {CSSStyleSheet[] | null} */
let sheets = null;

/** The sheets, made when they are first wanted. */
export function sharedSheets() {
  sheets ??= [themes, basics, pieces, preferences].map(sheetOf);
  return sheets;
}

/** @param {string} rules */
export function sheetOf(rules) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  return sheet;
}
