// What a conversation's level means for the faces: it is passed on, the engine's word of it is no answer, and a refusal
// behind it is one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SpratError } from "../error.js";
import { Failure } from "../failure.js";
import { begin, mayChangeHands } from "../faces.js";

const LEVEL = { type: "level", level: "ask", found: ["name"] };

/** A Sprat that says these events, and then fails with this. */
const says = (events, error) => ({
  cloud: "/v1",
  async *chat() {
    yield* events;
    if (error) throw error;
  },
});
const options = () => ({ signal: new AbortController().signal });

test("a refusal behind a raised level is refused where it is asked", async () => {
  const refusal = new SpratError({ code: "consent_refused", message: "no" });
  await assert.rejects(begin(says([LEVEL], refusal), [], options()), { code: "consent_refused" });
});

test("a raised level comes before the answer", async () => {
  const events = [LEVEL, { type: "start", source: "device" }, { type: "end", text: "", receipt: {} }];
  const seen = [];
  for await (const event of await begin(says(events), [], options())) seen.push(event);
  assert.deepEqual(seen, events);
});

test("what is private does not change hands", () => {
  const sprat = says([]);
  assert.equal(mayChangeHands(sprat, { mode: "auto" }), true);
  assert.equal(mayChangeHands(sprat, { mode: "auto", level: "ask" }), true);
  assert.equal(mayChangeHands(sprat, { mode: "auto", level: "private" }), false);
  assert.equal(mayChangeHands(sprat, { mode: "auto", private: true }), false);
});

test("a failure of a face is a SpratError", () => {
  const cause = new Error("inner");
  const failure = new Failure({ code: "internal", message: "outer", cause });
  assert.ok(failure instanceof SpratError);
  assert.deepEqual([failure.name, failure.code, failure.cause], ["SpratError", "internal", cause]);
});
