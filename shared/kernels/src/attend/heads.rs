//! Attention of several query heads at once: a key or value is loaded once for all of them, and four keys' sums are added
//! up across their lanes together.
#![allow(unsafe_code)]
// Loops over heads and keys are unrolled by their constant bounds, so that sums stay in registers.
#![allow(clippy::needless_range_loop)]

use super::lanes::{Lanes, Load};
use super::{Input, Number};
use crate::vector::softmax;

/// Keys whose scores are made at once.
const KEYS: usize = 4;

/// As [`crate::attend()`].
///
/// # Safety
/// The processor has such vectors; all rows are there; `queries` and `out` are heads of `input.width`, `scores` one for each
/// head and position.
#[inline(always)]
pub(crate) unsafe fn attend<V: Lanes, N: Number + Load<V>>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) where
    f32: Load<V>,
{
    let (heads, width) = (queries.len() / input.width, input.width);
    let mut head = 0;
    while head < heads {
        let queries = &queries[head * width..];
        let scores = &mut scores[head * input.positions..];
        let out = &mut out[head * width..];
        // SAFETY: by the caller; there are so many heads more.
        unsafe {
            head += match heads - head {
                1 => attend_heads::<V, N, 1, 4>(input, queries, scores, out),
                4.. if V::HEADS == 4 => attend_heads::<V, N, 4, 4>(input, queries, scores, out),
                _ => attend_heads::<V, N, 2, 4>(input, queries, scores, out),
            };
        }
    }
}

/// The first `H` heads, with `C` vectors of values at once; returns `H`.
#[inline(always)]
unsafe fn attend_heads<V: Lanes, N: Number + Load<V>, const H: usize, const C: usize>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) -> usize
where
    f32: Load<V>,
{
    let scores = &mut scores[..H * input.positions];
    // SAFETY: by the caller.
    unsafe { score::<V, N, H>(input, queries, scores) };
    softmax(scores, input.positions);
    let mut at = 0;
    // SAFETY: by the caller; so many numbers more are in a row.
    unsafe {
        while at + C * V::COUNT <= input.width {
            means::<V, N, H, C>(input, scores, at, out);
            at += C * V::COUNT;
        }
        while at + V::COUNT <= input.width {
            means::<V, N, H, 1>(input, scores, at, out);
            at += V::COUNT;
        }
    }
    while at < input.width {
        mean_in_steps(input, scores, at, out);
        at += 1;
    }
    H
}

/// Scores `[H, positions]`. A key's does not depend on which others are computed with it.
#[inline(always)]
unsafe fn score<V: Lanes, N: Number + Load<V>, const H: usize>(
    input: &Input<'_, N>,
    queries: &[f32],
    scores: &mut [f32],
) where
    f32: Load<V>,
{
    let width = input.width;
    let whole = width - width % V::COUNT;
    let mut position = 0;
    for run in input.runs {
        for first in run.clone().step_by(KEYS) {
            let count = KEYS.min(run.end - first);
            // Behind the last key it is taken again.
            let keys: [&[N]; KEYS] = std::array::from_fn(|key| {
                &input.rows[0][(first + key.min(count - 1)) * width..][..width]
            });
            // SAFETY: by the caller; keys and queries have `whole` numbers.
            let mut totals: [[f32; KEYS]; H] = unsafe {
                let mut sums = [[V::splat(0.0); KEYS]; H];
                for at in (0..whole).step_by(V::COUNT) {
                    let mut x = [V::splat(0.0); H];
                    for head in 0..H {
                        x[head] = f32::load(queries.as_ptr().add(head * width + at));
                    }
                    for key in 0..KEYS {
                        let numbers = N::load(keys[key].as_ptr().add(at));
                        for head in 0..H {
                            sums[head][key] = sums[head][key].add_product(x[head], numbers);
                        }
                    }
                }
                sums.map(|sums| V::totals(sums).0)
            };
            for head in 0..H {
                if whole < width {
                    let query = &queries[head * width..][whole..width];
                    for key in 0..KEYS {
                        let products = query.iter().zip(&keys[key][whole..]);
                        totals[head][key] += products.map(|(q, k)| q * k.value()).sum::<f32>();
                    }
                }
                let found = totals[head].map(|total| input.scale * total);
                let place = &mut scores[head * input.positions + position..][..count];
                place.copy_from_slice(&found[..count]);
            }
            position += count;
        }
    }
}

/// `C` vectors of each head's weighted mean, from the values' number `at` on.
#[inline(always)]
unsafe fn means<V: Lanes, N: Number + Load<V>, const H: usize, const C: usize>(
    input: &Input<'_, N>,
    weights: &[f32],
    at: usize,
    out: &mut [f32],
) {
    let width = input.width;
    // SAFETY: by the caller.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; H];
        let mut position = 0;
        for run in input.runs {
            let rows = &input.rows[1][run.start * width..run.end * width];
            for row in rows.chunks_exact(width) {
                let mut numbers = [V::splat(0.0); C];
                for c in 0..C {
                    numbers[c] = N::load(row.as_ptr().add(at + c * V::COUNT));
                }
                for head in 0..H {
                    let weight = V::splat(weights[head * input.positions + position]);
                    for c in 0..C {
                        sums[head][c] = sums[head][c].add_product(weight, numbers[c]);
                    }
                }
                position += 1;
            }
        }
        for head in 0..H {
            let place = &mut out[head * width + at..][..C * V::COUNT];
            for c in 0..C {
                sums[head][c].store(place.as_mut_ptr().add(c * V::COUNT));
            }
        }
    }
}

/// Number `at` of each head's weighted mean: what is left of a width that is not one of vectors.
#[inline(always)]
fn mean_in_steps<N: Number>(input: &Input<'_, N>, weights: &[f32], at: usize, out: &mut [f32]) {
    let width = input.width;
    for (weights, out) in weights
        .chunks_exact(input.positions.max(1))
        .zip(out.chunks_exact_mut(width))
    {
        let rows = input.runs.iter().cloned().flatten();
        let products = rows
            .zip(weights)
            .map(|(row, weight)| weight * input.rows[1][row * width + at].value());
        out[at] = products.sum();
    }
}
