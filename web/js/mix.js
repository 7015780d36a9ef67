/**
 * "Mix your own sprat": a dialog with a slider for each specialist. What the sliders say is merged in the page, without
 * training, takes the chat model's place, and answers three questions at once, one for each specialist.
 *
 * @import { EngineHost } from "./engine.js"
 * @import { Progress, Recipe, Sprat } from "./types.d.ts"
 */
import { closeOnBackdrop } from "./dialog.js";
import { byId, make } from "./dom.js";
import { asSentence, describe } from "./errors.js";
import { formatBytes, formatMs } from "./format.js";
import { progressWords } from "./model-panel.js";
import { failureOf } from "./turn.js";

/** All were trained from the base; their differences to it are what is added up. */
const BASE = "models/lineage/sprat-base/";
const SPECIALISTS = [
  { name: "Small talk", url: "models/lineage/sprat-chat/", question: "Tell me a joke." },
  { name: "Word problems", url: "models/lineage/sprat-math/", question: "Tom has 3 apples and buys 4 more. How many apples does he have?" },
  { name: "Home commands", url: "models/lineage/sprat-home/", question: "Set the bedroom to 21 degrees." },
];
/** Where the sliders stand at first: even, and such that not all three answers are right yet. */
const START = 0.5;
/** How far a slider goes; above 1 a specialist counts for more than it was trained to. */
const MOST = 1.2;
const SAMPLE = { mode: /** @type {const} */ ("device"), temperature: 0, maxTokens: 40 };

/**
 * The merge that sliders stand for: the base, and so much of each specialist's difference to it.
 *
 * @param {number[]} weights one for each specialist
 * @returns {Recipe}
 */
export function recipeOf(weights) {
  const models = SPECIALISTS.map(({ url }, index) => ({ model: url, parameters: { weight: weights[index] ?? 0 } }));
  return { merge_method: "task_arithmetic", base_model: BASE, models };
}

export class MixDialog {
  #dialog = byId("mix-dialog", HTMLDialogElement);
  #sliders = byId("mix-sliders", HTMLElement);
  #words = byId("mix-words", HTMLParagraphElement);
  #bar = byId("mix-bar", HTMLProgressElement);
  #start = byId("mix-start", HTMLButtonElement);
  #back = byId("mix-back", HTMLButtonElement);
  #done = byId("mix-done", HTMLButtonElement);
  /** @type {{ range: HTMLInputElement, answer: HTMLElement }[]} */
  #rows = [];
  /** Stops the mix, and the answers of the one before. @type {AbortController | null} */
  #running = null;
  /** Whether the sliders are those of a mix that is there, so that moving one makes another. */
  #mixed = false;

  /** @param {EngineHost} host */
  constructor(host) {
    this.host = host;
    this.#rows = SPECIALISTS.map((specialist, index) => this.#row(specialist, index));
    for (const id of ["mix-open", "mix-open-too"]) byId(id, HTMLButtonElement).addEventListener("click", () => this.#open());
    this.#start.addEventListener("click", () => void this.#mix());
    this.#back.addEventListener("click", () => void this.#goBack());
    this.#done.addEventListener("click", () => this.#dialog.close());
    // Whoever leaves wants to chat; a download that was begun is given up.
    this.#dialog.addEventListener("close", () => this.#running?.abort());
  }

  /**
   * @param {typeof SPECIALISTS[number]} specialist
   * @param {number} index
   */
  #row({ name, question }, index) {
    const id = `mix-${index}`;
    const range = make("input", { type: "range", id, min: "0", max: String(MOST), step: "0.05", autocomplete: "off" });
    const share = make("output", { for: id });
    const answer = make("p", { class: "mix-answer" });
    range.value = String(START);
    const show = () => {
      share.textContent = `${Math.round(range.valueAsNumber * 100)} %`;
      range.setAttribute("aria-valuetext", share.textContent);
    };
    show();
    range.addEventListener("input", show);
    range.addEventListener("change", () => {
      if (this.#mixed) void this.#mix();
    });
    const label = make("label", { for: id }, name);
    this.#sliders.append(
      make("div", { class: "mix-row" }, label, share, range, make("p", { class: "mix-question" }, question), answer),
    );
    return { range, answer };
  }

