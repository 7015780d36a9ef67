//! What a language model shows of its own certainty while it writes, boiled down to a fixed vector.
//!
//! Mean and quantiles rather than the sum: a sum of log-probabilities mostly measures length
//! (Gupta et al., "Language Model Cascades: Token-level uncertainty and beyond", arXiv 2404.10136).

use serde::{Deserialize, Serialize};

/// The model's certainty about one token that it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSignal {
    /// Natural logarithm of the token's probability, at most 0.
    pub logprob: f32,
    /// Probability of the likeliest token minus that of the second, in `[0, 1]`.
    pub margin: f32,
    /// Entropy of the next-token distribution in nats, at least 0.
    pub entropy: f32,
}

impl TokenSignal {
    /// Whether the values are in range, give or take rounding.
    fn is_valid(&self) -> bool {
        const SLACK: f32 = 1e-3;
        self.logprob.is_finite()
            && self.logprob <= SLACK
            && (-SLACK..=1.0 + SLACK).contains(&self.margin)
            && self.entropy.is_finite()
            && self.entropy >= -SLACK
    }
}

/// The signals of an answer, token by token.
///
/// ```
/// use sprat_route::signals::{Signals, TokenSignal};
/// let mut signals = Signals::new();
/// signals.push(TokenSignal { logprob: -0.1, margin: 0.8, entropy: 0.4 });
/// assert!(signals.features().is_valid());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    tokens: Vec<TokenSignal>,
}

impl Signals {
    /// Of an answer that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next token.
    pub fn push(&mut self, token: TokenSignal) {
        self.tokens.push(token);
    }

    /// Number of tokens so far.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether no token has been written yet.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens so far, in order.
    pub fn tokens(&self) -> &[TokenSignal] {
        &self.tokens
    }

    /// The first `tokens` tokens (all, if there are fewer).
    pub fn prefix(&self, tokens: usize) -> Self {
        Self {
            tokens: self.tokens[..tokens.min(self.tokens.len())].to_vec(),
        }
    }

    /// The fixed vector that the gate reads. Without tokens, or with a value out of range, the
    /// features are [invalid](Features::is_valid).
    pub fn features(&self) -> Features {
        if self.tokens.is_empty() || !self.tokens.iter().all(TokenSignal::is_valid) {
            return Features([f64::NAN; FEATURES.len()]);
        }
        let column = |value: fn(&TokenSignal) -> f32| -> Vec<f64> {
            let mut column: Vec<f64> = self.tokens.iter().map(|t| f64::from(value(t))).collect();
            column.sort_by(f64::total_cmp);
            column
        };
        let logprob = column(|t| t.logprob);
        let margin = column(|t| t.margin);
        let entropy = column(|t| t.entropy);
        let sum: f64 = logprob.iter().sum();
        Features([
            mean(&logprob),
            logprob[0],
            quantile(&logprob, 0.25),
            quantile(&logprob, 0.5),
            margin[0],
            quantile(&margin, 0.1),
            mean(&entropy),
            entropy[entropy.len() - 1],
            f64::from(self.tokens[0].margin),
            f64::from(self.tokens[self.tokens.len() - 1].margin),
            libm::exp(sum.min(0.0)),
            // Beside the length and cut off, so that a long answer is not doubtful for its length.
            sum.max(LOWEST_SUM),
            libm::log1p(self.tokens.len() as f64),
        ])
    }
}

impl Extend<TokenSignal> for Signals {
    fn extend<I: IntoIterator<Item = TokenSignal>>(&mut self, tokens: I) {
        self.tokens.extend(tokens);
    }
}

impl FromIterator<TokenSignal> for Signals {
    fn from_iter<I: IntoIterator<Item = TokenSignal>>(tokens: I) -> Self {
        Self {
            tokens: tokens.into_iter().collect(),
        }
    }
}

/// Below this a sum of log-probabilities says no more than that it is low.
const LOWEST_SUM: f64 = -30.0;

/// Names of the features, in order. A stored gate repeats them, so that a gate fitted on other
/// features is refused rather than misread.
///
/// What is in it helped on held-out questions of our own two models, each on skills that it was
/// fitted on and on others; docs/router.md has the figures, and what did not help.
pub const FEATURES: [&str; 13] = [
    "logprob_mean",
    "logprob_min",
    "logprob_q25",
    "logprob_q50",
    "margin_min",
    "margin_q10",
    "entropy_mean",
    "entropy_max",
    "first_margin",
    "last_margin",
    "answer_probability",
    "logprob_sum",
    "log_length",
];

/// An answer's features: one number for each name in [`FEATURES`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Features([f64; FEATURES.len()]);

impl Features {
    /// The numbers, in the order of [`FEATURES`].
    pub fn values(&self) -> &[f64; FEATURES.len()] {
        &self.0
    }

    /// Whether every number is finite. The gate gives invalid features the confidence 0.
    pub fn is_valid(&self) -> bool {
        self.0.iter().all(|value| value.is_finite())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile with linear interpolation between order statistics (Hyndman and Fan's type 7, numpy's
/// default). `sorted` is ascending and not empty.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(logprob: f32, margin: f32, entropy: f32) -> TokenSignal {
        TokenSignal {
            logprob,
            margin,
            entropy,
        }
    }

    #[test]
    fn quantiles_follow_numpy() {
        // numpy.quantile([1, 2, 4, 8], [0.1, 0.25, 0.5]) = [1.3, 1.75, 3.0]
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (q, expected) in [(0.0, 1.0), (0.1, 1.3), (0.25, 1.75), (0.5, 3.0), (1.0, 8.0)] {
            assert!((quantile(&sorted, q) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn repeating_an_answer_moves_only_what_measures_length() {
        let once: Signals = [token(-0.5, 0.3, 0.9), token(-0.1, 0.8, 0.2)]
            .into_iter()
            .collect();
        let mut twice = once.clone();
        twice.extend(once.tokens().to_vec());
        for name in [
            "logprob_mean",
            "logprob_min",
            "margin_min",
            "entropy_max",
            "first_margin",
        ] {
            let index = FEATURES.iter().position(|f| *f == name).unwrap();
            let (a, b) = (once.features().0[index], twice.features().0[index]);
            assert!((a - b).abs() < 1e-9, "{name}: {a} against {b}");
        }
    }

    #[test]
    fn nothing_and_nonsense_are_invalid() {
        assert!(!Signals::new().features().is_valid());
        for bad in [
            token(f32::NAN, 0.5, 0.5),
            token(f32::NEG_INFINITY, 0.5, 0.5),
            token(0.5, 0.5, 0.5),
            token(-1.0, 1.5, 0.5),
            token(-1.0, f32::NAN, 0.5),
            token(-1.0, 0.5, -0.5),
            token(-1.0, 0.5, f32::INFINITY),
        ] {
            let signals: Signals = [token(-0.1, 0.9, 0.1), bad].into_iter().collect();
            assert!(!signals.features().is_valid(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_values_give_features_without_a_panic(
            tokens in prop::collection::vec(any::<(f32, f32, f32)>(), 0..40), cut in 0usize..50,
        ) {
            let signals: Signals =
                tokens.iter().map(|&(a, b, c)| token(a, b, c)).collect();
            let _ = signals.features();
            prop_assert_eq!(signals.prefix(cut).len(), cut.min(signals.len()));
        }
    }
}
