//! Attention of one position: scores of sixteen keys at once, and what of the values stays in registers.
//!
//! A text's rows are seldom in the nearest cache: other texts and all weights lie between two looks at them. So the next
//! rows are asked for while these are computed; the processor by itself does not guess where the next page is.
// Loops over heads and chunks are unrolled by their constant bounds, so that sums stay in registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use half::f16;

use crate::attend::lanes::Load;
use crate::attend::{Input, Number, heads};
use crate::vector::softmax;

/// Keys whose scores are made at once: as many as a vector has numbers.
const KEYS: usize = 16;
/// Query heads that are computed at once.
const HEADS: usize = 4;
/// Bytes of values up to which they are asked for with the keys: beyond, they would push each other out.
const NEAR: usize = 1 << 17;

impl Load<__m512> for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(at: *const Self) -> __m512 {
        // SAFETY: by the caller.
        unsafe { _mm512_loadu_ps(at) }
    }
}

impl Load<__m512> for f16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(at: *const Self) -> __m512 {
        // SAFETY: by the caller.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
    }
}

/// As [`crate::attend()`], of heads of whole sixteens.
///
/// # Safety
/// As for [`heads::attend`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
pub(crate) unsafe fn attend_512<N: Number>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let (width, positions) = (input.width, input.positions);
    let heads = queries
        .chunks(HEADS * width)
        .zip(out.chunks_mut(HEADS * width))
        .zip(scores.chunks_mut((HEADS * positions).max(1)));
    for ((queries, out), scores) in heads {
        // SAFETY: by the caller.
        unsafe {
            match queries.len() / width {
                1 => heads_512::<N, 1>(input, queries, scores, out),
                2 => heads_512::<N, 2>(input, queries, scores, out),
                3 => heads_512::<N, 3>(input, queries, scores, out),
                _ => heads_512::<N, HEADS>(input, queries, scores, out),
            }
        }
    }
}

/// As [`crate::attend()`].
///
/// # Safety
/// As for [`heads::attend`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn attend_256<N: Number>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    // SAFETY: by the caller.
    unsafe { heads::attend::<__m256, N>(input, queries, scores, out) }
}

impl<N> Input<'_, N> {
    /// Asks for `count` rows from `first` on; it does no harm if there are fewer.
    #[inline(always)]
    fn prefetch(&self, rows: &[N], first: usize, count: usize) {
        const LINE: usize = 64;
        let start = rows.as_ptr().wrapping_add(first * self.width).cast::<i8>();
        let bytes = count * self.width * size_of::<N>();
        for line in (0..bytes).step_by(LINE) {
            // SAFETY: an address that is asked for need not exist.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
        }
    }
}

/// `H` query heads.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
unsafe fn heads_512<N: Number, const H: usize>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    // SAFETY: `attend` checked the lengths.
    unsafe { scores_512::<N, H>(input, queries, scores) };
    softmax(&mut scores[..H * input.positions], input.positions);
    let chunks = input.width / 16;
    let mut chunk = 0;
    // SAFETY: as above.
    unsafe {
        while chunk + 4 <= chunks {
            means_512::<N, H, 4>(input, scores, chunk, out);
            chunk += 4;
        }
        if chunk + 2 <= chunks {
            means_512::<N, H, 2>(input, scores, chunk, out);
            chunk += 2;
        }
        if chunk < chunks {
            means_512::<N, H, 1>(input, scores, chunk, out);
        }
    }
}

