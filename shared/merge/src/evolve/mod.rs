//! Search for the best parameters of a merge, without gradients.
//!
//! [`CmaEs`] adapts a normal distribution to the points that do best (full or diagonal covariance, bounds,
//! [`Restarts`]); [`Genetic`] and [`Random`] are there to compare it with. All three are asked for points and
//! told what they cost: they never call anything, so that whoever evaluates decides where, how many at once and
//! when to stop. [`Niches`] (M2N2) evolves whole models instead of parameters.
//!
//! Everything is drawn from a seed: the same seed and the same costs give the same points, so a search is
//! resumed by telling it again what it has been told.

mod bounds;
mod cmaes;
mod covariance;
mod genetic;
mod niches;
mod random;
mod restarts;
mod strategy;

pub use bounds::Bounds;
pub use cmaes::{CmaEs, Shape, Start, Stop};
pub use genetic::Genetic;
pub use niches::{Child, Niches, NichesOptions, slerp_split};
pub use random::Random;
pub use restarts::Restarts;

use crate::{Error, Result};

/// A search that is asked for points and told their costs, a generation at a time.
pub trait Optimizer {
    /// The points of the next generation. Until [`Optimizer::tell`] they stay the same.
    fn ask(&mut self) -> Vec<Vec<f64>>;

    /// What the points of the generation cost, in their order; less is better. NaN is worse than anything.
    ///
    /// # Errors
    /// [`Error::Search`] for another number of costs than points, or if no cost is a number.
    fn tell(&mut self, costs: &[f64]) -> Result<()>;

    /// Whether more generations would bring nothing.
    fn is_done(&self) -> bool {
        false
    }

    /// The middle of where it looks, if there is one: the best guess where costs are noisy.
    fn center(&self) -> Option<Vec<f64>> {
        None
    }
}

/// Indices of costs, the lowest first; NaN is last, and equal costs keep their order.
fn ranking(costs: &[f64], expected: usize) -> Result<Vec<usize>> {
    if costs.len() != expected {
        let problem = format!("{} costs for {expected} points", costs.len());
        return Err(Error::Search { problem });
    }
    if costs.iter().all(|cost| cost.is_nan()) {
        let problem = "no point of this generation has a cost that is a number".to_owned();
        return Err(Error::Search { problem });
    }
    let key = |i: usize| match costs[i].is_nan() {
        true => f64::INFINITY,
        false => costs[i],
    };
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
    Ok(order)
}
