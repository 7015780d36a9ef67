//! Attention of one position over keys and values in `f32` or `f16`.
//!
//! `x86::attend` is its twin for AVX-512.

use std::ops::Range;

use half::f16;

use crate::multiversion;
use crate::vector::{LANES, exp, max, sum, total};
#[cfg(target_arch = "x86_64")]
use crate::x86::attend::Load;

/// What keys and values are kept as.
pub trait Number: Load + Send + Sync + 'static {
    /// The number as `f32`.
    fn value(self) -> f32;

    /// [`attend`] without instructions of one processor alone.
    #[doc(hidden)]
    fn attend(
        queries: &[f32],
        rows: [&[Self]; 2],
        runs: &[Range<usize>],
        shape: (usize, f32),
        scores: &mut [f32],
        out: &mut [f32],
    );
}

/// How numbers get into registers, where a processor has kernels of its own: this one has none.
#[doc(hidden)]
#[cfg(not(target_arch = "x86_64"))]
pub trait Load: Copy {}
#[cfg(not(target_arch = "x86_64"))]
impl Load for f32 {}
#[cfg(not(target_arch = "x86_64"))]
impl Load for f16 {}

impl Number for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    fn attend(
        queries: &[f32],
        rows: [&[f32]; 2],
        runs: &[Range<usize>],
        shape: (usize, f32),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        attend_f32(queries, rows, runs, shape, scores, out);
    }
}

impl Number for f16 {
    /// In plain steps, which vectorize everywhere: the bits as those of an `f32` are the number over 2^112.
    #[inline(always)]
    fn value(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
        // Infinity and NaN have the largest exponent there too.
        let special = if bits & 0x7c00 == 0x7c00 {
            0x7f80_0000
        } else {
            0
        };
        f32::from_bits(size.to_bits() | special | (bits & 0x8000) << 16)
    }

    fn attend(
        queries: &[f32],
        rows: [&[f16]; 2],
        runs: &[Range<usize>],
        shape: (usize, f32),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        attend_f16(queries, rows, runs, shape, scores, out);
    }
}

multiversion! {
    fn attend_f32(
        queries: &[f32],
        rows: [&[f32]; 2],
        runs: &[Range<usize>],
        shape: (usize, f32),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        attend_in_loops(queries, rows, runs, shape, scores, out);
    }
}

multiversion! {
    fn attend_f16(
        queries: &[f32],
        rows: [&[f16]; 2],
        runs: &[Range<usize>],
        shape: (usize, f32),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        attend_in_loops(queries, rows, runs, shape, scores, out);
    }
}

/// Attention of the query heads that share one key head, for one position: softmax of `scale *
/// query · key`, then the values' mean by it. `queries` and `out` are `[heads, width]`, `rows` keys and values
/// `[all, width]`, of which the positions are those of `runs`, in their order; `scores` is room for
/// `heads * positions` numbers.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn attend<N: Number>(
    queries: &[f32],
    rows: [&[N]; 2],
    runs: &[Range<usize>],
    width: usize,
    scale: f32,
    scores: &mut [f32],
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if crate::x86::attend::attend(queries, rows, runs, width, scale, scores, out) {
        return;
    }
    N::attend(queries, rows, runs, (width, scale), scores, out);
}

#[inline(always)]
fn attend_in_loops<N: Number>(
    queries: &[f32],
    [keys, values]: [&[N]; 2],
    runs: &[Range<usize>],
    (width, scale): (usize, f32),
    scores: &mut [f32],
    out: &mut [f32],
) {
    let positions: usize = runs.iter().map(ExactSizeIterator::len).sum();
    let mut position = 0;
    for run in runs {
        let keys = &keys[run.start * width..run.end * width];
        let scores = &mut scores[position..];
        score(queries, keys, (width, scale), positions, scores);
        position += run.len();
    }
    let heads = queries.len() / width;
    for scores in scores[..heads * positions].chunks_exact_mut(positions.max(1)) {
        softmax(scores);
    }
    for (head, out) in out.chunks_exact_mut(width).enumerate() {
        let weights = &scores[head * positions..][..positions];
        let mut at = 0;
        while at + 2 * LANES <= width {
            weighted_mean::<N, { 2 * LANES }>(weights, values, runs, width, at, out);
            at += 2 * LANES;
        }
        while at + 4 <= width {
            weighted_mean::<N, 4>(weights, values, runs, width, at, out);
            at += 4;
        }
        while at < width {
            weighted_mean::<N, 1>(weights, values, runs, width, at, out);
            at += 1;
        }
    }
}

