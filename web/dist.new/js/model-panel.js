/**
 * What the page shows of the model: the device in words, and the dialog with the model's facts and "Forget the model".
 *
 * @import { Status } from "../../edge/js/element/types.js"
 * @import { DeviceInfo, ModelInfo } from "../../edge/js/types.js"
 * @import { PageModel } from "./model.js"
 */
import { closeOnBackdrop } from "../sprat/element/dialog.js";
import { definitions } from "../sprat/element/dom.js";
import { byId } from "./dom.js";
import { large, progressWords, words } from "./numbers.js";
import { foreignHost } from "./params.js";

export class ModelPanel {
  #chip = byId("model-button", HTMLButtonElement);
  #device = byId("device-words", HTMLSpanElement);
  #dialog = byId("model-dialog", HTMLDialogElement);
  #facts = byId("model-facts", HTMLElement);
  #note = byId("model-note", HTMLParagraphElement);
  #forget = byId("forget", HTMLButtonElement);
  #close = byId("model-close", HTMLButtonElement);
  /** @type {ModelInfo | null} */
  #forgotten = null;

  /** @param {PageModel} model */
  constructor(model) {
    this.model = model;
    closeOnBackdrop(this.#dialog);
    this.#chip.addEventListener("click", () => this.#open());
    this.#close.addEventListener("click", () => this.#dialog.close());
    this.#forget.addEventListener("click", () => void this.#forgetModel());
  }

  /** @param {Status} status */
  show(status) {
    this.#chip.dataset["state"] = status.state;
    this.#device.textContent = inShort(status);
    if (this.#dialog.open) this.#fill();
  }

  #open() {
    this.#note.textContent = "";
    this.#fill();
    this.#dialog.showModal();
    this.#close.focus();
  }

  #fill() {
    const { status } = this.model.chat;
    const { model, device } = status.state === "ready" ? status : { model: null, device: null };
    this.#forget.hidden = model === null || !this.#isStored(model);
    const facts = model === null || device === null ? [{ term: "Model", value: inShort(status) }] : this.#about(model, device);
    this.#facts.replaceChildren(...definitions([...facts, { term: "Cloud", value: this.#cloud() }]));
  }

  #cloud() {
    const { cloud } = this.model.params;
    if (cloud === null) return "Switched off";
    return foreignHost(cloud, location.href) ?? `${new URL(cloud).host}, where this page is from`;
  }

  /**
   * @param {ModelInfo} model
   * @param {DeviceInfo} device
   */
  #about(model, device) {
    const from = foreignHost(this.model.params.model, location.href);
    return [
      { term: "Model", value: from === null ? model.name : `${model.name}, from ${from}` },
      { term: "Runs on", value: device.words },
      { term: "Size", value: `${large(model.parameters)} parameters, ${words.bytes(model.bytes)}` },
      { term: "Reads", value: `${words.count(model.context)} tokens at once` },
      { term: "Stored", value: this.#stored(model) },
      { term: "License", value: model.license },
    ];
  }

  /** @param {ModelInfo} model */
  #isStored(model) {
    return model.stored && this.#forgotten !== model;
  }

  /** @param {ModelInfo} model */
  #stored(model) {
    if (this.#isStored(model)) return "On this device, so it loads without a download";
    if (this.model.params.bundled) return "With this page";
    if (this.model.mixed) return "Only in this page; the next visit begins with the page's own model";
    return "Not on this device; it is downloaded at the next visit";
  }

  async #forgetModel() {
    const { status } = this.model.chat;
    if (status.state !== "ready") return;
    this.#forget.disabled = true;
    try {
      await this.model.forget();
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

/** @param {Status} status */
function inShort(status) {
  if (status.state === "ready") return status.device?.words ?? "Ready";
  if (status.state !== "loading") return "No model";
  const { share } = progressWords(status.progress ?? { stage: "engine", loaded: 0, total: 0 });
  return share === null ? "Loading" : `Loading ${Math.floor(share * 100)} %`;
}
