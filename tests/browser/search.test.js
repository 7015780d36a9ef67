// The search that leak.test.js relies on: it finds every encoding wherever it lies, and nothing where nothing is.

import assert from "node:assert/strict";
import { createHash, randomFillSync } from "node:crypto";
import { test } from "node:test";
import zlib from "node:zlib";
import { canary, conversation } from "./lib/canary.js";
import { hashes, needlesOf, needlesOfAnswer } from "./lib/needles.js";
import { Random } from "./lib/random.js";
import { readings } from "./lib/readings.js";
import { SHORTEST, Search } from "./lib/search.js";

const KINDS = ["word", "number", "hangul", "kana"];
const IDS = [95, 86, 93, 29, 29, 23, 24, 80, 80, 3018, 226];

/** Noise of `length` bytes with `bytes` at a random place. */
function planted(random, bytes, length = 4096) {
  const noise = randomFillSync(Buffer.alloc(length));
  bytes.copy(noise, random.below(length - bytes.length));
  return noise;
}

function searchFor(one, ids = []) {
  const search = new Search();
  for (const needle of needlesOf(one, ids)) search.add(needle, one.text);
  return search;
}

/** Whether anything that `bytes` may stand for gives the canary away. */
const gives = (search, bytes, encoding) => readings(bytes, encoding).some((reading) => search.in(reading).length > 0);

test("every needle is found wherever it lies, and only its own", () => {
  const random = new Random(1);
  for (const kind of KINDS) {
    const one = canary(random, kind);
    const search = searchFor(one, [IDS]);
    for (const { bytes, as } of needlesOf(one, [IDS])) {
      assert.ok(bytes.length >= SHORTEST, as);
      const names = search.in(planted(random, bytes)).map((hit) => hit.as);
      assert.ok(names.includes(as), `${kind} as ${as}`);
      for (const ends of [Buffer.concat([bytes, Buffer.from("x")]), Buffer.concat([Buffer.from("x"), bytes]), bytes]) {
        assert.ok(search.in(ends).length > 0, `${as} at an end`);
      }
    }
  }
});

