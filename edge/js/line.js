// @ts-check
/**
 * The engine's end of a line to the link: what its Rust half asks for, and what comes back piece by piece.
 */

/** @typedef {{ status: number, kind: string, from: number }} Head */

/** What is asked on a line that was closed; asking again would not help. */
const CLOSED = { name: "Refused", message: "the line was closed" };

/** A line leads to one model's files, or to the cloud for one question. */
export class Line {
  #port;
  #next = 1;
  /** Who waits for the next word on a flow. @type {Map<number, { resolve: (word: any) => void, reject: (error: any) => void }>} */
  #waiting = new Map();
  #closed = false;
  /** A file that was read before it was asked for. @type {{ file: string, bytes: Uint8Array<ArrayBuffer> } | null} */
  #kept = null;

  /** @param {MessagePort} port */
  constructor(port) {
    this.#port = port;
    port.onmessage = ({ data: { id, error, word } }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(error);
      else waiting?.resolve(word);
    };
  }

  /**
   * Asks for one of a pack's files.
   * @param {string} file
   * @param {number} from the byte to begin with
   * @param {boolean} fresh past every cache
   */
  open(file, from, fresh) {
    const kept = this.#kept;
    if (kept?.file !== file || from !== 0 || fresh) return this.#begin({ file, from, fresh });
    this.#kept = null;
    const pieces = [kept.bytes];
    return new Flow(Promise.resolve({ status: 200, kind: "", from: 0 }), async () => pieces.shift(), () => {});
  }

  /**
   * Gives a file, of which this is the whole, to whoever asks for it next, once, and does not ask for it again.
   * @param {string} file
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  keep(file, bytes) {
    if (!this.#closed) this.#kept = { file, bytes };
  }

  /**
   * Sends a chat completion's body to the cloud.
   * @param {string} body
   */
  ask(body) {
    return this.#begin({ body });
  }

  /** Nothing more will be asked; what still flows ends. */
  close() {
    this.#closed = true;
    this.#kept = null;
    this.#port.postMessage({ close: true });
    this.#port.close();
    for (const { reject } of this.#waiting.values()) reject(CLOSED);
    this.#waiting.clear();
  }

  /** @param {{ file: string, from: number, fresh: boolean } | { body: string }} request */
  #begin(request) {
    const id = this.#next++;
    /** @type {(message: object, transfer?: Transferable[]) => Promise<any>} */
    const ask = (message, transfer = []) =>
      new Promise((resolve, reject) => {
        if (this.#closed) return reject(CLOSED);
        this.#waiting.set(id, { resolve, reject });
        this.#port.postMessage({ id, ...message }, transfer);
      });
    const end = () => {
      // Whoever waited has gone, and what holds on to it goes with it.
      this.#waiting.get(id)?.resolve(undefined);
      this.#waiting.delete(id);
      this.#port.postMessage({ id, end: true });
    };
    return new Flow(ask({ begin: request }), ask, end);
  }
}

/** An answer on its way. */
class Flow {
  #head;
  #ask;
  #end;
  /** The last piece, whose memory goes back for the next. @type {Uint8Array<ArrayBuffer> | null} */
  #last = null;
  status = 0;
  /** The content type. */
  kind = "";
  /** Position in the file of the first byte that will come. */
  from = 0;

  /**
   * @param {Promise<Head>} head
   * @param {(message: object, transfer?: Transferable[]) => Promise<any>} ask
   * @param {() => void} end
   */
  constructor(head, ask, end) {
    this.#head = head;
    // Where nobody asks for it any more nobody handles its failure.
    head.catch(() => {});
    this.#ask = ask;
    this.#end = end;
  }

  /** Resolves when the head of the answer is there; rejects with `{ name, message }` when none comes. */
  async head() {
    Object.assign(this, await this.#head);
  }

  /**
   * The next bytes; undefined at the end. They are valid until the next call.
   * @returns {Promise<Uint8Array | undefined>}
   */
  async next() {
    const spare = this.#last?.buffer;
    const piece = await this.#ask({ next: spare ?? null }, spare ? [spare] : []);
    this.#last = piece ?? null;
    return piece;
  }

  /** Ends the transfer, if it has not ended. */
  end() {
    this.#end();
  }
}
