//! WebAssembly: a vector has four rows' sums. By SIMD128, and by relaxed SIMD in a module that is built for it.
#![allow(unsafe_code)]
// Sums of several tokens and vectors are one loop's, as the registers want it.
#![allow(clippy::needless_range_loop)]

#[cfg(target_feature = "relaxed-simd")]
mod relaxed;
mod simd128;

use std::arch::wasm32::*;

use crate::{Activations, BLOCK, Bits, Quantized, Sums, TILE};

/// Groups of four columns in a block.
const GROUPS: usize = BLOCK / 4;
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
    sums[..count].fill([0.0; TILE]);
    #[cfg(target_feature = "relaxed-simd")]
    let one_instruction = cfg!(test) || relaxed::is_one_instruction();
    let mut done = 0;
    while done < count {
        let (first, sums) = (first + done, &mut sums[done..count]);
        // As several instructions it gains by what several tokens share, and with weights of 4 bits only.
        #[cfg(target_feature = "relaxed-simd")]
        if one_instruction || w.bits == Bits::Four && sums.len() > 1 {
            done += tokens::<relaxed::Bytes>(w, tile, x, first, sums);
            continue;
        }
        done += tokens::<simd128::Pairs>(w, tile, x, first, sums);
    }
}

/// A way to multiply weights by activations.
trait Dot {
    /// Whether weights of 4 bits are multiplied without being widened first, which leaves registers for more sums.
    const IN_PLACE: bool;

    /// A block's dot products, of `T` tokens and `V` vectors of four rows, from `vector` on.
    fn dots<const BITS: usize, const T: usize, const V: usize>(
        words: &[[u32; TILE]; BITS],
        vector: usize,
        quants: &[&[i32; GROUPS]; T],
    ) -> [[v128; V]; T];
}

/// The sums of as many tokens as there are registers for, of those that `sums` has room for; returns how many.
fn tokens<D: Dot>(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) -> usize {
    match (w.bits, sums.len()) {
        (Bits::Eight, 1) => run::<D, 8, 1, 4>(w, tile, x, first, sums),
        (Bits::Eight, 2 | 3) => run::<D, 8, 2, 2>(w, tile, x, first, sums),
        (Bits::Eight, _) => run::<D, 8, 4, 1>(w, tile, x, first, sums),
        (Bits::Four, 1) => run::<D, 4, 1, 4>(w, tile, x, first, sums),
        (Bits::Four, 2 | 3) if D::IN_PLACE => run::<D, 4, 2, 4>(w, tile, x, first, sums),
        (Bits::Four, 2 | 3) => run::<D, 4, 2, 2>(w, tile, x, first, sums),
        (Bits::Four, _) if D::IN_PLACE => run::<D, 4, 4, 2>(w, tile, x, first, sums),
        (Bits::Four, _) => run::<D, 4, 4, 1>(w, tile, x, first, sums),
    }
}

/// `T` tokens, `V` vectors at a time; returns `T`.
#[inline(always)]
fn run<D: Dot, const BITS: usize, const T: usize, const V: usize>(
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
        let mut at = [0; T];
        for token in 0..T {
            at[token] = (first + token) * blocks + block;
            quants[token] = &x.quants[at[token]];
        }
        for vector in (0..TILE / 4).step_by(V) {
            let dots = D::dots::<BITS, T, V>(words, vector, &quants);
            for token in 0..T {
                // 4-bit weights are stored as 8 more than they are.
                let offset = if BITS == 8 { 0 } else { -8 * x.sums[at[token]] };
                let scale = x.scales[at[token]];
                add(
                    &mut sums[token],
                    &dots[token],
                    scales,
                    vector,
                    scale,
                    offset,
                );
            }
        }
    }
    T
}

/// Adds a block's dots to the sums of the rows of `V` vectors.
#[inline(always)]
fn add<const V: usize>(
    sums: &mut Sums,
    dots: &[v128; V],
    scales: &[u16; TILE],
    vector: usize,
    scale: f32,
    offset: i32,
) {
    let (scale, offset) = (f32x4_splat(scale), i32x4_splat(offset));
    for (v, dot) in dots.iter().enumerate() {
        let row = 4 * (vector + v);
        // SAFETY: four sums and four scales from `row` on are inside of both arrays of 16.
        unsafe {
            let weights = floats(u32x4_load_extend_u16x4(scales.as_ptr().add(row)));
            let place = sums.as_mut_ptr().add(row).cast::<v128>();
            let dot = f32x4_convert_i32x4(i32x4_add(*dot, offset));
            let product = f32x4_mul(dot, f32x4_mul(weights, scale));
            v128_store(place, f32x4_add(v128_load(place), product));
        }
    }
}

/// Four f16 in the low halves to f32: their exponent and fraction are moved to their places, and the
/// exponent's other zero is made up for by a product, which is exact for subnormal numbers too.
#[inline(always)]
fn floats(halves: v128) -> v128 {
    let magnitude = u32x4_shl(v128_and(halves, u32x4_splat(0x7fff)), 13);
    let sign = u32x4_shl(v128_and(halves, u32x4_splat(0x8000)), 16);
    // 2^112
    let product = f32x4_mul(magnitude, f32x4_splat(f32::from_bits(0x7780_0000)));
    v128_or(product, sign)
}
