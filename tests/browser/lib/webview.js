// Chromium as a webview: a page with the bridge, and a fake host of each kind around it. The host's own side is here,
// in Node; what is put into the page is what such a host puts there.

import path from "node:path";
import { launch } from "./browser.js";
import { Recorder } from "./recorder.js";
import { ROOT, WEB } from "./server.js";
import { serveFiles } from "./static.js";

/** A phone of the small kind. */
const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 3, isMobile: true, hasTouch: true };

/**
 * The app's page: `?engine=fake` has an engine that only asks the host, `?port` waits for a port, `?origin=` lists hosts,
 * `?burst=` and `?perSecond=` are limits.
 */
const PAGE = `<!doctype html>
<meta name="viewport" content="width=device-width">
<title>A page in a webview</title>
<script type="module">
  import { awaitPort, connect } from "./sprat/bridge.js";
  const query = new URLSearchParams(location.search);
  const origins = query.getAll("origin");
  const fake = async ({ cloudFetch }) => ({
    state: "ready",
    device: null,
    model: null,
    dispose() {},
    async *chat(messages, { signal }) {
      const body = JSON.stringify(messages);
      const response = await cloudFetch({ url: "https://api.example/v1/chat", headers: { "content-type": "application/json" }, body, signal });
      let text = "";
      for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
        text += piece;
        yield { type: "delta", source: "cloud", text: piece };
      }
      yield { type: "end", text, receipt: { source: "cloud" } };
    },
  });
  globalThis.bridge = connect({
    origins,
    load: { model: "models/sprat-tiny/" },
    limits: Object.fromEntries(["burst", "perSecond"].filter((name) => query.has(name)).map((name) => [name, Number(query.get(name))])),
    ...(query.has("port") && { transport: await awaitPort({ origins }) }),
    ...(query.get("engine") === "fake" && { engine: fake }),
  });
</script>`;

/**
 * What each kind of host puts into the page before its scripts run, and how it speaks to it. `hostHears` is this
 * side's ear.
 */
export const HOSTS = {
  webkit: {
    inject: () => (window.webkit = { messageHandlers: { sprat: { postMessage: (text) => window.hostHears(text) } } }),
    say: (text) => window.spratReceive(text),
  },
  android: {
    inject: () => (window.AndroidBridge = { postMessage: (text) => window.hostHears(text) }),
    say: (text) => window.spratReceive(text),
  },
  "android-listener": {
    inject: () => (window.AndroidBridge = Object.assign(new EventTarget(), { postMessage: (text) => window.hostHears(text) })),
    say: (text) => window.AndroidBridge.dispatchEvent(new MessageEvent("message", { data: text })),
  },
  "react-native": {
    inject: () => (window.ReactNativeWebView = { postMessage: (text) => window.hostHears(text) }),
    // Android's React Native speaks to the document, iOS's to the window.
    say: (text) => document.dispatchEvent(new MessageEvent("message", { data: text })),
  },
};

/** The browser, its proxy and the files. */
export class Webview {
  static async start() {
    const webview = new Webview();
    try {
      // The scripts as they are in the tree; what is built comes from the build.
      webview.files = await serveFiles([
        ["/sprat/", path.join(ROOT, "edge/js")],
        ["/sprat/", path.join(WEB, "sprat")],
        ["/models/", path.join(WEB, "models")],
      ]);
      webview.recorder = await new Recorder(webview.files.origin).start();
      webview.recorder.offer("/page.html", "text/html", PAGE);
      webview.browser = await launch(webview.recorder, { webgpu: false });
    } catch (error) {
      await webview.stop();
      throw error;
    }
    return webview;
  }

  /** The page around which this kind of host is, on a slow phone. */
  async open(kind, query = "") {
    const host = await this.#host();
    const { inject, say } = HOSTS[kind];
    await host.page.addInitScript(inject);
    host.speak = (text) => host.page.evaluate(say, text);
    await host.page.goto(`${this.files.origin}/page.html?${query}`);
    await host.told("sprat.connected");
    return host;
  }

  /** The page in a frame of a host's page at `origin`, which says what `script` makes it say. */
  async frame(origin, script, query) {
    const host = await this.#host();
    const address = `${this.files.origin}/page.html?${query}`;
    const html = `<!doctype html><title>A host</title><iframe src="${address}"></iframe><script>const page = frames[0];${script}</script>`;
    await host.page.route(`${origin}/**`, (route) => route.fulfill({ contentType: "text/html", body: html }));
    host.speak = (text) => host.page.evaluate((text) => window.say(text), text);
    await host.page.goto(`${origin}/`);
    return host;
  }

  async #host() {
    const context = await this.browser.newContext(PHONE);
    const page = await context.newPage();
    const throttle = await context.newCDPSession(page);
    await throttle.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    const host = new Host(page);
    await page.exposeFunction("hostHears", (text) => host.hear(text));
    return host;
  }

  async stop() {
    await this.browser?.close();
    await this.recorder?.stop();
    this.files?.close();
  }
}

/** The app: hears texts, keeps them, and can wait for what it wants to hear. */
export class Host {
  heard = [];
  mistakes = [];
  #next = 1;
  #watchers = new Set();
  /** What it does about a request or notification of the page. */
  onMessage = () => {};

  constructor(page) {
    this.page = page;
    page.on("pageerror", (error) => this.mistakes.push(error));
  }

  hear(text) {
    for (const message of [JSON.parse(text)].flat()) {
      this.heard.push(message);
      if (message.method) this.onMessage(message);
      for (const watch of this.#watchers) watch(message);
    }
  }

  /** The next message, or an earlier one, that is wanted. */
  wait(wanted) {
    const earlier = this.heard.find(wanted);
    if (earlier) return Promise.resolve(earlier);
    return new Promise((resolve) => {
      const watch = (message) => {
        if (!wanted(message)) return;
        this.#watchers.delete(watch);
        resolve(message);
      };
      this.#watchers.add(watch);
    });
  }

  told(method) {
    return this.wait((message) => message.method === method);
  }

  say(message) {
    return this.speak(JSON.stringify({ jsonrpc: "2.0", ...message }));
  }

  /** The answer to a request, whichever it is. */
  async call(method, params = {}, id = `app-${this.#next++}`) {
    await this.say({ id, method, params });
    return this.wait((message) => message.id === id && !message.method);
  }

  /** The texts of an answer's deltas, as they came. */
  deltas(id) {
    const events = this.heard.filter(({ method, params }) => method === "sprat.event" && params.id === id);
    return events.map(({ params }) => (params.event.type === "delta" ? params.event.text : ""));
  }
}
