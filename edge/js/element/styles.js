// @ts-check
/**
 * The element's style sheets: constructed, so that a strict content security policy has nothing to forbid, and shared by all
 * chats of a page. Only logical properties: the same rules serve text that runs to the left.
 */
import { conversation } from "./styles-conversation.js";

/** Colours and measures. Each is a public variable of the same name without the underscore. */
const tokens = `
:host {
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

  display: grid;
  grid-template: minmax(0, 1fr) / minmax(0, 1fr);
  box-sizing: border-box;
  block-size: 36rem;
  max-block-size: 100dvh;
  min-inline-size: 0;
  overflow: hidden;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_page);
  color: var(--_ink);
  color-scheme: light dark;
  font: 1rem/1.55 var(--_font);
  text-align: start;
}

:host([hidden]) { display: none; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
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

const frame = `
.chat {
  container-type: inline-size;
  display: grid;
  grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr);
  min-block-size: 0;
}

.header {
  display: flex;
  align-items: center;
  gap: 0.5rem 0.75rem;
  padding-block: 0.375rem;
  padding-inline: 1rem 0.5rem;
  border-block-end: 1px solid var(--_line);
  background: var(--_surface);
}
::slotted([slot="title"]) { margin: 0; font-size: 1rem; }
.status { display: flex; align-items: center; gap: 0.5rem; flex: 1; min-inline-size: 0; color: var(--_muted); font-size: 0.875rem; }
.status-words { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dot { flex: none; inline-size: 0.5rem; block-size: 0.5rem; border: 1px solid var(--_line-strong); border-radius: 50%; }
[data-state="ready"] .dot { border-color: var(--_accent); background: var(--_accent); }
[data-state="failed"] .dot { border-color: var(--_problem); background: var(--_problem); }

.scroll { position: relative; overflow: hidden auto; overscroll-behavior: contain; scroll-padding-block: 1rem; padding: 1.25rem 1rem; }
.scroll > * { inline-size: 100%; max-inline-size: var(--_measure); margin-inline: auto; }
.scroll > .empty { display: grid; align-content: center; min-block-size: 100%; }
.empty { gap: 0.5rem; }
.empty > p, .empty p { max-inline-size: 36rem; }
.empty p:not(.title) { color: var(--_muted); }
.examples {
  display: grid;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr));
  gap: 0.5rem;
  margin-block-start: 0.75rem;
  list-style: none;
}
.empty slot { display: grid; gap: 0.5rem; }
.example {
  inline-size: 100%;
  block-size: 100%;
  min-block-size: 2.75rem;
  justify-content: start;
  border-color: var(--_line);
  background: var(--_surface);
  text-align: start;
  overflow-wrap: anywhere;
}

.foot { padding: 0 0.75rem 0.75rem; }
.foot > * { max-inline-size: var(--_measure); margin-inline: auto; }
.notices { display: grid; gap: 0.5rem; max-block-size: 16rem; overflow: hidden auto; }
.notices:not(:empty) { padding-block-end: 0.5rem; }
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
.notice.bad { border-color: var(--_problem); background: var(--_problem-soft); }
.notice .heading { color: var(--_problem); font-weight: 600; }
.notice .muted, .problem .muted { color: inherit; font-size: 0.8125rem; }

.loading {
  display: grid;
  grid-template-columns: 1fr auto;
  gap: 0.25rem 0.75rem;
  padding-block-end: 0.625rem;
  padding-inline: 0.25rem;
  color: var(--_muted);
  font-size: 0.875rem;
  font-variant-numeric: tabular-nums;
}
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
`;

const composer = `
.composer { overflow: hidden; border: 1px solid var(--_line-strong); border-radius: var(--_radius); background: var(--_surface); }
.composer:focus-within { border-color: var(--_accent); box-shadow: 0 0 0 1px var(--_accent); }
.composer.is-private { border-color: var(--_accent); }
.lane {
  display: flex;
  align-items: start;
  gap: 0.5rem;
  padding: 0.375rem 0.875rem;
  border-block-end: 1px solid var(--_line);
  color: var(--_muted);
  font-size: 0.8125rem;
  line-height: 1.45;
  overflow-wrap: anywhere;
}
.lane > svg { display: none; margin-block-start: 0.1rem; }
.lane.sealed > svg { display: block; }
.lane.sealed { color: var(--_accent); }
.is-private > .lane { border-color: transparent; background: var(--_accent); color: var(--_on-accent); font-weight: 600; }

textarea {
  display: block;
  field-sizing: content;
  inline-size: 100%;
  min-block-size: 2.75rem;
  max-block-size: 10rem;
  padding: 0.625rem 0.875rem 0.25rem;
  border: 0;
  background: none;
  resize: none;
}
/* The whole composer shows the focus. */
textarea:focus { outline: none; }
textarea::placeholder { color: var(--_muted); opacity: 1; }

.row { display: flex; align-items: center; gap: 0.375rem 0.75rem; padding: 0.25rem 0.5rem 0.5rem; padding-inline-start: 0.875rem; }
.row > .primary { margin-inline-start: auto; }
.switch { display: flex; white-space: nowrap; align-items: center; gap: 0.5rem; min-block-size: 2.5rem; color: var(--_muted); font-size: 0.875rem; cursor: pointer; }
.switch > input {
  appearance: none;
  position: relative;
  flex: none;
  inline-size: 2.25rem;
  block-size: 1.25rem;
  margin: 0;
  border: 1px solid var(--_line-strong);
  border-radius: 1rem;
  background: var(--_sunken);
  cursor: pointer;
}
.switch > input::before {
  content: "";
  position: absolute;
  inset-block-start: 2px;
  inset-inline-start: 2px;
  inline-size: 0.875rem;
  block-size: 0.875rem;
  border-radius: 50%;
  background: var(--_line-strong);
  transition: inset-inline-start 120ms ease-out;
}
.switch > input:checked { border-color: var(--_accent); background: var(--_accent); }
.switch > input:checked::before { inset-inline-start: calc(100% - 0.875rem - 2px); background: var(--_on-accent); }
select {
  min-inline-size: 0;
  max-inline-size: 10rem;
  min-block-size: 2rem;
  padding: 0.125rem 0.25rem;
  border: 1px solid var(--_line);
  border-radius: 0.375rem;
  background: var(--_surface);
  color: var(--_ink);
  font-size: 0.875rem;
}

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

@container (max-width: 30rem) {
  .wide-only { display: none; }
  .header .quiet { padding-inline: 0.75rem; }
  .foot { padding-inline: 0.5rem; padding-block-end: 0.5rem; }
  .row > .primary { padding-inline: 0.75rem; }
}
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation: none !important; transition: none !important; }
  /* One rule each: a browser drops a whole list for one name that it doesn't know. */
  progress::-webkit-progress-bar { animation: none !important; }
  progress::-moz-progress-bar { animation: none !important; }
}
@media (forced-colors: active) {
  .meter { border: 1px solid ButtonText; }
  .fill, .tick, .dot, .switch > input:checked::before { forced-color-adjust: none; background: Highlight; }
}
`;

/** @type {CSSStyleSheet[] | null} */
let sheets = null;

/** The sheets, made when the first chat is. */
export function styleSheets() {
  sheets ??= [tokens, basics, frame, conversation, composer].map((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  return sheets;
}
