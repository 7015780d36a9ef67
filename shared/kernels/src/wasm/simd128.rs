//! SIMD128 multiplies numbers of 16 bits and adds up pairs of products: a vector of weights has two rows.

use std::arch::wasm32::*;

use super::{Dot, GROUPS};
use crate::TILE;

pub(super) struct Pairs;

impl Dot for Pairs {
    const IN_PLACE: bool = false;

    #[inline(always)]
    fn dots<const BITS: usize, const T: usize, const V: usize>(
        words: &[[u32; TILE]; BITS],
        vector: usize,
        quants: &[&[i32; GROUPS]; T],
    ) -> [[v128; V]; T] {
        // Two sums for each of two rows, twice.
        let mut sums = [[[i32x4_splat(0); 2]; V]; T];
        for (word, words) in words.iter().enumerate() {
            let low = quants.map(|quants| widen(quants[word]));
            let high = quants.map(|quants| match BITS {
                4 => widen(quants[word + GROUPS / 2]),
                _ => i32x4_splat(0),
            });
            for v in 0..V {
                for half in 0..2 {
                    // SAFETY: two words, of 16, are 8 bytes.
                    let pair = unsafe { words.as_ptr().add(4 * (vector + v) + 2 * half) };
                    if BITS == 8 {
                        // SAFETY: as above.
                        let w = unsafe { i16x8_load_extend_i8x8(pair.cast()) };
                        for token in 0..T {
                            let sum = &mut sums[token][v][half];
                            *sum = i32x4_add(*sum, i32x4_dot_i16x8(w, low[token]));
                        }
                    } else {
                        // SAFETY: as above.
                        let w = unsafe { i16x8_load_extend_u8x8(pair.cast()) };
                        let (lows, highs) = (v128_and(w, i16x8_splat(15)), u16x8_shr(w, 4));
                        for token in 0..T {
                            let a = i32x4_dot_i16x8(lows, low[token]);
                            let b = i32x4_dot_i16x8(highs, high[token]);
                            let sum = &mut sums[token][v][half];
                            *sum = i32x4_add(*sum, i32x4_add(a, b));
                        }
                    }
                }
            }
        }
        sums.map(|sums| {
            sums.map(|[first, second]| {
                let even = i32x4_shuffle::<0, 2, 4, 6>(first, second);
                let odd = i32x4_shuffle::<1, 3, 5, 7>(first, second);
                i32x4_add(even, odd)
            })
        })
    }
}

/// Four activations, twice, in 16 bits.
#[inline(always)]
fn widen(four: i32) -> v128 {
    i16x8_extend_low_i8x16(i32x4_splat(four))
}
