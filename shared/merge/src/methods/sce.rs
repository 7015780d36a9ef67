//! SCE: select, calculate, erase.
//!
//! 1. *Select*: of the elements of the task vectors only the `top` part that varies most between the models stays.
//! 2. *Calculate*: a model's weight in a tensor is the mean square of its task vector there, of all models' sum.
//! 3. *Erase*: values whose sign is not the one with the larger total go.
//!
//! "FuseChat: knowledge fusion of chat models", Wan et al. 2024, arXiv:2408.07990.

use super::ties::Election;
use super::{check, task_vectors};
use crate::Result;

/// A sum of weights is divided by as if it were this at least.
const TINY: f32 = 1e-6;

/// Merges `models` into `base`; `top` in (0, 1].
pub fn merge(base: &[f32], models: &[&[f32]], top: f64) -> Result<Vec<f32>> {
    check("sce", models, &[])?;
    check("sce", &[base, models[0]], &[])?;
    let mut deltas = task_vectors(base, models);
    if top < 1.0 {
        select(&mut deltas, top);
    }
    let weights = weights(&deltas);
    let add = |(index, &base): (usize, &f32)| {
        let sign = Election::Sum.sign(deltas.iter().map(|delta| delta[index]));
        let (mut sum, mut weight) = (0.0f32, 0.0f32);
        for (delta, w) in deltas.iter().zip(&weights) {
            if delta[index] * sign > 0.0 {
                sum += w * delta[index];
                weight += w;
            }
        }
        base + sum / weight.max(TINY)
    };
    Ok(base.iter().enumerate().map(add).collect())
}

/// Zeroes all but the elements that vary most: `⌊top · those that vary⌋` of them.
fn select(deltas: &mut [Vec<f32>], top: f64) {
    let len = deltas[0].len();
    let variance = |index: usize| {
        let count = deltas.len() as f64;
        let mean = deltas.iter().map(|d| f64::from(d[index])).sum::<f64>() / count;
        let squares = deltas.iter().map(|d| (f64::from(d[index]) - mean).powi(2));
        squares.sum::<f64>() / count
    };
    let variances: Vec<f64> = (0..len).map(variance).collect();
    let varying = variances.iter().filter(|v| **v != 0.0).count();
    let kept = (top * varying as f64) as usize;
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
    for index in order.into_iter().skip(kept) {
        deltas.iter_mut().for_each(|delta| delta[index] = 0.0);
    }
}

/// Each task vector's mean square, of the sum of all.
fn weights(deltas: &[Vec<f32>]) -> Vec<f32> {
    let square = |delta: &Vec<f32>| {
        let sum: f64 = delta.iter().map(|&x| f64::from(x).powi(2)).sum();
        sum / delta.len().max(1) as f64
    };
    let squares: Vec<f64> = deltas.iter().map(square).collect();
    let total: f64 = squares.iter().sum();
    match total < 1e-6 {
        true => vec![1.0 / deltas.len() as f32; deltas.len()],
        false => squares.iter().map(|s| (s / total) as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_a_model_is_how_much_it_changed() {
        let models: [&[f32]; 2] = [&[3.0, 0.0], &[1.0, 0.0]];
        let merged = merge(&[0.0, 0.0], &models, 1.0).unwrap();
        assert!((merged[0] - 2.8).abs() < 1e-6, "{merged:?}");
        assert_eq!(merge(&[1.0], &[&[1.0], &[1.0]], 1.0).unwrap(), [1.0]);
    }

    #[test]
    fn what_does_not_vary_goes_first() {
        let models: [&[f32]; 2] = [&[1.0, 5.0, 2.0], &[1.0, -5.0, 1.0]];
        let merged = merge(&[0.0; 3], &models, 0.5).unwrap();
        assert_eq!((merged[0], merged[2]), (0.0, 0.0));
        assert_eq!(merged[1], 5.0);
    }
}
