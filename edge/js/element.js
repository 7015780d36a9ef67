// @ts-check
/**
 * Registers `<sprat-chat>`, the chat as a custom element.
 *
 *     <script type="module" src="sprat/element.js"></script>
 *     <sprat-chat model="models/sprat-tiny/" cloud="/v1"></sprat-chat>
 *
 * @module sprat/element
 */
import { SpratChat } from "./element/sprat-chat.js";

/** @typedef {import("./element/types.js").ReadyDetail} ReadyDetail */
/** @typedef {import("./element/types.js").AnswerDetail} AnswerDetail */
/** @typedef {import("./element/types.js").ErrorDetail} ErrorDetail */
/** @typedef {import("./element/words.js").Strings} Strings */

// On a server there is no registry; and two copies of this module must not fight over the name.
if (globalThis.customElements && !customElements.get("sprat-chat")) customElements.define("sprat-chat", SpratChat);

export { SpratChat };
