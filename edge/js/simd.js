// @ts-check
/**
 * Which of the CPU's modules a browser gets.
 */

/**
 * Whether this browser has relaxed SIMD, and computes by it what it should: Chromium's engine before version 11.4 took a
 * module with it, if it was told to, and computed something else. The page's service worker has a copy of this function,
 * so it uses nothing around it.
 *
 * @returns {boolean}
 */
export function hasRelaxedSimd() {
  // `f` says whether `i32x4.relaxed_dot_i8x16_i7x16_add_s` is right in all four sums, of numbers of either sign with others of 7 bits.
  const module =
    "AGFzbQEAAAABBQFgAAF/AwIBAAcFAQFmAAAKVAFSAP0MnAN/gP/+/fx/f39/gICAgP0MfwEFZAECAwR/f39/f39/f/0MBwAAAPn///9AQg8A//////2TAv0M6Z7//9v///9EPhAA/wH///03/aMBCw==";
  try {
    const bytes = Uint8Array.from(atob(module), (char) => char.charCodeAt(0));
    const { f } = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports);
    return f() === 1;
  } catch {
    return false;
  }
}
