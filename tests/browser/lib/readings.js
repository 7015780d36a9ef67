// What bytes say once they are unpacked: compressed, percent-encoded, escaped, in base64 or hex, in any order.

import zlib from "node:zlib";

/** Layers that are undone. */
const DEPTH = 3;
const MOST = 64 << 20;

const tryTo = (undo, bytes) => {
  try {
    return undo(bytes, { maxOutputLength: MOST, finishFlush: zlib.constants.Z_SYNC_FLUSH });
  } catch {
    return null;
  }
};

/** Bytes after which a format announces itself, and how it is undone. */
function unpacked(bytes) {
  const [first, second] = bytes;
  if (first === 0x1f && second === 0x8b) return tryTo(zlib.gunzipSync, bytes);
  if (first === 0x78 && [0x01, 0x5e, 0x9c, 0xda].includes(second)) return tryTo(zlib.inflateSync, bytes);
  return null;
}

/** All of a pattern's places, undone, with a line between them. */
function each(text, pattern, undo) {
  const found = text.match(pattern);
  return found && Buffer.concat(found.flatMap((piece) => [undo(piece), Buffer.from("\n")]));
}

const byte = (digits) => String.fromCharCode(parseInt(digits, 16));

function* undone(bytes) {
  const plain = unpacked(bytes);
  if (plain) yield plain;
  const text = bytes.latin1Slice();
  if (/%[0-9a-f]{2}/i.test(text)) yield Buffer.from(text.replace(/%([0-9a-f]{2})/gi, (_, digits) => byte(digits)), "latin1");
  if (/\\u[0-9a-f]{4}/i.test(text)) {
    yield Buffer.from(text.replace(/\\u([0-9a-f]{4})/gi, (_, digits) => Buffer.from(byte(digits)).latin1Slice()), "latin1");
    // Surrogates and umlauts are right only as text.
    yield Buffer.from(text.replace(/\\u([0-9a-f]{4})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16))));
  }
  for (const more of [
    each(text, /[A-Za-z0-9+/_-]{11,}/g, (piece) => Buffer.from(piece, "base64")),
    each(text, /(?:[0-9a-f]{2}){8,}/gi, (piece) => Buffer.from(piece, "hex")),
    each(text, /\d{1,3}(?:,\s*\d{1,3}){7,}/g, (piece) => Buffer.from(piece.split(",").map(Number))),
  ]) {
    if (more) yield more;
  }
}

/**
 * The bytes themselves, and everything that they may stand for.
 *
 * @param {Buffer} bytes
 * @param {string} [encoding] a content-encoding, where the bytes have one
 * @returns {Buffer[]}
 */
export function readings(bytes, encoding = "") {
  const seen = new Map([[bytes.latin1Slice(), bytes]]);
  const raw = { br: zlib.brotliDecompressSync, deflate: zlib.inflateRawSync, gzip: zlib.gunzipSync }[encoding];
  let layer = [bytes];
  const first = raw && tryTo(raw, bytes);
  if (first) layer.push(first);
  if (first) seen.set(first.latin1Slice(), first);
  for (let depth = 0; depth < DEPTH; depth += 1) {
    const next = [];
    for (const one of layer) {
      for (const more of undone(one)) {
        const key = more.latin1Slice();
        if (more.length < 4 || seen.has(key)) continue;
        seen.set(key, more);
        next.push(more);
      }
    }
    layer = next;
  }
  return [...seen.values()];
}
