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
  // Its function `f` is the dot product of four threes and four fives, and 7: `i32x4.relaxed_dot_i8x16_i7x16_add_s`.
  const module = "AGFzbQEAAAABBQFgAAF/AwIBAAcFAQFmAAAKHAEaAEGDhowY/RFBhYqUKP0RQQf9Ef2TAv0bAAs=";
  try {
    const bytes = Uint8Array.from(atob(module), (char) => char.charCodeAt(0));
    const { f } = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports);
    return f() === 67;
  } catch {
    return false;
  }
}
