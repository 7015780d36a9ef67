//! What a decoder does between its matrix products, on plain slices of f32.
//!
//! Written so that the compiler turns the loops into SIMD on any target: sums run in sixteen
//! independent accumulators, and [`exp`] has neither a branch nor a call. On x86-64 the functions that
//! decoders call are compiled for AVX-512 and AVX2 as well, and one is chosen when run.

use crate::multiversion;

pub(crate) const LANES: usize = 16;

/// e^x to within 2 units in the last place (the polynomial of Cephes' `expf`); NaN stays NaN,
/// results below 1e-38 or above 2e38 stop there.
#[inline(always)]
pub fn exp(given: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = given.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    // Where it may, the compiler clamps by relaxed SIMD, which may make a number of what is none.
    #[cfg(target_feature = "relaxed-simd")]
    if given.to_bits() & 0x7fff_ffff > 0x7f80_0000 {
        return f32::NAN;
    }
    power
}

/// The sum of all lanes, halves first: one after the other, each addition would wait for the one before, for longer than a
/// whole dot product of a head takes.
#[inline(always)]
pub(crate) fn total(lanes: [f32; LANES]) -> f32 {
    let eight: [f32; LANES / 2] = std::array::from_fn(|i| lanes[i] + lanes[i + LANES / 2]);
    let four: [f32; LANES / 4] = std::array::from_fn(|i| eight[i] + eight[i + LANES / 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The sum of all values.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    total(lanes) + rest.iter().sum::<f32>()
}

/// The sum of products.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    total(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The largest value; -inf of none. NaN is passed over.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a })
}

multiversion! {
    /// Sums of `e^(x - top)` and of `(x - top) e^(x - top)`: what a softmax and its entropy are made of.
    pub fn exp_sums(values: &[f32], top: f32, sum_out: &mut f64, weighted_out: &mut f64) {
        // Short sums in f32, their sum in f64: neither slow nor coarse.
        for part in values.chunks(64 * LANES) {
            let (mut sums, mut weighted) = ([0f32; LANES], [0f32; LANES]);
            let (chunks, rest) = part.as_chunks::<LANES>();
            let mut add = |lane: usize, value: f32| {
                let below = value - top;
                let e = exp(below);
                sums[lane] += e;
                weighted[lane] += e * below;
            };
            for chunk in chunks {
                for (lane, value) in chunk.iter().enumerate() {
                    add(lane, *value);
                }
            }
            for (lane, value) in rest.iter().enumerate() {
                add(lane, *value);
            }
            *sum_out += f64::from(sum(&sums));
            *weighted_out += f64::from(sum(&weighted));
        }
    }
}

multiversion! {
    /// `e^((x - top) * by)` of each value into `out`, 0 of minus infinity: what a softmax is made of.
    pub fn powers(values: &[f32], top: f32, by: f32, out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            let power = exp((value - top) * by);
            // The fast exponential of minus infinity is not quite zero.
            *out = if *value == f32::NEG_INFINITY { 0.0 } else { power };
        }
    }
}

multiversion! {
    /// The sum of each `size` values (the last may be fewer), into `sums`.
    pub fn sums_of(values: &[f32], size: usize, sums: &mut [f64]) {
        for (values, out) in values.chunks(size).zip(sums) {
            let (chunks, rest) = values.as_chunks::<LANES>();
            let mut lanes = [0f64; LANES];
            for chunk in chunks {
                for (lane, value) in lanes.iter_mut().zip(chunk) {
                    *lane += f64::from(*value);
                }
            }
            let rest = rest.iter().map(|value| f64::from(*value));
            *out = lanes.iter().sum::<f64>() + rest.sum::<f64>();
        }
    }
}

