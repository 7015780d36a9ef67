/** Numbers in words, for people. Decimal units: 1 MB is 1,000,000 bytes, as browsers and shops count. */

const UNITS = ["bytes", "kB", "MB", "GB"];

/**
 * @param {number} bytes
 * @returns {{ digits: string, unit: string }}
 */
function scaled(bytes, power = powerOf(bytes)) {
  const value = bytes / 1000 ** power;
  return { digits: power === 0 ? String(Math.round(value)) : value.toFixed(1), unit: UNITS[power] ?? "" };
}

/** @param {number} bytes */
function powerOf(bytes) {
  let power = 0;
  // 999,950 would print as "1000.0 kB".
  while (power < UNITS.length - 1 && bytes >= 1000 ** (power + 1) * 0.99995) power += 1;
  return power;
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes === 1) return "1 byte";
  const { digits, unit } = scaled(bytes);
  return `${digits} ${unit}`;
}

/**
 * "1.2 of 3.4 MB": both in the unit of the total.
 *
 * @param {number} loaded
 * @param {number} total
 */
export function formatProgress(loaded, total) {
  const power = powerOf(total);
  return `${scaled(Math.min(loaded, total), power).digits} of ${formatBytes(total)}`;
}

/** @param {number} ms */
export function formatMs(ms) {
  if (ms < 1) return "under 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_950 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @param {number} count */
export function formatCount(count) {
  return count.toLocaleString("en-US");
}

/**
 * "4.2 million": a model's size to two figures or so.
 *
 * @param {number} count
 */
export function formatLarge(count) {
  if (count >= 999_950_000) return `${(count / 1e9).toFixed(1)} billion`;
  if (count >= 999_950) return `${(count / 1e6).toFixed(1)} million`;
  return formatCount(count);
}

/** @param {number} usd */
export function formatCost(usd) {
  if (usd === 0) return "$0";
  if (usd < 0.000001) return "under $0.000001";
  // Two figures that count, however small the price of a few tokens is.
  const places = Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(usd))));
  return `$${usd.toFixed(places)}`;
}

/**
 * Cut down rather than rounded, so that 0.799 against 0.80 never reads as equal.
 *
 * @param {number} share from 0 to 1
 */
export function formatShare(share) {
  return (Math.floor(Math.min(1, Math.max(0, share)) * 1000 + 1e-4) / 1000).toFixed(3).replace(/0$/, "");
}
