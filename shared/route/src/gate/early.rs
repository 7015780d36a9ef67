//! The gate's word on an answer that has only begun: whether it is lost, so that the cloud is asked
//! at once.

use serde::{Deserialize, Serialize};

use super::{Calibration, Example, confidence, logistic::Logistic};
use crate::signals::{FEATURES, Features, Signals};

/// Tokens after which a draft is judged.
pub const EARLY_TOKENS: usize = 8;

/// At most this share of the answers that would have been kept, and were right, may be given up.
const LOST: f64 = 0.02;

/// Answers that are still being written then, of which it takes so many to learn from.
const LEAST: usize = 50;

/// A second regression, on the signals of an answer's first tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Early {
    pub(super) tokens: usize,
    logistic: Logistic,
    /// Drafts of less confidence are lost.
    pub(super) threshold: f32,
}

impl Early {
    /// Fits to the answers that were not done after [`EARLY_TOKENS`] tokens. `final_confidence` is
    /// the whole answer's, and `kept` the least that is likely to be kept. `None` where there is
    /// too little to learn from.
    pub(super) fn fit(fitting: &[(&Example, f32)], kept: Option<f32>, ridge: f64) -> Option<Self> {
        let running: Vec<(&Features, bool, f32)> = fitting
            .iter()
            .filter_map(|(example, score)| Some((example.early.as_ref()?, example.correct, *score)))
            .filter(|(features, ..)| features.is_valid())
            .collect();
        let right = running.iter().filter(|answer| answer.1).count();
        if running.len() < LEAST || right == 0 || right == running.len() {
            return None;
        }
        let rows: Vec<&[f64]> = running.iter().map(|r| r.0.values().as_slice()).collect();
        let outcomes: Vec<bool> = running.iter().map(|r| r.1).collect();
        let mut early = Self {
            tokens: EARLY_TOKENS,
            logistic: Logistic::fit(&rows, &outcomes, ridge),
            threshold: 0.0,
        };
        let good = running
            .iter()
            .filter(|(_, correct, score)| *correct && kept.is_some_and(|kept| *score >= kept));
        let mut good: Vec<f32> = good.map(|(features, ..)| early.judge(features)).collect();
        good.sort_by(f32::total_cmp);
        // Where nothing is known to be worth keeping, nothing is given up early either.
        early.threshold = *good.get((LOST * good.len() as f64) as usize)?;
        Some(early)
    }

    /// Confidence in an answer, from the features of its first tokens.
    pub(super) fn judge(&self, features: &Features) -> f32 {
        confidence(&self.logistic, &Calibration::Logistic, features)
    }

    /// Confidence in a draft; `None` before it has so many tokens.
    pub(super) fn confidence(&self, signals: &Signals) -> Option<f32> {
        let enough = signals.len() >= self.tokens;
        enough.then(|| self.judge(&signals.prefix(self.tokens).features()))
    }

    /// Whether the answer is given up before its end.
    pub(super) fn gives_up(&self, example: &Example) -> bool {
        let judged = example.early.as_ref().map(|features| self.judge(features));
        judged.is_some_and(|confidence| confidence < self.threshold)
    }

    /// Whether a stored one is usable.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.tokens == 0 || !(0.0..=1.0).contains(&self.threshold) {
            return Err("its early part is out of range".into());
        }
        self.logistic.check(FEATURES.len())
    }
}
