//! The receipt: who answered, by which rule, how sure, how fast, at what cost.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FinishReason;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Computed, not generated: the question was plain arithmetic or the like.
    Exact,
    /// The model on this device.
    Device,
    /// A model in the cloud.
    Cloud,
}

impl Source {
    /// The word that stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Exact => "exact",
            Source::Device => "device",
            Source::Cloud => "cloud",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The promise of a gate's threshold: at most the share `alpha` of the answers kept is wrong, except
/// with probability `delta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// What comes with every answer. All numbers must be finite: JSON has no others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who gave the answer that stands.
    pub source: Source,
    /// Id of the policy rule that decided.
    pub rule: String,
    /// That rule's reason, one sentence for a person.
    pub reason: String,
    /// Probability that the device's answer is right, 0 to 1, where it was judged.
    pub confidence: Option<f32>,
    /// The confidence below which the cloud takes over.
    pub threshold: Option<f32>,
    /// What that threshold promises, where the model's gate says it.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// Id of the model that answered; none for an exact answer.
    pub model: Option<String>,
    /// What it ran on, in words.
    pub device: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Prompt tokens that were still in the cache.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
    /// Tokens of this device at the beginning of an answer that the cloud has gone on with.
    #[serde(default)]
    pub continued_tokens: u32,
    /// Why the answer ended, where that is known; none for one that was stopped.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
    /// Milliseconds from the question to the first text shown.
    pub first_token_ms: Option<f64>,
    /// Milliseconds spent on this device.
    pub device_ms: f64,
    /// Milliseconds spent waiting for the cloud.
    pub cloud_ms: f64,
    /// Milliseconds from the question to the end of the answer.
    pub total_ms: f64,
    /// Bytes of request bodies that left the device.
    pub bytes_sent: u64,
    /// What the cloud charged, in US dollars.
    pub cost_usd: f64,
}
