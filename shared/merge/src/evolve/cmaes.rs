//! CMA-ES: covariance matrix adaptation evolution strategy.
//!
//! N. Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772), with active weights and cumulative
//! step-size adaptation, as pycma runs it by default; with [`Shape::Diagonal`] it is the separable variant (R. Ros
//! and N. Hansen, PPSN 2008), which is linear in the dimension.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::covariance::Covariance;
use super::strategy::Strategy;
use super::{Bounds, Optimizer, ranking};
use crate::{Error, Result};

/// Which covariances are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// All: up to a few hundred dimensions.
    #[default]
    Full,
    /// Only each coordinate's own variance: for thousands of dimensions.
    Diagonal,
}

/// Where a search begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The first mean.
    pub mean: Vec<f64>,
    /// The first step size: about a third of the distance at which the best is expected.
    pub sigma: f64,
    /// Points of a generation; none takes 4 + ⌊3 ln n⌋.
    pub population: Option<usize>,
    /// Which covariances are learned.
    pub shape: Shape,
    /// Where points must lie, if not anywhere.
    pub bounds: Option<Bounds>,
    /// Draws the points.
    pub seed: u64,
}

impl Start {
    /// A search around `mean`, without bounds.
    pub fn new(mean: Vec<f64>, sigma: f64, seed: u64) -> Self {
        Self {
            mean,
            sigma,
            population: None,
            shape: Shape::Full,
            bounds: None,
            seed,
        }
    }

    /// A search of the unit cube from its middle with σ = 1/6, as evolutionary merging does it
    /// (arXiv 2403.13187).
    pub fn unit_cube(dimension: usize, seed: u64) -> Self {
        Self {
            bounds: Bounds::cube(dimension, 0.0, 1.0),
            ..Self::new(vec![0.5; dimension], 1.0 / 6.0, seed)
        }
    }
}

/// Why a search has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Costs have been the same for long.
    Flat,
    /// Steps are 10⁻¹² of what they were.
    SmallSteps,
    /// The covariance is no positive definite matrix any more, or nearly none.
    Degenerate,
}

/// The search. See [`Optimizer`].
pub struct CmaEs {
    strategy: Strategy,
    bounds: Option<Bounds>,
    mean: Vec<f64>,
    sigma: f64,
    first_sigma: f64,
    covariance: Covariance,
    /// Paths of the mean: whitened, and as it went.
    sigma_path: Vec<f64>,
    path: Vec<f64>,
    generation: u64,
    decomposed: u64,
    /// Steps from the mean, in units of sigma, of the generation that is asked for.
    steps: Vec<Vec<f64>>,
    normals: Box<dyn FnMut() -> f64 + Send>,
    /// The lowest and highest cost of the last generations.
    recent: Vec<(f64, f64)>,
}

