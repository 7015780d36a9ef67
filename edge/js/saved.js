// @ts-check
/**
 * Saved conversations in the origin private file system:
 *
 *     sprat/saved/<first 32 hex digits of the name's SHA-256>-<when>/
 *         cache        keys and values, which say themselves what they are of; may be missing
 *         text         SHA-256 of what follows, in hex, a line's end, and the rest as JSON
 *         used         when it was last saved or restored, in milliseconds
 *         published    empty, written last: it is whole
 *
 * Whoever calls has the lock `sprat saved`: one tab at a time is here.
 */

/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Level} Level */
/** @typedef {import("./types.js").SavedConversation} SavedConversation */
/**
 * What a text file holds; `url` is the address of the model.
 * @typedef {{ format: number, name: string, model: string, url: string, level: Level, tokens: number, saved: number, messages: Message[] }} Text
 */
/** @typedef {{ key: string, used: number, text: number, cache: number }} Entry one of them, by its bytes */

/** Changes with what a text file holds. */
const FORMAT = 1;
/** Bytes that all of them may take. */
const MOST = 256e6;

/**
 * What must go so that `needed` more bytes fit into `most`: first the keys and values of those unused for longest, which
 * the model can compute again, and only then conversations.
 * @param {Entry[]} entries
 * @param {number} needed
 * @param {number} [most]
 * @returns {{ caches: string[], whole: string[] }}
 */
export function eviction(entries, needed, most = MOST) {
  const oldest = [...entries].sort((a, b) => a.used - b.used);
  let over = needed - most + oldest.reduce((sum, { text, cache }) => sum + text + cache, 0);
  const take = (/** @type {"text" | "cache"} */ part) => {
    const taken = [];
    for (const entry of oldest) {
      if (over <= 0) break;
      if (entry[part] > 0) taken.push(entry.key);
      over -= entry[part];
    }
    return taken;
  };
  return { caches: take("cache"), whole: take("text") };
}

/**
 * Saves a conversation in the place of what has its name, and makes room for it.
 * @param {Omit<Text, "format" | "saved">} conversation
 * @param {Uint8Array | undefined} cache
 * @returns {Promise<SavedConversation>}
 */
export async function keep(conversation, cache) {
  try {
    const saved = await folder(true);
    const hash = await keyOf(conversation.name);
    const entries = await all(saved);
    const before = entries.filter(({ key }) => key.startsWith(hash));
    // Whatever the clock says, the newest is the last.
    const when = Math.max(Date.now(), ...before.map(({ key }) => Number(key.split("-")[1]) + 1));
    const text = { format: FORMAT, ...conversation, saved: when };
    const bytes = await withChecksum(text);
    const size = bytes.length + (cache?.length ?? 0);
    const { caches, whole } = eviction(entries.filter((entry) => !before.includes(entry)), size);
    for (const key of caches) await remove(await saved.getDirectoryHandle(key), "cache");
    for (const key of whole) await remove(saved, key);
    await put(saved, `${hash}-${when}`, { ...(cache && { cache }), text: bytes, used: encode(when), published: encode("") });
    for (const { key } of before) await remove(saved, key);
    return told(text, size);
  } catch (error) {
    throw failure("storage_refused", `the conversation cannot be stored (${/** @type {any} */ (error)?.name})`, "Free some space, and check that the page may store.");
  }
}

/**
 * The conversation of this name, and its keys and values if they are still there.
 * @param {string} name
 * @returns {Promise<{ text: Text, cache: Uint8Array | undefined }>}
 */
export async function recall(name) {
  const found = await find(name);
  if (!found) throw failure("saved_missing", "no conversation is saved under this name", "`Sprat.saved()` lists what there is.");
  const text = await open(found).catch(() => null);
  if (!text || text.name !== name) {
    throw failure("saved_corrupt", "what was saved of the conversation is damaged", "Nothing of it was used. `Sprat.forgetSaved(name)` removes it.");
  }
  await write(found, "used", encode(Date.now())).catch(() => {});
  return { text, cache: await read(found, "cache").catch(() => undefined) };
}

/**
 * Removes the keys and values of a conversation, which are of no use any more.
 * @param {string} name
 */
export async function dropCache(name) {
  const found = await find(name);
  if (found) await remove(found, "cache");
}

/**
 * All that can be read, the last used first.
 * @returns {Promise<SavedConversation[]>}
 */
export async function list() {
  const saved = await folder(false).catch(() => null);
  if (!saved) return [];
  const list = [];
  for (const { key, text: size, cache } of (await all(saved)).sort((a, b) => b.used - a.used)) {
    const text = await saved.getDirectoryHandle(key).then(open).catch(() => null);
    if (text) list.push(told(text, size + cache));
  }
  return list;
}

/**
 * Removes the conversation of this name.
 * @param {string} name
 * @returns {Promise<boolean>} whether there was one
 */
export async function forget(name) {
  return removeAll(async (key) => key.startsWith(await keyOf(name)));
}

/**
 * Removes the conversations with the model that was loaded from an address.
 * @param {string} url
 */
export async function forgetModel(url) {
  await removeAll(async (_, folder) => (await open(folder).catch(() => null))?.url === url);
}

