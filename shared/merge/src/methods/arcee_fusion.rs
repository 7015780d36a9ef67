//! Arcee Fusion: of another model's changes to a base only the important ones.
//!
//! An element's importance is the size of its change times the Kullback-Leibler divergence, at that element, of its
//! row's softmax from the base's. Elements above the median by 1.5 times the interquartile range are taken over
//! whole, the others not. mergekit's `arcee_fusion`.

use super::check;
use super::vector::rows;
use crate::Result;

/// What keeps logarithms finite.
const TINY: f64 = 1e-8;

/// `base` with the important changes of `model`; rows of `width`.
pub fn merge(base: &[f32], model: &[f32], width: usize) -> Result<Vec<f32>> {
    check("arcee_fusion", &[base, model], &[])?;
    let importance = importance(base, model, width);
    let limit = limit(&importance);
    let take = |((&base, &model), importance): ((&f32, &f32), &f64)| match *importance >= limit {
        true => base + (model - base),
        false => base,
    };
    Ok(base.iter().zip(model).zip(&importance).map(take).collect())
}

/// The importance of each element's change.
fn importance(base: &[f32], model: &[f32], width: usize) -> Vec<f64> {
    let mut all = Vec::with_capacity(base.len());
    for (base, model) in rows(base, width).zip(rows(model, width)) {
        let (p, q) = (softmax(model), softmax(base));
        let divergence: f64 = p
            .iter()
            .zip(&q)
            .map(|(p, q)| p * ((p + TINY).ln() - (q + TINY).ln()))
            .sum();
        let change = |(b, m): (&f32, &f32)| f64::from((m - b).abs()) * divergence;
        all.extend(base.iter().zip(model).map(change));
    }
    all
}

fn softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The median and 1.5 interquartile ranges; quantiles are elements, rounded down.
fn limit(importance: &[f64]) -> f64 {
    let mut sorted = importance.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |part: f64| match sorted.len() {
        0 => 0.0,
        len => sorted[((part * (len - 1) as f64) as usize).min(len - 1)],
    };
    quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_that_stands_out_is_taken() {
        let base = [0.0f32; 8];
        let mut model: [f32; 8] = std::array::from_fn(|i| 0.01 * i as f32);
        model[3] = 2.0;
        let merged = merge(&base, &model, 8).unwrap();
        assert_eq!(merged[3], 2.0);
        assert!(
            merged.iter().filter(|x| **x != 0.0).count() == 1,
            "{merged:?}"
        );
    }

    #[test]
    fn equal_models_are_the_base() {
        assert_eq!(merge(&[1.0, 2.0], &[1.0, 2.0], 2).unwrap(), [1.0, 2.0]);
        assert_eq!(merge(&[], &[], 2).unwrap(), [0f32; 0]);
    }
}
