//! Products of matrices of floats, on plain slices.
//!
//! For weights that are not quantized in a page, and for what a decoder multiplies beside its weights. Natively that is left to
//! burn, which has better.

use crate::multiversion;

/// Rows of a matrix, `stride` apart; the last may end with the values.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first row's first value on.
    pub values: &'a [f32],
    /// From a row to the next.
    pub stride: usize,
    /// How many there are.
    pub count: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, index: usize, width: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..width]
    }
}

/// Rows of either matrix that are multiplied with each other at once.
const BLOCK: [usize; 2] = [2, 4];
/// Sums of one product, side by side: as many as registers hold for a block.
const LANES: usize = if cfg!(target_arch = "wasm32") { 4 } else { 16 };

multiversion! {
    /// `out [x.count, w.count] = x · wᵀ`, of rows of `width` values.
    pub fn multiply_rows(x: Rows<'_>, w: Rows<'_>, width: usize, out: &mut [f32]) {
        let [high, wide] = BLOCK;
        let whole = [x.count - x.count % high, w.count - w.count % wide];
        // Weights are many and read once; a few of them stay at hand while all of `x` goes by.
        for j in (0..whole[1]).step_by(wide) {
            for i in (0..whole[0]).step_by(high) {
                put(&block::<2, 4>(&x, i, &w, j, width), i, j, w.count, out);
            }
            for i in whole[0]..x.count {
                put(&block::<1, 4>(&x, i, &w, j, width), i, j, w.count, out);
            }
        }
        for j in whole[1]..w.count {
            for i in (0..whole[0]).step_by(high) {
                put(&block::<2, 1>(&x, i, &w, j, width), i, j, w.count, out);
            }
            for i in whole[0]..x.count {
                put(&block::<1, 1>(&x, i, &w, j, width), i, j, w.count, out);
            }
        }
    }
}

/// Writes products to rows from `i` on and columns from `j` on.
#[inline(always)]
fn put<const N: usize>(sums: &[[f32; N]], i: usize, j: usize, columns: usize, out: &mut [f32]) {
    for (row, sums) in sums.iter().enumerate() {
        out[(i + row) * columns + j..][..N].copy_from_slice(sums);
    }
}

/// Products of `M` rows from `i` on with `N` from `j` on.
#[inline(always)]
fn block<const M: usize, const N: usize>(
    x: &Rows<'_>,
    i: usize,
    w: &Rows<'_>,
    j: usize,
    width: usize,
) -> [[f32; N]; M] {
    let x: [&[f32]; M] = std::array::from_fn(|m| x.row(i + m, width));
    let w: [&[f32]; N] = std::array::from_fn(|n| w.row(j + n, width));
    let mut lanes = [[[0f32; LANES]; N]; M];
    let x_parts = x.map(|x| x.as_chunks::<LANES>().0);
    let w_parts = w.map(|w| w.as_chunks::<LANES>().0);
    for at in 0..width / LANES {
        for m in 0..M {
            for n in 0..N {
                for lane in 0..LANES {
                    lanes[m][n][lane] += x_parts[m][at][lane] * w_parts[n][at][lane];
                }
            }
        }
    }
    let rest = width / LANES * LANES;
    std::array::from_fn(|m| {
        std::array::from_fn(|n| {
            let rest = x[m][rest..].iter().zip(&w[n][rest..]).map(|(x, w)| x * w);
            lanes[m][n].iter().sum::<f32>() + rest.sum::<f32>()
        })
    })
}

multiversion! {
    /// `out [a.count, width] = a · b`, of rows of `b.count` and of `width` values.
    pub fn multiply(a: Rows<'_>, b: Rows<'_>, width: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_exact_mut(width.max(1)).enumerate().take(a.count) {
            out.fill(0.0);
            for (j, factor) in a.row(i, b.count).iter().enumerate() {
                for (out, b) in out.iter_mut().zip(b.row(j, width)) {
                    *out += factor * b;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Both ways, of any size, with more between the rows than belongs to them.
        #[test]
        fn products_are_sums_of_products(
            (m, n, k, gap) in (1usize..6, 1usize..10, 1usize..70, 0usize..3),
            seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut numbers = |count: usize| -> Vec<f32> {
                let next = |_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 24) as f32 - 0.5
                };
                (0..count).map(next).collect()
            };
            let (x, w) = (numbers(m * (k + gap)), numbers(n * (k + gap)));
            let rows = |values, count| Rows { values, stride: k + gap, count };
            let exact = |i: usize, j: usize| -> f64 {
                let products = (0..k).map(|at| {
                    f64::from(x[i * (k + gap) + at]) * f64::from(w[j * (k + gap) + at])
                });
                products.sum()
            };
            let mut out = vec![f32::NAN; m * n];
            multiply_rows(rows(&x, m), rows(&w, n), k, &mut out);
            // The other way: `w` turned around, with a gap of its own.
            let mut turned = vec![f32::NAN; k * (n + gap)];
            for at in 0..k {
                for j in 0..n {
                    turned[at * (n + gap) + j] = w[j * (k + gap) + at];
                }
            }
            let mut other = vec![f32::NAN; m * n];
            let turned = Rows { values: &turned, stride: n + gap, count: k };
            multiply(rows(&x, m), turned, n, &mut other);
            for i in 0..m {
                for j in 0..n {
                    prop_assert!((f64::from(out[i * n + j]) - exact(i, j)).abs() < 1e-5);
                    prop_assert!((f64::from(other[i * n + j]) - exact(i, j)).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn nothing_times_nothing_is_nothing() {
        let none = Rows {
            values: &[],
            stride: 0,
            count: 0,
        };
        multiply_rows(none, none, 0, &mut []);
        multiply(none, none, 0, &mut []);
        let mut zeros = [1.0; 2];
        let empty_rows = Rows {
            values: &[],
            stride: 0,
            count: 2,
        };
        let one = Rows {
            values: &[],
            stride: 0,
            count: 1,
        };
        multiply_rows(empty_rows, one, 0, &mut zeros);
        assert_eq!(zeros, [0.0; 2]);
    }
}
