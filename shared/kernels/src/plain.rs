//! Every kernel in portable Rust: what runs where there is no SIMD, and what SIMD is tested against.

use half::f16;

use crate::{Activations, BLOCK, Bits, Quantized, Sums, TILE};

/// Sums of a tile's rows for `count` tokens from `first` on.
pub(crate) fn integer_tile(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    count: usize,
    sums: &mut [Sums],
) {
    let blocks = w.columns / BLOCK;
    for (token, sums) in sums[..count].iter_mut().enumerate() {
        let at = (first + token) * blocks;
        *sums = [0.0; TILE];
        for (block, (words, scales)) in blocks_of(w, tile).enumerate() {
            let quants = &x.integers(at + block);
            let scale = x.scales[at + block];
            let mut dots = [0i32; TILE];
            for (group, words) in words.chunks_exact(TILE).enumerate() {
                for (dot, word) in dots.iter_mut().zip(words) {
                    *dot += integer_dot(word.to_le_bytes(), group, quants, w.bits);
                }
            }
            for ((sum, dot), s) in sums.iter_mut().zip(dots).zip(scales) {
                *sum += dot as f32 * (f16::from_bits(*s).to_f32() * scale);
            }
        }
    }
}

/// Words and scales of a tile, block by block.
fn blocks_of<'a>(w: &Quantized<'a>, tile: usize) -> impl Iterator<Item = (&'a [u32], &'a [u16])> {
    let (words, scales) = w.tile(tile);
    words
        .chunks_exact(TILE * w.bits.words())
        .zip(scales.chunks_exact(TILE))
}

#[inline(always)]
fn integer_dot(bytes: [u8; 4], group: usize, x: &[i8], bits: Bits) -> i32 {
    let mut dot = 0;
    for (i, byte) in bytes.into_iter().enumerate() {
        let x = |at: usize| i32::from(x[at]);
        dot += match bits {
            Bits::Eight => i32::from(byte as i8) * x(4 * group + i),
            Bits::Four => {
                (i32::from(byte & 15) - 8) * x(4 * group + i)
                    + (i32::from(byte >> 4) - 8) * x(4 * group + i + BLOCK / 2)
            }
        };
    }
    dot
}

/// Sums of a tile's rows for one token.
#[inline(always)]
pub(crate) fn float_tile(w: &Quantized<'_>, tile: usize, x: &[f32], sums: &mut Sums) {
    *sums = [0.0; TILE];
    for ((words, scales), x) in blocks_of(w, tile).zip(x.chunks_exact(BLOCK)) {
        let mut dots = [0f32; TILE];
        for (group, words) in words.chunks_exact(TILE).enumerate() {
            match w.bits {
                Bits::Eight => {
                    for i in 0..4 {
                        let (x, up) = (x[4 * group + i], 24 - 8 * i as u32);
                        for (dot, word) in dots.iter_mut().zip(words) {
                            *dot += ((*word << up) as i32 >> 24) as f32 * x;
                        }
                    }
                }
                Bits::Four => {
                    for i in 0..8 {
                        let at = 4 * group + i / 2 + BLOCK / 2 * (i % 2);
                        let (x, down) = (x[at], 4 * i as u32);
                        for (dot, word) in dots.iter_mut().zip(words) {
                            *dot += (((*word >> down) & 15) as i32 - 8) as f32 * x;
                        }
                    }
                }
            }
        }
        for ((sum, dot), s) in sums.iter_mut().zip(dots).zip(scales) {
            *sum += dot * f16::from_bits(*s).to_f32();
        }
    }
}
