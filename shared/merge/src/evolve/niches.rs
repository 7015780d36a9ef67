//! M2N2: merging models in natural niches.
//!
//! Y. Abrantes, R. Lange and Y. Tang, "Competition and Attraction Improve Model Fusion" (arXiv 2508.16204). An
//! archive of models competes for data points: a point's worth is shared by all models that get it right, so a
//! model that is right where others are not lives on. Parents are drawn by fitness, and for each a partner that
//! is better where the first is not (the matchmaker). A child turns from one to the other on the sphere by one
//! angle up to a point in the list of weights, and by the rest of it after.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, Result};

/// How models compete and mate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NichesOptions {
    /// Models in the archive.
    pub population: usize,
    /// How strongly models share a data point: 1 in the paper; at 0 fitness is the plain sum of scores, which
    /// makes it a genetic algorithm.
    pub alpha: f64,
    /// Standard deviation of what is added to each weight of a child: 0.01 in the paper where models begin at
    /// random, 0 where they are trained.
    pub mutation: f32,
    /// Whether the second parent is drawn by what it adds to the first, and not by fitness.
    pub matchmaker: bool,
    /// Draws parents, split points and mutations.
    pub seed: u64,
}

impl NichesOptions {
    /// The paper's, for models that are trained.
    pub fn new(seed: u64) -> Self {
        Self {
            population: 20,
            alpha: 1.0,
            mutation: 0.0,
            matchmaker: true,
            seed,
        }
    }
}

/// A new model, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its weights.
    pub weights: Vec<f32>,
    /// Its parents' places in the archive.
    pub parents: [usize; 2],
    /// Weights before this one turn by `turn`, the others by 1 − `turn`.
    pub split: usize,
    /// From the first parent (0) to the second (1).
    pub turn: f32,
}

/// An archive of models and their scores on each data point.
#[derive(Debug, Clone)]
pub struct Niches {
    options: NichesOptions,
    /// Weights and scores; all of the same lengths.
    models: Vec<(Vec<f32>, Vec<f32>)>,
    random: ChaCha8Rng,
}

impl Niches {
    /// An archive that begins with these models, each with its weights and its scores on all data points, none
    /// below 0.
    ///
    /// # Errors
    /// [`Error::Search`] for no model, a population of fewer than two, models of different sizes, and scores
    /// that are negative or no numbers.
    pub fn new(options: NichesOptions, models: Vec<(Vec<f32>, Vec<f32>)>) -> Result<Self> {
        let problem = if models.is_empty() {
            Some("an archive needs models to begin with")
        } else if options.population < 2 {
            Some("an archive needs room for two models")
        } else {
            None
        };
        if let Some(problem) = problem {
            let problem = problem.to_owned();
            return Err(Error::Search { problem });
        }
        let mut niches = Self {
            random: ChaCha8Rng::seed_from_u64(options.seed),
            options,
            models: Vec::new(),
        };
        for (weights, scores) in models {
            niches.tell(weights, scores)?;
        }
        Ok(niches)
    }

    /// Models in the archive: their weights and scores.
    pub fn models(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.models.iter().map(|(w, s)| (&**w, &**s))
    }

    /// The model with the highest sum of scores.
    pub fn best(&self) -> (&[f32], &[f32]) {
        let sum = |scores: &[f32]| scores.iter().sum::<f32>();
        let better = |a: &usize, b: &usize| {
            let [a, b] = [*a, *b].map(|i| sum(&self.models[i].1));
            a.total_cmp(&b)
        };
        // Of equals the oldest.
        let best = (0..self.models.len()).rev().max_by(better).unwrap_or(0);
        let (weights, scores) = &self.models[best];
        (weights, scores)
    }

    /// A child of two models.
    pub fn ask(&mut self) -> Child {
        let shares = self.shares(None);
        let fitness: Vec<f64> = self.models.iter().map(|m| fitness(&m.1, &shares)).collect();
        let first = self.draw(&fitness);
        let attraction = match self.options.matchmaker {
            true => self.attraction(first, &shares),
            false => fitness,
        };
        let second = self.draw(&attraction);
        let split = self.random.random_range(0..self.models[first].0.len());
        let turn = self.random.random::<f32>();
        let [a, b] = [first, second].map(|i| &*self.models[i].0);
        let mut weights = slerp_split(a, b, split, turn);
        if self.options.mutation > 0.0 {
            for weight in &mut weights {
                let noise: f32 = StandardNormal.sample(&mut self.random);
                *weight += self.options.mutation * noise;
            }
        }
        Child {
            weights,
            parents: [first, second],
            split,
            turn,
        }
    }

