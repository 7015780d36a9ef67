//! The merge methods: pure functions of flat `f32` slices, one file each.
//!
//! Every slice that goes into one call is the same tensor of one of the models, so all have the
//! same length; a call where they don't returns [`Error::Call`].

pub mod dare;
pub mod linear;
pub mod slerp;
pub mod task_arithmetic;
pub mod ties;

use crate::recipe::Parameter;
use crate::{Error, Result};

/// A merge method, by its name in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Weighted average: [`linear`].
    Linear,
    /// Interpolation on the arc between two models: [`slerp`].
    Slerp,
    /// Sum of task vectors: [`task_arithmetic`].
    TaskArithmetic,
    /// Trimmed task vectors with an elected sign: [`ties`].
    Ties,
    /// Randomly thinned task vectors with an elected sign: [`dare`].
    DareTies,
    /// Randomly thinned task vectors: [`dare`].
    DareLinear,
}

impl Method {
    /// All methods, in the order that help texts list them.
    pub const ALL: [Method; 6] = [
        Method::Linear,
        Method::Slerp,
        Method::TaskArithmetic,
        Method::Ties,
        Method::DareTies,
        Method::DareLinear,
    ];

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Method::Linear => "linear",
            Method::Slerp => "slerp",
            Method::TaskArithmetic => "task_arithmetic",
            Method::Ties => "ties",
            Method::DareTies => "dare_ties",
            Method::DareLinear => "dare_linear",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether it works on differences from a base model.
    pub fn uses_task_vectors(self) -> bool {
        !matches!(self, Method::Linear | Method::Slerp)
    }

    /// The parameters that change its result.
    pub fn parameters(self) -> &'static [Parameter] {
        use Parameter::{Consensus, Density, Lambda, Normalize, Rescale, T, Weight};
        match self {
            Method::Linear => &[Weight, Normalize],
            Method::Slerp => &[T],
            Method::TaskArithmetic => &[Weight, Normalize, Lambda],
            Method::Ties | Method::DareTies => {
                &[Weight, Density, Normalize, Rescale, Lambda, Consensus]
            }
            Method::DareLinear => &[Weight, Density, Normalize, Rescale, Lambda],
        }
    }
}

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
    let delta = |model: &&[f32]| model.iter().zip(base).map(|(x, b)| x - b).collect();
    models.iter().map(delta).collect()
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
