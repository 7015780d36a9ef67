// What a canary can look like on its way out: the texts to search for.

import { createHash } from "node:crypto";

/** Characters of the pieces that are looked for one by one. */
const PIECE = 8;
/** Digits are everywhere (times, sizes, ports), and 8 of them are not rare enough. */
const PIECE_OF_NUMBER = 12;
/** Token ids in a row: fewer are too common, as numbers as well as in two bytes each. */
const IDS = 8;

/** @typedef {{ bytes: Buffer, as: string }} Needle */

const every = (list, length) =>
  list.length <= length ? [list] : Array.from({ length: list.length - length + 1 }, (_, at) => list.slice(at, at + length));
const reverse = (text) => [...text].reverse().join("");
const swapped = (bytes) => Buffer.from(bytes).swap16();
const bare = (base64) => base64.replace(/=+$/, "");
const urlSafe = (base64) => base64.replaceAll("+", "-").replaceAll("/", "_");
const escaped = (text) => text.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
const percent = (bytes) => [...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");

/** What is in the base64 of any text that holds `bytes`, behind 0, 1 or 2 bytes of something else (mod 3). */
export function insideBase64(bytes) {
  return [0, 1, 2].map((before) => {
    const all = Buffer.concat([Buffer.alloc(before), bytes]);
    // The characters that a neighbour's bits go into are left out, at both ends.
    const whole = all.subarray(0, all.length - (all.length % 3)).toString("base64");
    return whole.slice([0, 2, 3][before]);
  });
}

/** A text in the encodings that keep its characters apart: a piece of it is a piece of what is sent. */
function* spellings(text) {
  const bytes = Buffer.from(text);
  yield ["text", bytes];
  yield ["UPPER CASE", Buffer.from(text.toUpperCase())];
  yield ["UTF-16LE", Buffer.from(text, "utf16le")];
  yield ["UTF-16BE", swapped(Buffer.from(text, "utf16le"))];
  yield ["hex", Buffer.from(bytes.toString("hex"))];
  yield ["HEX", Buffer.from(bytes.toString("hex").toUpperCase())];
  yield ["percent", Buffer.from(percent(bytes))];
  yield ["PERCENT", Buffer.from(percent(bytes).toUpperCase())];
  yield ["JSON \\u", Buffer.from(escaped(text))];
  yield ["JSON \\U", Buffer.from(escaped(text).replace(/[a-f]/g, (digit) => digit.toUpperCase()))];
  yield ["list of bytes", Buffer.from([...bytes].join(","))];
}

function* base64s(text) {
  for (const [name, bytes] of [["base64", Buffer.from(text)], ["base64 of UTF-16", Buffer.from(text, "utf16le")]]) {
    for (const inside of insideBase64(bytes)) {
      yield [name, Buffer.from(inside)];
      if (inside !== urlSafe(inside)) yield [`${name}url`, Buffer.from(urlSafe(inside))];
    }
  }
}

/**
 * What hashes of a text look like. A prefix says as much as the whole, so the prefix is what is looked for.
 *
 * @returns {Generator<Needle>}
 */
export function* hashes(text) {
  for (const kind of ["md5", "sha1", "sha256", "sha512"]) {
    const hash = createHash(kind).update(text).digest();
    const hex = hash.toString("hex").slice(0, 16);
    yield { as: kind, bytes: hash.subarray(0, 8) };
    yield { as: `${kind} in hex`, bytes: Buffer.from(hex) };
    yield { as: `${kind} in HEX`, bytes: Buffer.from(hex.toUpperCase()) };
    for (const base64 of new Set([hash.toString("base64"), urlSafe(hash.toString("base64"))])) {
      yield { as: `${kind} in base64`, bytes: Buffer.from(base64.slice(0, 12)) };
    }
  }
}

/** Token ids in a row, as text and as the numbers that a program holds. @returns {Generator<Needle>} */
export function* tokenIds(ids) {
  // Four ids may still be a whole canary; fewer are no evidence.
  if (ids.length < 4) return;
  for (const row of every(ids, IDS)) {
    yield { as: "token ids", bytes: Buffer.from(row.join(",")) };
    yield { as: "token ids", bytes: Buffer.from(row.join(", ")) };
    yield { as: "token ids as u16", bytes: Buffer.from(Uint16Array.from(row).buffer) };
    yield { as: "token ids as u32", bytes: Buffer.from(Uint32Array.from(row).buffer) };
  }
}

/**
 * Everything to search for that gives a canary away.
 *
 * @param {import("./canary.js").Canary} canary
 * @param {number[][]} ids its token ids, as the tokenizer may cut it
 * @returns {Generator<Needle>}
 */
export function* needlesOf({ kind, text }, ids = []) {
  for (const piece of every(text, kind === "number" ? PIECE_OF_NUMBER : PIECE)) {
    for (const [as, bytes] of spellings(piece)) yield { as, bytes };
    yield { as: "base64 of a piece", bytes: Buffer.from(bare(Buffer.from(piece).toString("base64"))) };
    yield { as: "backwards", bytes: Buffer.from(reverse(piece)) };
  }
  for (const [as, bytes] of base64s(text)) yield { as, bytes };
  yield* hashes(text);
  for (const row of ids) yield* tokenIds(row);
}

/** Characters of an answer that are looked for: small models have few words, and fewer characters may be anybody's. */
const OF_ANSWER = 16;

/**
 * What gives an answer away among what was sent, which is unpacked before.
 *
 * @param {string} text
 * @returns {Generator<Needle>} nothing for one that is too short to be told from others
 */
export function* needlesOfAnswer(text) {
  for (const piece of [text.slice(0, OF_ANSWER), text.slice(-OF_ANSWER)]) {
    if (piece.length < OF_ANSWER) return;
    for (const [as, bytes] of spellings(piece)) yield { as, bytes };
    for (const [as, bytes] of base64s(piece)) yield { as, bytes };
  }
  yield* hashes(text);
}
