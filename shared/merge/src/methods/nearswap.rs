//! NearSwap: interpolation that is strong where the models are near to each other.
//!
//! `(1 - w) a + w b` with `w = clamp(t / |a - b|, 0, 1)`: an element of the base moves by `t` towards the other model, but
//! not beyond it. mergekit's `nearswap`, by alchemonaut.

use super::check;
use crate::Result;

/// A distance below which two elements are one.
const NEAR: f64 = 1e-6;

/// `a` with each element at most `t` nearer to `b`.
pub fn merge(a: &[f32], b: &[f32], t: f64) -> Result<Vec<f32>> {
    check("nearswap", &[a, b], &[])?;
    let move_one = |(&a, &b): (&f32, &f32)| {
        let (a, b) = (f64::from(a), f64::from(b));
        let weight = (t / (a - b).abs().max(NEAR)).clamp(0.0, 1.0);
        (weight * b + (1.0 - weight) * a) as f32
    };
    Ok(a.iter().zip(b).map(move_one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_elements_are_swapped_and_far_ones_move_a_little() {
        let merged = merge(&[1.0, 1.0, 1.0], &[1.05, 2.0, 1.0], 0.1).unwrap();
        assert_eq!(merged, [1.05, 1.1, 1.0]);
    }
}
