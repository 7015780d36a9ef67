//! Logistic regression with a ridge penalty, fitted by Newton's method. Deterministic.

use serde::{Deserialize, Serialize};

/// Probability as a function of standardized features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Logistic {
    mean: Vec<f64>,
    scale: Vec<f64>,
    weights: Vec<f64>,
    bias: f64,
}

/// Standardized features are cut here: what lies further out than any answer it was fitted on is
/// no reason for more certainty.
const FAR: f64 = 8.0;

impl Logistic {
    /// Fits to rows of equal width and their outcomes; `ridge` is half the penalty's factor:
    /// it minimizes  sum of log-loss + ridge/2 |weights|², the bias being free (scikit-learn's
    /// `LogisticRegression(C = 1 / ridge)`).
    pub(super) fn fit(rows: &[&[f64]], outcomes: &[bool], ridge: f64) -> Self {
        let width = rows.first().map_or(0, |row| row.len());
        let n = rows.len().max(1) as f64;
        let column_mean =
            |value: &dyn Fn(&[f64]) -> f64| rows.iter().map(|row| value(row)).sum::<f64>() / n;
        let mean: Vec<f64> = (0..width).map(|j| column_mean(&|row| row[j])).collect();
        let scale = (0..width).map(|j| {
            let variance = column_mean(&|row| (row[j] - mean[j]) * (row[j] - mean[j]));
            let scale = libm::sqrt(variance);
            // A feature that never varies teaches nothing; divided by 1 it stays at 0.
            if scale > 1e-12 * mean[j].abs().max(1.0) {
                scale
            } else {
                1.0
            }
        });
        let scale = scale.collect();
        let mut model = Self {
            mean,
            scale,
            weights: vec![0.0; width],
            bias: 0.0,
        };
        let right = outcomes.iter().filter(|y| **y).count() as f64;
        // Krichevsky-Trofimov's half counts keep the starting point finite.
        model.bias = libm::log((right + 0.5) / (rows.len() as f64 - right + 0.5));
        if right == 0.0 || right == rows.len() as f64 {
            // Nothing to tell apart: a constant confidence.
            return model;
        }
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| model.standardize(row)).collect();
        model.climb(&rows, outcomes, ridge);
        model
    }

    /// Gives every row a probability of nearly 0: it looks at none of its features.
    pub(super) fn never() -> Self {
        Self {
            mean: Vec::new(),
            scale: Vec::new(),
            weights: Vec::new(),
            bias: -100.0,
        }
    }

    /// Probability in `[0, 1]` for one row.
    pub(super) fn probability(&self, row: &[f64]) -> f64 {
        sigmoid(self.score(&self.standardize(row)))
    }

    /// Whether a stored one is usable, for rows of this width.
    pub(super) fn check(&self, width: usize) -> Result<(), String> {
        for (name, values) in [
            ("mean", &self.mean),
            ("scale", &self.scale),
            ("weights", &self.weights),
        ] {
            if values.len() != width || !values.iter().all(|v| v.is_finite()) {
                return Err(format!("its {name} is not {width} finite numbers"));
            }
        }
        if self.scale.iter().any(|s| *s <= 0.0) || !self.bias.is_finite() {
            return Err("its scale or bias is out of range".into());
        }
        Ok(())
    }

    fn standardize(&self, row: &[f64]) -> Vec<f64> {
        let columns = row.iter().zip(self.mean.iter().zip(&self.scale));
        columns
            .map(|(x, (mean, scale))| ((x - mean) / scale).clamp(-FAR, FAR))
            .collect()
    }

    fn score(&self, standardized: &[f64]) -> f64 {
        self.bias + dot(&self.weights, standardized)
    }

    /// Penalized negative log-likelihood.
    fn loss(&self, rows: &[Vec<f64>], outcomes: &[bool], ridge: f64) -> f64 {
        let likelihood: f64 = rows
            .iter()
            .zip(outcomes)
            .map(|(row, &y)| {
                let score = self.score(row);
                softplus(if y { -score } else { score })
            })
            .sum();
        likelihood + 0.5 * ridge * dot(&self.weights, &self.weights)
    }

    /// Newton's method with halving of steps that do not help.
    fn climb(&mut self, rows: &[Vec<f64>], outcomes: &[bool], ridge: f64) {
        let mut loss = self.loss(rows, outcomes, ridge);
        for _ in 0..100 {
            let Some(step) = self.newton_step(rows, outcomes, ridge) else {
                return;
            };
            let mut length = 1.0;
            let better = loop {
                let mut moved = self.clone();
                let (weights, bias) = step.split_at(self.weights.len());
                moved
                    .weights
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(w, s)| *w -= length * s);
                moved.bias -= length * bias[0];
                let moved_loss = moved.loss(rows, outcomes, ridge);
                if moved_loss <= loss {
                    break Some((moved, moved_loss));
                }
                length *= 0.5;
                if length < 1e-10 {
                    break None;
                }
            };
            let Some((moved, moved_loss)) = better else {
                return;
            };
            *self = moved;
            let largest = step.iter().fold(0.0_f64, |a, s| a.max(s.abs()));
            loss = moved_loss;
            if largest < 1e-10 {
                return;
            }
        }
    }

    /// Solves (Hessian) step = gradient; the bias is the last coordinate.
    fn newton_step(&self, rows: &[Vec<f64>], outcomes: &[bool], ridge: f64) -> Option<Vec<f64>> {
        let size = self.weights.len() + 1;
        let mut gradient: Vec<f64> = self.weights.iter().map(|w| ridge * w).collect();
        gradient.push(0.0);
        let mut hessian = vec![vec![0.0; size]; size];
        for (i, row) in hessian.iter_mut().enumerate().take(size - 1) {
            row[i] = ridge;
        }
        for (row, &y) in rows.iter().zip(outcomes) {
            let p = sigmoid(self.score(row));
            let (slope, curve) = (p - f64::from(y), p * (1.0 - p));
            // The bias is the weight of a constant 1.
            let inputs: Vec<f64> = row.iter().copied().chain([1.0]).collect();
            for (i, &input) in inputs.iter().enumerate() {
                gradient[i] += slope * input;
                for (entry, &other) in hessian[i].iter_mut().zip(&inputs[..=i]) {
                    *entry += curve * input * other;
                }
            }
        }
        cholesky_solve(hessian, gradient)
    }
}

