/**
 * What the page shows of the model: the progress bar while it loads, the device in words, and the dialog with its
 * facts and "Forget the model".
 *
 * @import { EngineHost } from "./engine.js"
 * @import { EngineStatus, ModelInfo, Progress } from "./types.d.ts"
 */
import { closeOnBackdrop } from "./dialog.js";
import { byId, fillFacts } from "./dom.js";
import { formatBytes, formatCount, formatLarge, formatProgress } from "./format.js";
import { foreignHost } from "./params.js";

/** @type {Record<Progress["stage"], string>} */
const STAGE = {
  engine: "Starting the engine",
  download: "Downloading the model",
  mix: "Mixing",
  load: "Checking and loading the model",
  warmup: "Warming up",
  ready: "Ready",
};

/**
 * @param {Pick<Progress, "stage" | "loaded" | "total">} progress
 * @returns {{ words: string, bytes: string, share: number | null }} share from 0 to 1; null where it is not known
 */
export function progressWords({ stage, loaded, total }) {
  const words = STAGE[stage] ?? STAGE.load;
  if (total <= 0) return { words, bytes: "", share: null };
  const bytes = stage === "download" ? formatProgress(loaded, total) : "";
  return { words, bytes, share: Math.min(1, loaded / total) };
}

export class ModelPanel {
  #chip = byId("model-button", HTMLButtonElement);
  #device = byId("device-words", HTMLSpanElement);
  #loading = byId("loading", HTMLElement);
  #words = byId("loading-words", HTMLLabelElement);
  #bytes = byId("loading-bytes", HTMLSpanElement);
  #bar = byId("loading-bar", HTMLProgressElement);
  #dialog = byId("model-dialog", HTMLDialogElement);
  #facts = byId("model-facts", HTMLElement);
  #note = byId("model-note", HTMLParagraphElement);
  #forget = byId("forget", HTMLButtonElement);
  #close = byId("model-close", HTMLButtonElement);
  /** @type {ModelInfo | null} */
  #forgotten = null;

  /** @param {EngineHost} host */
  constructor(host) {
    this.host = host;
    this.#chip.addEventListener("click", () => this.#open());
    this.#close.addEventListener("click", () => this.#dialog.close());
    this.#forget.addEventListener("click", () => void this.#forgetModel());
  }

  /** @param {EngineStatus} status */
  show(status) {
    this.#chip.dataset["state"] = status.state;
    this.#loading.hidden = status.state !== "loading";
    if (status.state === "loading") {
      const { words, bytes, share } = progressWords(status.progress);
      this.#words.textContent = words;
      this.#bytes.textContent = bytes;
      if (share === null) this.#bar.removeAttribute("value");
      else this.#bar.value = share;
      this.#device.textContent = share === null ? "Loading" : `Loading ${Math.floor(share * 100)} %`;
    } else {
      this.#device.textContent = status.state === "ready" ? status.device.words : "No model";
    }
    if (this.#dialog.open) this.#fill();
  }

  #open() {
    this.#note.textContent = "";
    this.#fill();
    closeOnBackdrop(this.#dialog);
    this.#dialog.showModal();
    this.#close.focus();
  }

  #fill() {
    const { status, params } = this.host;
    const cloud = params.cloud;
    const elsewhere = foreignHost(cloud, location.href);
    const cloudFact = {
      term: "Cloud",
      value: cloud === null ? "Switched off" : (elsewhere ?? `${new URL(cloud).host}, where this page is from`),
    };
    if (status.state !== "ready") {
      this.#forget.hidden = true;
      const value = status.state === "loading" ? progressWords(status.progress).words : "Not loaded";
      fillFacts(this.#facts, [{ term: "Model", value }, cloudFact]);
      return;
    }
    const { model, device } = status;
    const from = foreignHost(params.model, location.href);
    const stored = model.stored && this.#forgotten !== model;
    this.#forget.hidden = !stored;
    fillFacts(this.#facts, [
      { term: "Model", value: from === null ? model.name : `${model.name}, from ${from}` },
      { term: "Runs on", value: device.words },
      {
        term: "Size",
        value: `${formatLarge(model.parameters)} parameters, ${formatBytes(model.bytes)}`,
      },
      { term: "Reads", value: `${formatCount(model.context)} tokens at once` },
      {
        term: "Stored",
        value: stored
          ? "On this device, so it loads without a download"
          : params.bundled
            ? "With this page"
            : this.host.mixed !== null
              ? "Only in this page; the next visit begins with the page's own model"
              : "Not on this device; it is downloaded at the next visit",
      },
      { term: "License", value: model.license },
      cloudFact,
    ]);
  }

  async #forgetModel() {
    const { status } = this.host;
    if (status.state !== "ready") return;
    this.#forget.disabled = true;
    try {
      await this.host.forget();
      this.#forgotten = status.model;
      this.#note.textContent = "Forgotten. It works on until this page is closed.";
      this.#close.focus();
      this.#fill();
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#note.textContent = `It could not be removed: ${reason}`;
    } finally {
      this.#forget.disabled = false;
    }
  }
}
