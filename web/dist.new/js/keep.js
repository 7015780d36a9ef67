/**
 * Asks the browser to keep the stored model also when the device gets full.
 *
 * @import { SpratChat } from "../../edge/js/element/sprat-chat.js"
 * @import { AnswerDetail } from "../../edge/js/element/types.js"
 */

/**
 * Asks once a visit, when the person has had use of the model: after the first answer that it gave, or when they install the
 * page. Not before, because Firefox asks them. Nobody waits for it, and a no changes nothing.
 *
 * @param {SpratChat} chat
 * @param {EventTarget} [page] where the browser says that the page was installed
 * @param {() => Promise<unknown>} [ask]
 */
export function keepModel(chat, page = window, ask = askBrowser) {
  let asked = false;
  const askOnce = () => {
    const { status } = chat;
    if (asked || status.state !== "ready" || !status.model?.stored) return;
    asked = true;
    // A private window may have nothing to ask.
    ask().catch(() => {});
  };
  chat.addEventListener("sprat-answer", (event) => {
    const { receipt } = /** @type {CustomEvent<AnswerDetail>} */ (event).detail;
    if (receipt.source === "device") askOnce();
  });
  page.addEventListener("appinstalled", askOnce);
}

async function askBrowser() {
  const { Sprat } = await import("../sprat/sprat.js");
  return Sprat.persist();
}
