//! What a device tells of a row of logits without bringing it to the host, and draws from it.

use crate::Sampling;
use crate::distribution::{cut_down, draw};
use crate::sampler::Confidence;

/// What is known of a row of logits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shortlist {
    /// The likeliest token.
    pub(crate) likeliest: u32,
    pub(crate) stats: Confidence,
    /// Whether all logits were numbers; if not, the rest means nothing.
    pub(crate) finite: bool,
    /// The likeliest token's logit.
    pub(crate) largest: f32,
    /// The sum of `exp((l - largest) / temperature)`.
    pub(crate) sum: f64,
    /// The likeliest tokens and their logits, in the vocabulary's order; none if too many reach `floor`.
    pub(crate) tokens: Vec<(u32, f32)>,
    /// The logit that they reach and no others.
    pub(crate) floor: f32,
}

impl Shortlist {
    /// The token at `at`, 0 to 1, of the cumulative sum of the distribution; None if it takes all logits to know. Where every
    /// token may be drawn, the listed ones come first in it. For a sampling that does not change logits, at the temperature
    /// that the list was made for.
    pub(crate) fn draw(&self, sampling: &Sampling, at: f64) -> Option<u32> {
        let logits: Vec<f32> = self.tokens.iter().map(|(_, logit)| *logit).collect();
        let power = |logit: &f32| f64::from((logit - self.largest) / sampling.temperature).exp();
        let mut probabilities: Vec<f64> =
            logits.iter().map(|logit| power(logit) / self.sum).collect();
        let is_known = match sampling.draws_of_all() {
            true => at < probabilities.iter().sum(),
            false => cut_down(&mut probabilities, &logits, sampling),
        };
        is_known.then(|| self.tokens[draw(&probabilities, at)].0)
    }

    /// The logit that the listed tokens reach and no others; where none are listed, no logit is as large.
    pub(crate) fn floor(&self) -> f32 {
        match self.tokens.is_empty() {
            true => f32::INFINITY,
            false => self.floor,
        }
    }

