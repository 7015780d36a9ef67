//! The sum of task vectors: `base + λ Σ wᵢ (xᵢ - base)`.
//!
//! "Editing models with task arithmetic", Ilharco et al. 2022, arXiv:2212.04089. Adding up
//! by [`Mix`] is also the last step of [TIES](super::ties) and [DARE](super::dare), which thin the task vectors
//! first and then let only those with the elected sign count.

use super::ties::Election;
use super::{check, task_vectors};
use crate::{Result, parallel};

/// A sum of weights nearer to zero than this is not divided by.
const TINY: f32 = 1e-8;

/// How task vectors are put together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix<'a> {
    /// One for each model.
    pub weights: &'a [f32],
    /// Divide by the sum of the weights that count at each element.
    pub normalize: bool,
    /// `λ`, the scale of the whole sum.
    pub lambda: f32,
    /// Who counts at an element: all of them, or those of the elected sign.
    pub election: Option<Election>,
}

/// Adds the weighted task vectors of `models` to `base`.
pub fn merge(base: &[f32], models: &[&[f32]], mix: Mix<'_>) -> Result<Vec<f32>> {
    check("task_arithmetic", models, &[("weight", mix.weights.len())])?;
    check("task_arithmetic", &[base, models[0]], &[])?;
    Ok(combine(base, task_vectors(base, models), mix))
}

/// Adds weighted `deltas` to `base`. All are as long as `base`, and there is one weight for each.
pub(super) fn combine(base: &[f32], deltas: Vec<Vec<f32>>, mix: Mix<'_>) -> Vec<f32> {
    let total: f32 = mix.weights.iter().sum();
    parallel::filled(base.len(), |start, out| {
        let range = start..start + out.len();
        let deltas: Vec<&[f32]> = deltas.iter().map(|delta| &delta[range.clone()]).collect();
        // What counts at each element, and the weights of that; the second only where they are elected.
        let mut weights = vec![total; out.len()];
        match mix.election {
            None => {
                for (delta, weight) in deltas.iter().zip(mix.weights) {
                    out.iter_mut()
                        .zip(*delta)
                        .for_each(|(sum, x)| *sum += x * weight);
                }
            }
            Some(election) => elected(&deltas, mix.weights, election, out, &mut weights),
        }
        for ((sum, base), weight) in out.iter_mut().zip(&base[range]).zip(weights) {
            // Where no weight counts there is nothing to divide.
            if mix.normalize && weight.abs() >= TINY {
                *sum /= weight;
            }
            *sum = base + mix.lambda * *sum;
        }
    })
}

/// The sums of those weighted values that have the elected sign, and of their weights.
fn elected(
    deltas: &[&[f32]],
    weights: &[f32],
    election: Election,
    sums: &mut [f32],
    sums_of_weights: &mut [f32],
) {
    // First who wins.
    for (delta, weight) in deltas.iter().zip(weights) {
        for (total, x) in sums.iter_mut().zip(*delta) {
            *total += election.vote(x * weight);
        }
    }
    let signs: Vec<f32> = sums.iter().map(|total| Election::sign_of(*total)).collect();
    sums.fill(0.0);
    sums_of_weights.fill(0.0);
    for (delta, weight) in deltas.iter().zip(weights) {
        let sums = sums.iter_mut().zip(sums_of_weights.iter_mut());
        for (((sum, of_weights), x), sign) in sums.zip(*delta).zip(&signs) {
            let value = x * weight;
            let counts = value * sign > 0.0;
            *sum += if counts { value } else { 0.0 };
            *of_weights += if counts { *weight } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(weights: &[f32]) -> Mix<'_> {
        Mix {
            weights,
            normalize: false,
            lambda: 1.0,
            election: None,
        }
    }

    #[test]
    fn adds_what_each_model_changed() {
        let models: [&[f32]; 2] = [&[2.0, 1.0], &[1.0, 5.0]];
        let merged = merge(&[1.0, 1.0], &models, mix(&[1.0, 0.5])).unwrap();
        assert_eq!(merged, [2.0, 3.0]);
        let half = Mix {
            lambda: 0.5,
            ..mix(&[1.0, 0.5])
        };
        assert_eq!(merge(&[1.0, 1.0], &models, half).unwrap(), [1.5, 2.0]);
        let mean = Mix {
            normalize: true,
            ..mix(&[1.0, 1.0])
        };
        assert_eq!(merge(&[1.0, 1.0], &models, mean).unwrap(), [1.5, 3.0]);
    }

    #[test]
    fn a_model_equal_to_the_base_changes_nothing() {
        let base: &[f32] = &[1.0, -2.0];
        assert_eq!(merge(base, &[base, base], mix(&[3.0, -1.0])).unwrap(), base);
    }

    #[test]
    fn calls_that_do_not_fit_are_errors() {
        assert!(merge(&[1.0], &[], mix(&[])).is_err());
        assert!(merge(&[1.0], &[&[1.0, 2.0]], mix(&[1.0])).is_err());
        assert!(merge(&[1.0], &[&[1.0]], mix(&[])).is_err());
    }
}
