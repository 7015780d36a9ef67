//! The distribution that tokens are drawn from.
//!
//! Processors and their order are those of transformers' `generate`: repetition penalty,
//! temperature, top-k, top-p, min-p. Before them come OpenAI's bias and its two penalties, which transformers has not.

use sprat_kernels::vector::{largest_two, powers, sums_of};

use crate::Sampling;

/// The distribution tokens are drawn from, given their weighed logits: one probability per token.
pub(crate) fn distribution(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
    let mut probabilities = softmax(logits, sampling.temperature);
    cut_down(&mut probabilities, logits, sampling);
    probabilities
}

/// Keeps what the rules of a draw keep. `probabilities` and `logits` may be those of the likeliest tokens alone, in their
/// order: then the answer is whether all others are cut off; if not, what is left means nothing.
pub(crate) fn cut_down(probabilities: &mut Vec<f64>, logits: &[f32], sampling: &Sampling) -> bool {
    let known = sampling.top_k <= probabilities.len();
    let mut others_are_cut = false;
    if sampling.top_k > 0 {
        others_are_cut = known;
        let mut ranking = Ranking::new(probabilities);
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
        *probabilities = cut(probabilities, &kept);
    }
    if sampling.top_p < 1.0 {
        let mut ranking = Ranking::new(probabilities);
        let (mut keep, mut sum) = (0, 0.0);
        while keep < ranking.len() && sum < f64::from(sampling.top_p) {
            keep += 1;
            let last = ranking.first(keep).last();
            sum += last.map_or(0.0, |id| probabilities[*id]);
        }
        others_are_cut |= sum >= f64::from(sampling.top_p);
        let kept = ranking.first(keep).to_vec();
        *probabilities = cut(probabilities, &kept);
    }
    if sampling.min_p > 0.0 {
        let most = probabilities.iter().copied().fold(0.0, f64::max);
        let floor = most * f64::from(sampling.min_p);
        let kept = (0..probabilities.len()).filter(|id| probabilities[*id] >= floor);
        let kept: Vec<usize> = kept.collect();
        others_are_cut |= kept.len() < probabilities.len();
        *probabilities = cut(probabilities, &kept);
    }
    known && others_are_cut
}

/// The number of the entry of `probabilities`, whose sum is 1, at `place`, 0 to 1, of their cumulative sum.
pub(crate) fn draw(probabilities: &[f64], place: f64) -> usize {
    let mut left = place;
    let mut last = 0;
    for (id, &p) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        last = id;
        left -= p;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The `count` likeliest tokens, likeliest first and of equals the first in the vocabulary, and their logits.
pub(crate) fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    if count == 0 {
        return vec![];
    }
    let wide: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
    let mut ranking = Ranking::new(&wide);
    let first = ranking.first(count).iter();
    first.map(|id| (*id as u32, logits[*id])).collect()
}

/// Tokens by their probability, likeliest first and of equals the first, as far as somebody wants to know.
struct Ranking<'a> {
    /// Or what else they are likely by.
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
pub(crate) fn weighed(
    logits: &[f32],
    seen: &[u32],
    prompt: usize,
    sampling: &Sampling,
) -> Vec<f32> {
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

/// The token at `place`, 0 to 1, of the cumulative sum of the softmax in order of ids.
pub(crate) fn draw_of_all(logits: &[f32], temperature: f32, place: f64) -> u32 {
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
pub(crate) fn largest(logits: &[f32]) -> [f32; 2] {
    let mut two = [f32::NEG_INFINITY; 2];
    largest_two(logits, &mut two);
    two
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
