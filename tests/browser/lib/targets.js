// The browser's own account of what a page, its frames and its workers do, by DevTools' protocol; and a way to run code
// in a worker before its first line.

import { BINDING, hookSource } from "./hooks.js";

const TRAFFIC = new Set([
  "Network.requestWillBeSent",
  "Network.webSocketCreated",
  "Network.webSocketFrameSent",
  "Network.webTransportCreated",
  "Network.directTCPSocketCreated",
  "Network.directUDPSocketCreated",
]);

/** One thing that can be talked to: a page, or by way of it a worker. */
class Target {
  #next = 1;
  #waiting = new Map();
  /** @type {Map<string, Target>} */
  #children = new Map();

  /**
   * @param {Targets} owner
   * @param {string} type page, worker, iframe, ...
   * @param {string} url
   * @param {(message: string) => Promise<unknown>} post sends a message there
   */
  constructor(owner, type, url, post) {
    Object.assign(this, { owner, type, url, post });
  }

  /** Asks; rejects when the target has gone. */
  send(method, params = {}) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    answer.catch(() => {});
    this.post(JSON.stringify({ id, method, params })).catch((error) => this.#waiting.get(id)?.reject(error));
    return answer;
  }

  /** @param {{ id?: number, method?: string, params?: any, result?: any, error?: any }} message */
  hear({ id, method, params, result, error }) {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    } else if (method === "Target.receivedMessageFromTarget") {
      this.#children.get(params.sessionId)?.hear(JSON.parse(params.message));
    } else if (method === "Target.attachedToTarget") {
      this.#attach(params);
    } else if (method === "Target.detachedFromTarget") {
      this.#children.get(params.sessionId)?.gone();
      this.#children.delete(params.sessionId);
    } else if (method === "Runtime.bindingCalled" && params.name === BINDING) {
      this.owner.attempts.push({ where: this.type, ...JSON.parse(params.payload) });
    } else if (method === "Inspector.workerScriptLoaded") {
      void this.run(hookSource(this.more)).catch(() => {});
    } else if (TRAFFIC.has(method)) {
      this.owner.traffic.push({ where: this.type, what: method, text: JSON.stringify(params.request ?? params) });
    }
  }

  gone() {
    for (const { reject } of this.#waiting.values()) reject(new Error(`the ${this.type} has gone`));
    for (const child of this.#children.values()) child.gone();
    this.#waiting.clear();
    this.owner.workers.delete(this);
  }

  /** Watches it, and whatever it starts. */
  async watch() {
    await Promise.allSettled([
      this.send("Runtime.enable"),
      this.send("Network.enable"),
      this.send("Runtime.addBinding", { name: BINDING }),
      this.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: false }),
    ]);
  }

  #attach({ sessionId, targetInfo: { type, url } }) {
    const post = (message) => this.send("Target.sendMessageToTarget", { sessionId, message });
    const child = new Target(this.owner, type, url, post);
    this.#children.set(sessionId, child);
    this.owner.workers.add(child);
    void child.watch();
    void child.run(hookSource());
    // By then it has all of its functions.
    child.more = this.owner.inWorker;
    void child.send("Runtime.runIfWaitingForDebugger");
  }

  /** Runs code in it. */
  run(expression) {
    return this.send("Runtime.evaluate", { expression });
  }
}

export class Targets {
  /** Uses of a way out, in order. @type {{ where: string, api: string, text: string }[]} */
  attempts = [];
  /** Requests, sockets and frames as the browser tells of them. @type {{ where: string, what: string, text: string }[]} */
  traffic = [];
  /** Workers that are running, newest last. @type {Set<Target>} */
  workers = new Set();
  /** Code that each worker runs when its script is there. */
  inWorker = "";

  /** @param {import("playwright-core").BrowserContext} context */
  constructor(context) {
    this.context = context;
    context.on("serviceworker", (worker) => this.attempts.push({ where: "context", api: "service worker", text: worker.url() }));
  }

  /** @param {import("playwright-core").Page} page before its first document */
  async watch(page) {
    const session = await this.context.newCDPSession(page);
    const target = new Target(this, "page", page.url(), async (message) => {
      const { id, method, params } = JSON.parse(message);
      const answer = await session.send(method, params).then((result) => ({ result }), (error) => ({ error }));
      target.hear({ id, ...answer });
    });
    const targets = ["attachedToTarget", "detachedFromTarget", "receivedMessageFromTarget"].map((event) => `Target.${event}`);
    for (const method of [...TRAFFIC, ...targets, "Runtime.bindingCalled"]) {
      session.on(method, (params) => target.hear({ method, params }));
    }
    await page.addInitScript(hookSource());
    await target.watch();
    return session;
  }
}
