import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatBytes, formatCost, formatLarge, formatMs, formatProgress, formatShare,
} from "../js/format.js";

test("bytes", () => {
  assert.equal(formatBytes(0), "0 bytes");
  assert.equal(formatBytes(1), "1 byte");
  assert.equal(formatBytes(999), "999 bytes");
  assert.equal(formatBytes(7_400_000), "7.4 MB");
  assert.equal(formatBytes(999_999), "1.0 MB");
});

test("progress is in the unit of the total and never passes it", () => {
  assert.equal(formatProgress(1_234_567, 3_400_000), "1.2 of 3.4 MB");
  assert.equal(formatProgress(1000, 3_400_000), "0.0 of 3.4 MB");
  assert.equal(formatProgress(9_000_000, 3_400_000), "3.4 of 3.4 MB");
});

test("times", () => {
  assert.equal(formatMs(0.2), "under 1 ms");
  assert.equal(formatMs(84.4), "84 ms");
  assert.equal(formatMs(1840), "1.84 s");
  assert.equal(formatMs(12_340), "12.3 s");
  assert.equal(formatMs(59_980), "1 min 0 s");
  assert.equal(formatMs(125_000), "2 min 5 s");
});

test("costs keep two figures however small they are", () => {
  assert.equal(formatCost(0), "$0");
  assert.equal(formatCost(0.000013), "$0.000013");
  assert.equal(formatCost(0.0012), "$0.0012");
  assert.equal(formatCost(1.5), "$1.50");
  assert.equal(formatCost(1e-9), "under $0.000001");
});

test("a confidence just below the threshold never reads as equal to it", () => {
  assert.equal(formatShare(0.7999), "0.799");
  assert.equal(formatShare(0.8), "0.80");
  // As f32 carries it through JSON.
  assert.equal(formatShare(0.8299999833106995), "0.83");
  assert.equal(formatShare(1.2), "1.00");
});

test("sizes of models", () => {
  assert.equal(formatLarge(3_612_416), "3.6 million");
  assert.equal(formatLarge(1_500_000_000), "1.5 billion");
  assert.equal(formatLarge(12_000), "12,000");
});
