/**
 * Wires the page together. Everything about the model goes through the engine's public API in sprat/sprat.js.
 *
 * @import { EngineStatus, ModelInfo, Warning } from "./js/types.d.ts"
 */
import { Announcer } from "./js/announce.js";
import { Chat } from "./js/chat.js";
import { Composer } from "./js/composer.js";
import { byId, make } from "./js/dom.js";
import { EngineHost } from "./js/engine.js";
import { asSentence, describe } from "./js/errors.js";
import { formatCount } from "./js/format.js";
import { MixDialog } from "./js/mix.js";
import { ModelPanel } from "./js/model-panel.js";
import { hideNotice, showNotice } from "./js/notices.js";
import { foreignHost, readParams } from "./js/params.js";

/** The state before, so that only what is new is said aloud. @type {EngineStatus["state"] | null} */
let before = null;
// What is other where an app brings the page along: `<html data-cloud="off" data-device="cpu" data-model="bundled">`.
const params = readParams(location.href, document.documentElement.dataset);
const announcer = new Announcer(byId("announcer", HTMLDivElement));
const host = new EngineHost(params, { onStatus, onWarning });
const panel = new ModelPanel(host);
const chat = new Chat({ host, announcer, composer: () => composer });
const composer = new Composer({
  onSend: (text) => chat.ask(text),
  onStop: () => chat.stop(),
  onPrivate: (on) => void chat.setPrivate(on),
  onMode: () => chat.showPrivate(),
  onTooLong: (length, most) => {
    const words = `That text has ${formatCount(length)} characters; at most ${formatCount(most)} can be asked.`;
    showNotice({ key: "too-long", words });
  },
});

new MixDialog(host);

byId("new-conversation", HTMLButtonElement).addEventListener("click", () => chat.startOver());

const elsewhere = foreignHost(params.cloud, location.href);
if (elsewhere !== null) {
  // An address can be made by anyone; a person must see where questions go.
  showNotice({ key: "cloud", words: `Questions for the cloud go to ${elsewhere}.`, dismiss: false });
}
for (const problem of params.problems) showNotice({ key: problem, words: problem });

host.load();
// On a touch screen this would open the keyboard over the page.
if (matchMedia("(pointer: fine)").matches) composer.focus();

/** @param {EngineStatus} status */
function onStatus(status) {
  panel.show(status);
  chat.redrawWaiting();
  if (status.state === "ready") {
    hideNotice("load");
    showEmptyState(status.model);
    if (before !== "ready") announcer.say("The model is ready.");
  } else if (status.state === "failed") {
    const { heading, sentence, todo } = describe(status.failure, { private: false, mode: "auto", kept: "nothing", first: true });
    const action = { words: "Load again", run: () => host.load() };
    const words = `${sentence} ${todo}${params.cloud === null ? "" : " Meanwhile the cloud answers."}`;
    showNotice({ key: "load", heading: `${heading}.`, words, action, dismiss: false });
  } else {
    hideNotice("load");
  }
  before = status.state;
}

/** @param {Warning} warning */
function onWarning({ code, message }) {
  // Such a model is in the page anyway.
  if (code === "storage_refused" && params.bundled) return;
  showNotice({ key: code, words: asSentence(message) || code });
}

/** @param {ModelInfo} model */
function showEmptyState({ description, examples }) {
  byId("empty-description", HTMLParagraphElement).textContent = description;
  byId("examples", HTMLUListElement).replaceChildren(
    ...examples.slice(0, 4).map((question) => {
      const button = make("button", { type: "button", class: "example" }, question);
      button.addEventListener("click", () => {
        chat.ask(question);
        composer.focus();
      });
      return make("li", {}, button);
    }),
  );
}