/** How text may be sent, made by other means than the needles. */
const SENT = {
  "a question in a query": (text) => `GET /x?q=${encodeURIComponent(`my ${text} and`)} HTTP/1.1`,
  "a form": (text) => new URLSearchParams({ q: `a ${text}` }).toString(),
  JSON: (text) => JSON.stringify({ messages: [{ content: `"${text}"` }] }),
  "base64, first alignment": (text) => Buffer.from(`abc${text}abc`).toString("base64"),
  "base64, second alignment": (text) => Buffer.from(`a${text}`).toString("base64"),
  "base64url, third alignment": (text) => Buffer.from(`ab${text}~~~`).toString("base64url"),
  "base64 of base64": (text) => Buffer.from(Buffer.from(`?${text}`).toString("base64")).toString("base64"),
  "base64 in a query": (text) => `?q=${encodeURIComponent(Buffer.from(`{"q":"${text}"}`).toString("base64"))}`,
  hex: (text) => Buffer.from(`a${text}`).toString("hex"),
  "UTF-16": (text) => Buffer.from(`a ${text}`, "utf16le"),
  "upper case": (text) => text.toUpperCase(),
  backwards: (text) => [...`a ${text} b`].reverse().join(""),
  "every character escaped": (text) => [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  "some escaped": (text) => `\\u${text.charCodeAt(0).toString(16).padStart(4, "0")}${text.slice(1)}`,
  "a list of bytes": (text) => JSON.stringify([...Buffer.from(text)]),
  gzip: (text) => zlib.gzipSync(`{"q":"${text}"}`),
  zlib: (text) => zlib.deflateSync(text.repeat(2)),
  "gzip in base64": (text) => zlib.gzipSync(text).toString("base64"),
  sha1: (text) => createHash("sha1").update(text).digest("hex"),
  "a short sha256": (text) => createHash("sha256").update(text).digest("hex").slice(0, 16),
  "sha256 in base64": (text) => createHash("sha256").update(text).digest("base64"),
  md5: (text) => createHash("md5").update(text).digest(),
};

for (const [name, send] of Object.entries(SENT)) {
  test(`finds what was sent as ${name}`, () => {
    const random = new Random(2);
    for (const kind of KINDS) {
      const one = canary(random, kind);
      const search = searchFor(one);
      assert.ok(gives(search, Buffer.from(send(one.text))), kind);
      assert.ok(!gives(search, Buffer.from(send(canary(random, kind).text))), `another ${kind}`);
    }
  });
}

test("finds bodies behind a content-encoding", () => {
  const one = canary(new Random(3), "word");
  const search = searchFor(one);
  const body = Buffer.from(JSON.stringify({ text: one.text }).repeat(3));
  assert.ok(gives(search, zlib.brotliCompressSync(body), "br"));
  assert.ok(gives(search, zlib.deflateRawSync(body), "deflate"));
  assert.ok(gives(search, zlib.gzipSync(body), "gzip"));
  assert.ok(!gives(search, zlib.brotliCompressSync(Buffer.from("nothing of it")), "br"));
});

test("finds one of the pieces of 8 characters that a question is sent in", () => {
  const random = new Random(4);
  for (const kind of ["word", "hangul", "kana"]) {
    const one = canary(random, kind);
    const search = searchFor(one);
    for (let shift = 0; shift < 8; shift += 1) {
      const text = "x".repeat(shift) + one.text;
      const pieces = text.match(/.{1,8}/gu);
      for (const write of [encodeURIComponent, btoaOf, (piece) => Buffer.from(piece).toString("hex")]) {
        assert.ok(pieces.some((piece) => gives(search, Buffer.from(write(piece)))), `${kind}, shifted by ${shift}`);
      }
    }
  }
});

const btoaOf = (text) => Buffer.from(text).toString("base64");

test("finds token ids, in any row of eight", () => {
  const search = searchFor(canary(new Random(5), "word"), [IDS]);
  const around = [1, ...IDS.slice(2, 10), 7];
  for (const bytes of [
    Buffer.from(JSON.stringify(around)),
    Buffer.from(around.join(", ")),
    Buffer.from(Uint16Array.from(around).buffer),
    Buffer.from(Uint32Array.from(around).buffer),
  ]) {
    assert.ok(search.in(bytes).length > 0);
  }
  assert.deepEqual(search.in(Buffer.from(JSON.stringify(IDS.slice(0, 7)))), []);
});

test("finds the hash of a whole question", () => {
  const search = new Search();
  const question = "a whole question";
  for (const needle of hashes(question)) search.add(needle, question);
  const etag = `"${createHash("sha256").update(question).digest("hex")}"`;
  assert.equal(search.in(Buffer.from(`if-none-match: ${etag}`))[0].of, question);
});

test("finds an answer that is long enough to be somebody's", () => {
  const search = new Search();
  const answer = "You live near the harbour, and your account has no money in it.";
  for (const needle of needlesOfAnswer(answer)) search.add(needle, answer);
  assert.deepEqual([...needlesOfAnswer("Hello there!")], []);
  for (const send of [SENT.JSON, SENT.hex, SENT["base64, second alignment"], SENT["a question in a query"], SENT["a short sha256"]]) {
    assert.ok(gives(search, Buffer.from(send(answer))));
  }
  assert.ok(!gives(search, Buffer.from(SENT.JSON("Whoever lives near the harbour has no money in the bank."))));
});

test("finds nothing in noise, nor in other conversations", () => {
  const random = new Random(6);
  const search = new Search();
  for (let count = 0; count < 50; count += 1) {
    for (const one of conversation(random).canaries) for (const needle of needlesOf(one, [IDS.map((id) => id + count)])) search.add(needle, one.text);
  }
  assert.ok(search.size > 10_000);
  assert.deepEqual(search.in(randomFillSync(Buffer.alloc(4 << 20))), []);
  const base64 = randomFillSync(Buffer.alloc(2 << 20)).toString("base64");
  assert.deepEqual(search.in(Buffer.from(base64)), []);
  for (let count = 0; count < 50; count += 1) {
    const other = Buffer.from(JSON.stringify(conversation(random)));
    for (const reading of readings(other)) assert.deepEqual(search.in(reading), []);
  }
  for (const short of ["", "1234567"]) assert.deepEqual(search.in(Buffer.from(short)), []);
});

test("a run can be played again", () => {
  const play = (seed) => JSON.stringify(Array.from({ length: 5 }, (_, at) => conversation(new Random(seed + at))));
  assert.equal(play(7), play(7));
  assert.notEqual(play(7), play(8));
});
