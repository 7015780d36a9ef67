//! What a device tells of a row of logits without bringing it to the host, and draws from it.

use crate::Sampling;
use crate::distribution::{cut_down, draw};
use crate::sampler::{Confidence, Place};

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
    /// The tokens whose logits are `floor` or more, with these, in the vocabulary's order; none if they are too many.
    pub(crate) tokens: Vec<(u32, f32)>,
    pub(crate) floor: f32,
}

impl Shortlist {
    /// The token at `place` of the distribution; or where it is among those that are not listed, or that it takes all logits
    /// to know. For a sampling that does not change logits, at the temperature that the list was made for.
    pub(crate) fn draw(&self, sampling: &Sampling, place: Place) -> Result<u32, Place> {
        let logits: Vec<f32> = self.tokens.iter().map(|(_, logit)| *logit).collect();
        let power = |logit: &f32| f64::from((logit - self.largest) / sampling.temperature).exp();
        let mut probabilities: Vec<f64> =
            logits.iter().map(|logit| power(logit) / self.sum).collect();
        if !sampling.draws_of_all() {
            return match cut_down(&mut probabilities, &logits, sampling) {
                true => Ok(self.tokens[draw(&probabilities, place.place)].0),
                false => Err(place),
            };
        }
        // First the listed ones, then the others.
        let listed: f64 = probabilities.iter().sum();
        if place.place < listed {
            return Ok(self.tokens[draw(&probabilities, place.place)].0);
        }
        if self.tokens.is_empty() {
            return Err(place);
        }
        Err(Place {
            place: (place.place - listed) / (1.0 - listed).max(f64::MIN_POSITIVE),
            below: self.floor,
        })
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
            let place = Place { place, below: f32::INFINITY };
            match list.draw(&sampling, place) {
                Ok(id) => {
                    // Rounding may move an end of a token's part.
                    let before: f64 = probabilities[..id as usize].iter().sum();
                    let after = before + probabilities[id as usize];
                    prop_assert!(before - 1e-5 <= place.place && place.place <= after + 1e-5);
                    prop_assert!(kept.all(listed));
                }
                Err(same) => {
                    prop_assert_eq!(same, place);
                    let is_short = list.tokens.len() < top_k;
                    let sum: f64 = list.tokens.iter().map(|(id, _)| probabilities[*id as usize]).sum();
                    let all_kept = list.tokens.iter().all(|(id, _)| probabilities[*id as usize] > 0.0);
                    prop_assert!(is_short || !kept.all(listed) || all_kept || sum < 1.0 + 1e-5);
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
        let place = |place| Place {
            place,
            below: f32::INFINITY,
        };
        let empty = Shortlist::of(&logits, 9.0, 1.0);
        assert_eq!(empty.draw(&sampling, place(0.4)), Err(place(0.4)));
        // Its sum is a little more than that of what is listed, by rounding.
        let mut all = Shortlist::of(&logits, 0.0, 1.0);
        all.sum *= 1.0 + 1e-6;
        assert_eq!(all.draw(&sampling, place(0.99)), Ok(2));
        let beyond = all.draw(&sampling, place(1.0 - 1e-9)).unwrap_err();
        assert!((0.0..1.0).contains(&beyond.place) && beyond.below == 0.0);
        let mut sampler = Sampler::new(sampling).unwrap();
        sampler.hold(beyond);
        assert!(sampler.next(&logits, &[], 0) < 3);
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