/// Scores `[H, positions]`. A key's does not depend on which others are computed with it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
unsafe fn scores_512<N: Number, const H: usize>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
) {
    let [keys, values] = input.rows;
    let (width, scale) = (input.width, _mm512_set1_ps(input.scale));
    let values_too = input.positions * width * size_of::<N>() <= NEAR;
    let mut position = 0;
    for (i, run) in input.runs.iter().enumerate() {
        for first in run.clone().step_by(KEYS) {
            let count = KEYS.min(run.end - first);
            let next = match first + KEYS < run.end {
                true => first + KEYS,
                false => input.runs.get(i + 1).map_or(first, |next| next.start),
            };
            input.prefetch(keys, next, KEYS);
            if values_too {
                input.prefetch(values, first, KEYS);
            }
            // Sums of each fourth product: of four keys in a vector, four vectors a head.
            let mut quarters = [[_mm512_setzero_ps(); 4]; H];
            for four in 0..4 {
                let mut sums = [[_mm512_setzero_ps(); 4]; H];
                // Behind the last key it is taken again.
                let mut rows = [keys.as_ptr(); 4];
                for key in 0..4 {
                    let row = first + (4 * four + key).min(count - 1);
                    rows[key] = keys.as_ptr().wrapping_add(row * width);
                }
                for at in (0..width).step_by(16) {
                    let mut x = [_mm512_setzero_ps(); H];
                    for head in 0..H {
                        // SAFETY: a query has `width` numbers, in whole sixteens.
                        x[head] =
                            unsafe { _mm512_loadu_ps(queries.as_ptr().add(head * width + at)) };
                    }
                    for key in 0..4 {
                        // SAFETY: so has a key.
                        let key_numbers = unsafe { <N as Load<__m512>>::load(rows[key].add(at)) };
                        for head in 0..H {
                            sums[head][key] =
                                _mm512_fmadd_ps(x[head], key_numbers, sums[head][key]);
                        }
                    }
                }
                for head in 0..H {
                    quarters[head][four] = fold_four(sums[head]);
                }
            }
            let kept = u16::MAX >> (KEYS - count);
            for head in 0..H {
                let found = _mm512_mul_ps(fold_sixteen(quarters[head]), scale);
                // SAFETY: there is room for the scores of `count` keys.
                unsafe {
                    let place = scores.as_mut_ptr().add(head * input.positions + position);
                    _mm512_mask_storeu_ps(place, kept, found);
                }
            }
            position += count;
        }
    }
}

/// Four vectors to one: each 128 bits have a partial sum of each of the four.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn fold_four([a, b, c, d]: [__m512; 4]) -> __m512 {
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
    _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
}

/// Four of those to the sums of sixteen vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn fold_sixteen([a, b, c, d]: [__m512; 4]) -> __m512 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn fold(x: __m512, y: __m512) -> __m512 {
        let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(x, y);
        let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(x, y);
        _mm512_add_ps(even, odd)
    }
    fold(fold(a, b), fold(c, d))
}

/// `C` times sixteen numbers of each head's weighted mean.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
unsafe fn means_512<N: Number, const H: usize, const C: usize>(
    input: &Input<'_, N>,
    weights: &[f32],
    chunk: usize,
    out: &mut [f32],
) {
    let [_, values] = input.rows;
    let (width, positions) = (input.width, input.positions);
    let mut sums = [[_mm512_setzero_ps(); C]; H];
    let mut position = 0;
    for (i, run) in input.runs.iter().enumerate() {
        if let Some(next) = input.runs.get(i + 1) {
            input.prefetch(values, next.start, next.len().min(KEYS));
        }
        for row in run.clone() {
            let mut numbers = [_mm512_setzero_ps(); C];
            for c in 0..C {
                let at = row * width + 16 * (chunk + c);
                // SAFETY: `attend` checked that all rows are there.
                numbers[c] = unsafe { <N as Load<__m512>>::load(values.as_ptr().add(at)) };
            }
            for head in 0..H {
                let weight = _mm512_set1_ps(weights[head * positions + position]);
                for c in 0..C {
                    sums[head][c] = _mm512_fmadd_ps(weight, numbers[c], sums[head][c]);
                }
            }
            position += 1;
        }
    }
    for head in 0..H {
        for c in 0..C {
            let place = &mut out[head * width + 16 * (chunk + c)..][..16];
            // SAFETY: there is room for sixteen.
            unsafe { _mm512_storeu_ps(place.as_mut_ptr(), sums[head][c]) };
        }
    }
}
