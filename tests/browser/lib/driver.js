// Asks the page's engine, through the API that every page has, inside a page that it is loaded in.

/** Runs in the page: `leak.load` opens an engine, `leak.ask` reads an answer to its end, whatever that is. */
async function install() {
  const { Sprat } = await import("/sprat/sprat.js");
  const told = [];
  const load = async (options) => {
    globalThis.leak.sprat?.dispose();
    globalThis.leak.sprat = Sprat.open({ ...options, onWarning: (warning) => told.push(warning) });
    await globalThis.leak.sprat.ready.catch(() => {});
    return globalThis.leak.sprat.state;
  };
  const ask = async (messages, options, { stopAfter, leaveAfter }) => {
    const controller = new AbortController();
    if (stopAfter !== undefined) setTimeout(() => controller.abort(), stopAfter);
    const reply = { text: "", code: null, words: "", receipt: null, sources: [] };
    let events = 0;
    try {
      for await (const event of globalThis.leak.sprat.chat(messages, { ...options, signal: controller.signal })) {
        if (event.source) reply.sources.push(event.source);
        if (event.type === "start") reply.text = "";
        if (event.type === "delta") reply.text += event.text;
        if (event.type === "end") [reply.text, reply.receipt] = [event.text, event.receipt];
        events += 1;
        if (events === leaveAfter) break;
      }
    } catch (error) {
      const { code = "untyped", message, hint = "", partial = "", receipt = null } = error;
      Object.assign(reply, { code, words: `${message} ${hint}`, text: partial, receipt });
    }
    reply.sources = [...new Set(reply.sources)];
    return { ...reply, told: told.splice(0) };
  };
  globalThis.leak = { Sprat, load, ask, sprat: null };
}

const MODEL = "/models/sprat-tiny/";

export class Driver {
  /** @param {import("playwright-core").Page} page with the chat page in it */
  constructor(page) {
    this.page = page;
  }

  /** An engine of its own, with a cloud that may be asked. */
  async load({ device = "cpu" } = {}) {
    await this.page.evaluate(install);
    this.options = { model: MODEL, cloud: "/v1", device };
    return this.again();
  }

  /** A new engine in the place of the one before. */
  again() {
    return this.page.evaluate((options) => globalThis.leak.load(options), this.options);
  }

  /** The model once more in the same engine. */
  use() {
    return this.page.evaluate((model) => globalThis.leak.sprat.use(model).then(() => null, ({ code }) => code), MODEL);
  }

  /** Downloads that begin again, or go on where they broke off, as the browser words them. */
  resume() {
    return this.page.evaluate(async (url) => {
      for (const cache of ["no-cache", "reload", "no-store"]) {
        for (const headers of [{}, { Range: "bytes=1000-" }]) await fetch(url, { cache, headers });
      }
    }, `${MODEL}model.safetensors`);
  }

  /** Removes the stored model. */
  forget() {
    return this.page.evaluate((model) => globalThis.leak.Sprat.forget(model), MODEL);
  }

  /**
   * @param {{ role: string, content: string }[]} messages
   * @param {object} options of `sprat.chat`
   * @param {{ stopAfter?: number, leaveAfter?: number }} [how] milliseconds until it is stopped; events until it is left
   */
  ask(messages, options, how = {}) {
    return this.page.evaluate((all) => globalThis.leak.ask(...all), [messages, options, how]);
  }
}
