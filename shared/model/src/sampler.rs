//! From logits to the next token, and how sure the model was of it.
//!
//! Processors and their order are those of transformers' `generate`: repetition penalty,
//! temperature, top-k, top-p, min-p. Before them come OpenAI's bias and its two penalties, which transformers has not.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sprat_kernels::vector::{exp_sums, largest_two, powers, sums_of};

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
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Result<Self, Error> {
        sampling.check()?;
        let rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        Ok(Self { sampling, rng })
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
        let place: f64 = self.rng.random();
        let sampling = &self.sampling;
        if sampling.top_k == 0 && sampling.top_p >= 1.0 && sampling.min_p == 0.0 {
            return draw_of_all(logits, sampling.temperature, place);
        }
        let probabilities = distribution(logits, sampling);
        // Inverse of the cumulative sum, in order of ids.
        let mut left = place;
        let mut last = 0;
        for (id, &p) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            last = id;
            left -= p;
            if left < 0.0 {
                break;
            }
        }
        last as u32
    }
}

/// The token at `place`, 0 to 1, of the cumulative sum of the softmax in order of ids.
fn draw_of_all(logits: &[f32], temperature: f32, place: f64) -> u32 {
    /// Sums of so many are passed over at once.
    const PART: usize = 64;
    let powers = powers_of(logits, temperature);
    let mut sums = vec![0.0; powers.len().div_ceil(PART)];
    sums_of(&powers, PART, &mut sums);
    let mut left = place * sums.iter().sum::<f64>();
    let mut last = 0;
    for (part, (powers, sum)) in powers.chunks(PART).zip(&sums).enumerate() {
        if left >= *sum {
            left -= sum;
            // In case it is the last: rounding may leave a little of the last sum.
            if let Some(at) = powers.iter().rposition(|power| *power > 0.0) {
                last = part * PART + at;
            }
            continue;
        }
        for (at, power) in powers.iter().enumerate().filter(|(_, power)| **power > 0.0) {
            last = part * PART + at;
            left -= f64::from(*power);
            if left < 0.0 {
                break;
            }
        }
        break;
    }
    last as u32
}

/// The distribution tokens are drawn from, given their weighed logits: one probability per token.
fn distribution(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
    let mut probabilities = softmax(logits, sampling.temperature);
    if sampling.top_k > 0 {
        let mut ranking = Ranking::new(&probabilities);
        let mut keep = sampling.top_k.min(probabilities.len());
        // Equal to the last one kept: stays, as in transformers.
        while keep < ranking.len() {
            let first = ranking.first(keep + 1);
            if logits[first[keep]] != logits[first[keep - 1]] {
                break;
            }
            keep += 1;
        }
        let kept = ranking.first(keep).to_vec();
        probabilities = cut(&probabilities, &kept);
    }
    if sampling.top_p < 1.0 {
        let mut ranking = Ranking::new(&probabilities);
        let (mut keep, mut sum) = (0, 0.0);
        while keep < ranking.len() && sum < f64::from(sampling.top_p) {
            keep += 1;
            let last = ranking.first(keep).last();
            sum += last.map_or(0.0, |id| probabilities[*id]);
        }
        let kept = ranking.first(keep).to_vec();
        probabilities = cut(&probabilities, &kept);
    }
    if sampling.min_p > 0.0 {
        let most = probabilities.iter().copied().fold(0.0, f64::max);
        let floor = most * f64::from(sampling.min_p);
        let kept = (0..probabilities.len()).filter(|id| probabilities[*id] >= floor);
        let kept: Vec<usize> = kept.collect();
        probabilities = cut(&probabilities, &kept);
    }
    probabilities
}

/// Tokens by their probability, likeliest first and of equals the first, as far as somebody wants to know.
struct Ranking<'a> {
    probabilities: &'a [f64],
    order: Vec<usize>,
    /// How many of the order are in their places.
    sorted: usize,
}

