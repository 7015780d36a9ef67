// @ts-check
/** Rules for questions, answers and receipts. */
export const conversation = `
.scroll > article { min-inline-size: 0; overflow-wrap: anywhere; }
.scroll > article + article { margin-block-start: 1.25rem; }
.scroll > .empty[hidden] + article { margin-block-start: 0; }

.question { display: grid; }
.question > p {
  justify-self: end;
  max-inline-size: 85%;
  padding: 0.5rem 0.875rem;
  border-radius: var(--_radius);
  background: var(--_sunken);
  white-space: pre-wrap;
}
.question > .muted { padding: 0.25rem 0 0; background: none; }

.text, .draft { display: grid; gap: 0.75rem; }
.text > *, .draft > * { min-inline-size: 0; }
.answer p { white-space: pre-wrap; }
.text .heading { font-weight: 650; line-height: 1.35; }
.text .level-1 { font-size: 1.25rem; }
.text .level-2 { font-size: 1.125rem; }
.answer ul, .answer ol { display: grid; gap: 0.25rem; padding-inline-start: 1.5rem; }
.answer li > * + * { margin-block-start: 0.5rem; }
.answer blockquote { display: grid; gap: 0.5rem; padding-inline-start: 0.75rem; border-inline-start: 3px solid var(--_line); color: var(--_muted); }
.answer hr { inline-size: 100%; margin: 0; border: 0; border-block-start: 1px solid var(--_line); }
.answer pre { margin: 0; padding: 0.75rem; overflow-x: auto; border: 1px solid var(--_line); border-radius: var(--_radius); background: var(--_surface); overflow-wrap: normal; }
.answer :not(pre) > code { padding: 0.1em 0.3em; border-radius: 0.25rem; background: var(--_sunken); }
.answer .wide { overflow-x: auto; }
.answer table { border-collapse: collapse; font-size: 0.9375rem; overflow-wrap: normal; }
.answer th, .answer td { padding: 0.25rem 0.75rem; border: 1px solid var(--_line); text-align: start; vertical-align: top; }
.answer th { background: var(--_sunken); }

.draft { padding-inline-start: 0.75rem; border-inline-start: 2px solid var(--_line); color: var(--_muted); }
.draft-line, .wait { color: var(--_muted); font-size: 0.875rem; }
.draft-line { margin-block: 0.375rem; padding-inline-start: 0.875rem; }
.has-draft > .text:not(:empty) { margin-block-start: 0.75rem; }
.wait::before, .draft-line::before {
  content: "";
  display: inline-block;
  inline-size: 0.5rem;
  block-size: 0.5rem;
  margin-inline-end: 0.5rem;
  border-radius: 50%;
  background: var(--_accent);
  animation: breathe 1.6s ease-in-out infinite;
}
.draft-line::before { background: var(--_cloud); }
[data-state="error"] > .draft-line::before, [data-state="done"] > .draft-line::before { display: none; }

.meta { display: flex; flex-wrap: wrap; align-items: center; gap: 0.375rem; min-block-size: 1.75rem; margin-block-start: 0.5rem; }
.meta > .muted:empty { display: none; }
.badge { min-block-size: 1.75rem; padding: 0.125rem 0.625rem; border-color: currentColor; border-radius: 1rem; font-size: 0.8125rem; font-weight: 600; }
.badge:enabled::after {
  content: "";
  inline-size: 0.375rem;
  block-size: 0.375rem;
  margin-block-start: -0.2rem;
  border: solid currentColor;
  border-width: 0 1.5px 1.5px 0;
  rotate: 45deg;
}
.badge[aria-expanded="true"]::after { margin-block-start: 0.15rem; rotate: 225deg; }
[data-source="exact"] .badge { background: var(--_sunken); color: var(--_ink); }
[data-source="device"] .badge { background: var(--_accent-soft); color: var(--_accent); }
[data-source="cloud"] .badge { background: var(--_cloud-soft); color: var(--_cloud); }

.problem {
  display: grid;
  gap: 0.25rem;
  justify-items: start;
  margin-block-start: 0.75rem;
  padding: 0.75rem 0.875rem;
  border-inline-start: 3px solid var(--_problem);
  border-radius: 0.25rem;
  background: var(--_problem-soft);
}
.problem > .heading { color: var(--_problem); font-weight: 650; }
.problem.calm { border-color: var(--_accent); background: var(--_accent-soft); }
.problem.calm > .heading { color: var(--_accent); }
.problem > button { margin-block-start: 0.5rem; }

.receipt { margin-block-start: 0.5rem; padding: 0.75rem 0.875rem; border: 1px solid var(--_line); border-radius: var(--_radius); background: var(--_surface); }
.meter-row { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; }
.meter { position: relative; flex: 0 1 9rem; min-inline-size: 5rem; block-size: 0.5rem; border-radius: 0.25rem; background: var(--_sunken); }
.meter > .fill { display: block; block-size: 100%; border-radius: inherit; background: var(--_accent); }
.meter.low > .fill { background: var(--_line-strong); }
.meter > .tick { position: absolute; inset-block: -0.2rem; inline-size: 2px; margin-inline-start: -1px; background: var(--_ink); }
`;
