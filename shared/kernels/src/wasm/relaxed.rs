//! Relaxed SIMD: the processor's own dot product of bytes where it has one. A vector of weights has four rows.
//!
//! That product may do one thing or another where its second factor is above 127. Here it never is, so that sums are the
//! same everywhere, and those of [`super::simd128`].

use std::arch::wasm32::*;

use super::{Dot, GROUPS};
use crate::TILE;

/// Whether the dot product is one instruction, as on ARM since 2018 and on x86 with AVX-VNNI. Elsewhere pairs of products
/// are added up in 16 bits, which shows where they have no room.
pub(super) fn is_one_instruction() -> bool {
    let dot = |a, b| {
        let dot = i32x4_relaxed_dot_i8x16_i7x16_add(i8x16_splat(a), i8x16_splat(b), i32x4_splat(0));
        i32x4_extract_lane::<0>(dot)
    };
    match dot(127, -1) {
        // The second factor has a sign, as on ARM.
        -508 => dot(-128, -128) == 4 * 128 * 128,
        product => product == 4 * 127 * 255,
    }
}

pub(super) struct Bytes;

impl Dot for Bytes {
    const IN_PLACE: bool = true;

    #[inline(always)]
    fn dots<const BITS: usize, const T: usize, const V: usize>(
        words: &[[u32; TILE]; BITS],
        vector: usize,
        quants: &[&[i32; GROUPS]; T],
    ) -> [[v128; V]; T] {
        match BITS {
            4 => without_sign(words, vector, quants),
            _ => with_sign(words, vector, quants),
        }
    }
}

/// Weights of 4 bits have no sign, and are the second factors.
#[inline(always)]
fn without_sign<const BITS: usize, const T: usize, const V: usize>(
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
fn with_sign<const BITS: usize, const T: usize, const V: usize>(
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
