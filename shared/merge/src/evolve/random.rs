//! Random search: what every other search must beat.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Bounds, Optimizer, ranking};
use crate::Result;

/// Points drawn evenly from a box.
#[derive(Debug)]
pub struct Random {
    bounds: Bounds,
    population: usize,
    random: ChaCha8Rng,
    points: Vec<Vec<f64>>,
}

impl Random {
    /// `population` points a generation.
    pub fn new(bounds: Bounds, population: usize, seed: u64) -> Self {
        Self {
            bounds,
            population,
            random: ChaCha8Rng::seed_from_u64(seed),
            points: Vec::new(),
        }
    }
}

impl Optimizer for Random {
    fn ask(&mut self) -> Vec<Vec<f64>> {
        if self.points.is_empty() {
            let draw = |_| point_in(&self.bounds, &mut self.random);
            self.points = (0..self.population).map(draw).collect();
        }
        self.points.clone()
    }

    fn tell(&mut self, costs: &[f64]) -> Result<()> {
        ranking(costs, self.points.len())?;
        self.points.clear();
        Ok(())
    }
}

/// One point, evenly drawn.
pub(super) fn point_in(bounds: &Bounds, random: &mut ChaCha8Rng) -> Vec<f64> {
    let draw = |i| {
        let (low, high) = bounds.ends(i);
        low + (high - low) * random.random::<f64>()
    };
    (0..bounds.dimension()).map(draw).collect()
}
