//! TIES: trim, elect sign, and merge.
//!
//! 1. *Trim*: of each task vector only the `density` part with the largest magnitudes stays.
//! 2. *Elect*: each element's sign is the one with the larger total over the weighted vectors.
//! 3. *Merge*: only values with that sign are summed; normalized, it is their weighted mean.
//!
//! "TIES-Merging: resolving interference when merging models", Yadav et al. 2023, arXiv:2306.01708.

use super::task_arithmetic::{Mix, combine};
use super::{check, l1, restore_l1, task_vectors};
use crate::{Result, parallel};

/// How the sign of an element is elected. A draw is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Election {
    /// By the sum of the weighted values, as in the paper.
    Sum,
    /// By the number of values of each sign.
    Count,
}

impl Election {
    /// `1.0` or `-1.0`.
    pub fn sign(self, values: impl Iterator<Item = f32>) -> f32 {
        Self::sign_of(values.map(|value| self.vote(value)).sum())
    }

    /// What a value adds to the total that decides.
    pub(super) fn vote(self, value: f32) -> f32 {
        match self {
            Election::Sum => value,
            Election::Count if value == 0.0 => 0.0,
            Election::Count => value.signum(),
        }
    }

    /// The sign that a total gives.
    pub(super) fn sign_of(total: f32) -> f32 {
        if total >= 0.0 { 1.0 } else { -1.0 }
    }
}

/// Merges `models` into `base`. `densities` in (0, 1], one for each model; with `rescale` a trimmed
/// vector is scaled back to its L1 norm.
pub fn merge(
    base: &[f32],
    models: &[&[f32]],
    densities: &[f64],
    rescale: bool,
    mix: Mix<'_>,
) -> Result<Vec<f32>> {
    let counts = [("weight", mix.weights.len()), ("density", densities.len())];
    check("ties", models, &counts)?;
    check("ties", &[base, models[0]], &[])?;
    let mut deltas = task_vectors(base, models);
    parallel::each(&mut deltas, |model, delta| {
        let norm = l1(delta);
        trim(delta, densities[model]);
        if rescale {
            restore_l1(delta, norm);
        }
    });
    Ok(combine(base, deltas, mix))
}

/// Zeroes all but the `⌊density · n⌋` elements of largest magnitude, but leaves at least one. Of
/// equal ones the first stay.
pub fn trim(values: &mut [f32], density: f64) {
    let count = values.len();
    let keep = ((density * count as f64) as usize).max(1);
    if keep >= count {
        return;
    }
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let (larger, &mut limit, _) =
        magnitudes.select_nth_unstable_by(keep - 1, |a, b| b.total_cmp(a));
    let mut equal = keep
        - larger
            .iter()
            .filter(|&&magnitude| magnitude > limit)
            .count();
    for value in values {
        let magnitude = value.abs();
        let stays = magnitude > limit || (magnitude == limit && equal > 0);
        if magnitude == limit {
            equal = equal.saturating_sub(1);
        }
        if !stays {
            *value = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(values: &[f32], density: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        trim(&mut values, density);
        values
    }

    #[test]
    fn trim_keeps_the_largest() {
        assert_eq!(
            trimmed(&[1.0, -4.0, 3.0, 0.5, 2.0], 0.4),
            [0.0, -4.0, 3.0, 0.0, 0.0]
        );
        assert_eq!(trimmed(&[1.0, -4.0, 3.0], 1.0), [1.0, -4.0, 3.0]);
        assert_eq!(trimmed(&[], 0.5), [0f32; 0]);
    }

    #[test]
    fn trim_keeps_the_first_of_equals_and_at_least_one() {
        assert_eq!(trimmed(&[1.0, -1.0, 1.0, 1.0], 0.5), [1.0, -1.0, 0.0, 0.0]);
        assert_eq!(trimmed(&[0.5], 0.1), [0.5]);
        // 0.7 of 10 is 7, although 0.7 in f32 is a little less.
        assert_eq!(trimmed(&[1.0; 10], 0.7).iter().sum::<f32>(), 7.0);
    }

    #[test]
    fn a_vote_by_value_and_a_vote_by_count_can_differ() {
        let values = [5.0, -1.0, -2.0, 0.0];
        assert_eq!(Election::Sum.sign(values.into_iter()), 1.0);
        assert_eq!(Election::Count.sign(values.into_iter()), -1.0);
        assert_eq!(Election::Count.sign([1.0, -1.0].into_iter()), 1.0);
    }

    #[test]
    fn only_the_elected_sign_counts() {
        let models: [&[f32]; 3] = [&[3.0, 1.0], &[-1.0, 2.0], &[1.0, 0.0]];
        let mix = Mix {
            weights: &[1.0, 1.0, 2.0],
            normalize: true,
            lambda: 1.0,
            election: Some(Election::Sum),
        };
        // First element: (3 + 2·1) / 3 without the -1; second: (1 + 2) / 2.
        let merged = merge(&[0.0, 0.0], &models, &[1.0; 3], false, mix).unwrap();
        assert!((merged[0] - 5.0 / 3.0).abs() < 1e-6, "{merged:?}");
        assert_eq!(merged[1], 1.5);
    }

    #[test]
    fn rescaling_keeps_the_l1_norm() {
        let mix = Mix {
            weights: &[1.0],
            normalize: false,
            lambda: 1.0,
            election: None,
        };
        let merged = merge(&[0.0; 4], &[&[1.0, 2.0, 3.0, 4.0]], &[0.5], true, mix).unwrap();
        assert!(
            (merged.iter().sum::<f32>() - 10.0).abs() < 1e-5,
            "{merged:?}"
        );
    }
}
