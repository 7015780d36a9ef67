// @ts-check
/**
 * The link's end of a line: answers that flow piece by piece, each only when it is asked for.
 */

/** @typedef {{ status: number, kind: string, from: number, next(spare?: ArrayBuffer): Promise<Uint8Array<ArrayBuffer> | undefined> }} Reply */

/**
 * Answers what is asked on a line.
 * @param {MessagePort} port
 * @param {(request: any, signal: AbortSignal) => Promise<Reply>} open
 * @param {() => void} [closed] called when the line is closed
 * @returns {() => void} ends what flows, and the line
 */
export function serve(port, open, closed = () => {}) {
  /** What flows, by the number of the request. @type {Map<number, { reply: Reply | null, stop: AbortController }>} */
  const flows = new Map();
  /** @param {number} id */
  const end = (id) => {
    flows.get(id)?.stop.abort();
    flows.delete(id);
  };
  const close = () => {
    for (const one of [...flows.keys()]) end(one);
    port.close();
    closed();
  };
  port.onmessage = async ({ data }) => {
    const { id, begin, next } = data;
    if (data.close) return close();
    if (data.end) return end(id);
    try {
      if (begin) {
        const stop = new AbortController();
        /** @type {{ reply: Reply | null, stop: AbortController }} */
        const flow = { reply: null, stop };
        flows.set(id, flow);
        const reply = await open(begin, stop.signal);
        flow.reply = reply;
        port.postMessage({ id, word: { status: reply.status, kind: reply.kind, from: reply.from } });
        return;
      }
      // Undefined at the end, and for what has been ended already.
      const bytes = await flows.get(id)?.reply?.next(next ?? undefined);
      port.postMessage({ id, word: bytes }, bytes ? [bytes.buffer] : []);
      if (!bytes) flows.delete(id);
    } catch (error) {
      const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
      end(id);
      port.postMessage({ id, error: { name, message } });
    }
  };
  return close;
}
