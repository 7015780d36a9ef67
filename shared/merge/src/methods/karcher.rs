//! The Karcher mean of the models' directions: the point of the sphere with the least sum of squared arcs to
//! them, found by iteration.
//!
//! From `u`, the mean of the unit vectors `uᵢ`, normed, by steps along `T = Σ αᵢ θᵢ / sin θᵢ · (uᵢ - (u · uᵢ) u)` with
//! `θᵢ = arccos(u · uᵢ)`: `u cos|T| + T / |T| sin|T|`, until `|T|` is small; then times `Σ αᵢ |xᵢ|`. All `αᵢ` are equal.
//!
//! Karcher 1977, "Riemannian center of mass and mollifier smoothing"; for models arXiv:2603.04972.

use super::check;
use super::vector::norm;
use crate::Result;

/// A length below which a vector has no direction.
const SHORT: f64 = 1e-7;

/// The mean of `models` after at most `iterations`, or when a step is shorter than `tolerance`. Models that are 0 have no direction and don't count.
pub fn merge(models: &[&[f32]], iterations: usize, tolerance: f64) -> Result<Vec<f32>> {
    let len = check("karcher", models, &[])?;
    let with_direction: Vec<(&[f32], f64)> = models
        .iter()
        .map(|model| (*model, norm(model)))
        .filter(|(_, norm)| *norm > SHORT)
        .collect();
    if with_direction.is_empty() {
        return Ok(vec![0.0; len]);
    }
    let alpha = 1.0 / with_direction.len() as f64;
    let units: Vec<Vec<f64>> = with_direction
        .iter()
        .map(|(model, norm)| model.iter().map(|&x| f64::from(x) / norm).collect())
        .collect();
    let mut u: Vec<f64> = (0..len)
        .map(|i| units.iter().map(|unit| alpha * unit[i]).sum())
        .collect();
    match length(&u) {
        // Directions that cancel: begin at one of them.
        short if short < SHORT => u.clone_from(&units[0]),
        length => u.iter_mut().for_each(|x| *x /= length),
    }
    for _ in 0..iterations {
        let step = tangent(&u, &units, alpha);
        let angle = length(&step);
        if angle < tolerance {
            break;
        }
        for (x, t) in u.iter_mut().zip(&step) {
            *x = *x * angle.cos() + t / angle * angle.sin();
        }
        let length = length(&u);
        u.iter_mut().for_each(|x| *x /= length);
    }
    let scale: f64 = with_direction.iter().map(|(_, norm)| alpha * norm).sum();
    Ok(u.into_iter().map(|x| (x * scale) as f32).collect())
}

/// The mean of what leads from `u` to each of the units.
fn tangent(u: &[f64], units: &[Vec<f64>], alpha: f64) -> Vec<f64> {
    let mut sum = vec![0.0; u.len()];
    for unit in units {
        let cosine = u
            .iter()
            .zip(unit)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            .clamp(-1.0, 1.0);
        let angle = cosine.acos();
        if angle < SHORT {
            continue;
        }
        let factor = alpha * angle / angle.sin();
        for ((sum, unit), u) in sum.iter_mut().zip(unit).zip(u) {
            *sum += factor * (unit - cosine * u);
        }
    }
    sum
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_two_is_the_middle_of_their_arc() {
        let mean = merge(&[&[1.0, 0.0], &[0.0, 3.0]], 10, 1e-5).unwrap();
        assert!(
            mean.iter().all(|x| (x - 2f32.sqrt()).abs() < 1e-5),
            "{mean:?}"
        );
    }

    #[test]
    fn what_has_no_direction_does_not_count() {
        assert_eq!(
            merge(&[&[0.0, 0.0], &[0.0, 2.0]], 10, 1e-5).unwrap(),
            [0.0, 2.0]
        );
        assert_eq!(merge(&[&[0.0]], 10, 1e-5).unwrap(), [0.0]);
    }
}