    /// The `count` likeliest tokens, likeliest first and of equals the first in the vocabulary, and their logits; None if not
    /// as many are known.
    pub(crate) fn likeliest(&self, count: usize) -> Option<Vec<(u32, f32)>> {
        if self.tokens.len() < count {
            return None;
        }
        let mut tokens = self.tokens.clone();
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1));
        tokens.truncate(count);
        Some(tokens)
    }

    /// What the model's distribution says of a token that is listed or the likeliest one, and its normalizer: a logit less it
    /// is a log-probability.
    pub(crate) fn confidence(&self, token: u32) -> Option<(f32, Confidence)> {
        let normalizer = self.largest - self.stats.logprob;
        if token == self.likeliest {
            return Some((normalizer, self.stats));
        }
        let (_, logit) = self.tokens.iter().find(|(id, _)| *id == token)?;
        let logprob = logit - normalizer;
        Some((
            normalizer,
            Confidence {
                logprob,
                ..self.stats
            },
        ))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::distribution::{distribution, largest};
    use crate::sampler::{Sampler, argmax, confidence};
    use proptest::prelude::*;

    impl Shortlist {
        /// What a device should tell of a row.
        pub(crate) fn of(logits: &[f32], floor: f32, temperature: f32) -> Self {
            let likeliest = argmax(logits);
            let [largest, _] = largest(logits);
            let power = |logit: &f32| f64::from((logit - largest) / temperature).exp();
            let tokens = (0u32..).zip(logits).filter(|(_, logit)| **logit >= floor);
            Self {
                likeliest,
                stats: confidence(logits, likeliest).1,
                finite: logits.iter().all(|logit| logit.is_finite()),
                largest,
                sum: logits.iter().map(power).sum(),
                tokens: tokens.map(|(id, logit)| (id, *logit)).collect(),
                floor,
            }
        }
    }

    /// The logit that `count` of them reach.
    pub(crate) fn floor_of(logits: &[f32], count: usize) -> f32 {
        let mut sorted = logits.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted[count.min(logits.len()) - 1]
    }

    proptest! {
        /// Whatever cuts there are, a list draws what all logits would, or says that it can't.
        #[test]
        fn a_list_draws_what_all_logits_would(
            logits in proptest::collection::vec((-40i32..40).prop_map(|l| l as f32 * 0.37), 1..60),
            listed in 1usize..30, top_k in 0usize..40, top_p in 0.01f32..=1.0, min_p in 0f32..0.5,
            temperature in 0.2f32..3.0, place in 0f64..1.0,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, ..Sampling::default() };
            prop_assume!(!sampling.draws_of_all());
            let list = Shortlist::of(&logits, floor_of(&logits, listed), temperature);
            let probabilities = distribution(&logits, &sampling);
            let listed = |id: u32| list.tokens.iter().any(|(other, _)| *other == id);
            let kept = (0u32..).zip(&probabilities).filter(|(_, p)| **p > 0.0);
            let mut kept = kept.map(|(id, _)| id);
            match list.draw(&sampling, place) {
                Some(id) => {
                    // Rounding may move an end of a token's part.
                    let before: f64 = probabilities[..id as usize].iter().sum();
                    let after = before + probabilities[id as usize];
                    prop_assert!(before - 1e-5 <= place && place <= after + 1e-5);
                    prop_assert!(kept.all(listed));
                }
                None => {
                    let is_short = list.tokens.len() < top_k;
                    let all_kept = list.tokens.iter().all(|(id, _)| probabilities[*id as usize] > 0.0);
                    prop_assert!(is_short || all_kept);
                }
            }
        }
    }

    /// Where every token may be drawn, the list and then the rest together draw by the distribution.
    #[test]
    fn draws_beyond_the_list_follow_the_distribution() {
        let logits = [0.0, 1.0, 2.0, -1.0, 1.5, -0.5];
        let sampling = Sampling {
            temperature: 1.3,
            seed: 5,
            ..Sampling::default()
        };
        let expected = distribution(&logits, &sampling);
        let list = Shortlist::of(&logits, 1.2, 1.3);
        let mut sampler = Sampler::new(sampling).unwrap();
        let (mut counts, mut beyond) = ([0f64; 6], 0);
        let n = 20_000;
        for _ in 0..n {
            let id = sampler.next_of(&list).unwrap_or_else(|| {
                beyond += 1;
                sampler.next(&logits, &[], 0)
            });
            counts[id as usize] += 1.0;
        }
        assert!((5000..15_000).contains(&beyond), "{beyond}");
        for (count, p) in counts.iter().zip(expected) {
            let sigma = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((count / f64::from(n) - p).abs() < 5.0 * sigma);
        }
    }

    #[test]
    fn a_list_that_is_empty_or_has_all_loses_no_token() {
        let logits = [0.3, 0.1, 0.2];
        let sampling = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let empty = Shortlist::of(&logits, 9.0, 1.0);
        assert_eq!(
            (empty.draw(&sampling, 0.4), empty.floor()),
            (None, f32::INFINITY)
        );
        // Its sum is a little more than that of what is listed, by rounding.
        let mut all = Shortlist::of(&logits, 0.0, 1.0);
        all.sum *= 1.0 + 1e-6;
        assert_eq!(all.draw(&sampling, 0.99), Some(2));
        assert_eq!(all.draw(&sampling, 1.0 - 1e-9), None);
        for list in [empty, all] {
            let mut sampler = Sampler::new(sampling.clone()).unwrap();
            for _ in 0..100 {
                let id = sampler
                    .next_of(&list)
                    .unwrap_or_else(|| sampler.next(&logits, &[], 0));
                assert!(id < 3);
            }
        }
    }

    /// Who asks again before all logits have come gets the same draw.
    #[test]
    fn a_draw_that_waits_for_all_logits_is_not_lost() {
        let logits = [0.0, 1.0, 2.0, -1.0, 1.5, -0.5];
        let list = Shortlist::of(&logits, 1.2, 1.3);
        let ids = |again: usize| {
            let sampling = Sampling {
                temperature: 1.3,
                seed: 6,
                ..Sampling::default()
            };
            let mut sampler = Sampler::new(sampling).unwrap();
            let mut next = || {
                for _ in 0..again {
                    if let Some(id) = sampler.next_of(&list) {
                        return id;
                    }
                }
                sampler.next(&logits, &[], 0)
            };
            (0..50).map(|_| next()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(3));
    }

    #[test]
    fn what_is_reported_is_what_all_logits_say() {
        let logits = [0.5, 2.0, -1.0, 2.0, 0.7];
        let list = Shortlist::of(&logits, 0.5, 1.0);
        let ids = |count| {
            list.likeliest(count)
                .map(|all| all.iter().map(|t| t.0).collect::<Vec<_>>())
        };
        assert_eq!(ids(3), Some(vec![1, 3, 4]));
        assert_eq!(ids(5), None);
        for token in [0, 1, 3, 4] {
            let (a, b) = (list.confidence(token).unwrap(), confidence(&logits, token));
            let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
            assert!(near(a.0, b.0) && near(a.1.logprob, b.1.logprob));
            assert!(near(a.1.margin, b.1.margin) && near(a.1.entropy, b.1.entropy));
        }
        assert_eq!(list.confidence(2), None);
    }
}
