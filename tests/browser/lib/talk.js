// One private conversation through the page's API, and what must hold of each of its answers.

import { hardQuestion } from "./bench.js";
import { Driver } from "./driver.js";

/** Milliseconds within which a fault comes after a question was asked. */
const SOON = 60;
/** Shorter texts are nobody's secret: the engine knows them again only as the beginning of a conversation. */
const DISTINCT = 16;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A page with an engine in it, which many conversations use one after the other. */
export class Tab {
  /** @param {import("./watch.js").Watch} watch */
  constructor(watch, query = "device=cpu", device = "cpu") {
    Object.assign(this, { watch, query, device });
  }

  async open() {
    this.chat = await this.watch.page({ query: this.query });
    this.driver = new Driver(this.chat.page);
    await this.driver.load({ device: this.device });
    return this;
  }

  /** After the page was loaded anew. */
  async reopened() {
    await this.chat.ready();
    await this.driver.load({ device: this.device });
  }
}

export class Talk {
  /** What did not hold. @type {string[]} */
  wrong = [];
  /** How questions asked in private ended. @type {string[]} */
  ends = [];
  /** Codes of what the engine warned of. @type {Set<string>} */
  warned = new Set();
  #messages = [];
  #next = 0;
  /** What is private by now: questions, and answers. @type {string[]} */
  #secrets = [];

  /**
   * @param {Tab} tab
   * @param {import("./canary.js").Conversation} conversation
   * @param {import("./random.js").Random} random
   */
  constructor(tab, conversation, random) {
    Object.assign(this, { tab, conversation, random, watch: tab.watch });
    if (conversation.system) this.#messages.push({ role: "system", content: conversation.system });
  }

  get chat() {
    return this.tab.chat;
  }
  get driver() {
    return this.tab.driver;
  }

  expect(holds, words) {
    if (!holds) this.wrong.push(words);
  }

  moment() {
    return sleep(this.random.below(SOON));
  }

  /** A new engine: the old one's memory of what was private ends with it, as the page wants it. */
  async renew() {
    await this.driver.again();
    this.#secrets = [];
  }

  async reopened() {
    await this.tab.reopened();
    this.#secrets = [];
  }

  async newTab() {
    await this.tab.open();
    this.#secrets = [];
  }

  /** The next question, in private; the last one again when there is none left. */
  async askNext(options = {}, how = {}) {
    const { questions } = this.conversation;
    const { question } = questions[Math.min(this.#next, questions.length - 1)];
    this.#next += 1;
    const messages = [...this.#messages, { role: "user", content: question }];
    this.#secrets.push(question);
    const reply = await this.driver.ask(messages, { ...this.conversation.options, ...options, private: true }, how).catch(gone);
    this.ends.push(reply === null ? "gone" : (reply.code ?? "answered"));
    if (reply === null) return { code: "gone" };
    this.#stayed(reply, "a private question", how.leaveAfter !== undefined);
    if (reply.text !== "") {
      this.#messages = [...messages, { role: "assistant", content: reply.text }];
      this.#secrets.push(reply.text);
      // A sum's answer is anybody's, and the engine's own words are in every page.
      if (reply.sources.includes("device")) this.watch.keepAnswer(reply.text);
    }
    return reply;
  }

  /** What is left of the conversation, at least one question. */
  async askAll() {
    do await this.askNext();
    while (this.#next < this.conversation.questions.length);
  }

  /** Callers forget to say that it was private: the whole once more, a part of it, an answer as a question. */
  async askTainted() {
    const texts = this.#secrets.filter((text) => text.trim().length >= DISTINCT);
    const more = { role: "user", content: "And what do you make of that, all things considered?" };
    const threads = [
      ...(this.#messages.at(-1)?.role === "assistant" ? [[...this.#messages, more], [...this.#messages.slice(-2), more]] : []),
      ...texts.slice(-2).map((content) => [{ role: "user", content }]),
    ];
    for (const messages of threads) {
      const mode = this.random.pick(["auto", "cloud"]);
      const reply = await this.driver.ask(messages, { mode, maxTokens: 4 }).catch(gone);
      if (reply !== null) this.#stayed(reply, `a private text asked once more, as if it were open (${mode})`);
    }
  }

  /** A question that may leave. It must, where the cloud alone is asked and the network works. */
  async askOpen(canary, options = {}) {
    this.watch.release(canary);
    const reply = await this.driver.ask([{ role: "user", content: hardQuestion(canary.text) }], { maxTokens: 8, ...options }).catch(gone);
    this.watch.note("an open answer", { ...reply, text: "" });
    return reply;
  }

  #stayed({ text, code, words, receipt, sources, told }, what, left = false) {
    for (const warning of told) this.warned.add(warning.code);
    this.watch.note("a receipt or an error", { code, words, receipt, told });
    this.expect(!sources.includes("cloud"), `${what} was answered by the cloud`);
    this.expect((receipt?.bytes_sent ?? 0) === 0, `the receipt of ${what} says that ${receipt?.bytes_sent} bytes were sent`);
    this.expect(code !== "untyped", `${what} ended in an error without a code: ${words}`);
    // Whoever leaves early is told no more.
    if (left) return;
    this.expect(code !== null || receipt !== null, `${what} ended without a receipt`);
    // The end is a token too.
    this.expect(code !== null || text !== "" || receipt?.completion_tokens <= 1, `${what} ended without words`);
  }
}

/** The page has gone in the middle of it: there is no reply. */
function gone(error) {
  if (/closed|crash|destroyed|navigat/i.test(String(error))) return null;
  throw error;
}
