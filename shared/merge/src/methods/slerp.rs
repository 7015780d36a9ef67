//! Spherical linear interpolation between two models.
//!
//! `sin((1-t)θ)/sin θ · a + sin(tθ)/sin θ · b`, where `θ` is the angle between the flattened
//! tensors: the point at `t` on the arc from `a` to `b`. Shoemake 1985, "Animating rotation with
//! quaternion curves". Norms are not interpolated apart: `a` and `b` go in as they are.

use super::check;
use crate::Result;

/// Above this cosine the arc is as good as straight, and `1/sin θ` would only add noise.
const NEARLY_PARALLEL: f64 = 0.9995;

/// The point at `t` between `a` (`t` = 0) and `b` (`t` = 1).
///
/// The straight line between them where the angle is undefined (one of them is zero) or `θ` is so
/// near to 0 or π that the arc is.
pub fn merge(a: &[f32], b: &[f32], t: f32) -> Result<Vec<f32>> {
    check("slerp", &[a, b], &[])?;
    let (from, to) = factors(cosine(a, b), f64::from(t));
    let mix = |(&a, &b): (&f32, &f32)| (from * f64::from(a) + to * f64::from(b)) as f32;
    Ok(a.iter().zip(b).map(mix).collect())
}

/// How much of each end is in the point at `t`.
fn factors(cosine: Option<f64>, t: f64) -> (f64, f64) {
    match cosine {
        Some(cosine) if cosine.abs() <= NEARLY_PARALLEL => {
            let angle = cosine.acos();
            (
                ((1.0 - t) * angle).sin() / angle.sin(),
                (t * angle).sin() / angle.sin(),
            )
        }
        _ => (1.0 - t, t),
    }
}

/// The cosine of the angle between two vectors; none if one of them has no direction.
fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    (norms > 0.0).then(|| dot(a, b) / norms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_right_angle_keeps_the_norm() {
        let middle = merge(&[2.0, 0.0], &[0.0, 2.0], 0.5).unwrap();
        let expected = 2f32.sqrt();
        assert!(
            middle.iter().all(|x| (x - expected).abs() < 1e-6),
            "{middle:?}"
        );
    }

    #[test]
    fn the_ends_are_the_models() {
        let (a, b) = ([1.0, 2.0, -3.0], [0.5, -1.0, 4.0]);
        assert_eq!(merge(&a, &b, 0.0).unwrap(), a);
        assert_eq!(merge(&a, &b, 1.0).unwrap(), b);
    }

    #[test]
    fn no_angle_means_a_straight_line() {
        assert_eq!(merge(&[0.0, 0.0], &[2.0, 4.0], 0.25).unwrap(), [0.5, 1.0]);
        assert_eq!(merge(&[1.0], &[-1.0], 0.5).unwrap(), [0.0]);
        assert_eq!(merge(&[], &[], 0.5).unwrap(), [0f32; 0]);
    }
}
