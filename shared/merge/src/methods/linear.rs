//! The weighted average: `Σ wᵢ xᵢ`, divided by `Σ wᵢ` if normalized.
//!
//! "Model soups", Wortsman et al. 2022, arXiv:2203.05482.

use super::check;
use crate::{Error, Result};

/// A sum of weights nearer to zero than this can't be divided by.
const TINY: f32 = 1e-8;

/// Averages `models` by `weights`, one for each.
///
/// Weights may be negative or sum to anything; only with `normalize` their sum may not be zero.
pub fn merge(models: &[&[f32]], weights: &[f32], normalize: bool) -> Result<Vec<f32>> {
    let len = check("linear", models, &[("weight", weights.len())])?;
    let total: f32 = weights.iter().sum();
    if normalize && total.abs() < TINY {
        let problem = "the weights sum to 0, so their average is undefined: change one of them or \
                       set `normalize: false`";
        return Err(Error::Call {
            method: "linear",
            problem: problem.into(),
        });
    }
    let mut merged = vec![0.0; len];
    for (model, weight) in models.iter().zip(weights) {
        for (sum, x) in merged.iter_mut().zip(*model) {
            *sum += weight * x;
        }
    }
    if normalize {
        merged.iter_mut().for_each(|sum| *sum /= total);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages() {
        let models: [&[f32]; 2] = [&[1.0, 2.0], &[3.0, -2.0]];
        assert_eq!(merge(&models, &[1.0, 3.0], true).unwrap(), [2.5, -1.0]);
        assert_eq!(merge(&models, &[1.0, 3.0], false).unwrap(), [10.0, -4.0]);
    }

    #[test]
    fn weights_that_cancel_are_an_error_only_when_normalized() {
        let models: [&[f32]; 2] = [&[1.0], &[3.0]];
        let error = merge(&models, &[1.0, -1.0], true).unwrap_err();
        assert!(error.to_string().contains("sum to 0"), "{error}");
        assert_eq!(merge(&models, &[1.0, -1.0], false).unwrap(), [-2.0]);
    }

    #[test]
    fn calls_that_do_not_fit_are_errors() {
        assert!(merge(&[], &[], true).is_err());
        assert!(merge(&[&[1.0], &[1.0, 2.0]], &[1.0, 1.0], true).is_err());
        assert!(merge(&[&[1.0]], &[1.0, 1.0], true).is_err());
    }
}
