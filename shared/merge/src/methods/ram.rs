//! RAM: what only one model changed is added whole, what several changed on average.
//!
//! RAM+ also scales what is a model's own, by `1 + r · clamp(ρ, 0, α)` with `ρ` how many of its changes it shares for each
//! that it does not: a model that is diluted much elsewhere is made up for it.
//!
//! arXiv:2601.13572; mergekit's `ram` and `ramplus_tl`.

use super::{check, task_vectors};
use crate::Result;

/// How much more the changes of one model alone are scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plus {
    /// `r`.
    pub rate: f64,
    /// `α`.
    pub limit: f64,
}

/// Merges `models` into `base`. An element counts as changed if it is further from the base's than `epsilon`.
pub fn merge(
    base: &[f32],
    models: &[&[f32]],
    epsilon: f64,
    plus: Option<Plus>,
) -> Result<Vec<f32>> {
    check("ram", models, &[])?;
    check("ram", &[base, models[0]], &[])?;
    let deltas = task_vectors(base, models);
    let changed = |delta: &Vec<f32>, index: usize| f64::from(delta[index].abs()) > epsilon;
    let count = |index| deltas.iter().filter(|delta| changed(delta, index)).count();
    let counts: Vec<usize> = (0..base.len()).map(count).collect();
    let factors: Vec<f32> = deltas
        .iter()
        .map(|delta| {
            let of = |wanted: fn(usize) -> bool| {
                let fits = |i: &usize| changed(delta, *i) && wanted(counts[*i]);
                (0..base.len()).filter(fits).count() as f64
            };
            plus.map_or(1.0, |plus| {
                plus.factor(of(|count| count > 1), of(|count| count == 1))
            })
        })
        .collect();
    let add = |(index, &base): (usize, &f32)| {
        let mut sum = 0.0;
        for (delta, factor) in deltas.iter().zip(&factors) {
            if changed(delta, index) {
                sum += delta[index] * if counts[index] == 1 { *factor } else { 1.0 };
            }
        }
        base + sum / counts[index].max(1) as f32
    };
    Ok(base.iter().enumerate().map(add).collect())
}

impl Plus {
    fn factor(self, shared: f64, own: f64) -> f32 {
        let ratio = match own > 0.0 {
            true => shared / own,
            // Nothing is scaled by it.
            false => 0.0,
        };
        (1.0 + self.rate * ratio.clamp(0.0, self.limit)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_changes_are_whole_and_shared_ones_averaged() {
        let models: [&[f32]; 2] = [&[1.0, 2.0, 0.0], &[0.0, 4.0, 0.0]];
        assert_eq!(
            merge(&[0.0; 3], &models, 1e-5, None).unwrap(),
            [1.0, 3.0, 0.0]
        );
    }

    #[test]
    fn plus_makes_up_for_what_is_shared() {
        let models: [&[f32]; 2] = [&[1.0, 2.0], &[0.0, 4.0]];
        let plus = Plus {
            rate: 0.1,
            limit: 0.2,
        };
        let merged = merge(&[0.0; 2], &models, 1e-5, Some(plus)).unwrap();
        assert!(
            (merged[0] - 1.02).abs() < 1e-6 && merged[1] == 3.0,
            "{merged:?}"
        );
    }
}
