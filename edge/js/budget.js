// @ts-check
/**
 * Whether a model fits this device, asked before a byte of its weights is fetched.
 */

/** @typedef {import("./line.js").Line} Line */
/**
 * What a page allows: a model's bytes at most, and why where it is not the page's own limit. `what` is weighed, if not "the
 * model".
 * @typedef {{ maxBytes: number | null, why: string, what?: string }} Limits
 */
/** @typedef {{ name: string, bytes: number }} About */
/** @typedef {import("./wanted.js").Wanted} Wanted */

/** WebAssembly's memory behind a loaded model, by its files: 1.13 to 1.25 measured (docs/package.md), the least for the largest. */
const TIMES = 1.25;
/** The share of a device's memory that one page may hope for. */
const SHARE = 0.5;
/** Up to here nothing is tried out, in bytes. */
const SMALL = 256e6;
/** Longest `sprat.json` read, in bytes. */
const LONGEST = 4 << 20;
/** How long a manifest may take, in milliseconds; who fetches the model has more patience. */
const PATIENCE = 10_000;

/** What says how large a pack is. */
const MANIFEST = "sprat.json";

/**
 * Looks up what a model's manifests say, once.
 * @param {Wanted} wanted
 */
export function look(wanted) {
  const { lines, adapter } = wanted;
  const own = [...lines].filter(([url]) => url !== adapter);
  return (wanted.about ??= sizeOf(own.map(([, line]) => line)));
}

/**
 * The same of the adapter that is to be over it.
 * @param {Wanted} wanted
 */
function lookAbove(wanted) {
  const line = wanted.adapter && wanted.lines.get(wanted.adapter);
  return line ? (wanted.above ??= sizeOf([line])) : null;
}

/**
 * Refuses a model that is too large for this device, with what is to be over it. Where nothing is known it is let through.
 * @param {Wanted} wanted
 * @param {Limits} limits
 * @returns {Promise<void>} rejects with a failure with the code "too_large"
 */
export async function check(wanted, limits) {
  const [about, above] = await Promise.all([look(wanted), lookAbove(wanted)]);
  if (about) checkSize(about.bytes + (above?.bytes ?? 0), above ? withAdapter(limits) : limits);
}

/**
 * Refuses an adapter that is too large for this device on top of the model, which is loaded. It has no line then.
 * @param {Wanted} wanted
 * @param {Limits} limits
 * @returns {Promise<void>} rejects with a failure with the code "too_large"
 */
export async function checkAdapter(wanted, limits) {
  const { adapter, lines } = wanted;
  const [about, above] = await Promise.all([look(wanted), lookAbove(wanted)]);
  if (!adapter || !above) return;
  try {
    // The model has its memory already.
    checkSize((about?.bytes ?? 0) + above.bytes, withAdapter(limits), undefined, () => canAllocate(TIMES * above.bytes));
  } catch (error) {
    // It keeps a manifest, which may be another at the next try.
    lines.get(adapter)?.close();
    lines.delete(adapter);
    throw error;
  }
}

/**
 * @param {Limits} limits
 * @returns {Limits}
 */
const withAdapter = (limits) => ({ ...limits, what: "the model with its adapter" });

/**
 * Name and size of the packs at the ends of these lines, by their manifests. The lines keep those for whoever fetches the
 * model.
 * @param {Iterable<Line>} lines
 * @param {number} [patience] milliseconds
 * @returns {Promise<About | null>} `null` where they cannot be read: whoever fetches the model says why
 */
export async function sizeOf(lines, patience = PATIENCE) {
  const all = [...lines];
  const flows = all.map((line) => line.open(MANIFEST, 0, false));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    /** @type {Promise<never>} */
    const late = new Promise((_, reject) => (timer = setTimeout(reject, patience)));
    const texts = await Promise.race([Promise.all(flows.map(whole)), late]);
    /** @type {{ name: unknown, files: { size: number }[] }[]} */
    const manifests = texts.map((text) => JSON.parse(new TextDecoder().decode(text)));
    const bytes = manifests.flatMap(({ files }) => files).reduce((sum, { size }) => sum + size, 0);
    if (!Number.isSafeInteger(bytes)) return null;
    all.forEach((line, index) => line.keep(MANIFEST, texts[index]));
    return { name: String(manifests[0]?.name), bytes };
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    for (const flow of flows) flow.end();
  }
}

/**
 * Refuses a model that is too large for this device.
 * @param {number} bytes of all its files
 * @param {Limits} limits
 * @param {{ deviceMemory?: number }} device its memory in GiB, where the browser tells
 * @param {(bytes: number) => boolean} hasRoom whether a module may have as much memory
 * @throws a failure with the code "too_large"
 */
export function checkSize(bytes, { maxBytes, why, what = "the model" }, { deviceMemory } = /** @type {any} */ (navigator), hasRoom = canAllocate) {
  const needed = TIMES * bytes;
  const [size, need] = [megabytes(bytes), megabytes(needed)];
  if (maxBytes !== null && bytes > maxBytes) throw tooLarge(`${what} has ${size}, and ${why || `at most ${megabytes(maxBytes)} are allowed`}`);
  if (deviceMemory && needed > deviceMemory * SHARE * 2 ** 30) {
    throw tooLarge(`${what} has ${size} and needs ${need} while it is loaded; this device has ${deviceMemory} GB of memory`);
  }
  if (needed > SMALL && !hasRoom(needed)) throw tooLarge(`${what} has ${size} and needs ${need} while it is loaded, which this browser does not give`);
}

/** @param {string} message */
function tooLarge(message) {
  return { code: "too_large", message, hint: "Take a smaller model, or one with fewer bits; or give a cloud, which answers instead." };
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/**
 * Whether WebAssembly can have as much memory. It is reserved and given back, never touched.
 * @param {number} bytes
 */
function canAllocate(bytes) {
  const pages = Math.ceil(bytes / 65_536);
  try {
    return pages <= 65_536 && new WebAssembly.Memory({ initial: pages }).buffer.byteLength >= bytes;
  } catch {
    return false;
  }
}

/**
 * A manifest's bytes.
 * @param {ReturnType<Line["open"]>} flow
 */
async function whole(flow) {
  await flow.head();
  if (flow.status !== 200) throw new Error("no manifest");
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const pieces = [];
  let length = 0;
  for (let piece = await flow.next(); piece !== undefined; piece = await flow.next()) {
    length += piece.length;
    if (length > LONGEST) throw new Error("too long");
    // Its memory is used again for the next one.
    pieces.push(piece.slice());
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