multiversion! {
    /// The two largest values, equal ones counted apart, into `two`: minus infinity where there are fewer. NaN is passed over.
    pub fn largest_two(values: &[f32], two: &mut [f32; 2]) {
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let mut lanes = [[f32::NEG_INFINITY; LANES]; 2];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            let [firsts, seconds] = &mut lanes;
            for ((first, second), value) in firsts.iter_mut().zip(seconds).zip(chunk) {
                // NaN stays itself, and is no second either.
                let less = if *value > *first { *first } else { *value };
                *second = larger(less, *second);
                *first = larger(*value, *first);
            }
        }
        *two = [f32::NEG_INFINITY; 2];
        for value in lanes.as_flattened().iter().chain(rest) {
            if *value > two[0] {
                *two = [*value, two[0]];
            } else if *value > two[1] {
                two[1] = *value;
            }
        }
    }
}

multiversion! {
    /// `x / sqrt(mean(x²) + eps) * weight` per row as wide as `weight` (RMSNorm, arXiv 1910.07467),
    /// into `out`.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let width = weight.len();
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(row, row) / width as f32 + eps).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
                *out = x * scale * weight;
            }
        }
    }
}

multiversion! {
    /// The products of `x` and of each of the rows of `w`, which are as long, into `out`.
    pub fn matvec(w: &[f32], x: &[f32], out: &mut [f32]) {
        for (out, row) in out.iter_mut().zip(w.chunks_exact(x.len().max(1))) {
            *out = dot(row, x);
        }
    }
}

multiversion! {
    /// `e^x / Σ e^x` of each row of this width, in place.
    pub fn softmax(rows: &mut [f32], width: usize) {
        for row in rows.chunks_exact_mut(width.max(1)) {
            let top = max(row);
            for value in row.iter_mut() {
                *value = exp(*value - top);
            }
            let scale = 1.0 / sum(row);
            for value in row {
                *value *= scale;
            }
        }
    }
}

multiversion! {
    /// `silu(gate) * up` (SwiGLU, arXiv 2002.05202), into `gate`.
    pub fn swiglu(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate *= up / (1.0 + exp(-*gate));
        }
    }
}

