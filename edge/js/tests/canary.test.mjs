import assert from "node:assert/strict";
import { test } from "node:test";
import { isGpuBetter, measure, patience, speed } from "../canary.js";
import { receipt } from "./fake-sprat.mjs";

const timed = (changes) =>
  receipt({ prompt_tokens: 64, cached_tokens: 4, completion_tokens: 16, first_token_ms: 30, device_ms: 180, ...changes });

test("a speed is what was read and written in its time", () => {
  assert.deepEqual(speed(timed()), { prefill: 2000, decode: 100 });
});

test("a clock that cannot be believed tells nothing, and too few tokens do not either", () => {
  const bad = [
    null,
    timed({ first_token_ms: 0 }),
    timed({ first_token_ms: null }),
    timed({ first_token_ms: -5 }),
    timed({ device_ms: 0 }),
    timed({ device_ms: 30 }),
    timed({ device_ms: Number.NaN }),
    timed({ device_ms: 1e9 }),
    timed({ first_token_ms: 100, device_ms: 300 }),
    timed({ completion_tokens: 3 }),
    timed({ cached_tokens: 64 }),
  ];
  for (const one of bad) assert.equal(speed(one), null, JSON.stringify(one));
});

test("the GPU is taken unless it is known to be slower for a usual answer", () => {
  const cpu = { prefill: 500, decode: 100 };
  assert.equal(isGpuBetter(cpu, { prefill: 5000, decode: 90 }), true);
  assert.equal(isGpuBetter(cpu, { prefill: 500, decode: 10 }), false);
  assert.equal(isGpuBetter(cpu, null), true);
  assert.equal(isGpuBetter(null, cpu), true);
});

test("a model is asked twice, the first time to warm up, with no way to a cloud", async () => {
  const asked = [];
  const runtime = {
    async chat(ask, line, person, signal, emit) {
      asked.push(JSON.parse(ask).options);
      assert.equal(line, undefined);
      assert.equal(await person("{}"), null);
      emit(JSON.stringify({ type: "end", text: "", receipt: timed({ device_ms: asked.length === 1 ? 5000 : 180 }) }));
    },
  };
  assert.deepEqual(await measure(runtime, new AbortController().signal), { prefill: 2000, decode: 100 });
  assert.deepEqual(asked.map(({ mode }) => mode), ["device", "device"]);
  const broken = { chat: () => Promise.reject({ code: "webgpu_lost", message: "" }) };
  assert.equal(await measure(broken, new AbortController().signal), null);
});

test("a device that takes far too long is given up, and is no better", async () => {
  const hanging = { chat: (_ask, _line, _person, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject({ code: "aborted", message: "" }))) };
  const slow = await measure(hanging, new AbortController().signal, 1);
  assert.deepEqual(slow, { prefill: 0, decode: 0 });
  assert.equal(isGpuBetter({ prefill: 500, decode: 100 }, slow), false);
  assert.equal(await measure(hanging, AbortSignal.timeout(1)), null, "a question is no proof");
  assert.ok(patience({ prefill: 500, decode: 100 }) > 3000);
});