  #open() {
    byId("model-dialog", HTMLDialogElement).close();
    closeOnBackdrop(this.#dialog);
    this.#dialog.showModal();
    if (this.#mixed) return;
    this.#words.textContent = "";
    void this.#tellSize();
  }

  /** What has to be downloaded, before it is. */
  async #tellSize() {
    try {
      const bytes = await this.host.bytesMissing([BASE, ...SPECIALISTS.map(({ url }) => url)]);
      if (this.#running !== null || this.#mixed) return;
      const more = "the base and three specialists";
      this.#words.textContent =
        bytes === 0 ? `On this device already: ${more}.` : `To download, once: ${formatBytes(bytes)}, ${more}.`;
    } catch {
      // Mixing will say what is wrong.
    }
  }

  async #mix() {
    this.#running?.abort();
    const controller = new AbortController();
    const { signal } = controller;
    this.#running = controller;
    this.#start.hidden = true;
    this.#sliders.setAttribute("aria-busy", "true");
    const weights = this.#rows.map(({ range }) => range.valueAsNumber);
    const began = performance.now();
    try {
      const onProgress = (/** @type {Progress} */ progress) => {
        if (!signal.aborted) this.#show(progress);
      };
      const sprat = await this.host.use(recipeOf(weights), { signal, onProgress });
      if (signal.aborted) return;
      this.#mixed = true;
      this.#back.hidden = false;
      this.#words.textContent = `Mixed and loaded in ${formatMs(performance.now() - began)}. Move a slider to mix again.`;
      this.#rest();
      await this.#askAll(sprat, signal);
    } catch (thrown) {
      if (!signal.aborted) this.#tell(thrown);
    } finally {
      if (this.#running === controller) {
        this.#running = null;
        this.#rest();
        this.#start.hidden = this.#mixed;
      }
    }
  }

  /** @param {Progress} progress */
  #show(progress) {
    const { words, bytes, share } = progressWords(progress);
    this.#words.textContent = bytes === "" ? words : `${words}: ${bytes}`;
    this.#bar.hidden = false;
    if (share === null) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
  }

  #rest() {
    this.#bar.hidden = true;
    this.#sliders.removeAttribute("aria-busy");
  }

  /** @param {unknown} thrown */
  #tell(thrown) {
    const failure = failureOf(thrown);
    const { sentence, todo } = describe(failure, { private: false, mode: "device", kept: "nothing", first: true });
    this.#words.textContent = failure.code === "bad_request" ? asSentence(failure.message) : `${sentence} ${todo}`;
  }

  /**
   * @param {Sprat} sprat
   * @param {AbortSignal} signal
   */
  async #askAll(sprat, signal) {
    for (const { answer } of this.#rows) answer.textContent = "…";
    for (const [index, { answer }] of this.#rows.entries()) {
      const content = SPECIALISTS[index]?.question ?? "";
      for await (const event of sprat.chat([{ role: "user", content }], { ...SAMPLE, signal })) {
        if (signal.aborted) return;
        if (event.type === "start") answer.textContent = "";
        if (event.type === "delta") answer.textContent += event.text;
        if (event.type === "end") answer.textContent = event.text;
      }
    }
  }

  async #goBack() {
    this.#running?.abort();
    this.#back.disabled = true;
    try {
      await this.host.use(null);
      this.#mixed = false;
      for (const { answer } of this.#rows) answer.textContent = "";
      this.#back.hidden = true;
      this.#start.hidden = false;
      this.#words.textContent = "The page's own model answers again.";
      this.#start.focus();
    } catch (thrown) {
      this.#tell(thrown);
    } finally {
      this.#back.disabled = false;
    }
  }
}
