/**
 * Wires the page together: the chat is `<sprat-chat>`, and around it are the model's panel, the dialog that mixes models,
 * and what the page's own address asks for.
 *
 * @import { Status } from "../edge/js/element/types.js"
 * @import { Warning } from "../edge/js/types.js"
 */
import "./sprat/element.js";
import { sharedSheets } from "./sprat/element/styles-shared.js";
import { byId, chatElement } from "./js/dom.js";
import { keepModel } from "./js/keep.js";
import { MixDialog } from "./js/mix.js";
import { PageModel } from "./js/model.js";
import { ModelPanel } from "./js/model-panel.js";
import { asSentence, showNotice } from "./js/notices.js";
import { keepForOffline } from "./js/offline.js";
import { foreignHost, readParams } from "./js/params.js";

document.adoptedStyleSheets = sharedSheets();
// What is other where an app brings the page along: `<html data-cloud="off" data-device="cpu" data-model="bundled">`.
const params = readParams(location.href, document.documentElement.dataset);
const chat = chatElement();
const model = new PageModel(chat, params);
const panel = new ModelPanel(model);
new MixDialog(model);

chat.addEventListener("sprat-status", () => onStatus(chat.status));
chat.addEventListener("sprat-warning", (event) => onWarning(/** @type {CustomEvent<Warning>} */ (event).detail));
for (const problem of params.problems) showNotice({ key: problem, words: problem });
const elsewhere = foreignHost(params.cloud, location.href);
if (elsewhere !== null) {
  // An address can be made by anyone; a person must see where questions go.
  showNotice({ key: "cloud", words: `Questions for the cloud go to ${elsewhere}.`, dismiss: false });
}

byId("new-conversation", HTMLButtonElement).addEventListener("click", () => {
  chat.clear();
  chat.focus();
});
byId("skip", HTMLAnchorElement).addEventListener("click", (event) => {
  event.preventDefault();
  chat.focus();
});
// On a touch screen this would open the keyboard over the page.
if (matchMedia("(pointer: fine)").matches) chat.focus({ preventScroll: true });

// Until the model is there the network has better things to do.
chat.addEventListener("sprat-ready", () => void keepForOffline(), { once: true });
keepModel(chat);
model.load();

/** @param {Status} status */
function onStatus(status) {
  panel.show(status);
  // What the model says of itself stands above its examples.
  if (status.state === "ready" && status.model !== null) chat.strings = { emptyText: status.model.description };
}

/** @param {Warning} warning */
function onWarning({ code, message }) {
  // Such a model is in the page anyway.
  if (code === "storage_refused" && params.bundled) return;
  showNotice({ key: code, words: asSentence(message) || code });
}
