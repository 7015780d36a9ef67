import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSize, sizeOf } from "../budget.js";

const NONE = { maxBytes: null, why: "" };
const room = () => true;

/** A line whose pack has this manifest, or this answer; a large one comes in pieces. */
function line(text, status = 200) {
  const bytes = new TextEncoder().encode(text);
  return {
    kept: null,
    keep(file, bytes) {
      this.kept = [file, new TextDecoder().decode(bytes)];
    },
    open(file, from, fresh) {
      assert.deepEqual([file, from, fresh], ["sprat.json", 0, false]);
      let at = 0;
      return { status, head: async () => {}, next: async () => (at < bytes.length ? bytes.subarray(at, (at += 7)) : undefined), end: () => (this.ended = true) };
    },
  };
}
const pack = (name, ...sizes) => line(JSON.stringify({ name, files: sizes.map((size) => ({ size })) }));

test("the size of a model is that of all files of all its packs", async () => {
  assert.deepEqual(await sizeOf([pack("모델", 5, 7)]), { name: "모델", bytes: 12 });
  const two = [pack("a", 5), pack("b", 8)];
  assert.deepEqual(await sizeOf(two), { name: "a", bytes: 13 });
  assert.ok(two.every(({ ended }) => ended));
  assert.deepEqual(two.map(({ kept }) => kept), [["a", 5], ["b", 8]].map(([name, size]) => ["sprat.json", JSON.stringify({ name, files: [{ size }] })]));
});

test("a manifest that says nothing useful is somebody else's to refuse", async () => {
  const silent = { open: () => ({ head: () => Promise.reject(new Error("offline")), next: async () => undefined, end() {} }) };
  for (const one of [silent, line("<!doctype html>"), line("{}"), line('{"files":[{"size":"1e9"}]}'), line('{"files":[{}]}'), line('{"files":[{"size":1}]}', 404)]) {
    assert.equal(await sizeOf([one]), null);
    assert.equal(one.kept ?? null, null);
  }
});

test("a server that says nothing is not waited for", async () => {
  let ended = 0;
  const hanging = { open: () => ({ head: () => new Promise(() => {}), end: () => (ended += 1) }) };
  assert.equal(await sizeOf([hanging, pack("a", 1)], 1), null);
  assert.equal(ended, 1);
});

test("what is too large is refused by name, with what can be done", () => {
  const refused = (bytes, limits, device, hasRoom) => {
    try {
      checkSize(bytes, limits, device, hasRoom);
    } catch (error) {
      assert.equal(error.code, "too_large");
      assert.ok(error.hint);
      return error.message;
    }
    return null;
  };
  assert.equal(refused(3e6, NONE, {}, room), null);
  assert.match(refused(3e6, { maxBytes: 2e6, why: "" }, {}, room), /3\.0 MB, and at most 2\.0 MB/);
  assert.match(refused(3e6, { maxBytes: 2e6, why: "it killed the tab" }, {}, room), /it killed the tab/);
  assert.equal(refused(2e6, { maxBytes: 2e6, why: "" }, {}, room), null);
  // A phone that tells of 2 GB.
  assert.match(refused(900e6, NONE, { deviceMemory: 2 }, room), /2 GB of memory/);
  assert.equal(refused(850e6, NONE, { deviceMemory: 2 }, room), null);
  assert.match(refused(600e6, NONE, {}, () => false), /750 MB/);
  assert.equal(refused(100e6, NONE, {}, () => assert.fail("small models are not tried out")), null);
  // More than any module can have.
  assert.match(refused(4e9, NONE, {}, undefined), /does not give/);
});
