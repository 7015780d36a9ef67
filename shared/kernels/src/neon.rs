//! NEON: a vector has the sums of four rows. With the dot product instruction where the processor has it,
//! which is nearly everywhere since 2018; by wider products where not.
#![allow(unsafe_code)]
// Sums of several tokens and vectors are one loop's, as the registers want it.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use crate::{Activations, BLOCK, Bits, Quantized, Sums, TILE};

/// Groups of four columns in a block.
const GROUPS: usize = BLOCK / 4;
/// Vectors of a tile's rows.
const VECTORS: usize = TILE / 4;
static EMPTY: [i32; GROUPS] = [0; GROUPS];

/// As [`crate::plain::integer_tile`].
pub(crate) fn integer_tile(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    count: usize,
    sums: &mut [Sums],
) {
    if has_dot_product() {
        // SAFETY: the feature was detected.
        unsafe { by_dot_product(w, tile, x, first, &mut sums[..count]) };
    } else {
        by_wider_products(w, tile, x, first, &mut sums[..count]);
    }
}

pub(crate) fn has_dot_product() -> bool {
    is_aarch64_feature_detected!("dotprod")
}

#[target_feature(enable = "neon,dotprod")]
fn by_dot_product(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) {
    run::<DotProduct>(w, tile, x, first, sums);
}

pub(crate) fn by_wider_products(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) {
    run::<WiderProducts>(w, tile, x, first, sums);
}

/// Four products of bytes for each of four rows.
trait Dot {
    /// `sums + w · x`.
    fn dot(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t;
}

struct DotProduct;
struct WiderProducts;

impl Dot for DotProduct {
    #[inline(always)]
    fn dot(mut sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // The intrinsic `vdotq_s32` is not stable yet (rust-lang/rust#117224).
        // SAFETY: only kernels for processors with this instruction use this type.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b",
                sums = inout(vreg) sums,
                w = in(vreg) w,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }
}

impl Dot for WiderProducts {
    #[inline(always)]
    fn dot(sums: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: every aarch64 processor that Rust compiles for has NEON.
        unsafe {
            let low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
            let high = vmull_high_s8(w, x);
            // Pairs in 32 bits, then pairs of pairs: rows 0 and 1 of `low`, 2 and 3 of `high`.
            let pairs = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
            vaddq_s32(sums, pairs)
        }
    }
}

#[inline(always)]
fn run<D: Dot>(w: &Quantized<'_>, tile: usize, x: &Activations, first: usize, sums: &mut [Sums]) {
    sums.fill([0.0; TILE]);
    let mut done = 0;
    while done < sums.len() {
        let (first, sums) = (first + done, &mut sums[done..]);
        done += match (w.bits, sums.len()) {
            (Bits::Eight, 1) => tokens::<D, 8, 1>(w, tile, x, first, sums),
            (Bits::Eight, 2 | 3) => tokens::<D, 8, 2>(w, tile, x, first, sums),
            (Bits::Eight, _) => tokens::<D, 8, 4>(w, tile, x, first, sums),
            (Bits::Four, 1) => tokens::<D, 4, 1>(w, tile, x, first, sums),
            (Bits::Four, 2 | 3) => tokens::<D, 4, 2>(w, tile, x, first, sums),
            (Bits::Four, _) => tokens::<D, 4, 4>(w, tile, x, first, sums),
        };
    }
}

/// `T` tokens; returns `T`.
#[inline(always)]
fn tokens<D: Dot, const BITS: usize, const T: usize>(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) -> usize {
    let blocks = w.columns / BLOCK;
    let (words, scales) = w.tile(tile);
    let words = words.as_chunks::<TILE>().0.as_chunks::<BITS>().0;
    for (block, (words, scales)) in words.iter().zip(scales.as_chunks::<TILE>().0).enumerate() {
        let mut quants = [&EMPTY; T];
        let mut factors = [0.0; T];
        // SAFETY: NEON is there; vectors of 4 words and of 4 scales and sums lie within their arrays of 16.
        unsafe {
            let mut dots = [[vdupq_n_s32(0); VECTORS]; T];
            for token in 0..T {
                let at = (first + token) * blocks + block;
                (quants[token], factors[token]) = (&x.quants[at], x.scales[at]);
                // 4-bit weights are stored as 8 more than they are.
                let offset = if BITS == 8 { 0 } else { -8 * x.sums[at] };
                dots[token] = [vdupq_n_s32(offset); VECTORS];
            }
            for (word, words) in words.iter().enumerate() {
                for vector in 0..VECTORS {
                    let w = vld1q_u8(words.as_ptr().add(4 * vector).cast());
                    let (low, high) = match BITS {
                        8 => (w, w),
                        _ => (vandq_u8(w, vdupq_n_u8(15)), vshrq_n_u8::<4>(w)),
                    };
                    for token in 0..T {
                        let dot = &mut dots[token][vector];
                        let four =
                            |group: usize| vreinterpretq_s8_s32(vdupq_n_s32(quants[token][group]));
                        *dot = D::dot(*dot, vreinterpretq_s8_u8(low), four(word));
                        if BITS == 4 {
                            *dot = D::dot(*dot, vreinterpretq_s8_u8(high), four(word + GROUPS / 2));
                        }
                    }
                }
            }
            for vector in 0..VECTORS {
                let scales = floats(vld1_u16(scales.as_ptr().add(4 * vector)));
                for token in 0..T {
                    let place = sums[token].as_mut_ptr().add(4 * vector);
                    let factor = vmulq_n_f32(scales, factors[token]);
                    let product = vmulq_f32(vcvtq_f32_s32(dots[token][vector]), factor);
                    vst1q_f32(place, vaddq_f32(vld1q_f32(place), product));
                }
            }
        }
    }
    T
}

/// Four f16 to f32: their exponent and fraction are moved to their places, and the exponent's other zero is
/// made up for by a product, which is exact for subnormal numbers too.
#[inline(always)]
fn floats(halves: uint16x4_t) -> float32x4_t {
    // SAFETY: NEON is there.
    unsafe {
        let halves = vmovl_u16(halves);
        let magnitude = vshlq_n_u32::<13>(vandq_u32(halves, vdupq_n_u32(0x7fff)));
        let sign = vshlq_n_u32::<16>(vandq_u32(halves, vdupq_n_u32(0x8000)));
        // 2^112
        let scale = f32::from_bits(0x7780_0000);
        let product = vmulq_n_f32(vreinterpretq_f32_u32(magnitude), scale);
        vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(product), sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TOKENS;
    use crate::tests::Case;
    use proptest::prelude::*;

    proptest! {
        /// The older instructions too, whichever the processor would choose.
        #[test]
        fn wider_products_agree_too(case in Case::any()) {
            let w = case.quantized();
            let x = case.activations();
            for tile in 0..w.tiles() {
                let count = x.tokens().min(TOKENS);
                let mut sums = [[f32::NAN; TILE]; TOKENS];
                by_wider_products(&w, tile, &x, 0, &mut sums[..count]);
                case.check_tile(tile, &sums[..count]);
            }
        }
    }
}
