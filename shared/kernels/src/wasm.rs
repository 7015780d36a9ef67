//! SIMD128: sixteen rows are eight vectors of two rows each.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use half::f16;

use crate::{Activations, BLOCK, Bits, Quantized, Sums, TILE, TOKENS};

/// Vectors of partial sums: two rows in each, two sums a row.
const VECTORS: usize = TILE / 2;

/// As [`crate::plain::integer_tile`].
pub(crate) fn integer_tile(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    count: usize,
    sums: &mut [Sums],
) {
    match (w.bits, count) {
        (Bits::Eight, 1) => run::<8, 1>(w, tile, x, first, sums),
        (Bits::Eight, 2) => run::<8, 2>(w, tile, x, first, sums),
        (Bits::Eight, 3) => run::<8, 3>(w, tile, x, first, sums),
        (Bits::Eight, _) => run::<8, TOKENS>(w, tile, x, first, sums),
        (Bits::Four, 1) => run::<4, 1>(w, tile, x, first, sums),
        (Bits::Four, 2) => run::<4, 2>(w, tile, x, first, sums),
        (Bits::Four, 3) => run::<4, 3>(w, tile, x, first, sums),
        (Bits::Four, _) => run::<4, TOKENS>(w, tile, x, first, sums),
    }
}

fn run<const BITS: usize, const T: usize>(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) {
    let blocks = w.columns / BLOCK;
    let (words, scales) = w.tile(tile);
    let words = words.chunks_exact(TILE * BITS);
    sums[..T].fill([0.0; TILE]);
    for (block, (words, scales)) in words.zip(scales.chunks_exact(TILE)).enumerate() {
        let at: [usize; T] = std::array::from_fn(|token| (first + token) * blocks + block);
        let mut dots = [[i32x4_splat(0); VECTORS]; T];
        for (word, words) in words.chunks_exact(TILE).enumerate() {
            let groups = at.map(|at| &x.quants[at]);
            match BITS {
                8 => eight(words, groups.map(|x| group(x, word)), &mut dots),
                _ => {
                    let low = groups.map(|x| group(x, word));
                    let high = groups.map(|x| group(x, word + BLOCK / 8));
                    four(words, low, high, &mut dots);
                }
            }
        }
        let scales: [f32; TILE] = std::array::from_fn(|row| f16::from_bits(scales[row]).to_f32());
        for ((sums, dots), at) in sums.iter_mut().zip(dots).zip(at) {
            let offset = if BITS == 8 { 0 } else { -8 * x.sums[at] };
            add(sums, dots, &scales, x.scales[at], offset);
        }
    }
}

/// Four activations, twice, in 16 bits.
#[inline(always)]
fn group(x: &[i32; BLOCK / 4], group: usize) -> v128 {
    i16x8_extend_low_i8x16(i32x4_splat(x[group]))
}

#[inline(always)]
fn eight<const T: usize>(words: &[u32], x: [v128; T], dots: &mut [[v128; VECTORS]; T]) {
    for (vector, pair) in words.chunks_exact(2).enumerate() {
        // SAFETY: two words are 8 bytes.
        let w = unsafe { i16x8_load_extend_i8x8(pair.as_ptr().cast()) };
        for (dots, x) in dots.iter_mut().zip(x) {
            dots[vector] = i32x4_add(dots[vector], i32x4_dot_i16x8(w, x));
        }
    }
}

#[inline(always)]
fn four<const T: usize>(
    words: &[u32],
    low: [v128; T],
    high: [v128; T],
    dots: &mut [[v128; VECTORS]; T],
) {
    for (vector, pair) in words.chunks_exact(2).enumerate() {
        // SAFETY: two words are 8 bytes.
        let w = unsafe { u16x8_load_extend_u8x8(pair.as_ptr().cast()) };
        let lows = v128_and(w, i16x8_splat(15));
        let highs = u16x8_shr(w, 4);
        for ((dots, low), high) in dots.iter_mut().zip(low).zip(high) {
            let both = i32x4_add(i32x4_dot_i16x8(lows, low), i32x4_dot_i16x8(highs, high));
            dots[vector] = i32x4_add(dots[vector], both);
        }
    }
}

/// Adds a block's dots to the sums, four rows at a time.
#[inline(always)]
fn add(sums: &mut Sums, dots: [v128; VECTORS], weights: &[f32; TILE], scale: f32, offset: i32) {
    let (scale, offset) = (f32x4_splat(scale), i32x4_splat(offset));
    for (four, dots) in dots.chunks_exact(2).enumerate() {
        let even = i32x4_shuffle::<0, 2, 4, 6>(dots[0], dots[1]);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(dots[0], dots[1]);
        let dot = i32x4_add(i32x4_add(even, odd), offset);
        // SAFETY: four f32 from `4 * four` on are inside of both arrays.
        unsafe {
            let weights = v128_load(weights.as_ptr().add(4 * four).cast());
            let place = sums.as_mut_ptr().add(4 * four).cast::<v128>();
            let product = f32x4_mul(f32x4_convert_i32x4(dot), f32x4_mul(weights, scale));
            v128_store(place, f32x4_add(v128_load(place), product));
        }
    }
}