/// The softmax of scores, in place.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32]) {
    let top = max(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - top);
    }
    let inverse = 1.0 / sum(scores);
    for score in scores.iter_mut() {
        *score *= inverse;
    }
}

/// The sum of products with numbers of another kind.
#[inline(always)]
fn dot<N: Number>(a: &[f32], b: &[N]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b.value();
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b.value());
    total(lanes) + rest.sum::<f32>()
}

/// Scores of a run of keys; those of a head are `positions` apart.
#[inline(always)]
fn score<N: Number>(
    queries: &[f32],
    keys: &[N],
    (width, scale): (usize, f32),
    positions: usize,
    scores: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    let dots = crate::x86::attend::dots::<N>();
    #[cfg(target_arch = "x86_64")]
    let done = dots.map_or(0, |dots| {
        let fours = keys.chunks_exact(4 * width).enumerate();
        for (i, four) in fours {
            for (head, query) in queries.chunks_exact(width).enumerate() {
                let found = (dots.four)(query, four).map(|sum| scale * sum);
                scores[head * positions + 4 * i..][..4].copy_from_slice(&found);
            }
        }
        keys.len() / (4 * width) * 4
    });
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    // A key is read once for all heads.
    for (i, key) in keys.chunks_exact(width).enumerate().skip(done) {
        for (head, query) in queries.chunks_exact(width).enumerate() {
            #[cfg(target_arch = "x86_64")]
            let sum = dots.map_or_else(|| dot(query, key), |dots| (dots.one)(query, key));
            #[cfg(not(target_arch = "x86_64"))]
            let sum = dot(query, key);
            scores[head * positions + i] = scale * sum;
        }
    }
}

