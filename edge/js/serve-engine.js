// @ts-check
/**
 * The engine's end of the protocol with the page: numbers the calls, and hands them to the engine that there is
 * (`engines.js`). What is computed is computed in Rust (`Runtime`).
 *
 * It needs no network. What comes from outside comes over lines from the link (`serve-link.js`), and the page lays them:
 * one for each model that is to be loaded, one for each question that may leave.
 */

import { alone } from "./alone.js";
import { cloudFirst } from "./cloud-first.js";
import { Crew } from "./crew.js";
import { Engines } from "./engines.js";
import { Line } from "./line.js";
import { Modules } from "./modules.js";
import { Retelling } from "./retell.js";
import * as saved from "./saved.js";
import { serveThread } from "./thread.js";
import { failure } from "./thrown.js";
import { want } from "./wanted.js";

/**
 * The engine's end of the way to the page: a worker's own, or a port.
 * @typedef {{ onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown): void }} End
 */
/**
 * What the engine is given: whether a policy forbids it to connect, the scripts of its modules, and who is told that one of
 * them has panicked.
 * @typedef {{ sealed: Promise<boolean>, scripts: import("./modules.js").Scripts, panicked: (message: string) => void }} World
 */

/** @typedef {(data: any, signal: AbortSignal, emit: (event: string) => void) => Promise<unknown>} Handler */

/** The lock of saved conversations. */
const SAVED = "sprat saved";

/**
 * Answers what the page asks on `end`.
 * @param {End} end
 * @param {World} world
 * @returns {() => void} stops what goes on, and gives back what the engine holds; for a worker its end does that
 */
export function serveEngine(end, world) {
  const service = new Service((message) => end.postMessage(message), world);
  end.onmessage = ({ data }) => service.hear(data);
  return () => service.close();
}

class Service {
  /** @type {(message: unknown) => void} */ #tell;
  /** Questions to the person that wait for an answer, by their calls. @type {Map<number, (port: MessagePort | null) => void>} */
  #asking = new Map();
  /** Stops for the calls that go on. @type {Map<number, AbortController>} */
  #running = new Map();
  #world;
  /** @type {Modules} */ #modules;
  /** @type {Crew} */ #crew;
  /** @type {Engines} */ #engines;

  /**
   * @param {(message: unknown) => void} tell
   * @param {World} world
   */
  constructor(tell, world) {
    const { sealed, scripts, panicked } = world;
    this.#tell = tell;
    this.#world = world;
    this.#modules = new Modules(scripts, sealed, panicked);
    this.#crew = new Crew(this.#modules, tell);
    this.#engines = new Engines({ modules: this.#modules, crew: this.#crew, sealed, tell });
  }

