//! From a model's signals to one calibrated confidence, and the threshold above which an answer
//! is good enough to keep.
//!
//! A gate is data: a standardized logistic regression on [`Features`], optionally recalibrated by
//! an isotonic map, plus the threshold and the figures it was fitted on. It is fitted once per
//! model by [`fit`] and lives, as JSON, in the model's pack.

mod early;
mod fit;
mod isotonic;
mod logistic;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use early::EARLY_TOKENS;
pub use fit::{CalibrationKind, Example, FitOptions, Split, fit, least_kept, question_hash, split};

use crate::{
    Error,
    signals::{FEATURES, Features, Signals},
};
use early::Early;
use isotonic::Isotonic;
use logistic::Logistic;

/// Version of the stored form; another one is refused.
pub const VERSION: u32 = 1;

/// A threshold that no confidence reaches.
const KEEP_NOTHING: f32 = 2.0;

/// A calibrated gate. Reading one by [`Gate::from_json`] checks all of it; by another serde format,
/// all but the record of what it was fitted on.
///
/// ```
/// use sprat_route::gate::{Example, FitOptions, Gate, fit};
/// use sprat_route::signals::{Signals, TokenSignal};
/// // An imaginary model that is right whenever its margins are wide.
/// let signals = |margin: f32| -> Signals {
///     [TokenSignal { logprob: margin - 1.0, margin, entropy: 1.0 - margin }].into_iter().collect()
/// };
/// let examples: Vec<Example> = (0..1000u64)
///     .map(|i| (i, (i * 37 % 100) as f32 / 100.0))
///     .map(|(i, m)| Example::new(&signals(m), m > 0.4, i))
///     .collect();
/// let gate = fit(&examples, &FitOptions::default())?;
/// let gate = Gate::from_json(gate.to_json().as_bytes())?;
/// assert!(gate.keeps(gate.confidence(&signals(0.95))));
/// assert!(!gate.keeps(gate.confidence(&signals(0.05))));
/// # Ok::<(), sprat_route::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Gate {
    version: u32,
    features: Vec<String>,
    logistic: Logistic,
    calibration: Calibration,
    threshold: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    early: Option<Early>,
    /// A [`FittedOn`]. A page reads two of its fields; reading all of them would be code that it
    /// has to fetch.
    fitted_on: Value,
}

/// The stored form, before it is checked.
#[derive(Deserialize)]
struct Stored {
    version: u32,
    features: Vec<String>,
    logistic: Logistic,
    calibration: Calibration,
    threshold: f32,
    #[serde(default)]
    early: Option<Early>,
    fitted_on: Value,
}

/// What is done to the regression's probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Calibration {
    /// Nothing: it is the confidence.
    Logistic,
    /// A rising map, learned on answers that the regression has not seen.
    Isotonic(Isotonic),
}

/// What a gate was fitted on and how well it did; for model cards and reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FittedOn {
    /// The data, in words.
    pub data: String,
    /// SHA-256 of the questions and answers in normal form; none in gates of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// Fingerprint of the model that answered; none in gates of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Answers in all.
    pub n: usize,
    /// Share of them that was right.
    pub accuracy: f64,
    /// Answers used to fit the confidence.
    pub fit: usize,
    /// Other answers, used to choose the threshold.
    pub calibrate: usize,
    /// The bound: at most this share of kept answers is wrong ...
    pub alpha: f64,
    /// ... except with this probability.
    pub delta: f64,
    /// The bound holds also for what is counted among so many further questions, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Answers of the calibration part that the threshold keeps.
    pub kept: usize,
    /// Wrong ones among them.
    pub errors: usize,
    /// Upper Clopper-Pearson bound on the error among kept answers; `None` if nothing is kept.
    pub bound: Option<f64>,
    /// Figures on answers used for nothing else.
    pub test: Figures,
    /// What the threshold promises, or why it keeps nothing; a sentence.
    pub note: String,
}

/// The promise of a gate's threshold: at most the share `alpha` of the answers kept is wrong, except
/// with probability `delta`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Largest share of wrong answers among those kept.
    pub alpha: f64,
    /// Chance that this does not hold.
    pub delta: f64,
    /// Answers that the threshold was chosen on.
    pub n: u64,
    /// The share of them that it keeps.
    pub coverage: f64,
}

/// A gate's figures on held-out answers. `None` where a figure is not defined on so few.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Answers.
    pub n: usize,
    /// Share of right ones.
    pub accuracy: Option<f64>,
    /// Expected calibration error, 15 bins of equal mass.
    pub ece: Option<f64>,
    /// Brier score.
    pub brier: Option<f64>,
    /// Negative log-likelihood in nats.
    pub nll: Option<f64>,
    /// Area under the ROC curve of confidence against being right.
    pub auroc: Option<f64>,
    /// Answers that the threshold keeps.
    pub kept: usize,
    /// Wrong ones among them.
    pub errors: usize,
    /// Of the early decision, if the gate takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<EarlyFigures>,
}

/// What the early decision comes to, on held-out answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EarlyFigures {
    /// Tokens after which it is taken.
    pub tokens: usize,
    /// Answers that had so many.
    pub running: usize,
    /// Those that were given up.
    pub given_up: usize,
    /// Right ones among them that would have been kept.
    pub lost: usize,
    /// AUROC over all answers with what is known after so many tokens.
    pub auroc: Option<f64>,
}