impl CmaEs {
    /// A search from `start`.
    ///
    /// # Errors
    /// [`Error::Search`] for no dimension, a sigma that is not positive, fewer than three points a generation or
    /// bounds of another dimension.
    pub fn new(start: Start) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(start.seed);
        let normals = move || StandardNormal.sample(&mut random);
        Self::with_normals(start, normals)
    }

    /// The same, with normal numbers from elsewhere.
    ///
    /// # Errors
    /// As [`CmaEs::new`].
    pub fn with_normals(
        start: Start,
        normals: impl FnMut() -> f64 + Send + 'static,
    ) -> Result<Self> {
        let n = start.mean.len();
        let population = start.population.unwrap_or_else(|| Strategy::population(n));
        let problem = if n == 0 || start.mean.iter().any(|x| !x.is_finite()) {
            Some(format!("no search begins at {:?}", start.mean))
        } else if !(start.sigma > 0.0 && start.sigma.is_finite()) {
            Some(format!("a step size of {} is not positive", start.sigma))
        } else if population < 3 {
            Some(format!("{population} points a generation are too few"))
        } else if start.bounds.as_ref().is_some_and(|b| b.dimension() != n) {
            Some(format!("the bounds are not of dimension {n}"))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::Search { problem });
        }
        let mean = match &start.bounds {
            Some(bounds) => bounds.out_of_box(&start.mean),
            None => start.mean,
        };
        Ok(Self {
            strategy: Strategy::new(n, population),
            bounds: start.bounds,
            mean,
            sigma: start.sigma,
            first_sigma: start.sigma,
            covariance: match start.shape {
                Shape::Full => Covariance::full(n),
                Shape::Diagonal => Covariance::diagonal(n),
            },
            sigma_path: vec![0.0; n],
            path: vec![0.0; n],
            generation: 0,
            decomposed: 0,
            steps: Vec::new(),
            normals: Box::new(normals),
            recent: Vec::new(),
        })
    }

    /// The mean of the distribution: the best guess, where costs are noisy.
    pub fn mean(&self) -> Vec<f64> {
        self.point(&vec![0.0; self.mean.len()])
    }

    /// The step size.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Points of a generation.
    pub fn population(&self) -> usize {
        self.strategy.weights.len()
    }

    /// Why it should end, if it should.
    pub fn stop(&self) -> Option<Stop> {
        let n = self.mean.len();
        let enough = 10 + 30 * n / self.population();
        let recent = &self.recent[self.recent.len().saturating_sub(enough)..];
        let low = recent.iter().map(|r| r.0).fold(f64::INFINITY, f64::min);
        let high = recent.iter().map(|r| r.1).fold(f64::NEG_INFINITY, f64::max);
        let condition = self.covariance.condition();
        if !(condition > 0.0 && condition < 1e14 && self.sigma.is_finite()) {
            Some(Stop::Degenerate)
        } else if self.sigma * self.covariance.largest().sqrt() < 1e-12 * self.first_sigma {
            Some(Stop::SmallSteps)
        } else if recent.len() == enough && high - low <= 1e-12 * low.abs().max(1e-300) {
            Some(Stop::Flat)
        } else {
            None
        }
    }

    /// The point that is `step` from the mean.
    fn point(&self, step: &[f64]) -> Vec<f64> {
        let along = |(m, y): (&f64, &f64)| m + self.sigma * y;
        let point: Vec<f64> = self.mean.iter().zip(step).map(along).collect();
        match &self.bounds {
            Some(bounds) => bounds.into_box(&point),
            None => point,
        }
    }

    /// Moves the mean to the best points; returns the step.
    fn move_mean(&mut self, order: &[usize]) -> Vec<f64> {
        let best = order.iter().take(self.strategy.parents);
        let mut step = vec![0.0; self.mean.len()];
        for (weight, &k) in self.strategy.weights.iter().zip(best) {
            add(&mut step, *weight, &self.steps[k]);
        }
        add(&mut self.mean, self.sigma, &step);
        step
    }

    /// Adds a step of the mean to both paths; returns whether the covariance should learn from its own, which it
    /// should not while steps are far too small.
    fn follow(&mut self, step: &[f64]) -> bool {
        let s = &self.strategy;
        let n = self.mean.len() as f64;
        let whitened = self.covariance.whiten(step);
        let kept = 1.0 - s.c_sigma;
        scale(&mut self.sigma_path, kept);
        let new = (s.c_sigma * (2.0 - s.c_sigma) * s.mu_eff).sqrt();
        add(&mut self.sigma_path, new, &whitened);
        let forgotten = 1.0 - kept.powf(2.0 * self.generation as f64);
        let length = dot(&self.sigma_path, &self.sigma_path) / forgotten / n;
        let learns = length < 2.0 + 4.0 / (n + 1.0);
        scale(&mut self.path, 1.0 - s.c_c);
        if learns {
            add(
                &mut self.path,
                (s.c_c * (2.0 - s.c_c) * s.mu_eff).sqrt(),
                step,
            );
        }
        learns
    }

    /// Rank-one and rank-μ update of the covariance.
    fn learn(&mut self, order: &[usize], from_path: bool) {
        let s = &self.strategy;
        let n = self.mean.len() as f64;
        // What a path that was not followed lacks in variance is not forgotten.
        let lack = if from_path {
            0.0
        } else {
            s.c_c * (2.0 - s.c_c)
        };
        let c_1 = s.c_1 * (1.0 - lack);
        let mut learned = vec![(s.c_1, &*self.path)];
        for (weight, &k) in s.weights.iter().zip(order) {
            let y = &*self.steps[k];
            // A bad point counts by its direction: far ones would take more than there is.
            let length = match *weight < 0.0 {
                true => n / (norm(&self.covariance.whiten(y)) + 1e-9).powi(2),
                false => 1.0,
            };
            learned.push((s.c_mu * weight * length, y));
        }
        let sum = c_1 + s.c_mu * s.weights.iter().sum::<f64>();
        self.covariance.learn(1.0 - sum, &learned);
    }
}

impl Optimizer for CmaEs {
    fn ask(&mut self) -> Vec<Vec<f64>> {
        if self.steps.is_empty() {
            let since = (self.generation - self.decomposed) as f64;
            if since > 0.0 && since >= self.strategy.lazy {
                self.covariance.decompose();
                self.decomposed = self.generation;
            }
            let n = self.mean.len();
            let (normals, covariance) = (&mut self.normals, &self.covariance);
            let mut step = |_| {
                let z: Vec<f64> = (0..n).map(|_| normals()).collect();
                covariance.step(&z)
            };
            self.steps = (0..self.strategy.weights.len()).map(&mut step).collect();
        }
        self.steps.iter().map(|step| self.point(step)).collect()
    }

    fn tell(&mut self, costs: &[f64]) -> Result<()> {
        let order = ranking(costs, self.steps.len())?;
        self.generation += 1;
        let step = self.move_mean(&order);
        let from_path = self.follow(&step);
        self.learn(&order, from_path);
        let s = &self.strategy;
        let change = (norm(&self.sigma_path) / s.chi - 1.0) * s.c_sigma / s.damping;
        self.sigma *= change.clamp(-1.0, 1.0).exp();
        self.steps.clear();
        let (best, worst) = (order[0], order[order.len() - 1]);
        self.recent.push((costs[best], costs[worst]));
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.stop().is_some()
    }

    fn center(&self) -> Option<Vec<f64>> {
        Some(self.mean())
    }
}

fn scale(values: &mut [f64], factor: f64) {
    values.iter_mut().for_each(|value| *value *= factor);
}

fn add(values: &mut [f64], factor: f64, more: &[f64]) {
    let pairs = values.iter_mut().zip(more);
    pairs.for_each(|(value, more)| *value += factor * more);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}
