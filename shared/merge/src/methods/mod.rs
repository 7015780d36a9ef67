//! The merge methods: pure functions of flat `f32` slices, one file each.
//!
//! Every slice that goes into one call is the same tensor of one of the models, so all have the
//! same length; a call where they don't returns [`Error::Call`].

pub mod arcee_fusion;
pub mod breadcrumbs;
pub mod dare;
pub mod della;
pub mod karcher;
pub mod linear;
mod method;
pub mod model_stock;
pub mod multislerp;
pub mod nearswap;
pub mod nuslerp;
pub mod passthrough;
pub mod ram;
pub mod sce;
pub mod slerp;
pub mod task_arithmetic;
pub mod ties;
mod vector;

pub use method::{Inputs, Method, Range, Spec};

use crate::parallel;
use crate::{Error, Result};

/// Checks that all inputs are as long as the first and that there is one number for each.
fn check(method: &'static str, inputs: &[&[f32]], numbers: &[(&str, usize)]) -> Result<usize> {
    let call = |problem: String| Err(Error::Call { method, problem });
    let Some(first) = inputs.first() else {
        return call("needs at least one input".into());
    };
    if let Some(other) = inputs.iter().find(|input| input.len() != first.len()) {
        return call(format!(
            "inputs of {} and {} elements",
            first.len(),
            other.len()
        ));
    }
    for (name, count) in numbers {
        if *count != inputs.len() {
            return call(format!(
                "{count} values of {name} for {} inputs",
                inputs.len()
            ));
        }
    }
    Ok(first.len())
}

/// `model - base`, for each model.
fn task_vectors(base: &[f32], models: &[&[f32]]) -> Vec<Vec<f32>> {
    let delta = |_, model: &&[f32]| model.iter().zip(base).map(|(x, b)| x - b).collect();
    parallel::map(models, delta)
}

/// Scales what is left of a thinned vector so that its L1 norm is `norm` again.
///
/// The DARE paper divides by the density instead, which keeps the norm on average only; this is
/// what mergekit does, and exact for every draw.
fn restore_l1(values: &mut [f32], norm: f64) {
    let left = l1(values);
    // Nothing is left, or nothing worth scaling up.
    if left < 1e-7 || norm < 1e-7 {
        return;
    }
    let factor = (norm / left) as f32;
    values.iter_mut().for_each(|value| *value *= factor);
}

/// The sum of magnitudes.
fn l1(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value.abs())).sum()
}
