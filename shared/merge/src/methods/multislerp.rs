//! Spherical interpolation between any number of models: their mean direction, by the tangent plane at the
//! weighted mean of their directions.
//!
//! With `uᵢ = xᵢ / |xᵢ|` and `m = Σ wᵢ uᵢ`, normed: the tangents `uᵢ - (uᵢ · m) m` are summed by weight to `s`, and the
//! result is `(m cos|s| + s sin|s| / |s|) · Σ wᵢ |xᵢ|`. mergekit's `multislerp`; exponential and logarithm of the
//! sphere are those of Buss and Fillmore 2001, "Spherical averages and applications to spherical splines".

use super::vector::norm;
use super::{check, task_vectors};
use crate::{Error, Result};

/// The mean of `models` by `weights`; with a base, of their differences from it. Weights are divided by their sum with
/// `normalize`; `eps` keeps what has no length from being divided by it.
///
/// # Errors
/// [`Error::Call`] for weights that sum to 0 and should be divided by that.
pub fn merge(
    base: Option<&[f32]>,
    models: &[&[f32]],
    weights: &[f32],
    normalize: bool,
    eps: f64,
) -> Result<Vec<f32>> {
    let len = check("multislerp", models, &[("weight", weights.len())])?;
    if let [only] = models {
        return Ok(only.to_vec());
    }
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    if normalize && total.abs() < eps {
        return Err(Error::Call {
            method: "multislerp",
            problem: "the weights sum to 0: change one of them or set `normalize_weights: false`"
                .into(),
        });
    }
    let factor = if normalize { 1.0 / total } else { 1.0 };
    let weights: Vec<f64> = weights.iter().map(|&w| f64::from(w) * factor).collect();
    let deltas;
    let models: Vec<&[f32]> = match base {
        Some(base) => {
            check("multislerp", &[base, models[0]], &[])?;
            deltas = task_vectors(base, models);
            deltas.iter().map(Vec::as_slice).collect()
        }
        None => models.to_vec(),
    };
    let norms: Vec<f64> = models.iter().map(|model| norm(model)).collect();
    let unit = |model: usize, index: usize| f64::from(models[model][index]) / (norms[model] + eps);
    let sum_at = |index| (0..models.len()).map(|m| weights[m] * unit(m, index)).sum();
    let mut mean: Vec<f64> = (0..len).map(sum_at).collect();
    let length = mean.iter().map(|m| m * m).sum::<f64>().sqrt();
    if length < eps {
        // Directions that cancel have no mean: the straight one.
        let straight = |i: usize| {
            (0..models.len())
                .map(|m| weights[m] * f64::from(models[m][i]))
                .sum::<f64>()
        };
        return Ok(with_base(base, (0..len).map(straight)));
    }
    mean.iter_mut().for_each(|m| *m /= length);
    let mut tangent = vec![0.0; len];
    for (model, weight) in weights.iter().enumerate() {
        let along: f64 = (0..len).map(|i| unit(model, i) * mean[i]).sum();
        for i in 0..len {
            tangent[i] += weight * (unit(model, i) - along * mean[i]);
        }
    }
    let angle = tangent.iter().map(|s| s * s).sum::<f64>().sqrt() + eps;
    let scale: f64 = (0..models.len()).map(|m| weights[m] * norms[m]).sum();
    let point = |i: usize| scale * (mean[i] * angle.cos() + tangent[i] * angle.sin() / angle);
    Ok(with_base(base, (0..len).map(point)))
}

fn with_base(base: Option<&[f32]>, values: impl Iterator<Item = f64>) -> Vec<f32> {
    let plus =
        |(index, value): (usize, f64)| (value + base.map_or(0.0, |b| f64::from(b[index]))) as f32;
    values.enumerate().map(plus).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_a_right_angle_meet_in_the_middle_of_the_arc() {
        let models: [&[f32]; 2] = [&[2.0, 0.0], &[0.0, 2.0]];
        let middle = merge(None, &models, &[1.0, 1.0], true, 1e-8).unwrap();
        assert!(
            middle.iter().all(|x| (x - 2f32.sqrt()).abs() < 1e-6),
            "{middle:?}"
        );
    }

    #[test]
    fn opposite_directions_have_a_straight_mean() {
        let models: [&[f32]; 2] = [&[1.0], &[-3.0]];
        assert_eq!(
            merge(None, &models, &[1.0, 1.0], true, 1e-8).unwrap(),
            [-1.0]
        );
        assert!(merge(None, &models, &[1.0, -1.0], true, 1e-8).is_err());
    }
}