    /// Takes a model in, and the least fit out if there is no room; returns whether it was another than the new
    /// one.
    ///
    /// # Errors
    /// [`Error::Search`] for a model of another size, and scores that are negative or no numbers.
    pub fn tell(&mut self, weights: Vec<f32>, scores: Vec<f32>) -> Result<bool> {
        let problem = match self.models.first() {
            _ if weights.is_empty() || scores.is_empty() => {
                Some("a model without weights or scores".to_owned())
            }
            _ if scores.iter().any(|s| !(s.is_finite() && *s >= 0.0)) => {
                Some("scores must be numbers, and none below 0".to_owned())
            }
            Some((w, s)) if (w.len(), s.len()) != (weights.len(), scores.len()) => Some(format!(
                "{} weights and {} scores, but models have {} and {}",
                weights.len(),
                scores.len(),
                w.len(),
                s.len()
            )),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(Error::Search { problem });
        }
        if self.models.len() < self.options.population {
            self.models.push((weights, scores));
            return Ok(true);
        }
        let shares = self.shares(Some(&scores));
        let all = self.models.iter().map(|m| &*m.1).chain([&*scores]);
        let all: Vec<f64> = all.map(|scores| fitness(scores, &shares)).collect();
        // Of equals the oldest goes.
        let worst = (0..all.len()).min_by(|a, b| all[*a].total_cmp(&all[*b]));
        let taken = worst.filter(|worst| *worst < self.models.len());
        if let Some(worst) = taken {
            self.models[worst] = (weights, scores);
        }
        Ok(taken.is_some())
    }

    /// What a score of 1 on each data point is worth: one by the sum of all models' scores to the power of
    /// alpha.
    fn shares(&self, new: Option<&[f32]>) -> Vec<f64> {
        let points = self.models[0].1.len();
        let mut sums = vec![0.0; points];
        for scores in self.models.iter().map(|m| &*m.1).chain(new) {
            let pairs = sums.iter_mut().zip(scores);
            pairs.for_each(|(sum, score)| *sum += f64::from(*score));
        }
        let share = |sum: f64| match sum > 0.0 {
            true if self.options.alpha == 1.0 => 1.0 / sum,
            true => sum.powf(-self.options.alpha),
            false => 1.0,
        };
        sums.into_iter().map(share).collect()
    }

    /// How much better each model is where the first is not.
    fn attraction(&self, first: usize, shares: &[f64]) -> Vec<f64> {
        let own = &self.models[first].1;
        let of = |(_, scores): &(Vec<f32>, Vec<f32>)| {
            let better = scores
                .iter()
                .zip(own)
                .map(|(s, o)| f64::from((s - o).max(0.0)));
            better
                .zip(shares)
                .map(|(better, share)| better * share)
                .sum()
        };
        self.models.iter().map(of).collect()
    }

    /// An index, drawn by weight; evenly where all are 0.
    fn draw(&mut self, weights: &[f64]) -> usize {
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return self.random.random_range(0..weights.len());
        }
        let mut place = sum * self.random.random::<f64>();
        let found = weights.iter().position(|weight| {
            place -= weight;
            place < 0.0
        });
        found.unwrap_or(weights.len() - 1)
    }
}

fn fitness(scores: &[f32], shares: &[f64]) -> f64 {
    let worth = scores
        .iter()
        .zip(shares)
        .map(|(s, share)| f64::from(*s) * share);
    worth.sum()
}

/// From `a` to `b` on the sphere: by `turn` (0 to 1) the weights before `split`, by 1 − `turn` those from it on. The
/// angle is that between the whole lists; where they are parallel, on a straight line.
pub fn slerp_split(a: &[f32], b: &[f32], split: usize, turn: f32) -> Vec<f32> {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    let cosine = if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        1.0
    };
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let scales = |turn: f64| match angle.sin() {
        sine if sine > 1e-6 => [
            ((1.0 - turn) * angle).sin() / sine,
            (turn * angle).sin() / sine,
        ],
        _ => [1.0 - turn, turn],
    };
    let turn = f64::from(turn);
    let [before, after] = [scales(turn), scales(1.0 - turn)].map(|s| s.map(|s| s as f32));
    let mix = |(i, (a, b)): (usize, (&f32, &f32))| {
        let [of_a, of_b] = if i < split { before } else { after };
        of_a * a + of_b * b
    };
    a.iter().zip(b).enumerate().map(mix).collect()
}

/// A sum of products in eight lanes, which a compiler makes vectors of.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum()
}