multiversion! {
    /// Turns heads as wide as twice `cos` by a position's angles, in place; the two of a pair are half a
    /// head apart (rotate-half).
    pub fn rotate(heads: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = cos.len();
        for head in heads.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(
        count: impl Into<proptest::collection::SizeRange>,
    ) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-4f32..4.0, count)
    }

    proptest! {
        #[test]
        fn exp_is_exp(x in -86f32..87.0) {
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            prop_assert!((ours / exact - 1.0).abs() < 3e-7, "{x}: {ours} is not {exact}");
        }

        #[test]
        fn sums_of_powers_are_exact_enough(values in numbers(1..3000)) {
            let top = max(&values);
            let (mut sum, mut weighted) = (0.0, 0.0);
            exp_sums(&values, top, &mut sum, &mut weighted);
            let below = values.iter().map(|v| f64::from(v - top));
            let exact: f64 = below.clone().map(f64::exp).sum();
            prop_assert!((sum / exact - 1.0).abs() < 1e-6);
            let exact: f64 = below.map(|v| v * v.exp()).sum();
            prop_assert!((weighted - exact).abs() <= 1e-6 * exact.abs().max(1e-3));
        }

        #[test]
        fn powers_and_their_sums(values in numbers(2..300), size in 1usize..70, infinite in 0usize..300) {
            let mut values = values;
            let count = values.len();
            values[infinite % count] = f32::NEG_INFINITY;
            let top = max(&values);
            let mut found = vec![f32::NAN; count];
            powers(&values, top, 0.5, &mut found);
            for (value, power) in values.iter().zip(&found) {
                let exact = (0.5 * f64::from(value - top)).exp();
                prop_assert!((f64::from(*power) - exact).abs() < 1e-6);
            }
            let mut sums = vec![f64::NAN; count.div_ceil(size)];
            sums_of(&found, size, &mut sums);
            for (values, sum) in found.chunks(size).zip(&sums) {
                let exact: f64 = values.iter().map(|value| f64::from(*value)).sum();
                prop_assert!((sum - exact).abs() < 1e-9);
            }
        }

        #[test]
        fn a_softmax_is_its_formula(width in 1usize..40, rows in 1usize..4, values in numbers(120)) {
            let values = &values[..width * rows];
            let mut found = values.to_vec();
            softmax(&mut found, width);
            for (row, found) in values.chunks(width).zip(found.chunks(width)) {
                let powers = row.iter().map(|value| f64::from(*value).exp());
                let all: f64 = powers.clone().sum();
                for (power, found) in powers.zip(found) {
                    prop_assert!((f64::from(*found) - power / all).abs() < 1e-6);
                }
            }
        }

        #[test]
        fn the_largest_two_are_first_when_sorted(values in proptest::collection::vec(-9i8..9, 0..80)) {
            let mut values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut two = [f32::NAN; 2];
            largest_two(&values, &mut two);
            let with_nan: Vec<f32> = values.iter().flat_map(|value| [f32::NAN, *value]).collect();
            let mut same = [f32::NAN; 2];
            largest_two(&with_nan, &mut same);
            prop_assert_eq!(two, same);
            values.extend([f32::NEG_INFINITY; 2]);
            values.sort_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(&two[..], &values[..2]);
        }

        #[test]
        fn lanes_and_rest_are_all_counted(values in numbers(0..70)) {
            let exact: f32 = values.iter().sum();
            prop_assert!((sum(&values) - exact).abs() < 1e-3);
            let squares: f32 = values.iter().map(|v| v * v).sum();
            prop_assert!((dot(&values, &values) - squares).abs() < 1e-2);
            let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(max(&values), top);
        }

        #[test]
        fn norms_gates_and_turns_are_their_formulas(
            width in 1usize..40, x in numbers(160), weight in numbers(40), angle in -4f32..4.0,
        ) {
            let x = &x[..4 * width];
            let mut out = vec![0.0; x.len()];
            rms_norm(x, &weight[..width], 1e-5, &mut out);
            for (row, out) in x.chunks(width).zip(out.chunks(width)) {
                let square = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / width as f64;
                for ((x, out), weight) in row.iter().zip(out).zip(&weight) {
                    let exact = f64::from(*x) / (square + 1e-5).sqrt() * f64::from(*weight);
                    prop_assert!((f64::from(*out) - exact).abs() < 1e-4);
                }
            }
            let mut products = [f32::NAN; 4];
            matvec(x, &weight[..width], &mut products);
            for (row, product) in x.chunks(width).zip(products) {
                let exact: f32 = row.iter().zip(&weight).map(|(a, b)| a * b).sum();
                prop_assert!((product - exact).abs() < 1e-3);
            }
            let mut gate = x.to_vec();
            swiglu(&mut gate, x);
            for (gate, x) in gate.iter().zip(x) {
                let x = f64::from(*x);
                prop_assert!((f64::from(*gate) - x * x / (1.0 + (-x).exp())).abs() < 1e-4);
            }
            let mut heads = x.to_vec();
            let (cos, sin) = (vec![angle.cos(); width], vec![angle.sin(); width]);
            rotate(&mut heads, &cos, &sin);
            for (before, after) in x.chunks(2 * width).zip(heads.chunks(2 * width)) {
                let (a, b) = (before[0], before[width]);
                prop_assert!((after[0] - (a * angle.cos() - b * angle.sin())).abs() < 1e-4);
                prop_assert!((after[width] - (b * angle.cos() + a * angle.sin())).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::INFINITY) > 1e38);
        // Many at once, by SIMD, and a rest.
        let mut values = [1.0f32; 2 * LANES + 3];
        for hole in [0, LANES + 1, 2 * LANES + 2] {
            values[hole] = f32::NAN;
        }
        let mut out = [0.0; 2 * LANES + 3];
        powers(&values, 1.0, 1.0, &mut out);
        for (value, power) in values.iter().zip(&out) {
            assert_eq!(value.is_nan(), power.is_nan());
        }
        powers(&values, f32::NAN, 1.0, &mut out);
        assert!(out.iter().all(|power| power.is_nan()));
    }
}
