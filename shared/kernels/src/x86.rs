//! AVX2, and AVX-512 with VNNI, chosen by what the processor has.
#![allow(unsafe_code)]

pub(crate) mod attend;

use std::arch::x86_64::*;

use crate::{Activations, BLOCK, Bits, Quantized, Sums, TILE, TOKENS, plain};

/// Groups of four columns in a block.
const GROUPS: usize = BLOCK / 4;
static EMPTY: [i32; GROUPS] = [0; GROUPS];

/// Calls a kernel with the number of tokens as a constant, so that sums stay in registers.
macro_rules! by_tokens {
    ($kernel:ident::<$bits:literal>($input:expr, $count:expr, $sums:expr)) => {
        match $count {
            1 => $kernel::<$bits, 1>($input, $sums),
            2 => $kernel::<$bits, 2>($input, $sums),
            3 => $kernel::<$bits, 3>($input, $sums),
            4 => $kernel::<$bits, 4>($input, $sums),
            5 => $kernel::<$bits, 5>($input, $sums),
            6 => $kernel::<$bits, 6>($input, $sums),
            7 => $kernel::<$bits, 7>($input, $sums),
            _ => $kernel::<$bits, TOKENS>($input, $sums),
        }
    };
}
/// As [`plain::integer_tile`]; false where the processor has none of the instructions.
pub(crate) fn integer_tile(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    count: usize,
    sums: &mut [Sums],
) -> bool {
    let input = Input {
        w: w.tile(tile),
        x,
        first: first * (w.columns / BLOCK),
        blocks: w.columns / BLOCK,
    };
    let (newer, older) = (has_vnni(), has_avx2());
    // SAFETY: the features were detected.
    unsafe {
        match (w.bits, newer, older) {
            (Bits::Eight, true, _) => by_tokens!(vnni::<8>(&input, count, sums)),
            (Bits::Four, true, _) => by_tokens!(vnni::<4>(&input, count, sums)),
            (Bits::Eight, _, true) => avx2::<8>(&input, count, sums),
            (Bits::Four, _, true) => avx2::<4>(&input, count, sums),
            _ => return false,
        }
    }
    true
}

/// As [`plain::float_tile`]; false where the processor has none of the instructions.
pub(crate) fn float_tile(w: &Quantized<'_>, tile: usize, x: &[f32], sums: &mut Sums) -> bool {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
    fn avx512(w: &Quantized<'_>, tile: usize, x: &[f32], sums: &mut Sums) {
        plain::float_tile(w, tile, x, sums);
    }
    #[target_feature(enable = "avx2,f16c")]
    fn avx2(w: &Quantized<'_>, tile: usize, x: &[f32], sums: &mut Sums) {
        plain::float_tile(w, tile, x, sums);
    }
    // SAFETY: the features were detected.
    unsafe {
        if has_vnni() {
            avx512(w, tile, x, sums);
        } else if has_avx2() {
            avx2(w, tile, x, sums);
        } else {
            return false;
        }
    }
    true
}

pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

pub(crate) fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// What a kernel reads.
struct Input<'a> {
    /// Words and scales of the tile.
    w: (&'a [u32], &'a [u16]),
    x: &'a Activations,
    /// The first token's first block in `x`.
    first: usize,
    blocks: usize,
}

impl Input<'_> {
    /// Integers, scale and sum of a block of a token.
    #[inline(always)]
    fn block(&self, token: usize, block: usize) -> (&[i32; GROUPS], f32, i32) {
        let at = self.first + token * self.blocks + block;
        (&self.x.quants[at], self.x.scales[at], self.x.sums[at])
    }
}

