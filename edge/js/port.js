// @ts-check
/**
 * The page's half of the protocol with the workers.
 */

import { SpratError } from "./error.js";
import { startEngine, startLink } from "./start-worker.js";

/** How long a stopped answer may take to hand over its receipt, in milliseconds. */
const STOP_GRACE = 2000;

/**
 * `consent` answers a question of the engine's to the person: with what lays a line for a yes, with null for a no.
 * @typedef {Promise<any> & { stop: () => void, consent: (lay: (() => MessagePort) | null) => void }} Call
 */

/**
 * The other end of the two workers, of which one has the engine and the other the network: numbered calls to the
 * engine, their events, their results; and the lines between the two.
 */
export class Port {
  #engine;
  #link;
  /** Workers that compute for the engine. @type {import("./start-worker.js").WorkerLike[]} */
  #threads = [];
  #next = 1;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: SpratError) => void, event: (event: unknown) => void }>} */
  #pending = new Map();

  /**
   * @param {string | undefined} wasm where the engine's modules are; beside the scripts by default
   * @param {(error: SpratError, isLast: boolean) => void} crashed called once, after all pending calls have failed, and told
   *   whether no other engine can be started
   * @param {(note: unknown) => void} noted called for what belongs to no call
   */
  constructor(wasm, crashed, noted) {
    try {
      this.#engine = startEngine();
      this.#link = startLink();
    } catch (error) {
      if (error instanceof SpratError) throw error;
      throw new SpratError({
        code: "unsupported",
        message: `no worker can be started: ${error}`,
        hint: 'A service worker may start none: import Sprat from "sprat/service-worker" there. Elsewhere, the content security policy must allow worker-src \'self\'.',
      });
    }
    /** @param {string} message @param {string} [hint] */
    const crash = (message, hint = "Ask again: it is being started anew. If it happens again, take a smaller model, or report it.", isLast = false) => {
      const error = new SpratError({ code: "worker_lost", message: `the engine's worker stopped: ${message}`, hint });
      if (this.close(error)) crashed(error, isLast);
    };
    for (const worker of this.#workers()) {
      // An error without words is one of fetching it.
      worker.onerror = ({ message }) =>
        message ? crash(message) : crash("its script cannot be loaded", "worker.js and link.js must be served beside sprat.js, and worker-src 'self' be allowed.");
      worker.onmessageerror = () => crash("a message was unreadable");
    }
    this.#engine.onmessage = ({ data }) => {
      if (data.type === "panic") return crash(data.message, data.hint, "hint" in data);
      if (data.type === "threads") this.#startThreads(data.count);
      const pending = this.#pending.get(data.id);
      if (data.id === undefined) noted(data);
      else if (!pending) return;
      else if ("event" in data) pending.event(JSON.parse(data.event));
      else if ("error" in data) this.#settle(data.id)?.reject(new SpratError(data.error));
      else this.#settle(data.id)?.resolve(data.value);
    };
    const modules = this.#lay({ type: "modules", base: wasm ?? null });
    this.#engine.postMessage({ type: "modules", port: modules }, [modules]);
  }

  #workers() {
    return [this.#engine, this.#link];
  }

  /**
   * Starts workers that compute for the engine, in the place of those before, and lays lines between it and them.
   * @param {number} count
   */
  #startThreads(count) {
    this.#endThreads();
    /** @type {MessagePort[]} */
    const ports = [];
    try {
      for (let index = 0; index < count; index += 1) {
        const { port1, port2 } = new MessageChannel();
        const thread = startEngine();
        // Whatever ends it, the engine finds out, and says so.
        thread.onerror = (event) => event.preventDefault();
        thread.postMessage({ type: "thread", port: port1 }, [port1]);
        this.#threads.push(thread);
        ports.push(port2);
      }
    } catch {
      // The engine sees that they are fewer.
    }
    this.#engine.postMessage({ type: "threads", ports }, ports);
  }

  #endThreads() {
    for (const thread of this.#threads.splice(0)) thread.terminate();
  }

  /**
   * A line to a model's files, for the engine.
   * @param {string} url
   */
  pack(url) {
    return this.#lay({ type: "pack", url });
  }

  /** A line to the cloud, for one question that may leave. */
  question() {
    return this.#lay({ type: "question" });
  }

  /**
   * Stops the engine between two tokens, or lets it go on.
   * @param {boolean} paused
   */
  pause(paused) {
    this.#engine.postMessage({ type: "pause", paused });
  }

  /**
   * Tells the link where the cloud is. The engine does not get to know its keys.
   * @param {{ url: string, headers: Record<string, string> }} cloud
   */
  cloud(cloud) {
    this.#link.postMessage({ type: "cloud", settings: JSON.stringify(cloud) });
  }

  /**
   * Lays a line to the link.
   * @param {{ type: string, [name: string]: unknown }} what where it leads
   * @returns {MessagePort} the engine's end
   */
  #lay(what) {
    const { port1, port2 } = new MessageChannel();
    this.#link.postMessage({ ...what, port: port1 }, [port1]);
    return port2;
  }

  /**
   * Asks the engine something.
   * @param {Record<string, unknown>} request
   * @param {(event: unknown) => void} [event]
   * @param {AbortSignal} [signal]
   * @param {MessagePort[]} [lines] those in the request
   * @returns {Call} `stop()` ends it; if it has ended already that does nothing
   */
  call(request, event = () => {}, signal, lines = []) {
    const id = this.#next++;
    const aborted = () => new SpratError({ code: "aborted", message: "stopped by the caller" });
    const stop = () => {
      if (this.#pending.has(id)) this.#engine.postMessage({ type: "abort", id });
    };
    const onAbort = () => {
      stop();
      // A worker that is busy with one long step must not make a stop button feel dead.
      setTimeout(() => this.#settle(id)?.reject(aborted()), STOP_GRACE);
    };
    const promise = new Promise((resolve, reject) => {
      if (signal?.aborted) {
        for (const line of lines) unlay(line);
        return reject(aborted());
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, { resolve, reject, event });
      this.#engine.postMessage({ id, ...request }, lines);
    }).finally(() => signal?.removeEventListener("abort", onAbort));
    /** @param {(() => MessagePort) | null} lay */
    const consent = (lay) => {
      if (!this.#pending.has(id)) return;
      const port = lay?.() ?? null;
      this.#engine.postMessage({ type: "consent", id, port }, port ? [port] : []);
    };
    return Object.assign(promise, { stop, consent });
  }

  /**
   * Ends the workers and fails what is pending.
   * @param {SpratError} error
   * @returns {boolean} whether it was still open
   */
  close(error) {
    const open = this.#engine.onmessage !== null;
    for (const worker of this.#workers()) {
      worker.onmessage = worker.onerror = worker.onmessageerror = null;
      worker.terminate();
    }
    this.#endThreads();
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
    return open;
  }

  /** @param {number} id */
  #settle(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}

/**
 * Takes a line up again that nobody was given.
 * @param {MessagePort} line
 */
function unlay(line) {
  line.postMessage({ close: true });
  line.close();
}

/**
 * Events between their arrival and their reader.
 * @template T
 */
export class Queue {
  /** @type {T[]} */ #items = [];
  /** @type {(() => void) | null} */ #wake = null;
  /** @type {{ error?: unknown } | null} */ #end = null;

  /** @param {T} item */
  push(item) {
    this.#items.push(item);
    this.#wake?.();
  }

  close() {
    this.#end ??= {};
    this.#wake?.();
  }

  /** @param {unknown} error */
  fail(error) {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        yield item;
      } else if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else {
        await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      }
    }
  }
}
