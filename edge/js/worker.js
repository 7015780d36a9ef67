// @ts-check
/**
 * The worker of the engine, which has no network.
 */

import { seal } from "./seal.js";
import { serveEngine } from "./serve-engine.js";

/**
 * This worker. The page's library of types, which the other files need, has no name for it.
 * @type {import("./serve-engine.js").End}
 */
const worker = self;

serveEngine(worker, {
  // Nothing is done before it is known whether a policy forbids this worker to connect.
  sealed: seal(self),
  // Addresses and no variables, so that bundlers see them; one is fetched when it is needed.
  scripts: {
    // @ts-ignore: built, not written
    cpu: () => import("./cpu/sprat_edge.js"),
    // @ts-ignore: built, not written
    webgpu: () => import("./webgpu/sprat_edge.js"),
    // @ts-ignore: built, not written
    mix: () => import("./mix/sprat_mix.js"),
  },
  panicked: (message) => worker.postMessage({ type: "panic", message }),
});
