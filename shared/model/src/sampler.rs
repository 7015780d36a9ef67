//! From logits to the next token, and how sure the model was of it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sprat_kernels::vector::exp_sums;

use crate::distribution::{distribution, draw, draw_of_all, largest, weighed};
#[cfg(feature = "gpu")]
use crate::shortlist::Shortlist;
use crate::{Error, Sampling};

/// What the model's own distribution says about a token: before temperature, penalties and cuts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// Natural logarithm of the token's probability.
    pub logprob: f32,
    /// Probability of the likeliest token minus that of the second.
    pub margin: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
}

/// Draws tokens by [`Sampling`]'s rules.
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// A draw that has no token yet.
    #[cfg(feature = "gpu")]
    held: Option<Draw>,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Result<Self, Error> {
        sampling.check()?;
        let rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        Ok(Self {
            sampling,
            rng,
            #[cfg(feature = "gpu")]
            held: None,
        })
    }

    /// The next token after `seen`, of which the first `prompt` are the question, given its `logits`, one per token: finite
    /// ones, and minus infinity for tokens that may not come.
    pub(crate) fn next(&mut self, logits: &[f32], seen: &[u32], prompt: usize) -> u32 {
        let changed;
        let logits = if self.sampling.changes_logits() {
            changed = weighed(logits, seen, prompt, &self.sampling);
            &changed
        } else {
            logits
        };
        if self.sampling.temperature == 0.0 {
            return argmax(logits);
        }
        #[cfg(feature = "gpu")]
        let at = match self.held.take() {
            None => self.rng.random(),
            Some(held) if self.sampling.draws_of_all() => {
                return held.of_all(logits, self.sampling.temperature);
            }
            Some(held) => held.at,
        };
        #[cfg(not(feature = "gpu"))]
        let at = self.rng.random();
        if self.sampling.draws_of_all() {
            return draw_of_all(logits, self.sampling.temperature, at);
        }
        draw(&distribution(logits, &self.sampling), at) as u32
    }

    /// The next token, by the likeliest ones. None if it takes all logits: [`Sampler::next`] then goes on with the same draw.
    /// For a sampling that does not change logits.
    #[cfg(feature = "gpu")]
    pub(crate) fn next_of(&mut self, list: &Shortlist) -> Option<u32> {
        if self.sampling.temperature == 0.0 {
            return Some(list.likeliest);
        }
        // That of before, where somebody asks again.
        let at = match self.held.take() {
            None => self.rng.random(),
            Some(held) => held.at,
        };
        let token = list.draw(&self.sampling, at);
        if token.is_none() {
            let first = list.floor();
            self.held = Some(Draw { at, first });
        }
        token
    }
}

/// Where a draw falls.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Draw {
    /// 0 to 1, of the cumulative sum of probabilities.
    at: f64,
    /// Tokens whose logits are so much or more come first in it, where every token may be drawn.
    first: f32,
}

#[cfg(feature = "gpu")]
impl Draw {
    /// The token there.
    fn of_all(self, logits: &[f32], temperature: f32) -> u32 {
        let is_first = |id: &u32| logits[*id as usize] >= self.first;
        let (first, others): (Vec<u32>, Vec<u32>) = (0..logits.len() as u32).partition(is_first);
        let ids = [first, others].concat();
        let sorted: Vec<f32> = ids.iter().map(|id| logits[*id as usize]).collect();
        ids[draw_of_all(&sorted, temperature, self.at) as usize]
    }
}

/// The likeliest token; of equals the first.
pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

