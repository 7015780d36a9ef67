// @ts-check
/**
 * A line to the cloud that the page itself serves, with a function of its own in the place of the link's `fetch`: an
 * app around a webview adds its authorization so.
 */

import { serve } from "./flows.js";

/** @typedef {import("./bridge/host-fetch.js").CloudFetch} CloudFetch */

/** What the engine hears when a function refused: the same as from a server that did. */
const FORBIDDEN = 403;

/**
 * Lays a line for one question that may leave.
 *
 * @param {CloudFetch} cloudFetch
 * @param {{ url: string, headers: Record<string, string> }} cloud its base address, and more headers
 * @param {AbortSignal} over when nobody waits for the answer any more
 * @returns {MessagePort} the engine's end
 */
export function layQuestion(cloudFetch, { url, headers }, over) {
  const { port1, port2 } = new MessageChannel();
  const close = serve(port1, async ({ body }, signal) => {
    const request = {
      url: `${url.replace(/\/+$/, "")}/chat/completions`,
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...headers },
      body,
      signal,
    };
    return reply(await cloudFetch(request).catch(refused), signal);
  });
  over.addEventListener("abort", close, { once: true });
  return port2;
}

/** @param {any} error */
function refused(error) {
  if (error?.code === "cloud_refused") return new Response(null, { status: FORBIDDEN });
  throw error;
}

/**
 * @param {Response} response
 * @param {AbortSignal} signal
 */
function reply({ status, headers, body }, signal) {
  const reader = body?.getReader();
  // A function need not look at the signal that it was given.
  signal.addEventListener("abort", () => void reader?.cancel().catch(() => {}), { once: true });
  return {
    status,
    kind: headers.get("content-type") ?? "",
    from: 0,
    async next() {
      const { value } = (await reader?.read()) ?? {};
      // A copy, because its memory moves to another worker, and a function may have made it of a larger one.
      return value && new Uint8Array(value);
    },
  };
}
