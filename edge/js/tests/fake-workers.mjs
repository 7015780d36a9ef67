// Workers that say what a test tells them to, for tests of the page's half.

/** Engines that were started, oldest first. */
export const engines = [];
/** The workers with a network beside them. */
export const links = [];

export class FakeWorker {
  heard = [];
  ended = false;
  constructor(url) {
    (url.pathname.endsWith("/link.js") ? links : engines).push(this);
  }
  postMessage(message, transfer = []) {
    this.heard.push(structuredClone(message, { transfer }));
  }
  terminate() {
    this.ended = true;
  }
  says(data) {
    this.onmessage?.({ data });
  }
  /** The last request of this type. */
  asked(type) {
    return this.heard.findLast((message) => message.type === type);
  }
  event(request, event) {
    this.says({ id: request.id, event: JSON.stringify(event) });
  }
}

globalThis.Worker = FakeWorker;
globalThis.location ??= { href: "https://example.org/page/" };

/** Has an engine say that its model is loaded: to all, and then to whoever asked for that. */
export function loaded(engine, device, model) {
  engine.says({ type: "status", state: "ready", device, model });
  engine.says({ id: engine.asked("load").id, value: { device, model } });
}

/** A Sprat whose model is loaded, and its engine. */
export async function ready(Sprat, options = {}) {
  const sprat = Sprat.open({ model: "models/tiny/", ...options });
  const engine = engines.at(-1);
  loaded(engine, { kind: "cpu", words: "CPU" }, { name: "tiny", bytes: 7, context: 100 });
  await sprat.ready;
  return { sprat, engine };
}