/// Solves a x = b for a symmetric positive definite `a`, of which the lower triangle is read.
fn cholesky_solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            let rest = a[i][j] - known;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                a[i][i] = libm::sqrt(rest);
            } else {
                a[i][j] = rest / a[j][j];
            }
        }
    }
    for i in 0..n {
        let known: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    Some(b)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// 1 / (1 + e^-score), without overflow.
fn sigmoid(score: f64) -> f64 {
    if score >= 0.0 {
        1.0 / (1.0 + libm::exp(-score))
    } else {
        let e = libm::exp(score);
        e / (1.0 + e)
    }
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_scikit_learn() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../goldens/gate.json")).unwrap();
        let rows: Vec<Vec<f64>> = serde_json::from_value(golden["x"].clone()).unwrap();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let outcomes: Vec<bool> = serde_json::from_value(golden["y"].clone()).unwrap();
        for case in golden["logistic"].as_array().unwrap() {
            let model = Logistic::fit(&rows, &outcomes, case["ridge"].as_f64().unwrap());
            let weights: Vec<f64> = serde_json::from_value(case["weights"].clone()).unwrap();
            for (ours, theirs) in model.weights.iter().zip(&weights) {
                assert!((ours - theirs).abs() < 1e-6, "{ours} against {theirs}");
            }
            assert!((model.bias - case["bias"].as_f64().unwrap()).abs() < 1e-6);
        }
    }

    #[test]
    fn separable_constant_and_one_sided_data_stay_finite() {
        let rows: Vec<[f64; 2]> = (0..40).map(|i| [f64::from(i), 3.0]).collect();
        let rows: Vec<&[f64]> = rows.iter().map(|r| r.as_slice()).collect();
        let half: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let model = Logistic::fit(&rows, &half, 1.0);
        model.check(2).unwrap();
        assert!(model.probability(&[39.0, 3.0]) > 0.9 && model.probability(&[0.0, 3.0]) < 0.1);
        // Far outside of what was seen: still a probability, and no more certain than at the edge.
        assert!(model.probability(&[1e300, -1e300]).is_finite());
        let model = Logistic::fit(&rows, &[true; 40], 1.0);
        model.check(2).unwrap();
        assert!((model.probability(&[7.0, 3.0]) - 40.5 / 41.0).abs() < 1e-12);
    }

    #[test]
    fn overflow_is_avoided() {
        assert_eq!(sigmoid(-1e6), 0.0);
        assert_eq!(sigmoid(1e6), 1.0);
        assert_eq!(softplus(1e6), 1e6);
    }
}
