//! M2N2 as its paper measures it: classifiers of handwritten digits, evolved from random weights.
//!
//! arXiv 2508.16204, section 4: the 8 × 8 digits of scikit-learn, the first 80 % of them to evolve on; a network of
//! 64, 256 and 10 units; an archive of 20; children are mutated by N(0, 0.01²).

use std::path::Path;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use sprat_merge::evolve::{Niches, NichesOptions};

use crate::{Error, Result, threads};

const PIXELS: usize = 64;
const HIDDEN: usize = 256;
const CLASSES: usize = 10;
/// Weights of the network, in this order: two matrices, the first with its biases as a last row, and the biases of the
/// second.
const SHAPES: [[usize; 2]; 3] = [[PIXELS + 1, HIDDEN], [HIDDEN, CLASSES], [1, CLASSES]];
/// The part that is evolved on.
const TRAIN: f64 = 0.8;
const SPREAD: f32 = 0.01;

/// Pictures of digits, and what they show.
#[derive(Clone, Debug)]
pub struct Digits {
    train: Side,
    test: Side,
}

#[derive(Clone, Debug)]
struct Side {
    pictures: Tensor<2>,
    digits: Vec<u8>,
}

/// What one evolution came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// On what it was evolved on.
    pub train: f64,
    /// On what it was not.
    pub test: f64,
}

impl Digits {
    /// Reads pictures: a line each, 64 pixels and the digit, with commas between them.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with the line.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, device).map_err(|problem| Error::format(path, problem))
    }

    fn parse(text: &str, device: &Device) -> std::result::Result<Self, String> {
        let mut rows = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let values = line.split(',').map(str::trim).map(str::parse::<u8>);
            let values: Vec<u8> = values
                .collect::<std::result::Result<_, _>>()
                .map_err(|e| format!("line {}: {e}", i + 1))?;
            if values.len() != PIXELS + 1 || usize::from(values[PIXELS]) >= CLASSES {
                return Err(format!("line {} is not {PIXELS} pixels and a digit", i + 1));
            }
            rows.push(values);
        }
        let train = (rows.len() as f64 * TRAIN) as usize;
        if train == 0 {
            return Err("there are too few pictures in it".to_owned());
        }
        Ok(Self {
            train: Side::new(&rows[..train], device),
            test: Side::new(&rows[train..], device),
        })
    }

    /// Evolves as [`Digits::evolve`] with each of the seeds from 0 on, on all cores.
    ///
    /// # Errors
    /// As [`Digits::evolve`].
    pub fn evolve_all(&self, children: usize, runs: u64) -> Result<Vec<Accuracy>> {
        let pools = threads::pools(&self.train.pictures.device())?;
        let evolve = |(): &mut (), seed: usize| self.evolve(children, seed as u64).map(Some);
        let all = threads::share_out(&pools, runs as usize, || Ok(()), evolve)?;
        Ok(all.unwrap_or_default())
    }

    /// Evolves for so many children from two random networks, with a seed.
    ///
    /// # Errors
    /// [`Error::Merge`] never, as scores are what they should be.
    pub fn evolve(&self, children: usize, seed: u64) -> Result<Accuracy> {
        let failed = || Error::merge("evolve digits");
        let mut random = ChaCha8Rng::seed_from_u64(!seed);
        let count = SHAPES.iter().map(|[rows, columns]| rows * columns).sum();
        let normal = Normal::new(0.0, SPREAD);
        let normal = normal.map_err(|e| Error::Evolution(e.to_string()))?;
        let mut first = || -> Vec<f32> { (0..count).map(|_| normal.sample(&mut random)).collect() };
        let models = [first(), first()].map(|weights| {
            let scores = self.train.scores(&weights);
            (weights, scores)
        });
        let options = NichesOptions {
            mutation: SPREAD,
            ..NichesOptions::new(seed)
        };
        let mut niches = Niches::new(options, models.into()).map_err(failed())?;
        for _ in 0..children {
            let child = niches.ask().weights;
            let scores = self.train.scores(&child);
            niches.tell(child, scores).map_err(failed())?;
        }
        let (weights, scores) = niches.best();
        Ok(Accuracy {
            train: mean(scores),
            test: mean(&self.test.scores(weights)),
        })
    }
}

impl Side {
    fn new(rows: &[Vec<u8>], device: &Device) -> Self {
        // A pixel that is always 1 takes the biases.
        let pixels = rows.iter().flat_map(|row| row[..PIXELS].iter().chain(&[1]));
        let pixels: Vec<f32> = pixels.map(|pixel| f32::from(*pixel)).collect();
        let pixels = TensorData::new(pixels, [rows.len(), PIXELS + 1]);
        Self {
            pictures: Tensor::from_data(pixels, device),
            digits: rows.iter().map(|row| row[PIXELS]).collect(),
        }
    }

    /// 1 for each picture that a network is right about.
    fn scores(&self, weights: &[f32]) -> Vec<f32> {
        let device = self.pictures.device();
        let mut rest = weights;
        let [w1, w2, b2] = SHAPES.map(|[rows, columns]| {
            let (own, others) = rest.split_at(rows * columns);
            rest = others;
            Tensor::<2>::from_data(TensorData::new(own.to_vec(), [rows, columns]), &device)
        });
        let hidden = relu(self.pictures.clone().matmul(w1));
        let logits = (hidden.matmul(w2) + b2).into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let rows = logits.chunks_exact(CLASSES);
        let score = |(row, digit): (&[f32], &u8)| {
            // Of equals the first, as numpy counts.
            let best = (0..CLASSES)
                .rev()
                .max_by(|a, b| row[*a].total_cmp(&row[*b]));
            f32::from(u8::from(best == Some(usize::from(*digit))))
        };
        rows.zip(&self.digits).map(score).collect()
    }
}

fn mean(scores: &[f32]) -> f64 {
    scores.iter().map(|score| f64::from(*score)).sum::<f64>() / scores.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    /// Noisy pictures with a bright row of the digit's own.
    fn pictures(count: usize) -> String {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut text = String::new();
        for i in 0..count {
            let digit = i % 8;
            for pixel in 0..PIXELS {
                let bright = if pixel / 8 == digit { 10 } else { 0 };
                text += &format!("{},", bright + random.random_range(0..6));
            }
            text += &format!("{digit}\n");
        }
        text
    }

    #[test]
    fn networks_learn_without_gradients() {
        let digits = Digits::parse(&pictures(120), &Device::flex()).unwrap();
        let few = digits.evolve(10, 1).unwrap();
        let many = digits.evolve(1500, 1).unwrap();
        assert!(many.train > few.train + 0.2, "{few:?} {many:?}");
        assert!(many.test > 0.3, "{many:?}");
        assert_eq!(digits.evolve(10, 1).unwrap(), few);
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let fails = |text: &str| Digits::parse(text, &Device::flex()).unwrap_err();
        assert!(fails("1,2,3").contains("line 1 is not 64"));
        assert!(fails(&format!("{}x\n", "0,".repeat(64))).contains("line 1"));
        assert!(fails(&format!("{}10\n", "0,".repeat(64))).contains("a digit"));
        assert!(fails("").contains("too few"));
    }
}