/// What `logits` say of a token, and their normalizer: a logit less it is the token's log-probability.
pub(crate) fn confidence(logits: &[f32], token: u32) -> (f32, Confidence) {
    let [first, second] = largest(logits);
    let [mut sum, mut weighted] = [0.0; 2];
    exp_sums(logits, first, &mut sum, &mut weighted);
    let normalizer = first + sum.ln() as f32;
    let logprob = logits.get(token as usize).map(|logit| logit - normalizer);
    let probability = |logit: f32| f64::from(logit - first).exp() / sum;
    let stats = Confidence {
        logprob: logprob.unwrap_or(f32::NEG_INFINITY),
        margin: (probability(first) - probability(second)) as f32,
        entropy: (sum.ln() - weighted / sum).max(0.0) as f32,
    };
    (normalizer, stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let sampling = Sampling {
            temperature: 1.5,
            seed: 7,
            ..Sampling::default()
        };
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
        let draw = |seed| {
            let mut s = Sampler::new(Sampling {
                seed,
                ..sampling.clone()
            })
            .unwrap();
            (0..100)
                .map(|_| s.next(&logits, &[], 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    /// OpenAI's formula: logit - count * frequency - (count > 0) * presence, of the answer's tokens alone.
    #[test]
    fn bias_and_penalties_are_openais() {
        let sampling = Sampling {
            frequency_penalty: 0.5,
            presence_penalty: 0.25,
            bias: vec![(3, -100.0), (1, 2.0), (99, 5.0)],
            ..Sampling::default()
        };
        let logits = [1.0, 1.0, 1.0, 9.0];
        // Of the six tokens the first two are the question's.
        let weighed = weighed(&logits, &[0, 0, 2, 1, 2, 77], 2, &sampling);
        assert_eq!(weighed, [1.0, 2.25, -0.25, -91.0]);
        let next = |sampling| Sampler::new(sampling).unwrap().next(&logits, &[2], 0);
        assert_eq!((next(sampling), next(Sampling::default())), (1, 3));
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let logits = [0.0, 1.0, 2.0, -1.0];
        let sampling = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let expected = distribution(&logits, &sampling);
        let mut sampler = Sampler::new(sampling).unwrap();
        let mut counts = [0f64; 4];
        let n = 20_000;
        for _ in 0..n {
            counts[sampler.next(&logits, &[], 0) as usize] += 1.0;
        }
        for (count, p) in counts.iter().zip(expected) {
            let sigma = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((count / f64::from(n) - p).abs() < 5.0 * sigma);
        }
    }

    #[test]
    fn confidence_of_a_known_distribution() {
        let logits = [0.7f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
        let (_, c) = confidence(&logits, 1);
        let entropy = -(0.7f32 * 0.7f32.ln() + 0.2 * 0.2f32.ln() + 0.1 * 0.1f32.ln());
        assert!((c.logprob - 0.2f32.ln()).abs() < 1e-6);
        assert!((c.margin - 0.5).abs() < 1e-6);
        assert!((c.entropy - entropy).abs() < 1e-6);
    }

    #[test]
    fn forbidden_tokens_are_never_drawn() {
        let logits = [
            f32::NEG_INFINITY,
            0.0,
            f32::NEG_INFINITY,
            -90.0,
            f32::NEG_INFINITY,
        ];
        for (temperature, top_k, repetition_penalty) in
            [(0.0, 0, 1.0), (5.0, 0, 1.5), (1.0, 4, 0.5)]
        {
            let sampling = Sampling {
                temperature,
                top_k,
                repetition_penalty,
                frequency_penalty: -2.0,
                bias: vec![(0, 100.0), (2, -100.0)],
                ..Sampling::default()
            };
            let mut sampler = Sampler::new(sampling).unwrap();
            let drawn = (0..500).map(|_| sampler.next(&logits, &[4, 0, 2], 1));
            assert!(drawn.into_iter().all(|id| id == 1 || id == 3));
        }
        let certain = distribution(
            &logits,
            &Sampling {
                temperature: 100.0,
                ..Sampling::default()
            },
        );
        assert_eq!([certain[0], certain[2], certain[4]], [0.0; 3]);
    }

    proptest! {
        #[test]
        fn a_draw_is_always_among_the_kept(
            logits in proptest::collection::vec(-30f32..30.0, 1..60),
            top_k in 0usize..10, top_p in 0.01f32..=1.0, min_p in 0f32..=1.0,
            temperature in 0.05f32..5.0, penalty in 0.5f32..2.0, seed: u64,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty: penalty, seed, ..Sampling::default() };
            let probabilities = distribution(&weighed(&logits, &[0, 0, 99], 0, &sampling), &sampling);
            prop_assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let id = Sampler::new(sampling).unwrap().next(&logits, &[0, 0, 99], 0);
            prop_assert!(probabilities[id as usize] > 0.0);
        }
    }
}