  close() {
    for (const stop of this.#running.values()) stop.abort();
    for (const answer of this.#asking.values()) answer(null);
    this.#engines.close();
  }

  /** @param {any} data */
  async hear(data) {
    const { id, type } = data;
    switch (type) {
      case "modules":
        return this.#modules.come(data.port);
      case "thread":
        return serveThread(data.port, this.#world.sealed, this.#world.scripts.cpu);
      case "threads":
        return this.#crew.come(data.ports);
      case "consent":
        return this.#consent(id, data.port);
      case "pause":
        return this.#engines.pause(data.paused);
      case "abort":
        return this.#running.get(id)?.abort();
    }
    const stop = new AbortController();
    this.#running.set(id, stop);
    try {
      const handler = /** @type {Handler} */ (this.#handlers[type]);
      /** @param {string} event */
      const emit = (event) => this.#tell({ id, event });
      this.#tell({ id, value: await handler(data, stop.signal, emit) });
    } catch (error) {
      this.#tell({ id, error: failure(error) });
    } finally {
      this.#running.delete(id);
    }
  }

  /**
   * @param {number} id
   * @param {MessagePort | null} port
   */
  #consent(id, port) {
    const answer = this.#asking.get(id);
    if (answer) answer(port);
    // The answer has ended meanwhile.
    else if (port) new Line(port).close();
  }

  /** @type {Record<string, Handler>} */
  #handlers = {
    load: async (data, signal, emit) => {
      emit(JSON.stringify({ type: "progress", stage: "engine", loaded: 0, total: 0, message: "Starting" }));
      return this.#engines.load(data, want(data), signal, emit);
    },

    use: (data, signal, emit) => this.#engines.use(want(data), signal, emit),

    adapt: (data, signal, emit) => this.#engines.adapt(want(data), signal, emit),

    chat: async ({ id, ask, port, cloudFirst: isCloudFirst }, signal, emit) => {
      /** @type {Line[]} */
      const lines = [];
      const lay = (/** @type {MessagePort} */ port) => (lines.push(new Line(port)), lines.at(-1));
      /** Shows the person what would be sent; their yes comes with a line. @param {string} shown */
      const person = async (shown) => {
        emit(JSON.stringify({ type: "ask", ...JSON.parse(shown) }));
        const port = await new Promise((resolve) => this.#asking.set(id, resolve));
        return port ? lay(port) : null;
      };
      try {
        const line = port ? lay(port) : undefined;
        /** @type {(ask: string, emit: (event: string) => void) => Promise<any>} */
        const by = (ask, emit) => this.#answer(ask, line, person, signal, emit);
        return await (isCloudFirst ? cloudFirst(by, JSON.parse(ask), emit) : by(ask, emit));
      } finally {
        this.#asking.get(id)?.(null);
        this.#asking.delete(id);
        for (const line of lines) line.close();
      }
    },

    count: ({ messages }) => this.#byEngine((runtime) => runtime.count(messages)),

    save: async ({ ask, name, url, model }, signal) => {
      const { messages } = JSON.parse(ask);
      const [level, tokens, cache] = await this.#byEngine((runtime) => runtime.save(ask));
      return alone(SAVED, signal, () => saved.keep({ name, model, url, level, tokens, messages }, cache));
    },

    restore: async ({ name }, signal, emit) => {
      const { text, cache } = await alone(SAVED, signal, () => saved.recall(name));
      const { messages, level } = text;
      let tokens = 0;
      try {
        tokens = await this.#byEngine((runtime) => runtime.restore(JSON.stringify({ messages, level }), cache));
      } catch (error) {
        const { code, message } = failure(error);
        if (code !== "saved_corrupt") throw error;
        emit(JSON.stringify({ type: "warning", code, message: `${message}; the model reads its text again` }));
      }
      // What is damaged, or another model's, is of no use.
      if (cache && tokens === 0) await alone(SAVED, signal, () => saved.dropCache(name));
      return { messages, level, tokens };
    },

    saved: (_, signal) => alone(SAVED, signal, saved.list),

    forgetSaved: ({ name }, signal) => alone(SAVED, signal, () => saved.forget(name)),

    plan: async ({ url, port }) => {
      const line = new Line(port);
      try {
        return JSON.parse(await (await this.#modules.start("cpu")).plan(url, line));
      } finally {
        line.close();
      }
    },

    stored: async () => JSON.parse(await (await this.#modules.start("cpu")).stored()),

    forget: async ({ url }, signal) => {
      await alone(SAVED, signal, () => saved.forgetModel(url));
      return (await this.#modules.start("cpu")).forget(url);
    },
  };

  /**
   * Asks the engine that answers, and the next one where it is replaced meanwhile.
   * @template T
   * @param {(runtime: any) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #byEngine(work) {
    for (;;) {
      try {
        return await this.#engines.ask(({ runtime }) => work(runtime));
      } catch (error) {
        if (failure(error).code !== "retired") throw error;
      }
    }
  }

  /**
   * Answers a question, by whichever engine there is.
   * @param {string} ask the call, as JSON
   * @param {Line | undefined} line to the cloud, if the question may leave
   * @param {(shown: string) => Promise<Line | null | undefined>} person asks them whether it may
   * @param {AbortSignal} signal
   * @param {(event: string) => void} emit
   */
  async #answer(ask, line, person, signal, emit) {
    const retelling = new Retelling(emit);
    const tell = (/** @type {string} */ event) => retelling.tell(event);
    for (let losses = 0; ; ) {
      /** @type {import("./engines.js").Engine | null} */
      let asked = null;
      try {
        return await this.#engines.ask((engine) => (asked = engine).runtime.chat(ask, line, person, signal, tell));
      } catch (error) {
        const { code } = failure(error);
        if (code === "webgpu_lost" && losses === 0 && asked && (await this.#engines.isReplaced(asked))) {
          // The engine that took its place gives the same answer, and goes on where this one fell silent.
          losses += 1;
          retelling.beginAgain();
          continue;
        }
        // Nothing has been answered yet; the engine that replaced this one does it.
        if (code !== "retired") throw error;
      }
    }
  }
}
