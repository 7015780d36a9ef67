// A page with <sprat-chat> in it, served with a content security policy as strict as any, and a fake Sprat to give it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { findChromium } from "./browser.js";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const PACKAGE = path.join(HERE, "../../../edge/js");
const PAGES = path.join(HERE, "../element");
const AXE = path.join(HERE, "../node_modules/axe-core/axe.min.js");

const KINDS = { ".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".wasm": "application/wasm" };
/** What the README asks of a page's policy, and no more. */
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'; worker-src 'self'";
/** No text may become a script, or HTML. An engine's worker is started from an address, which this forbids, too. */
const TRUSTED_TYPES = "; require-trusted-types-for 'script'; trusted-types 'none'";

/**
 * Serves the test's page, and the package's sources as `sprat/`; or a built page's package and models, if there is one.
 *
 * @param {{ web?: string | null }} [options] a built page's folder
 */
export async function serve({ web = null } = {}) {
  /** What was asked for, such as "POST /v1/chat/completions". */
  const requests = [];
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url, "http://x");
    const name = path.normalize(pathname);
    requests.push(`${request.method} ${pathname}`);
    const source = name.startsWith("/sprat/") ? path.join(PACKAGE, name.slice(6)) : path.join(PAGES, name);
    const built = web === null ? Promise.reject() : readFile(path.join(web, name));
    const body = await built.catch(() => readFile(source)).catch(() => null);
    response.writeHead(body === null ? 404 : 200, {
      "Content-Type": KINDS[path.extname(name)] ?? "application/octet-stream",
      "Content-Security-Policy": search === "?engine" ? POLICY : POLICY + TRUSTED_TYPES,
    });
    response.end(body ?? "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { origin: `http://127.0.0.1:${server.address().port}`, requests, close: () => server.close() };
}

export function launchPlain() {
  return chromium.launch({ executablePath: findChromium(), args: ["--no-sandbox"] });
}

/**
 * What axe finds, in words; nothing is what it should find.
 * @param {import("playwright-core").Page} page
 */
export async function violations(page) {
  // The page's policy would let no script of ours in; the debugger's door is not under it.
  await page.evaluate(await readFile(AXE, "utf8"));
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => [id, String(target), failureSummary]));
  });
}

/** @typedef {(options: object, body: (tab: ElementPage, page: import("playwright-core").Page) => Promise<void>) => Promise<void>} InPage */

/** One tab with the page, and what went wrong in it. */
export class ElementPage {
  mistakes = [];

  /**
   * @param {import("playwright-core").Browser} browser
   * @param {string} origin of `serve`
   * @param {{ context?: object, attributes?: Record<string, string>, fake?: object | null }} [options] `fake: null`: the
   *   chat opens an engine of its own
   */
  static async open(browser, origin, { context = {}, attributes = {}, fake = {} } = {}) {
    const self = new ElementPage();
    self.context = await browser.newContext({ viewport: { width: 360, height: 640 }, locale: "en-US", ...context });
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(20_000);
    self.page.on("pageerror", (error) => self.mistakes.push(error));
    self.page.on("console", (message) => message.type() === "error" && self.mistakes.push(message.text()));
    await self.page.goto(`${origin}/page.html${fake === null ? "?engine" : ""}`);
    await self.add(attributes, fake);
    return self;
  }

  /**
   * Runs a test in a tab of its own, in which nothing may go wrong unnoticed.
   * @param {import("playwright-core").Browser} browser
   * @param {string} origin
   * @param {object} options as of `open`
   * @param {(tab: ElementPage, page: import("playwright-core").Page) => Promise<void>} body
   */
  static async within(browser, origin, options, body) {
    const tab = await ElementPage.open(browser, origin, options);
    try {
      await body(tab, tab.page);
      assert.deepEqual(tab.mistakes.map(String), []);
    } finally {
      await tab.context.close();
    }
  }

  /** Puts a chat into the page. */
  async add(attributes = {}, fake = {}) {
    await this.page.evaluate(
      async ([attributes, fake]) => {
        const { FakeSprat } = await import("/fake.js");
        const chat = document.createElement("sprat-chat");
        for (const [name, value] of Object.entries(attributes)) chat.setAttribute(name, value);
        globalThis.told ??= [];
        for (const name of ["sprat-ready", "sprat-answer", "sprat-error"]) {
          chat.addEventListener(name, ({ detail }) => globalThis.told.push({ name, detail }));
        }
        if (fake !== null) {
          globalThis.sprat = new FakeSprat(fake);
          chat.sprat = globalThis.sprat;
        }
        document.querySelector("#here").append(chat);
        globalThis.chat ??= chat;
      },
      [attributes, fake],
    );
  }

  get chat() {
    return this.page.locator("sprat-chat").first();
  }
  /** What it holds, by role and name, in English. */
  button(name) {
    return this.chat.getByRole("button", { name, exact: true });
  }
  /** A text that is seen, not only said aloud. */
  text(words, options) {
    return this.chat.getByText(words, options).and(this.page.locator(":not([aria-live])"));
  }
  get message() {
    return this.chat.getByRole("textbox");
  }
  get private() {
    return this.chat.getByRole("switch");
  }
  get level() {
    return this.chat.getByRole("combobox").first();
  }
  get mode() {
    return this.chat.getByRole("combobox").last();
  }
  get answers() {
    return this.chat.locator("[data-answer]");
  }

  /** Types a question and waits for the end of its answer. */
  async ask(question) {
    const before = await this.answers.count();
    await this.message.fill(question);
    await this.message.press("Enter");
    const answer = this.answers.nth(before);
    await answer.and(this.page.locator(":not([data-state=streaming])")).waitFor();
    return answer;
  }

  told() {
    return this.page.evaluate(() => globalThis.told);
  }

  violations() {
    return violations(this.page);
  }

  async picture(name) {
    const folder = process.env.SCREENSHOTS;
    if (folder) await this.page.screenshot({ path: path.join(folder, `element-${name}.png`) });
  }
}
