//! Isotonic regression: the best non-decreasing map from score to share of right answers.

use serde::{Deserialize, Serialize};

/// A non-decreasing, piecewise linear map; constant outside its ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Isotonic {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Answers that share one value of the fitted map.
struct Block {
    first: f64,
    last: f64,
    right: f64,
    n: f64,
}

impl Block {
    fn value(&self) -> f64 {
        self.right / self.n
    }
}

impl Isotonic {
    /// Pool-adjacent-violators (Ayer et al. 1955); equal scores are one point. `None` without data.
    pub(super) fn fit(mut answers: Vec<(f64, bool)>) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        answers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut blocks: Vec<Block> = Vec::new();
        for tied in answers.chunk_by(|a, b| a.0 == b.0) {
            let right = tied.iter().filter(|a| a.1).count() as f64;
            let (first, last, n) = (tied[0].0, tied[0].0, tied.len() as f64);
            blocks.push(Block {
                first,
                last,
                right,
                n,
            });
            while let [.., below, above] = &mut blocks[..] {
                if below.value() < above.value() {
                    break;
                }
                below.last = above.last;
                below.right += above.right;
                below.n += above.n;
                blocks.pop();
            }
        }
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for block in &blocks {
            x.push(block.first);
            y.push(block.value());
            if block.last > block.first {
                x.push(block.last);
                y.push(block.value());
            }
        }
        Some(Self { x, y })
    }

    /// Keeps the ends away from 0 and 1 by what `n` answers can show (Laplace's rule): a handful of
    /// lucky answers is no certainty.
    pub(super) fn moderate(&mut self, n: usize) {
        let edge = 1.0 / (n as f64 + 2.0);
        self.y
            .iter_mut()
            .for_each(|y| *y = y.clamp(edge, 1.0 - edge));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_equals_scikit_learn() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../goldens/gate.json")).unwrap();
        let column = |name: &str| -> Vec<f64> {
            serde_json::from_value(golden["isotonic"][name].clone()).unwrap()
        };
        let hit: Vec<bool> = serde_json::from_value(golden["isotonic"]["hit"].clone()).unwrap();
        let map = Isotonic::fit(column("score").into_iter().zip(hit).collect()).unwrap();
        for (at, value) in column("at").into_iter().zip(column("value")) {
            assert!(
                (map.value(at) - value).abs() < 1e-9,
                "at {at}: {} / {value}",
                map.value(at)
            );
        }
    }

    proptest! {
        #[test]
        fn it_rises_and_keeps_the_mean(
            answers in prop::collection::vec((0.0f64..=1.0, any::<bool>()), 1..200),
        ) {
            let mut map = Isotonic::fit(answers.clone()).unwrap();
            prop_assert!(map.check().is_ok());
            let fitted: f64 = answers.iter().map(|a| map.value(a.0)).sum();
            let right = answers.iter().filter(|a| a.1).count() as f64;
            prop_assert!((fitted - right).abs() < 1e-6);
            map.moderate(answers.len());
            prop_assert!(map.check().is_ok());
            prop_assert!(map.value(1.0) < 1.0 && map.value(0.0) > 0.0);
        }
    }
}
