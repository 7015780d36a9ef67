// @ts-check
/**
 * A bridge between a page in a webview and the app around it: JSON-RPC 2.0, as texts, over whatever the webview has.
 *
 *     import { connect } from "./sprat/bridge.js";
 *     connect({ load: { model: "models/sprat-tiny/" } });
 *
 * From there on the app loads, asks and stops the model. bridge/schema.js has the messages, docs/webview how each kind
 * of app sends them.
 *
 * @module bridge
 */

import { EngineMethods } from "./bridge/engine.js";
import { HostAsks } from "./bridge/host-ask.js";
import { HostFetches } from "./bridge/host-fetch.js";
import { DEFAULT_LIMITS } from "./bridge/limits.js";
import { Peer } from "./bridge/rpc.js";
import { HOST_METHODS, PROTOCOL } from "./bridge/schema.js";
import { storeHandlers } from "./bridge/store.js";
import { detect } from "./bridge/transports.js";
import { Sprat } from "./sprat.js";
import * as deviceStore from "./store.js";

export {
  APP_ORIGIN,
  androidListenerTransport,
  androidTransport,
  awaitPort,
  detect,
  portTransport,
  reactNativeTransport,
  webkitTransport,
  windowTransport,
} from "./bridge/transports.js";

/** @typedef {import("./bridge/engine.js").Engine} Engine */
/** @typedef {import("./bridge/engine.js").EngineOptions} EngineOptions */
/** @typedef {import("./bridge/host-fetch.js").CloudRequest} CloudRequest */
/** @typedef {import("./bridge/limits.js").Limits} Limits */
/** @typedef {import("./bridge/rpc.js").Refusal} Refusal */
/** @typedef {import("./bridge/store.js").Store} Store */
/** @typedef {import("./bridge/transports.js").Transport} Transport */
/** @typedef {import("./types.js").LoadOptions} LoadOptions */

/**
 * @typedef {object} BridgeOptions
 * @property {Transport} [transport] found out by default
 * @property {string[]} [origins] of pages that may be the host, where the host is a page
 * @property {Partial<LoadOptions>} [load] options of `sprat.load` that the host need not give
 * @property {Partial<Limits>} [limits]
 * @property {(reason: Refusal) => void} [onRefused] a message was refused; what it said is not told
 * @property {(options: EngineOptions) => Promise<Engine>} [engine] `Sprat.load` by default
 * @property {Store} [store] what is kept on the device; the one of `Sprat` by default
 * @property {() => number} [now] a clock in milliseconds, for the limit per second
 */

/**
 * @typedef {object} Bridge
 * @property {string} transport which kind was taken
 * @property {Readonly<Partial<Record<Refusal, number>>>} refused how often what was refused
 * @property {boolean} closed
 * @property {() => void} close stops what goes on, disposes of the engine, and listens no more
 */

/**
 * Connects this page to its host, and tells it so with `sprat.connected`.
 *
 * @param {BridgeOptions} [options]
 * @returns {Bridge}
 * @throws a SpratError with the code "unsupported" where there is no host
 */
export function connect({
  origins,
  transport = detect({ origins }),
  load = {},
  limits: given = {},
  onRefused,
  engine: loadEngine = (options) => Sprat.load(options),
  store = deviceStore,
  now = () => performance.now(),
} = {}) {
  const limits = { ...DEFAULT_LIMITS, ...given };
  const engine = new EngineMethods({
    load: loadEngine,
    defaults: load,
    cloudFetch: (request) => fetches.fetch(request),
    hostAsk: (chat, offer, over) => asks.ask(chat, offer, over),
    cancelFetches: () => fetches.cancelAll(),
    notify: (method, params) => peer.notify(method, params),
  });
  const peer = new Peer(transport, {
    methods: HOST_METHODS,
    handlers: {
      "sprat.load": (params, call) => engine.load(params, call),
      "sprat.chat": (params, call) => engine.chat(params, call),
      "sprat.adapt": (params, call) => engine.adapt(params, call),
      "sprat.stop": ({ id }) => ({ stopped: peer.stop(id) }),
      "sprat.status": () => ({ ...engine.status, adapter: engine.adapter, protocol: PROTOCOL, inFlight: peer.inFlight, refused: peer.refused }),
      "sprat.dispose": () => engine.dispose(),
      "sprat.memoryWarning": (params) => engine.memoryWarning(params),
      "sprat.save": (params, call) => engine.save(params, call),
      "sprat.restore": (params, call) => engine.restore(params, call),
      ...storeHandlers(store, load),
      "host.fetch.chunk": (params) => fetches.chunk(params),
      "host.fetch.end": (params) => fetches.end(params),
      "host.fetch.error": (params) => fetches.broken(params),
    },
    limits,
    now,
    onRefused,
  });
  const asks = new HostAsks(peer, limits);
  const fetches = new HostFetches(peer, limits, () => engine.answersOpenly);
  const close = () => {
    peer.close();
    fetches.close();
    engine.dispose();
    transport.onmessage = transport.onclose = transport.onrefused = null;
    transport.close?.();
  };
  transport.onmessage = (data) => peer.receive(data);
  transport.onrefused = (reason) => peer.refuse(reason);
  transport.onclose = close;
  peer.notify("sprat.connected", { protocol: PROTOCOL, transport: transport.name });
  return {
    transport: transport.name,
    refused: peer.refused,
    get closed() {
      return peer.closed;
    },
    close,
  };
}
