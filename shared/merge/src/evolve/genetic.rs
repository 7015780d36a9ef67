//! A plain genetic algorithm, to compare others with.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::random::point_in;
use super::{Bounds, Optimizer, ranking};
use crate::Result;

/// The share of the best that live on and are asked for again.
const ELITE: f64 = 0.1;
/// How far a gene of a child moves, in widths of the box.
const MUTATION: f64 = 0.05;

/// A generation of points in a box; the next one has the best of it, and children of pairs that won a
/// tournament of two: each gene somewhere between its parents', and moved a little.
#[derive(Debug)]
pub struct Genetic {
    bounds: Bounds,
    population: usize,
    random: ChaCha8Rng,
    points: Vec<Vec<f64>>,
}

impl Genetic {
    /// `population` points a generation, drawn evenly at first.
    pub fn new(bounds: Bounds, population: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let draw = |_| point_in(&bounds, &mut random);
        let points = (0..population).map(draw).collect();
        Self {
            bounds,
            population,
            random,
            points,
        }
    }

    /// The better of two places in the ranking.
    fn tournament(&mut self) -> usize {
        let place = |random: &mut ChaCha8Rng| random.random_range(0..self.population);
        place(&mut self.random).min(place(&mut self.random))
    }

    fn child(&mut self, order: &[usize]) -> Vec<f64> {
        let [mother, father] = [self.tournament(), self.tournament()].map(|place| order[place]);
        let mut gene = |i: usize| {
            let (low, high) = self.bounds.ends(i);
            let part: f64 = self.random.random();
            let between = self.points[mother][i] * part + self.points[father][i] * (1.0 - part);
            let moved: f64 = StandardNormal.sample(&mut self.random);
            (between + MUTATION * (high - low) * moved).clamp(low, high)
        };
        (0..self.bounds.dimension()).map(&mut gene).collect()
    }
}

impl Optimizer for Genetic {
    fn ask(&mut self) -> Vec<Vec<f64>> {
        self.points.clone()
    }

    fn tell(&mut self, costs: &[f64]) -> Result<()> {
        let order = ranking(costs, self.points.len())?;
        let elite = (ELITE * self.population as f64).ceil() as usize;
        let best = order.iter().take(elite).map(|&k| self.points[k].clone());
        let mut next: Vec<Vec<f64>> = best.collect();
        while next.len() < self.population {
            next.push(self.child(&order));
        }
        self.points = next;
        Ok(())
    }
}
