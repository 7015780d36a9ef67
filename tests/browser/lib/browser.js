// Chromium, and the page as its users see it: by roles and names.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

const PLAIN = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SOFTWARE_WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
];

/** A model is loaded and answers in a debug build, perhaps with a software GPU, on a busy machine. */
export const PATIENCE = 180_000;
/** What the browser itself asks for, whatever the page is. */
const HOUSEKEEPING = /(^|\.)(google|googleapis|gvt1|gstatic|chromium)\.(com|org)(:\d+)?$/;

export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("there is no Chromium: install it (`apt install chromium`), or say where it is in CHROMIUM");
}

function options(recorder, webgpu, netLog) {
  const log = netLog ? [`--log-net-log=${netLog}`, "--net-log-capture-mode=IncludeSensitive"] : [];
  return {
    executablePath: findChromium(),
    args: [...PLAIN, ...(webgpu ? SOFTWARE_WEBGPU : []), ...log],
    // Chromium leaves loopback out of proxies unless told not to.
    proxy: { server: recorder.address, bypass: "<-loopback>" },
  };
}

/** A browser whose every request passes the recorder. */
export function launch(recorder, { webgpu = true } = {}) {
  return chromium.launch(options(recorder, webgpu));
}

/** A browser without a recorder, for pages that this suite's server does not serve. */
export function launchAlone() {
  return chromium.launch({ executablePath: findChromium(), args: PLAIN });
}

/** A recorded browser with a profile on disk, which outlives the browser; and its log of the network in the file `netLog`. */
export function launchProfile(recorder, folder, { webgpu = true, netLog = "" } = {}) {
  return chromium.launchPersistentContext(folder, options(recorder, webgpu, netLog));
}

/** Hosts that the page, not the browser for itself, wanted to reach besides its own. */
export function strangers(recorder) {
  return recorder.foreign.filter((host) => !HOUSEKEEPING.test(host));
}

/** One tab with the chat page in it. */
export class ChatPage {
  /** Every request the browser says that the page, or its worker, has made. */
  events = [];
  /** What went wrong in the page without being caught. */
  mistakes = [];

  /**
   * @param {import("playwright-core").BrowserContext} context
   * @param {string} origin
   */
  constructor(context, origin) {
    this.context = context;
    this.origin = origin;
  }

  /** @param {{ query?: string }} [options] such as device=cpu */
  async open({ query = "" } = {}) {
    this.context.on("request", (request) => this.events.push(request));
    this.page = this.context.pages()[0] ?? (await this.context.newPage());
    this.page.setDefaultTimeout(PATIENCE);
    this.page.on("pageerror", (error) => this.mistakes.push(error));
    await this.page.goto(`${this.origin}/${query && `?${query}`}`);
    return this;
  }

  get message() {
    return this.page.getByRole("textbox", { name: "Message" });
  }
  get send() {
    return this.page.getByRole("button", { name: "Send", exact: true });
  }
  get stop() {
    return this.page.getByRole("button", { name: "Stop", exact: true });
  }
  get private() {
    return this.page.getByRole("switch", { name: "Private" });
  }
  get level() {
    return this.page.getByRole("combobox", { name: "Who may read this" });
  }
  get mode() {
    return this.page.getByRole("combobox", { name: "Mode" });
  }
  get newConversation() {
    return this.page.getByRole("button", { name: "New conversation", exact: true });
  }
  get answers() {
    return this.page.locator("[data-answer]");
  }

  /** Waits until the model in the page can answer. */
  async ready() {
    await this.page.getByRole("progressbar").waitFor({ state: "hidden" });
    return this;
  }

  /** Sends a question; gives its answer's element at once. */
  async ask(question) {
    const before = await this.answers.count();
    await this.message.fill(question);
    await this.send.click();
    const answer = this.answers.nth(before);
    await answer.waitFor();
    return answer;
  }

  /** Waits for the end of an answer, however it ends. */
  async finished(answer) {
    await this.page.waitForFunction((element) => element.dataset.state !== "streaming", await answer.elementHandle());
    const [state, source] = await Promise.all(["state", "source"].map((name) => answer.getAttribute(`data-${name}`)));
    return { state, source, text: await answer.innerText() };
  }

  async answer(question) {
    return this.finished(await this.ask(question));
  }

  /** A fresh conversation that is not private, in automatic mode. */
  async startOver() {
    await this.newConversation.click();
    // Without a cloud there is no mode to choose.
    if (await this.mode.isVisible()) await this.mode.selectOption("auto");
    await this.page.waitForFunction(() => document.querySelector("sprat-chat").shadowRoot.querySelector("[data-answer]") === null);
    if (await this.private.isChecked()) await this.private.click();
    // After a private conversation the page starts a new engine.
    await this.ready();
  }

  /** All the words on the page; those of the chat are in its shadow. */
  async text() {
    const parts = [this.page.locator("body"), this.page.locator("sprat-chat [role=group]").first()];
    return (await Promise.all(parts.map((part) => part.innerText()))).join("\n");
  }

  /** A picture for people, where SCREENSHOTS names a folder. */
  async picture(name) {
    if (!process.env.SCREENSHOTS) return;
    mkdirSync(process.env.SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}.png`) });
  }
}
