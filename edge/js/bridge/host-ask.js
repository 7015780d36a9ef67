// @ts-check
/**
 * The host as the one who asks the person: of a conversation at the level "ask", whether exactly this may be sent.
 * Whatever is not a clear yes is a no: an error, another form of answer, silence, the end of the chat.
 */

import { ASK_ANSWER } from "./schema.js";
import { problem } from "./validate.js";

/** @typedef {import("../types.js").Offer} Offer */
/** @typedef {import("./limits.js").Limits} Limits */
/** @typedef {import("./rpc.js").Id} Id */
/** @typedef {import("./rpc.js").Peer} Peer */
/** @typedef {(chat: Id, offer: Offer, over: AbortSignal) => Promise<boolean>} Ask `over`: nobody waits for the answer any more */

/** Questions to the person, through the host. */
export class HostAsks {
  #peer;
  #patience;

  /**
   * @param {Peer} peer
   * @param {Limits} limits
   */
  constructor(peer, { askPatience }) {
    this.#peer = peer;
    this.#patience = askPatience;
  }

  /**
   * Asks the host; never rejects.
   * @type {Ask}
   */
  ask = (chat, { to, model, reason, messages, stop }, over) => {
    const peer = this.#peer;
    const id = peer.nextId();
    return new Promise((resolve) => {
      /** @param {boolean} yes @param {boolean} [tell] whether the host is to take its question back */
      const settle = (yes, tell = false) => {
        clearTimeout(timer);
        over.removeEventListener("abort", withdraw);
        peer.forget(id);
        if (tell) peer.notify("host.ask.cancel", { id });
        resolve(yes);
      };
      const withdraw = () => settle(false, true);
      const timer = setTimeout(withdraw, this.#patience);
      over.addEventListener("abort", withdraw);
      if (over.aborted) return settle(false);
      peer.request(id, "host.ask", { chat, offer: { to, model, reason, messages, stop } }, {
        resolve: (/** @type {any} */ answer) => settle(problem(ASK_ANSWER, answer, "result") === null && answer.yes),
        reject: () => settle(false),
      });
    });
  };
}
