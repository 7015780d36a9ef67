// A server, the recorder before it, and a browser behind that: what every suite starts with.

import { ChatPage, launch } from "./browser.js";
import { Recorder } from "./recorder.js";
import { Server } from "./server.js";

export class Bench {
  /** @param {{ webgpu?: boolean }} [options] whether the browser has (software) WebGPU */
  static async start(options) {
    const bench = new Bench();
    try {
      bench.server = await Server.start();
      bench.recorder = await new Recorder(bench.server.origin).start();
      bench.browser = await launch(bench.recorder, options);
    } catch (error) {
      await bench.stop();
      throw error;
    }
    return bench;
  }

  /**
   * The chat page in a context of its own: nothing stored, nothing cached; and without its service worker, which asks for
   * all files once more in the background, and would keep what a test alters on the way (offline.test.js has it).
   */
  async page({ query = "device=cpu", context = {} } = {}) {
    const own = await this.browser.newContext({ serviceWorkers: "block", ...context });
    return new ChatPage(own, this.server.origin).open({ query });
  }

  async stop() {
    await this.browser?.close();
    await this.recorder?.stop();
    await this.server?.kill();
  }
}

let canaries = 0;

/**
 * A word that is in no model and no page: wherever it is found, the question was there. The same words in each run, because
 * the model answers them: of 3000 words by chance 6 made sprat-tiny write on until its context was full.
 */
export function canary() {
  canaries += 1;
  return `zqvkxj${String(canaries).padStart(4, "0")}xw`;
}

/** A question that no small model should be sure of. */
export function hardQuestion(word = canary()) {
  return `For the file ${word}: explain in detail why the Roman Empire fell, and compare what three historians say about it.`;
}

export const COMPLETIONS = /\/chat\/completions$/;
export const PACK = /\/models\//;
