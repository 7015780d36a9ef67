//! SIMD128: a vector has the sums of two rows, two sums each.
#![allow(unsafe_code)]
// Sums of several tokens and vectors are one loop's, as the registers want it.
#![allow(clippy::needless_range_loop)]

#[cfg(target_feature = "relaxed-simd")]
mod relaxed;

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
    let by_eight = cfg!(test) || relaxed::is_one_instruction();
    let mut done = 0;
    while done < count {
        let (first, sums) = (first + done, &mut sums[done..]);
        // Tokens times vectors at once: as many sums as there are registers for.
        #[cfg(target_feature = "relaxed-simd")]
        if w.bits == Bits::Four || by_eight {
            done += match (w.bits, count - done) {
                (Bits::Eight, 1) => relaxed::run::<8, 1, 4>(w, tile, x, first, sums),
                (Bits::Eight, 2 | 3) => relaxed::run::<8, 2, 2>(w, tile, x, first, sums),
                (Bits::Eight, _) => relaxed::run::<8, 4, 1>(w, tile, x, first, sums),
                (Bits::Four, 1) => relaxed::run::<4, 1, 4>(w, tile, x, first, sums),
                (Bits::Four, 2 | 3) => relaxed::run::<4, 2, 4>(w, tile, x, first, sums),
                (Bits::Four, _) => relaxed::run::<4, 4, 2>(w, tile, x, first, sums),
            };
            continue;
        }
        done += match (w.bits, count - done) {
            (Bits::Eight, 1) => run::<8, 1, 8>(w, tile, x, first, sums),
            (Bits::Eight, 2 | 3) => run::<8, 2, 4>(w, tile, x, first, sums),
            (Bits::Eight, _) => run::<8, 4, 2>(w, tile, x, first, sums),
            (Bits::Four, 1) => run::<4, 1, 8>(w, tile, x, first, sums),
            (Bits::Four, 2 | 3) => run::<4, 2, 4>(w, tile, x, first, sums),
            (Bits::Four, _) => run::<4, 4, 2>(w, tile, x, first, sums),
        };
    }
}

/// `T` tokens, `V` vectors at a time; returns `T`.
fn run<const BITS: usize, const T: usize, const V: usize>(
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
        for vector in (0..TILE / 2).step_by(V) {
            let dots = dots::<BITS, T, V>(words, vector, &quants);
            for token in 0..T {
                let offset = if BITS == 8 { 0 } else { -8 * x.sums[at[token]] };
                let row = 2 * vector;
                add(
                    &mut sums[token],
                    &dots[token],
                    scales,
                    row,
                    x.scales[at[token]],
                    offset,
                );
            }
        }
    }
    T
}

#[inline(always)]
fn dots<const BITS: usize, const T: usize, const V: usize>(
    words: &[[u32; TILE]; BITS],
    vector: usize,
    quants: &[&[i32; GROUPS]; T],
) -> [[v128; V]; T] {
    let mut dots = [[i32x4_splat(0); V]; T];
    for (word, words) in words.iter().enumerate() {
        let mut low = [i32x4_splat(0); T];
        let mut high = [i32x4_splat(0); T];
        for token in 0..T {
            low[token] = group(quants[token][word]);
            if BITS == 4 {
                high[token] = group(quants[token][word + GROUPS / 2]);
            }
        }
        for v in 0..V {
            // SAFETY: two words, of 16, are 8 bytes.
            let pair = unsafe { words.as_ptr().add(2 * (vector + v)).cast() };
            if BITS == 8 {
                // SAFETY: as above.
                let w = unsafe { i16x8_load_extend_i8x8(pair) };
                for token in 0..T {
                    let dot = i32x4_dot_i16x8(w, low[token]);
                    dots[token][v] = i32x4_add(dots[token][v], dot);
                }
            } else {
                // SAFETY: as above.
                let w = unsafe { i16x8_load_extend_u8x8(pair.cast()) };
                let (lows, highs) = (v128_and(w, i16x8_splat(15)), u16x8_shr(w, 4));
                for token in 0..T {
                    let a = i32x4_dot_i16x8(lows, low[token]);
                    let b = i32x4_dot_i16x8(highs, high[token]);
                    dots[token][v] = i32x4_add(dots[token][v], i32x4_add(a, b));
                }
            }
        }
    }
    dots
}

/// Four activations, twice, in 16 bits.
#[inline(always)]
fn group(four: i32) -> v128 {
    i16x8_extend_low_i8x16(i32x4_splat(four))
}

/// Adds a block's dots to the sums from `row` on, four rows at a time.
#[inline(always)]
fn add<const V: usize>(
    sums: &mut Sums,
    dots: &[v128; V],
    scales: &[u16; TILE],
    row: usize,
    scale: f32,
    offset: i32,
) {
    let (scale, offset) = (f32x4_splat(scale), i32x4_splat(offset));
    for (four, dots) in dots.as_chunks::<2>().0.iter().enumerate() {
        let row = row + 4 * four;
        let even = i32x4_shuffle::<0, 2, 4, 6>(dots[0], dots[1]);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(dots[0], dots[1]);
        let dot = i32x4_add(i32x4_add(even, odd), offset);
        // SAFETY: four sums and four scales from `row` on are inside of both arrays of 16.
        unsafe {
            let weights = floats(u32x4_load_extend_u16x4(scales.as_ptr().add(row)));
            let place = sums.as_mut_ptr().add(row).cast::<v128>();
            let product = f32x4_mul(f32x4_convert_i32x4(dot), f32x4_mul(weights, scale));
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
