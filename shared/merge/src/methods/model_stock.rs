//! Model stock: between the models' mean and the base, as near to the mean as the models are to each other.
//!
//! With `c` the mean cosine between the models' differences from the base, `t = N c / (1 + (N - 1) c)` and the
//! result `t · mean + (1 - t) · base`: the point nearest to the centre of the models' distribution that
//! geometry gives.
//!
//! "Model Stock: all we need is just a few fine-tuned models", Jang et al. 2024, arXiv:2403.19522.

use super::vector::{dot, norm};
use super::{check, task_vectors};
use crate::Result;

/// A length below which a vector has no direction.
const TINY: f64 = 1e-6;

/// Merges `models`, two or more, with `base`. With `filter_wise` each row of `width` has a `t` of its own.
pub fn merge(base: &[f32], models: &[&[f32]], width: usize, filter_wise: bool) -> Result<Vec<f32>> {
    let len = check("model_stock", models, &[])?;
    check("model_stock", &[base, models[0]], &[])?;
    let deltas = task_vectors(base, models);
    let piece = if filter_wise {
        width.max(1)
    } else {
        len.max(1)
    };
    let mut merged = Vec::with_capacity(len);
    for start in (0..len).step_by(piece) {
        let range = start..(start + piece).min(len);
        let parts: Vec<&[f32]> = deltas.iter().map(|delta| &delta[range.clone()]).collect();
        let t = ratio(&parts);
        for index in range {
            let mean = models
                .iter()
                .map(|model| f64::from(model[index]))
                .sum::<f64>();
            let mean = mean / models.len() as f64;
            merged.push((t * mean + (1.0 - t) * f64::from(base[index])) as f32);
        }
    }
    Ok(merged)
}

/// How much of the mean is in the result.
fn ratio(deltas: &[&[f32]]) -> f64 {
    let count = deltas.len() as f64;
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (i, a) in deltas.iter().enumerate() {
        for b in &deltas[i + 1..] {
            let norms = norm(a).max(TINY) * norm(b).max(TINY);
            sum += (dot(a, b) / norms).clamp(-1.0, 1.0);
            pairs += 1.0;
        }
    }
    let cosine = if pairs > 0.0 { sum / pairs } else { 1.0 };
    count * cosine / (1.0 + (count - 1.0) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_agree_are_taken_and_those_at_right_angles_are_not() {
        let same: &[f32] = &[3.0, 1.0];
        assert_eq!(merge(&[1.0, 1.0], &[same, same], 2, false).unwrap(), same);
        let apart: [&[f32]; 2] = [&[2.0, 1.0], &[1.0, 2.0]];
        assert_eq!(merge(&[1.0, 1.0], &apart, 2, false).unwrap(), [1.0, 1.0]);
    }

    #[test]
    fn rows_can_have_a_ratio_each() {
        let models: [&[f32]; 2] = [&[1.0, 0.0, 1.0, 0.0], &[1.0, 0.0, 0.0, 1.0]];
        let merged = merge(&[0.0; 4], &models, 2, true).unwrap();
        assert_eq!(merged, [1.0, 0.0, 0.0, 0.0]);
    }
}
