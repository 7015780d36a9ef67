// @ts-check
/** The element's style sheets, shared by all chats of a page. Only logical properties, as in styles-shared.js. */
import { conversation } from "./styles-conversation.js";
import { sharedSheets, sheetOf } from "./styles-shared.js";

const host = `
:host {
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

const frame = `
/* Words that run to the right, in a page that runs to the left, as where there are none in its language: sentences stand at the
   page's side, and keep their marks at their own ends. Chromium knows the alignment by a name of its own. */
.chat:dir(rtl):not(:lang(ar), :lang(ckb), :lang(dv), :lang(fa), :lang(he), :lang(ps), :lang(sd), :lang(ug), :lang(ur), :lang(yi)) {
  :is(.empty p, .lane > span, .problem > p, .notice p, .facts dd, .question > .muted, dialog p) { unicode-bidi: plaintext; text-align: match-parent; text-align: -webkit-match-parent; }
  .meter-row { justify-content: end; }
}

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

/* Rows by number, because a page may hide the header. */
.scroll { grid-row: 2; position: relative; overflow: hidden auto; overscroll-behavior: contain; scroll-padding-block: 1rem; padding: 1.25rem 1rem; }
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

.foot { grid-row: 3; padding: 0 0.75rem 0.75rem; }
.foot > * { max-inline-size: var(--_measure); margin-inline: auto; }
.notices { display: grid; gap: 0.5rem; max-block-size: 16rem; overflow: hidden auto; }
.notices:not(:empty) { padding-block-end: 0.5rem; }
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
`;

const composer = `
.composer { overflow: hidden; border: 1px solid var(--_line-strong); border-radius: var(--_radius); background: var(--_surface); }
.composer:focus-within { border-color: var(--_accent); box-shadow: 0 0 0 1px var(--_accent); }
.composer.is-private { border-color: var(--_accent); }
.lane {
  display: flex;
  align-items: center;
  gap: 0.5rem;
  padding: 0.375rem 0.875rem;
  border-block-end: 1px solid var(--_line);
  color: var(--_muted);
  font-size: 0.8125rem;
  line-height: 1.45;
  overflow-wrap: anywhere;
}
.lane > span { flex: 1; min-inline-size: 0; }
.lane > svg { display: none; }
.lane.sealed > svg { display: block; }
/* Its line has a colour of its own. */
.lane > select { flex: none; min-block-size: 1.5rem; margin-inline-start: -0.375rem; padding-block: 0; border-color: currentColor; border-color: color-mix(in srgb, currentColor 45%, transparent); background: transparent; color: inherit; font-size: inherit; line-height: inherit; }
.lane > select > option { background: var(--_surface); color: var(--_ink); }
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

@container (max-width: 30rem) {
  .wide-only { display: none; }
  .header .quiet { padding-inline: 0.75rem; }
  .foot { padding-inline: 0.5rem; padding-block-end: 0.5rem; }
  .row > .primary { padding-inline: 0.75rem; }
}
`;

/** @type {CSSStyleSheet[] | null} */
let own = null;

/** The sheets, made when the first chat is. */
export function styleSheets() {
  own ??= [host, frame, conversation, composer].map(sheetOf);
  return [...sharedSheets(), ...own];
}
