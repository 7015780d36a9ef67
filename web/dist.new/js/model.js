/**
 * The page's model: its own, or a mix that took its place.
 *
 * @import { SpratChat } from "../../edge/js/element/sprat-chat.js"
 * @import { Recipe, UseOptions } from "../../edge/js/types.js"
 * @import { Params } from "./params.js"
 */

export class PageModel {
  /** Whether a mix answers in the place of the page's own model. */
  mixed = false;

  /**
   * @param {SpratChat} chat
   * @param {Params} params
   */
  constructor(chat, params) {
    this.chat = chat;
    this.params = params;
  }

  /** Has the chat load the page's own model. */
  load() {
    const { chat, params } = this;
    chat.device = params.device;
    chat.cloud = params.cloud;
    chat.model = params.model;
  }

  /**
   * Puts a mix into the place of the model, or the page's own model again. The conversation goes on with it.
   *
   * @param {Recipe | null} recipe
   * @param {UseOptions} [options]
   */
  async use(recipe, options) {
    const sprat = await this.chat.use(recipe ?? this.params.model, options);
    this.mixed = recipe !== null;
    return sprat;
  }

  /**
   * Bytes of packs that are not stored on this device.
   *
   * @param {string[]} packs
   */
  async bytesMissing(packs) {
    const { Sprat } = await import("../sprat/sprat.js");
    const stored = new Set((await Sprat.stored()).flatMap(({ urls }) => urls));
    const missing = packs.map((pack) => new URL(pack, location.href)).filter(({ href }) => !stored.has(href));
    const sizes = missing.map(async (pack) => {
      const response = await fetch(new URL("sprat.json", pack));
      const { files } = /** @type {{ files: { size: number }[] }} */ (await response.json());
      return files.reduce((sum, { size }) => sum + size, 0);
    });
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Removes the model from this device's storage; what is in memory goes on working. */
  async forget() {
    const { Sprat } = await import("../sprat/sprat.js");
    await Sprat.forget(this.params.model);
  }
}
