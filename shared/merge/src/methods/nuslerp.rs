//! NuSLERP: spherical interpolation by weights, of models or of task vectors.
//!
//! `t = w₁ / (w₀ + w₁)`, and `(sin((1 - t)θ) a + sin(tθ) b) / sin θ` with `θ` the angle between the two. With a base the
//! two are differences from it. mergekit's `nuslerp`; the formula is that of [slerp](super::slerp).

use super::vector::{dot, norm};
use super::{check, task_vectors};
use crate::{Error, Result};

/// A length below which a vector has no direction.
const SHORT: f64 = 1e-7;
/// A sine below which the arc is as good as straight.
const STRAIGHT: f64 = 1e-8;

/// What is interpolated on an arc of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arcs {
    /// The tensor as a whole.
    Whole,
    /// Each row of so many elements.
    Rows(usize),
    /// Each column, in rows of so many elements.
    Columns(usize),
}

/// The point between two `models` by their `weights`, of which only the ratio counts.
///
/// # Errors
/// [`Error::Call`] unless there are two models.
pub fn merge(
    base: Option<&[f32]>,
    models: &[&[f32]],
    weights: &[f32],
    arcs: Arcs,
) -> Result<Vec<f32>> {
    let len = check("nuslerp", models, &[("weight", weights.len())])?;
    let ([a, b], [left, right]) = (models, weights) else {
        let problem = format!("needs two models, not {}", models.len());
        return Err(Error::Call {
            method: "nuslerp",
            problem,
        });
    };
    let sum = f64::from(*left) + f64::from(*right);
    let t = match sum.abs() < 1e-6 {
        true => 0.5,
        false => f64::from(*right) / sum,
    };
    let deltas;
    let (a, b) = match base {
        Some(base) => {
            check("nuslerp", &[base, a], &[])?;
            deltas = task_vectors(base, models);
            (&*deltas[0], &*deltas[1])
        }
        None => (*a, *b),
    };
    let mut merged = vec![0.0; len];
    for indices in pieces(len, arcs) {
        let take = |all: &[f32]| indices.clone().map(|i| all[i]).collect::<Vec<f32>>();
        let between = interpolate(&take(a), &take(b), t);
        for (index, value) in indices.zip(between) {
            merged[index] = value;
        }
    }
    if let Some(base) = base {
        merged.iter_mut().zip(base).for_each(|(x, b)| *x += b);
    }
    Ok(merged)
}

/// The indices of what has an arc of its own.
fn pieces(len: usize, arcs: Arcs) -> Vec<std::iter::StepBy<std::ops::Range<usize>>> {
    match arcs {
        Arcs::Whole => vec![(0..len).step_by(1)],
        Arcs::Rows(width) => {
            let width = width.max(1);
            let row = |start| (start..len.min(start + width)).step_by(1);
            (0..len).step_by(width).map(row).collect()
        }
        Arcs::Columns(width) => {
            let width = width.max(1);
            (0..width.min(len))
                .map(|c| (c..len).step_by(width))
                .collect()
        }
    }
}

fn interpolate(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let norms = norm(a).max(SHORT) * norm(b).max(SHORT);
    let angle = (dot(a, b) / norms).clamp(-1.0, 1.0).acos();
    let (from, to) = match angle.sin().abs() < STRAIGHT {
        true => (1.0 - t, t),
        false => (
            ((1.0 - t) * angle).sin() / angle.sin(),
            (t * angle).sin() / angle.sin(),
        ),
    };
    let mix = |(&a, &b): (&f32, &f32)| (from * f64::from(a) + to * f64::from(b)) as f32;
    a.iter().zip(b).map(mix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_are_the_middle_of_the_arc() {
        let models: [&[f32]; 2] = [&[2.0, 0.0], &[0.0, 2.0]];
        let middle = merge(None, &models, &[0.3, 0.3], Arcs::Whole).unwrap();
        assert!(
            middle.iter().all(|x| (x - 2f32.sqrt()).abs() < 1e-6),
            "{middle:?}"
        );
        assert!(merge(None, &models[..1], &[1.0], Arcs::Whole).is_err());
        // Weights that cancel have no ratio.
        let same = merge(None, &models, &[1.0, -1.0], Arcs::Whole).unwrap();
        assert_eq!(same, middle);
    }

    #[test]
    fn with_a_base_the_differences_turn() {
        let models: [&[f32]; 2] = [&[3.0, 1.0], &[1.0, 3.0]];
        let merged = merge(Some(&[1.0, 1.0]), &models, &[1.0, 0.0], Arcs::Whole).unwrap();
        assert_eq!(merged, [3.0, 1.0]);
    }

    #[test]
    fn rows_and_columns_have_arcs_of_their_own() {
        let models: [&[f32]; 2] = [&[1.0, 0.0, 2.0, 0.0], &[0.0, 1.0, 4.0, 0.0]];
        let rows = merge(None, &models, &[1.0, 1.0], Arcs::Rows(2)).unwrap();
        assert!(
            (rows[0] - 0.5f32.sqrt()).abs() < 1e-6 && rows[2] == 3.0,
            "{rows:?}"
        );
        let columns = merge(None, &models, &[1.0, 1.0], Arcs::Columns(2)).unwrap();
        assert!(
            columns[3] == 0.0 && (columns[1] - 0.5f32.sqrt()).abs() < 1e-6,
            "{columns:?}"
        );
    }
}