impl Gate {
    /// Reads a stored gate and checks it.
    ///
    /// # Errors
    /// [`Error::Gate`] where it is not JSON, of another version, or not a usable gate.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let read = |bytes| -> Result<Self, serde_json::Error> {
            let gate: Self = serde_json::from_slice(bytes)?;
            FittedOn::deserialize(&gate.fitted_on)?;
            Ok(gate)
        };
        read(bytes).map_err(|error| Error::Gate(error.to_string()))
    }

    /// Refuses a gate of another model: what one model's signals mean says nothing of another's.
    /// `fingerprint` is that of the model at hand; a gate that names no model passes.
    ///
    /// # Errors
    /// [`Error::Gate`] where the gate names another model.
    pub fn check_model(&self, fingerprint: &str) -> Result<(), Error> {
        match self.fitted_on["model"].as_str() {
            Some(model) if model != fingerprint => {
                Err(Error::Gate("it was fitted on another model".into()))
            }
            _ => Ok(()),
        }
    }

    /// A gate that trusts no answer: for a model whose own gate cannot be used.
    pub fn careful() -> Self {
        Self {
            version: VERSION,
            features: Vec::new(),
            logistic: Logistic::never(),
            calibration: Calibration::Logistic,
            threshold: KEEP_NOTHING,
            early: None,
            fitted_on: Value::Null,
        }
    }

    /// The stored form. Reading it back gives the same confidences.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a gate has no maps with odd keys")
    }

    /// Probability that the answer with these signals is right, in `[0, 1]`. It is defined on the
    /// beginning of an answer too, though it was calibrated on whole ones. No signals, or one out
    /// of range (NaN, a positive log-probability), give 0.
    pub fn confidence(&self, signals: &Signals) -> f32 {
        self.confidence_of(&signals.features())
    }

    /// As [`Gate::confidence`], for features that were kept from earlier.
    pub fn confidence_of(&self, features: &Features) -> f32 {
        confidence(&self.logistic, &self.calibration, features)
    }

    /// Confidence in a draft, and the least with which it is worth going on; `None` for the policy's
    /// own measure, where the gate takes no early decision or the draft is too short for it.
    pub fn draft(&self, signals: &Signals) -> (f32, Option<f32>) {
        let early = self.early.as_ref();
        match early.and_then(|early| Some((early.confidence(signals)?, Some(early.threshold)))) {
            Some(judged) => judged,
            None => (self.confidence(signals), None),
        }
    }

    /// The least confidence that is kept. Above 1 if nothing is.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Whether an answer of this confidence is good enough.
    pub fn keeps(&self, confidence: f32) -> bool {
        confidence >= self.threshold
    }

    /// Whether no threshold met the bound, so that every answer counts as unsure.
    pub fn keeps_nothing(&self) -> bool {
        self.threshold > 1.0
    }

    /// What the threshold promises, for the receipt; `None` in a gate that does not say it.
    pub fn bound(&self) -> Option<Bound> {
        let number = |name| self.fitted_on[name].as_f64();
        let n = number("calibrate")?;
        Some(Bound {
            alpha: number("alpha")?,
            delta: number("delta")?,
            n: n as u64,
            coverage: number("kept")? / n.max(1.0),
        })
    }

    /// What it was fitted on, and its figures; empty in a gate that says nothing of it.
    pub fn fitted_on(&self) -> FittedOn {
        FittedOn::deserialize(&self.fitted_on).unwrap_or_default()
    }
}

fn confidence(logistic: &Logistic, calibration: &Calibration, features: &Features) -> f32 {
    if !features.is_valid() {
        return 0.0;
    }
    let raw = logistic.probability(features.values());
    let calibrated = match calibration {
        Calibration::Logistic => raw,
        Calibration::Isotonic(map) => map.value(raw),
    };
    if calibrated.is_finite() {
        calibrated.clamp(0.0, 1.0) as f32
    } else {
        0.0
    }
}

impl TryFrom<Stored> for Gate {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored {
            version,
            features,
            logistic,
            calibration,
            threshold,
            early,
            fitted_on,
        } = stored;
        if version != VERSION {
            return Err(format!("it has version {version}, not {VERSION}"));
        }
        if features != FEATURES {
            return Err("it was fitted on other features".into());
        }
        logistic.check(FEATURES.len())?;
        if let Calibration::Isotonic(map) = &calibration {
            map.check()?;
        }
        if let Some(early) = &early {
            early.check()?;
        }
        // A threshold of 0 would keep answers whose signals are broken.
        if !(threshold > 0.0 && threshold.is_finite()) {
            return Err(format!("its threshold is {threshold}"));
        }
        for name in ["alpha", "delta"] {
            let value = &fitted_on[name];
            if !value.as_f64().is_some_and(|v| v > 0.0 && v < 1.0) {
                return Err(format!("its {name} is {value}"));
            }
        }
        Ok(Self {
            version,
            features,
            logistic,
            calibration,
            threshold,
            early,
            fitted_on,
        })
    }
}

#[cfg(test)]
mod tests;
