//! Centred isotonic regression: a rising map from score to share of right answers.

use serde::{Deserialize, Serialize};

use crate::metrics::reliability;

/// Answers are put into so many bins first. With single answers for bins the map follows chance:
/// docs/router.md has the figures.
const BINS: usize = 10;

/// A rising, piecewise linear map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Isotonic {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Answers that share one point of the fitted map.
#[derive(Clone, Copy)]
struct Block {
    /// Sum of scores.
    score: f64,
    right: f64,
    n: f64,
}

impl Block {
    fn add(&mut self, other: Self) {
        self.score += other.score;
        self.right += other.right;
        self.n += other.n;
    }

    fn value(&self) -> f64 {
        self.right / self.n
    }
}

impl Isotonic {
    /// Pool-adjacent-violators (Ayer et al. 1955) over bins of equal mass; what is pooled becomes one
    /// point at its mean score, so that the map rises everywhere and parts what the score parts
    /// (Oron and Flournoy, "Centered Isotonic Regression", 2017). `None` without usable data.
    pub(super) fn fit(scores: &[f64], correct: &[bool]) -> Option<Self> {
        let bins = reliability(scores, correct, BINS).ok()?;
        let block = |n: f64, score: f64, right: f64| Block { score, right, n };
        let blocks = bins.iter().map(|bin| {
            let n = bin.n as f64;
            block(n, n * bin.confidence, libm::round(n * bin.accuracy))
        });
        let mut blocks: Vec<Block> = blocks.collect();
        // Laplace's rule: one answer more at each end, against it. A handful of lucky answers is no
        // certainty.
        blocks.first_mut()?.add(block(1.0, 0.0, 1.0));
        blocks.last_mut()?.add(block(1.0, 1.0, 0.0));
        let n = scores.len() as f64;
        let ends = [(0.0, 1.0 / (n + 2.0)), (1.0, (n + 1.0) / (n + 2.0))];
        let inner = pool(blocks).into_iter().map(|b| (b.score / b.n, b.value()));
        let mut points: Vec<(f64, f64)> = inner.chain(ends).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Scores that are all 0 or all 1 have their point where an end is.
        points.dedup_by(|b, a| b.0 <= a.0);
        let (x, y) = points.into_iter().unzip();
        Some(Self { x, y })
    }

    /// The map at `x`.
    pub(super) fn value(&self, x: f64) -> f64 {
        let above = self.x.partition_point(|knot| *knot <= x);
        if above == 0 {
            return self.y[0];
        }
        if above == self.x.len() {
            return self.y[above - 1];
        }
        let (x0, x1) = (self.x[above - 1], self.x[above]);
        let (y0, y1) = (self.y[above - 1], self.y[above]);
        y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    }

    /// Whether a stored one is usable.
    pub(super) fn check(&self) -> Result<(), String> {
        let in_range = |values: &[f64]| values.iter().all(|v| (0.0..=1.0).contains(v));
        if self.x.is_empty() || self.x.len() != self.y.len() {
            return Err("its isotonic map has no points, or unequally many x and y".into());
        }
        let rises = self.x.windows(2).all(|w| w[0] < w[1]) && self.y.is_sorted();
        if !rises || !in_range(&self.x) || !in_range(&self.y) {
            return Err("its isotonic map does not rise from 0 to 1".into());
        }
        Ok(())
    }
}

/// Pools neighbours until shares of right answers rise from block to block.
fn pool(blocks: Vec<Block>) -> Vec<Block> {
    let mut pooled: Vec<Block> = Vec::with_capacity(blocks.len());
    for block in blocks {
        pooled.push(block);
        while let [.., below, above] = &mut pooled[..] {
            if below.value() < above.value() {
                break;
            }
            below.add(*above);
            pooled.pop();
        }
    }
    pooled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_equals_cir_model() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../goldens/gate.json")).unwrap();
        for case in golden["isotonic"].as_array().unwrap() {
            let column =
                |name: &str| -> Vec<f64> { serde_json::from_value(case[name].clone()).unwrap() };
            let correct: Vec<bool> = serde_json::from_value(case["correct"].clone()).unwrap();
            let map = Isotonic::fit(&column("score"), &correct).unwrap();
            for (at, value) in column("at").into_iter().zip(column("value")) {
                let ours = map.value(at);
                assert!((ours - value).abs() < 1e-9, "at {at}: {ours} / {value}");
            }
        }
    }

    #[test]
    fn the_same_score_for_all_is_one_point() {
        for score in [0.0, 0.3, 1.0] {
            let map = Isotonic::fit(&[score; 8], &[true, false].repeat(4)).unwrap();
            map.check().unwrap();
            assert!((0.05..0.95).contains(&map.value(score)), "{map:?}");
        }
        assert!(Isotonic::fit(&[], &[]).is_none());
        assert!(Isotonic::fit(&[f64::NAN], &[true]).is_none());
    }

    proptest! {
        #[test]
        fn it_keeps_the_order_and_is_never_certain(
            answers in prop::collection::vec((0.0f64..=1.0, any::<bool>()), 1..200),
            one in 0.0f64..=1.0,
            other in 0.0f64..=1.0,
        ) {
            let (scores, correct): (Vec<f64>, Vec<bool>) = answers.into_iter().unzip();
            let map = Isotonic::fit(&scores, &correct).unwrap();
            prop_assert!(map.check().is_ok());
            let (low, high) = (map.value(one.min(other)), map.value(one.max(other)));
            prop_assert!(low <= high && low > 0.0 && high < 1.0);
            // All wrong or all right leave one of the ends flat.
            let mixed = correct.iter().any(|c| *c) && !correct.iter().all(|c| *c);
            prop_assert!(low < high || !mixed || (one - other).abs() < 1e-9);
        }
    }
}