impl<'a> Ranking<'a> {
    fn new(probabilities: &'a [f64]) -> Self {
        Self {
            probabilities,
            order: (0..probabilities.len()).collect(),
            sorted: 0,
        }
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    /// The first `count`, or all that there are.
    fn first(&mut self, count: usize) -> &[usize] {
        let count = count.min(self.order.len());
        if count > self.sorted {
            // Twice as many each time: few tokens of a large vocabulary matter.
            let wanted = count.next_power_of_two().max(64).min(self.order.len());
            let more = wanted - self.sorted;
            let p = self.probabilities;
            let likelier = |a: &usize, b: &usize| p[*b].total_cmp(&p[*a]).then(a.cmp(b));
            let rest = &mut self.order[self.sorted..];
            if more < rest.len() {
                rest.select_nth_unstable_by(more, likelier);
            }
            rest[..more].sort_unstable_by(likelier);
            self.sorted = wanted;
        }
        &self.order[..count]
    }
}

/// The probabilities of these tokens, their sum 1, and 0 for all others.
fn cut(probabilities: &[f64], kept: &[usize]) -> Vec<f64> {
    let mut left = vec![0.0; probabilities.len()];
    for &id in kept {
        left[id] = probabilities[id];
    }
    let sum: f64 = left.iter().sum();
    for p in &mut left {
        *p /= sum;
    }
    left
}

/// The logits after bias and penalties.
fn weighed(logits: &[f32], seen: &[u32], prompt: usize, sampling: &Sampling) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &(id, by) in &sampling.bias {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit += by;
        }
    }
    let (frequency, presence) = (sampling.frequency_penalty, sampling.presence_penalty);
    if frequency != 0.0 || presence != 0.0 {
        let mut counts = vec![0u32; logits.len()];
        for &id in seen.get(prompt..).unwrap_or_default() {
            if let Some(count) = counts.get_mut(id as usize) {
                *count += 1;
            }
        }
        for (logit, &count) in logits.iter_mut().zip(&counts) {
            if count > 0 {
                *logit -= frequency * count as f32 + presence;
            }
        }
    }
    let penalty = sampling.repetition_penalty;
    if penalty != 1.0 {
        let mut done = vec![false; logits.len()];
        for &id in seen {
            let id = id as usize;
            if id < done.len() && !std::mem::replace(&mut done[id], true) {
                let logit = &mut logits[id];
                *logit = if *logit < 0.0 {
                    *logit * penalty
                } else {
                    *logit / penalty
                };
            }
        }
    }
    logits
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

/// In f32 but for the sums: of thousands of tokens the exponentials are most of the work.
fn softmax(logits: &[f32], temperature: f32) -> Vec<f64> {
    let powers = powers_of(logits, temperature);
    let mut sum = [0.0];
    sums_of(&powers, powers.len().max(1), &mut sum);
    let [sum] = sum;
    powers.into_iter().map(|p| f64::from(p) / sum).collect()
}

/// The softmax of `logits / temperature` before it is divided by its sum.
fn powers_of(logits: &[f32], temperature: f32) -> Vec<f32> {
    let mut found = vec![0.0; logits.len()];
    powers(logits, largest(logits)[0], 1.0 / temperature, &mut found);
    found
}

/// The two largest, equal ones counted apart.
fn largest(logits: &[f32]) -> [f32; 2] {
    let mut two = [f32::NEG_INFINITY; 2];
    largest_two(logits, &mut two);
    two
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

    #[derive(serde::Deserialize)]
    struct Goldens {
        logits: std::collections::HashMap<String, Vec<f32>>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        logits: String,
        history: Vec<u32>,
        temperature: Option<f32>,
        top_k: Option<usize>,
        top_p: Option<f32>,
        min_p: Option<f32>,
        repetition_penalty: Option<f32>,
        probabilities: Vec<f64>,
    }

    #[test]
    fn distributions_equal_transformers() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/goldens/sampling/probabilities.json"
        );
        let goldens: Goldens = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(goldens.cases.len() > 20);
        for (i, case) in goldens.cases.iter().enumerate() {
            let sampling = Sampling {
                temperature: case.temperature.unwrap_or(1.0),
                top_k: case.top_k.unwrap_or(0),
                top_p: case.top_p.unwrap_or(1.0),
                min_p: case.min_p.unwrap_or(0.0),
                repetition_penalty: case.repetition_penalty.unwrap_or(1.0),
                ..Sampling::default()
            };
            let logits = &goldens.logits[&case.logits];
            let logits = weighed(logits, &case.history, 0, &sampling);
            let actual = distribution(&logits, &sampling);
            for (id, (a, e)) in actual.iter().zip(&case.probabilities).enumerate() {
                assert!(
                    (a - e).abs() < 1e-5,
                    "case {i} ({}), token {id}: {a}, {e}",
                    case.logits
                );
            }
        }
    }

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
