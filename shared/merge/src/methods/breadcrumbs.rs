//! Model breadcrumbs: task vectors without their largest and their smallest elements.
//!
//! The `gamma` part with the largest magnitudes goes, as outliers; of the rest the largest stay, until
//! `density` of the whole are kept. Then as in [task arithmetic](super::task_arithmetic), or, with an
//! election, as in [TIES](super::ties).
//!
//! "Model breadcrumbs: scaling multi-task model merging with sparse masks", Davari and Belilovsky 2023,
//! arXiv:2312.06795.

use super::task_arithmetic::{Mix, combine};
use super::{check, task_vectors};
use crate::{Result, parallel};

/// What thins a task vector by a density and a gamma: [`thin`], or [`thin_as_mergekit`].
pub type Thin = fn(&mut [f32], f64, f64);

/// Merges `models` into `base`: `densities` in (0, 1] and `gammas` in [0, 1), one for each.
pub fn merge(
    base: &[f32],
    models: &[&[f32]],
    densities: &[f64],
    gammas: &[f64],
    thin: Thin,
    mix: Mix<'_>,
) -> Result<Vec<f32>> {
    let counts = [
        ("weight", mix.weights.len()),
        ("density", densities.len()),
        ("gamma", gammas.len()),
    ];
    check("breadcrumbs", models, &counts)?;
    check("breadcrumbs", &[base, models[0]], &[])?;
    let mut deltas = task_vectors(base, models);
    parallel::each(&mut deltas, |model, delta| {
        thin(delta, densities[model], gammas[model]);
    });
    Ok(combine(base, deltas, mix))
}

/// Zeroes the `⌊gamma n⌋` elements of largest magnitude, and of the others all but the `⌊density n⌋`
/// largest. Where fewer are left than should be kept, outliers stay as well. Of equal magnitudes the first ones count as smaller.
pub fn thin(values: &mut [f32], density: f64, gamma: f64) {
    let count = values.len();
    let kept = (density * count as f64) as usize;
    let outliers = ((gamma * count as f64) as usize).min(count - kept.min(count));
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let first = count - outliers - kept.min(count - outliers);
    for (place, index) in order.into_iter().enumerate() {
        if place < first || place >= count - outliers {
            values[index] = 0.0;
        }
    }
}

/// [`thin`] with a fault of mergekit 0.1.4, which 0.1.5 has not: where there is no outlier, nothing stays.
pub fn thin_as_mergekit(values: &mut [f32], density: f64, gamma: f64) {
    let count = values.len();
    let kept = ((density * count as f64) as usize).min(count);
    if density < 1.0 && ((gamma * count as f64) as usize).min(count - kept) == 0 {
        values.fill(0.0);
    } else {
        thin(values, density, gamma);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(values: &[f32], density: f64, gamma: f64) -> Vec<f32> {
        let mut values = values.to_vec();
        thin(&mut values, density, gamma);
        values
    }

    #[test]
    fn the_largest_and_the_smallest_go() {
        let values = [1.0, -9.0, 3.0, 0.5, -2.0];
        assert_eq!(thinned(&values, 0.4, 0.2), [0.0, 0.0, 3.0, 0.0, -2.0]);
        assert_eq!(thinned(&values, 0.4, 0.0), [0.0, -9.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn what_should_be_kept_is_kept_before_outliers_go() {
        assert_eq!(thinned(&[1.0, -2.0], 1.0, 0.5), [1.0, -2.0]);
        assert_eq!(thinned(&[7.0], 1.0, 0.9), [7.0]);
        assert_eq!(thinned(&[], 1.0, 0.5), [0f32; 0]);
    }

    #[test]
    fn without_an_outlier_mergekit_keeps_nothing() {
        let mut values = vec![1.0, -9.0, 3.0, 0.5, -2.0];
        thin_as_mergekit(&mut values, 0.4, 0.1);
        assert_eq!(values, [0.0; 5]);
    }
}
