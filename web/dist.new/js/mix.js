/**
 * "Mix your own sprat": a dialog with a slider for each specialist. What the sliders say is merged in the page, without
 * training, takes the chat model's place, and answers three questions at once, one for each specialist.
 *
 * @import { Sprat } from "../../edge/js/sprat.js"
 * @import { Progress, Recipe } from "../../edge/js/types.js"
 * @import { PageModel } from "./model.js"
 */
import { closeOnBackdrop } from "../sprat/element/dialog.js";
import { make } from "../sprat/element/dom.js";
import { describe } from "../sprat/element/problem.js";
import { failureOf } from "../sprat/element/turn.js";
import { byId } from "./dom.js";
import { progressWords, words } from "./numbers.js";
import { asSentence } from "./notices.js";

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
/** Under what circumstances mixing fails. @type {import("../../edge/js/element/problem.js").Circumstances} */
const MIXING = { private: false, mode: "device", kept: "nothing", first: true, own: true };
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

  /** @param {PageModel} model */
  constructor(model) {
    this.model = model;
    this.#rows = SPECIALISTS.map((specialist, index) => this.#row(specialist, index));
    for (const id of ["mix-open", "mix-open-too"]) byId(id, HTMLButtonElement).addEventListener("click", () => this.#open());
    this.#start.addEventListener("click", () => void this.#mix());
    this.#back.addEventListener("click", () => void this.#goBack());
    this.#done.addEventListener("click", () => this.#dialog.close());
    // Whoever leaves wants to chat; a download that was begun is given up.
    this.#dialog.addEventListener("close", () => this.#running?.abort());
    closeOnBackdrop(this.#dialog);
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
    this.#dialog.showModal();
    if (this.#mixed) return;
    this.#words.textContent = "";
    void this.#tellSize();
  }

  /** What has to be downloaded, before it is. */
  async #tellSize() {
    try {
      const bytes = await this.model.bytesMissing([BASE, ...SPECIALISTS.map(({ url }) => url)]);
      if (this.#running !== null || this.#mixed) return;
      const more = "the base and three specialists";
      this.#words.textContent =
        bytes === 0 ? `On this device already: ${more}.` : `To download, once: ${words.bytes(bytes)}, ${more}.`;
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
      const sprat = await this.model.use(recipeOf(weights), { signal, onProgress });
      if (signal.aborted) return;
      this.#mixed = true;
      this.#back.hidden = false;
      this.#words.textContent = `Mixed and loaded in ${words.duration(performance.now() - began)}. Move a slider to mix again.`;
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
    const { stage, bytes, share } = progressWords(progress);
    this.#words.textContent = bytes === "" ? stage : `${stage}: ${bytes}`;
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
    const { words: happened, todo, detail } = describe(failure, MIXING, words);
    this.#words.textContent = failure.code === "bad_request" ? asSentence(failure.message) : `${asSentence(detail) || happened} ${todo}`;
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
      await this.model.use(null);
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