/// `C` numbers of the weighted mean from `at` on: as many as stay in registers.
#[inline(always)]
fn weighted_mean<N: Number, const C: usize>(
    weights: &[f32],
    values: &[N],
    runs: &[Range<usize>],
    width: usize,
    at: usize,
    out: &mut [f32],
) {
    let mut sums = [0f32; C];
    let mut rest = weights;
    for run in runs {
        let (weights, after) = rest.split_at(run.len());
        rest = after;
        let values = values[run.start * width..run.end * width].chunks_exact(width);
        for (weight, value) in weights.iter().zip(values) {
            for (sum, value) in sums.iter_mut().zip(&value[at..at + C]) {
                *sum += weight * value.value();
            }
        }
    }
    out[at..at + C].copy_from_slice(&sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Heads, of which some share keys, and what they see, in whole pieces of the same rows.
    #[derive(Debug, Clone)]
    struct Case {
        width: usize,
        heads: usize,
        positions: usize,
        queries: Vec<f32>,
        keys: Vec<f32>,
        values: Vec<f32>,
        cuts: [usize; 2],
    }

    impl Case {
        fn any() -> impl Strategy<Value = Self> {
            let widths = prop_oneof![1usize..40, (1usize..9).prop_map(|n| 16 * n)];
            (widths, 1usize..10, 1usize..50).prop_flat_map(|(width, heads, positions)| {
                let numbers = |count| proptest::collection::vec(-4f32..4.0, count);
                let cut = || 0..=positions;
                let (rows, queries) = (positions * width, heads * width);
                (numbers(queries), numbers(rows), numbers(rows), cut(), cut()).prop_map(
                    move |(queries, keys, values, a, b)| Self {
                        width,
                        heads,
                        positions,
                        queries,
                        keys,
                        values,
                        cuts: [a.min(b), a.max(b)],
                    },
                )
            })
        }

        fn attend<N: Number>(&self, rows: [&[N]; 2], runs: &[Range<usize>]) -> Vec<f32> {
            let mut scores = vec![f32::NAN; self.heads * self.positions];
            let mut out = vec![f32::NAN; self.heads * self.width];
            attend(
                &self.queries,
                rows,
                runs,
                self.width,
                0.3,
                &mut scores,
                &mut out,
            );
            out
        }

        fn check(&self, out: &[f32], tolerance: f64) -> Result<(), TestCaseError> {
            let width = self.width;
            for (query, out) in self.queries.chunks(width).zip(out.chunks(width)) {
                let score = |key: &[f32]| {
                    let dot = key
                        .iter()
                        .zip(query)
                        .map(|(k, q)| f64::from(k * q))
                        .sum::<f64>();
                    0.3 * dot
                };
                let scores: Vec<f64> = self.keys.chunks(width).map(score).collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (i, out) in out.iter().enumerate() {
                    let column = self.values.chunks(width).map(|value| f64::from(value[i]));
                    let mean = column.zip(&weights).map(|(v, w)| v * w).sum::<f64>() / total;
                    prop_assert!((f64::from(*out) - mean).abs() < tolerance, "{out} {mean}");
                }
            }
            Ok(())
        }

        /// All kernels that there are, in one run and in several, which must be equal to the last bit.
        fn check_all<N: Number>(
            &self,
            rows: [&[N]; 2],
            tolerance: f64,
        ) -> Result<(), TestCaseError> {
            let [a, b] = self.cuts;
            let pieces = [0..a, a..b, b..self.positions];
            let whole = [0..self.positions, 0..0];
            let out = self.attend(rows, &whole);
            self.check(&out, tolerance)?;
            prop_assert_eq!(&out, &self.attend(rows, &pieces));
            let shape = (self.width, 0.3);
            let mut scores = vec![f32::NAN; self.heads * self.positions];
            let mut twin = vec![f32::NAN; out.len()];
            N::attend(&self.queries, rows, &whole, shape, &mut scores, &mut twin);
            self.check(&twin, tolerance)?;
            attend_in_loops(&self.queries, rows, &whole, shape, &mut scores, &mut twin);
            self.check(&twin, tolerance)?;
            let first = twin.clone();
            attend_in_loops(&self.queries, rows, &pieces, shape, &mut scores, &mut twin);
            prop_assert_eq!(first, twin);
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn it_is_a_weighted_mean(case in Case::any()) {
            case.check_all([&case.keys, &case.values], 1e-3)?;
        }

        /// Of the numbers that halves are, not of those that they were made from.
        #[test]
        fn halves_are_numbers_too(case in Case::any()) {
            let halved = |numbers: &[f32]| -> Vec<f16> {
                numbers.iter().map(|number| f16::from_f32(*number)).collect()
            };
            let rows = [halved(&case.keys), halved(&case.values)];
            let [keys, values] = rows.each_ref().map(|rows| {
                rows.iter().map(|number| number.to_f32()).collect::<Vec<_>>()
            });
            let exact = Case { keys, values, ..case };
            exact.check_all([&rows[0], &rows[1]], 1e-3)?;
        }
    }

    #[test]
    fn every_half_is_its_number() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (ours, theirs) = (half.value(), half.to_f32());
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}: {ours} {theirs}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for width in [1, 16] {
            let mut keys = vec![1.0; 2 * width];
            keys[0] = f32::NAN;
            let (mut scores, mut out) = ([0.0; 2], vec![0.0; width]);
            let values = vec![1.0; 2 * width];
            let rows = [&*keys, &*values];
            attend(
                &vec![1.0; width],
                rows,
                &[0..1, 1..2],
                width,
                1.0,
                &mut scores,
                &mut out,
            );
            assert!(out.iter().all(|number| number.is_nan()));
        }
    }
}
