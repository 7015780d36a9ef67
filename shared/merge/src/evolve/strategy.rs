//! The constants of CMA-ES: population, weights, learning rates.
//!
//! From N. Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772), table 1, with active
//! (negative) weights; where pycma 4.5 has moved on from it, as it has.

/// The constants of a search in `dimension` dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strategy {
    /// Of each point of a generation, the best first: the positive ones sum to 1.
    pub(super) weights: Vec<f64>,
    /// How many of them are positive.
    pub(super) parents: usize,
    /// How many points of equal weight the positive ones are worth.
    pub(super) mu_eff: f64,
    /// Rates at which the paths of steps and of the covariance forget.
    pub(super) c_sigma: f64,
    pub(super) c_c: f64,
    /// Rates at which the covariance learns from its path and from the points.
    pub(super) c_1: f64,
    pub(super) c_mu: f64,
    /// How strongly changes of the step size are damped.
    pub(super) damping: f64,
    /// Expected length of a vector of normal numbers.
    pub(super) chi: f64,
    /// Generations between decompositions of a full covariance.
    pub(super) lazy: f64,
}

impl Strategy {
    /// The population's default size: 4 + ⌊3 ln n⌋.
    pub(super) fn population(dimension: usize) -> usize {
        4 + (3.0 * (dimension.max(1) as f64).ln()) as usize
    }

    pub(super) fn new(dimension: usize, population: usize) -> Self {
        let (n, lambda) = (dimension as f64, population as f64);
        let raw = |i: usize| ((lambda + 1.0) / 2.0).ln() - ((i + 1) as f64).ln();
        let mut weights: Vec<f64> = (0..population).map(raw).collect();
        let parents = weights.iter().take_while(|w| **w > 0.0).count();
        let (positive, negative) = weights.split_at_mut(parents);
        scale_to(positive, 1.0);
        let effective = |w: &[f64]| w.iter().sum::<f64>().powi(2) / squares(w);
        let mu_eff = effective(positive);
        let c_1 = (lambda / 6.0).min(1.0) * 2.0 / ((n + 1.3).powi(2) + mu_eff);
        let c_mu = 2.0 * (0.25 + mu_eff - 2.0 + 1.0 / mu_eff) / ((n + 2.0).powi(2) + mu_eff);
        let c_mu = c_mu.min(1.0 - c_1);
        if squares(negative) > 0.0 {
            // Eq. 50 to 53 of the tutorial: no decay, no more than the points are worth, positive definite.
            let no_decay = 1.0 + c_1 / c_mu;
            let worth = 1.0 + 2.0 * effective(negative) / (mu_eff + 2.0);
            let definite = (1.0 - c_1 - c_mu) / c_mu / n;
            scale_to(negative, -no_decay.min(worth).min(definite));
        }
        let c_sigma = ((mu_eff + 2.0) / (n + mu_eff + 3.0)).min(0.5);
        // pycma damps more than the tutorial where the population is large for the dimension.
        let stronger = (3.0 * (1.0 - 0.5f64.powf(n / 9.0))).max(1.0);
        let excess = stronger * ((mu_eff - 1.0) / (n + 1.0)).sqrt() - 1.0;
        Self {
            parents,
            mu_eff,
            c_sigma,
            c_c: (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n),
            c_1,
            c_mu,
            damping: 1.0 + 2.0 * excess.max(0.0) + c_sigma,
            chi: expected_length(dimension),
            lazy: 1.0 / (c_1 + c_mu) / n / 10.0,
            weights,
        }
    }
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

/// Scales values so that they sum to `sum`.
fn scale_to(values: &mut [f64], sum: f64) {
    let factor = sum / values.iter().sum::<f64>();
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Expected length of a vector of `n` normal numbers: √2 Γ((n+1)/2) / Γ(n/2), by Γ(x+1) = x Γ(x).
fn expected_length(n: usize) -> f64 {
    let first = 1.0 / std::f64::consts::PI.sqrt();
    std::f64::consts::SQRT_2 * (1..n).fold(first, |ratio, k| k as f64 / 2.0 / ratio)
}
