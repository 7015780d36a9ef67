// @ts-check
/**
 * The store where a browser refuses its file system: IndexedDB. A file is pieces, one behind the other, each in a record
 * of its own at `[folder, file, position]`. Every call is one transaction: a kill leaves all of it or nothing.
 */

const PIECES = "pieces";

/** Folders of files, for the engine. */
export class Database {
  #database;

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.#database = database;
  }

  /** @returns {Promise<Database>} rejects where there is none */
  static async open() {
    const opening = indexedDB.open("sprat", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(PIECES);
    return new Database(await result(opening));
  }

  /** @returns {Promise<string[]>} */
  folders() {
    return this.#transact("readonly", async (pieces) => {
      const names = [];
      const finding = pieces.openKeyCursor();
      for (let at = await result(finding); at; at = await result(finding)) {
        const [folder] = /** @type {[string]} */ (at.key);
        names.push(folder);
        // A list is behind every text, so this is behind all that is in the folder.
        at.continue([folder, []]);
      }
      return names;
    });
  }

  /**
   * Bytes of a file; 0 where there is none.
   * @param {string} folder
   * @param {string} file
   */
  size(folder, file) {
    return this.#transact("readonly", async (pieces) => {
      const last = await result(pieces.openCursor(from(folder, file, 0), "prev"));
      return last ? position(last) + last.value.length : 0;
    });
  }

  /**
   * `length` bytes of a file from byte `start` on, or those that are there.
   * @param {string} folder
   * @param {string} file
   * @param {number} start
   * @param {number} length
   */
  read(folder, file, start, length) {
    return this.#transact("readonly", async (pieces) => {
      const bytes = new Uint8Array(length);
      const first = await result(pieces.openKeyCursor(IDBKeyRange.bound([folder, file], [folder, file, start]), "prev"));
      const finding = pieces.openCursor(from(folder, file, first ? position(first) : start));
      let got = 0;
      for (let at = await result(finding); at; at = await result(finding)) {
        const skip = start + got - position(at);
        // Not the next one: something is missing between them.
        if (skip < 0 || skip > at.value.length) break;
        const part = at.value.subarray(skip, skip + length - got);
        bytes.set(part, got);
        got += part.length;
        if (got === length) break;
        at.continue();
      }
      return bytes.subarray(0, got);
    });
  }

  /**
   * Puts bytes at `start`, where the file ends from now on.
   * @param {string} folder
   * @param {string} file
   * @param {number} start
   * @param {Uint8Array} bytes
   */
  write(folder, file, start, bytes) {
    return this.#transact("readwrite", async (pieces) => {
      await cut(pieces, folder, file, start);
      pieces.put(bytes, [folder, file, start]);
    });
  }

  /**
   * @param {string} folder
   * @param {string} file
   * @param {number} size
   */
  truncate(folder, file, size) {
    return this.#transact("readwrite", (pieces) => cut(pieces, folder, file, size));
  }

  /** @param {string} folder */
  remove(folder) {
    return this.#transact("readwrite", async (pieces) => void pieces.delete(IDBKeyRange.bound([folder], [folder, []])));
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(pieces: IDBObjectStore) => Promise<T>} work
   * @returns {Promise<T>} when all of it is stored
   */
  async #transact(mode, work) {
    const transaction = this.#database.transaction(PIECES, mode);
    const stored = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      // Without an error of its own it was ended by the browser, as a full disk does.
      transaction.onabort = () => reject(transaction.error ?? new DOMException("the transaction was ended", "AbortError"));
    });
    const [value] = await Promise.all([work(transaction.objectStore(PIECES)), stored]);
    return value;
  }
}

/**
 * The pieces of a file from one on.
 * @param {string} folder
 * @param {string} file
 * @param {number} start
 */
function from(folder, file, start) {
  return IDBKeyRange.bound([folder, file, start], [folder, file, []]);
}

/** @param {IDBCursor} at */
function position({ key }) {
  return /** @type {[string, string, number]} */ (key)[2];
}

/**
 * Ends a file at `size`.
 * @param {IDBObjectStore} pieces
 * @param {string} folder
 * @param {string} file
 * @param {number} size
 */
async function cut(pieces, folder, file, size) {
  pieces.delete(from(folder, file, size));
  const last = await result(pieces.openCursor(from(folder, file, 0), "prev"));
  if (last && position(last) + last.value.length > size) last.update(last.value.slice(0, size - position(last)));
}

/**
 * @template T
 * @param {IDBRequest<T>} request a cursor's can be awaited again after `continue`
 * @returns {Promise<T>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