/** @param {(key: string, folder: FileSystemDirectoryHandle) => Promise<boolean>} gone */
async function removeAll(gone) {
  const saved = await folder(false).catch(() => null);
  let found = false;
  for (const { key } of saved ? await all(saved) : []) {
    if (!saved || !(await gone(key, await saved.getDirectoryHandle(key)))) continue;
    await remove(saved, key);
    found = true;
  }
  return found;
}

/**
 * As the page sees it.
 * @param {Text} text
 * @param {number} bytes
 * @returns {SavedConversation}
 */
function told({ name, model, level, tokens, saved }, bytes) {
  return { name, model, level, tokens, bytes, saved };
}

/** @param {boolean} create */
async function folder(create) {
  const root = await navigator.storage.getDirectory();
  const sprat = await root.getDirectoryHandle("sprat", { create });
  return sprat.getDirectoryHandle("saved", { create });
}

/**
 * What is whole; the rest, which a tab has left when it was killed, is removed.
 * @param {FileSystemDirectoryHandle} saved
 * @returns {Promise<Entry[]>}
 */
async function all(saved) {
  const entries = [];
  /** @type {string[]} */
  const keys = [];
  for await (const key of /** @type {any} */ (saved).keys()) keys.push(key);
  for (const key of keys) {
    const folder = await saved.getDirectoryHandle(key).catch(() => null);
    const size = async (/** @type {string} */ name) => (folder ? (await (await folder.getFileHandle(name)).getFile()).size : 0);
    if (!folder || (await size("published").catch(() => null)) === null) {
      await remove(saved, key);
      continue;
    }
    const used = Number(new TextDecoder().decode(await read(folder, "used").catch(() => undefined))) || 0;
    entries.push({ key, used, text: await size("text").catch(() => 0), cache: await size("cache").catch(() => 0) });
  }
  return entries;
}

/**
 * The newest of this name.
 * @param {string} name
 */
async function find(name) {
  const saved = await folder(false).catch(() => null);
  if (!saved) return null;
  const hash = await keyOf(name);
  const keys = (await all(saved)).map(({ key }) => key).filter((key) => key.startsWith(hash));
  const newest = keys.sort().at(-1);
  return newest ? saved.getDirectoryHandle(newest) : null;
}

/**
 * Writes a folder's files, in this order; nothing is left of it if that fails.
 * @param {FileSystemDirectoryHandle} saved
 * @param {string} key
 * @param {Record<string, Uint8Array>} files
 */
async function put(saved, key, files) {
  const folder = await saved.getDirectoryHandle(key, { create: true });
  try {
    for (const [name, bytes] of Object.entries(files)) await write(folder, name, bytes);
  } catch (error) {
    await remove(saved, key).catch(() => {});
    throw error;
  }
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 * @param {Uint8Array} bytes
 */
async function write(folder, name, bytes) {
  const file = /** @type {any} */ (await folder.getFileHandle(name, { create: true }));
  if (!file.createSyncAccessHandle) return writeAnew(file, bytes);
  const handle = await file.createSyncAccessHandle();
  try {
    handle.truncate(0);
    if (handle.write(bytes, { at: 0 }) !== bytes.length) throw new DOMException("not all was taken", "QuotaExceededError");
    handle.flush();
  } finally {
    handle.close();
  }
}

/**
 * Writes a file where none can be written in place, as in a service worker. Not all browsers have this way.
 * @param {FileSystemFileHandle} file
 * @param {Uint8Array} bytes
 */
async function writeAnew(file, bytes) {
  const stream = await file.createWritable();
  await stream.write(/** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  await stream.close();
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} name
 */
async function read(folder, name) {
  const file = await (await folder.getFileHandle(name)).getFile();
  return new Uint8Array(await file.arrayBuffer());
}

/**
 * Removes a file or a folder, if it is there.
 * @param {FileSystemDirectoryHandle} from
 * @param {string} name
 */
async function remove(from, name) {
  await from.removeEntry(name, { recursive: true }).catch((error) => {
    if (error.name !== "NotFoundError") throw error;
  });
}

/**
 * A text as a file's bytes.
 * @param {Text} text
 */
async function withChecksum(text) {
  const json = JSON.stringify(text);
  return encode(`${await sha256(encode(json))}\n${json}`);
}

/**
 * The text in a folder; throws if it is not whole.
 * @param {FileSystemDirectoryHandle} folder
 * @returns {Promise<Text>}
 */
async function open(folder) {
  const bytes = await read(folder, "text");
  const [hash, rest] = [new TextDecoder().decode(bytes.subarray(0, 64)), bytes.subarray(65)];
  const text = hash === (await sha256(rest)) ? JSON.parse(new TextDecoder().decode(rest)) : null;
  if (text?.format !== FORMAT) throw new Error("damaged");
  return text;
}

/** @param {string} name */
async function keyOf(name) {
  return (await sha256(encode(name))).slice(0, 32);
}

/** @param {Uint8Array} bytes */
async function sha256(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", /** @type {any} */ (bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {unknown} text */
function encode(text) {
  return new TextEncoder().encode(String(text));
}

/**
 * @param {string} code
 * @param {string} message
 * @param {string} hint
 */
function failure(code, message, hint) {
  return { code, message, hint };
}