/// A lane is a row. `vpdpbusd` multiplies unsigned weights with signed activations: 8-bit weights are
/// taken as 128 more than they are, 4-bit ones are stored as 8 more, and the sum of the activations
/// takes that off again.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn vnni<const BITS: usize, const T: usize>(input: &Input<'_>, sums: &mut [Sums]) {
    let (words, scales) = input.w;
    let blocks = words.as_chunks::<TILE>().0.as_chunks::<BITS>().0;
    let mut totals = [_mm512_setzero_ps(); T];
    for (block, (words, scales)) in blocks.iter().zip(scales.as_chunks::<TILE>().0).enumerate() {
        // Loops and not `map`: its closures are not compiled into this function.
        let mut x = [&EMPTY; T];
        let mut factors = [0.0; T];
        let mut dots = [_mm512_setzero_si512(); T];
        for token in 0..T {
            let (quants, scale, sum) = input.block(token, block);
            (x[token], factors[token]) = (quants, scale);
            dots[token] = _mm512_set1_epi32(if BITS == 8 { -128 * sum } else { -8 * sum });
        }
        for (word, words) in words.iter().enumerate() {
            // SAFETY: 16 words are 64 bytes.
            let w = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            if BITS == 8 {
                let w = _mm512_xor_si512(w, _mm512_set1_epi8(-128));
                for (dot, quants) in dots.iter_mut().zip(x) {
                    *dot = _mm512_dpbusd_epi32(*dot, w, _mm512_set1_epi32(quants[word]));
                }
            } else {
                let mask = _mm512_set1_epi8(15);
                let low = _mm512_and_si512(w, mask);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(w), mask);
                for (dot, quants) in dots.iter_mut().zip(x) {
                    let (a, b) = (quants[word], quants[word + GROUPS / 2]);
                    *dot = _mm512_dpbusd_epi32(*dot, low, _mm512_set1_epi32(a));
                    *dot = _mm512_dpbusd_epi32(*dot, high, _mm512_set1_epi32(b));
                }
            }
        }
        // SAFETY: 16 scales are 32 bytes.
        let scales = unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) };
        let scales = _mm512_cvtph_ps(scales);
        for token in 0..T {
            let scale = _mm512_mul_ps(scales, _mm512_set1_ps(factors[token]));
            totals[token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[token]), scale, totals[token]);
        }
    }
    for (sums, total) in sums.iter_mut().zip(totals) {
        // SAFETY: 16 sums are 64 bytes.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), total) };
    }
}

/// Two halves of eight rows. `vpmaddubsw` adds pairs in 16 bits: with 8-bit weights it takes the
/// activations' sizes as unsigned and their signs into the weights, with 4-bit ones the weights as
/// they are stored.
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2<const BITS: usize>(input: &Input<'_>, count: usize, sums: &mut [Sums]) {
    for (token, sums) in sums[..count].iter_mut().enumerate() {
        let mut totals = [_mm256_setzero_ps(); 2];
        let (words, scales) = input.w;
        let words = words.chunks_exact(TILE * BITS);
        for (block, (words, scales)) in words.zip(scales.chunks_exact(TILE)).enumerate() {
            let (quants, scale, sum) = input.block(token, block);
            let offset = if BITS == 8 { 0 } else { -8 * sum };
            let mut dots = [_mm256_set1_epi32(offset); 2];
            for (word, words) in words.chunks_exact(TILE).enumerate() {
                for (dot, words) in dots.iter_mut().zip(words.chunks_exact(TILE / 2)) {
                    // SAFETY: 8 words are 32 bytes.
                    let w = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
                    let pairs = if BITS == 8 {
                        let x = _mm256_set1_epi32(quants[word]);
                        _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x))
                    } else {
                        let mask = _mm256_set1_epi8(15);
                        let low = _mm256_and_si256(w, mask);
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(w), mask);
                        let x = [word, word + GROUPS / 2];
                        let x = x.map(|g| _mm256_set1_epi32(quants[g]));
                        let (a, b) = (
                            _mm256_maddubs_epi16(low, x[0]),
                            _mm256_maddubs_epi16(high, x[1]),
                        );
                        // At most 4 * 15 * 127: no overflow.
                        _mm256_add_epi16(a, b)
                    };
                    let four = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                    *dot = _mm256_add_epi32(*dot, four);
                }
            }
            for ((total, dot), scales) in totals
                .iter_mut()
                .zip(dots)
                .zip(scales.chunks_exact(TILE / 2))
            {
                // SAFETY: 8 scales are 16 bytes.
                let scales = unsafe { _mm_loadu_si128(scales.as_ptr().cast()) };
                let scale = _mm256_mul_ps(_mm256_cvtph_ps(scales), _mm256_set1_ps(scale));
                *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, *total);
            }
        }
        for (sums, total) in sums.chunks_exact_mut(TILE / 2).zip(totals) {
            // SAFETY: 8 sums are 32 bytes.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), total) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Case;
    use proptest::prelude::*;

    proptest! {
        /// The older instructions too, whichever the processor would choose.
        #[test]
        fn avx2_agrees_too(case in Case::any()) {
            if !has_avx2() {
                return Ok(());
            }
            let w = case.quantized();
            let x = case.activations();
            for tile in 0..w.tiles() {
                let input = Input { w: w.tile(tile), x: &x, first: 0, blocks: w.columns / BLOCK };
                let count = x.tokens().min(TOKENS);
                let mut sums = [[f32::NAN; TILE]; TOKENS];
                // SAFETY: the features were detected.
                unsafe {
                    match w.bits {
                        Bits::Eight => avx2::<8>(&input, count, &mut sums),
                        Bits::Four => avx2::<4>(&input, count, &mut sums),
                    }
                }
                case.check_tile(tile, &sums[..count]);
            }
        }
    }
}
