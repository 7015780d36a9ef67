// @ts-check
/**
 * What stands around the conversation: the state of the model, its loading, notices, and what is shown before the first
 * question.
 *
 * @import { Status } from "./types.js"
 * @import { Problem } from "./problem.js"
 * @import { Words } from "./words.js"
 */
import { icon, make } from "./dom.js";

export class Frame {
  #dot = make("span", { class: "dot", "aria-hidden": "true" });
  #status = make("span", { class: "status-words", dir: "auto" });
  #new = make("button", { type: "button", class: "quiet", part: "new" });
  #loading = make("div", { class: "loading", part: "loading", hidden: "" });
  #loadingWords = make("span", { id: "loading-words" });
  #loadingBytes = make("span");
  #bar = make("progress", { "aria-labelledby": "loading-words" });
  #notices = make("div", { class: "notices" });
  #heading = make("p", { class: "title" });
  #about = make("p", { dir: "auto" });
  #examples = make("ul", { class: "examples" });
  /** The examples that are shown, so that those with the focus stay. */
  #shown = "";
  /** The problem that is shown, likewise. */
  #problemOf = "null";

  /** @param {{ onNew: () => void, onExample: (question: string) => void, onReload: () => void }} events */
  constructor(events) {
    this.events = events;
    this.#new.addEventListener("click", () => events.onNew());
    this.header = make(
      "div",
      { class: "header", part: "header" },
      make("slot", { name: "title" }),
      make("span", { class: "status", part: "status" }, this.#dot, this.#status),
      this.#new,
    );
    this.#loading.append(this.#loadingWords, this.#loadingBytes, this.#bar);
    this.foot = make("div", {}, make("slot", { name: "notices" }), this.#notices, this.#loading);
    const fallback = make("slot", { name: "empty" }, this.#heading, this.#about, this.#examples);
    this.empty = make("div", { class: "empty", part: "empty" }, fallback, make("slot", { name: "start" }));
  }

  /**
   * @param {Status} status
   * @param {Words} words
   * @param {Problem | null} problem why there is no model
   */
  show(status, words, problem) {
    this.#new.replaceChildren(icon("plus"), make("span", { class: "wide-only" }, words.say("newConversation")));
    this.#new.setAttribute("aria-label", words.say("newConversation"));
    this.#new.title = words.say("newConversation");
    this.header.dataset["state"] = status.state;
    this.#status.textContent = this.#statusWords(status, words);
    this.#showLoading(status, words);
    this.#showEmpty(status, words);
    this.#showProblem(problem, words);
  }

  /**
   * @param {Status} status
   * @param {Words} words
   */
  #statusWords(status, words) {
    if (status.state === "loading") return words.say("load.waiting");
    if (status.state !== "ready") return words.say("status.none");
    const { model, device } = status;
    const name = model?.name ?? words.say("by.someModel");
    return device === null ? name : words.say("status.ready", { model: name, device: device.words });
  }

  /**
   * @param {Status} status
   * @param {Words} words
   */
  #showLoading(status, words) {
    this.#loading.hidden = status.state !== "loading";
    if (status.state !== "loading") return;
    const { stage, loaded, total } = status.progress ?? { stage: "waiting", loaded: 0, total: 0 };
    this.#loadingWords.textContent = words.find(`load.${stage}`) ?? words.say("load.waiting");
    const bytes = stage === "download" && total > 0;
    const values = { loaded: words.bytes(Math.min(loaded, total)), total: words.bytes(total) };
    this.#loadingBytes.textContent = bytes ? words.say("load.progress", values) : "";
    if (total > 0) this.#bar.value = Math.min(1, loaded / total);
    else this.#bar.removeAttribute("value");
  }

  /**
   * @param {Status} status
   * @param {Words} words
   */
  #showEmpty(status, words) {
    const model = status.state === "ready" ? status.model : null;
    this.#heading.textContent = words.say("emptyHeading");
    this.#about.textContent = words.say("emptyText");
    this.#examples.setAttribute("aria-label", words.say("examples"));
    const questions = (model?.examples ?? []).slice(0, 4);
    this.#examples.hidden = questions.length === 0;
    const print = JSON.stringify(questions);
    if (print === this.#shown) return;
    this.#shown = print;
    this.#examples.replaceChildren(
      ...questions.map((question) => {
        const button = make("button", { type: "button", class: "example", part: "example", dir: "auto" }, question);
        button.addEventListener("click", () => this.events.onExample(question));
        return make("li", {}, button);
      }),
    );
  }

  /**
   * @param {Problem | null} problem
   * @param {Words} words
   */
  #showProblem(problem, words) {
    const print = JSON.stringify(problem);
    if (print === this.#problemOf) return;
    this.#problemOf = print;
    this.notice("load", null);
    if (problem === null) return;
    const heading = make("p", { class: "heading" }, problem.heading);
    const text = make("div", {}, heading, make("p", {}, `${problem.words} ${problem.todo}`));
    if (problem.detail !== "") text.append(make("p", { class: "muted", lang: "en", dir: "auto" }, problem.detail));
    const notice = make("div", { class: "notice bad", part: "notice" }, text);
    if (problem.action !== null) {
      const button = make("button", { type: "button", class: "secondary", part: "button" }, words.say("action.reload"));
      button.addEventListener("click", () => this.events.onReload());
      notice.append(button);
    }
    this.notice("load", notice);
  }

  /**
   * Shows a short note above the message box, in the place of the one of the same name.
   *
   * @param {string} name
   * @param {HTMLElement | string | null} content
   */
  notice(name, content) {
    this.#notices.querySelector(`[data-notice="${name}"]`)?.remove();
    if (content === null) return;
    const short = (/** @type {string} */ words) => make("div", { class: "notice", part: "notice" }, make("p", {}, words));
    const element = typeof content === "string" ? short(content) : content;
    element.dataset["notice"] = name;
    this.#notices.append(element);
  }
}
