//! Relaxed SIMD: a vector has the sums of four rows, by the processor's own dot product of bytes where it has one.
//!
//! That product may do one thing or another where its second factor is above 127. Here it never is, so that sums are the
//! same everywhere, and those of [`super::run`].

use std::arch::wasm32::*;

use super::{EMPTY, GROUPS, floats};
use crate::{Activations, Quantized, Sums, TILE};

/// Whether the dot product is one instruction, as on ARM and on newer x86. Elsewhere pairs of products are added up in 16 bits, which
/// shows where they have no room.
pub(super) fn is_one_instruction() -> bool {
    let (all, most) = (i8x16_splat(-1), i8x16_splat(127));
    let dot = i32x4_relaxed_dot_i8x16_i7x16_add(most, all, i32x4_splat(0));
    let dot = i32x4_extract_lane::<0>(dot);
    // As bytes of either sign, which they are on ARM, or without one.
    dot == -4 * 127 || dot == 4 * 127 * 255
}

/// As [`super::run`], with four rows a vector.
pub(super) fn run<const BITS: usize, const T: usize, const V: usize>(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    sums: &mut [Sums],
) -> usize {
    let blocks = w.columns / crate::BLOCK;
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
            let dots = match BITS {
                4 => dots_4::<BITS, T, V>(words, vector, &quants),
                _ => dots_8::<BITS, T, V>(words, vector, &quants),
            };
            for token in 0..T {
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

/// Weights of 4 bits have no sign, and are the second factors.
#[inline(always)]
fn dots_4<const BITS: usize, const T: usize, const V: usize>(
    words: &[[u32; TILE]; BITS],
    vector: usize,
    quants: &[&[i32; GROUPS]; T],
) -> [[v128; V]; T] {
    let mut dots = [[i32x4_splat(0); V]; T];
    for (word, words) in words.iter().enumerate() {
        let low = quants.map(|quants| i32x4_splat(quants[word]));
        let high = quants.map(|quants| i32x4_splat(quants[word + GROUPS / 2]));
        for v in 0..V {
            let w = load(words, vector + v);
            let (lows, highs) = (v128_and(w, u8x16_splat(15)), u8x16_shr(w, 4));
            for token in 0..T {
                let dot = i32x4_relaxed_dot_i8x16_i7x16_add(low[token], lows, dots[token][v]);
                dots[token][v] = i32x4_relaxed_dot_i8x16_i7x16_add(high[token], highs, dot);
            }
        }
    }
    dots
}

/// Weights of 8 bits have a sign, and so have activations. These, which are -127 or more, are given as two numbers from 0
/// to 127 whose sum is 127 more.
#[inline(always)]
fn dots_8<const BITS: usize, const T: usize, const V: usize>(
    words: &[[u32; TILE]; BITS],
    vector: usize,
    quants: &[&[i32; GROUPS]; T],
) -> [[v128; V]; T] {
    let mut dots = [[i32x4_splat(0); V]; T];
    let mut weights = [i32x4_splat(0); V];
    let most = u8x16_splat(127);
    for (word, words) in words.iter().enumerate() {
        let raised = quants.map(|quants| i8x16_add(i32x4_splat(quants[word]), most));
        let first = raised.map(|raised| u8x16_min(raised, most));
        for v in 0..V {
            let w = load(words, vector + v);
            weights[v] = i32x4_relaxed_dot_i8x16_i7x16_add(w, u8x16_splat(1), weights[v]);
            for token in 0..T {
                let second = i8x16_sub(raised[token], first[token]);
                let dot = i32x4_relaxed_dot_i8x16_i7x16_add(w, first[token], dots[token][v]);
                dots[token][v] = i32x4_relaxed_dot_i8x16_i7x16_add(w, second, dot);
            }
        }
    }
    for dots in &mut dots {
        for v in 0..V {
            dots[v] = i32x4_sub(dots[v], i32x4_mul(weights[v], i32x4_splat(127)));
        }
    }
    dots
}

/// Words of four rows.
#[inline(always)]
fn load(words: &[u32; TILE], vector: usize) -> v128 {
    // SAFETY: there are sixteen.
    unsafe { v128_load(words.as_ptr().add(4 * vector).cast()) }
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
