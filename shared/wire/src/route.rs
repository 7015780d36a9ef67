//! Who answered, where a server asks several models or another server.

use serde::{Deserialize, Serialize};

/// `x_route` of an answer. All numbers must be finite: JSON has no others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RouteRecord {
    /// Id of the model that gave the answer.
    pub target: String,
    /// The rule by which it did, such as `cascade_kept`.
    pub rule: String,
    /// How sure the model was whose answer was judged, 0 to 1: by its gate, the probability that it is right; else the
    /// geometric mean of its tokens' probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// What asking another model was expected to bring, where that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighed: Option<Box<Weighed>>,
    /// How a vote ended, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<Votes>,
    /// What other servers charge for it in US dollars, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// How often a model was asked for it, again after failures or another one.
    pub tries: u32,
}

/// What asking one more model was expected to bring, when that was decided last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Weighed {
    /// Id of that model.
    pub target: String,
    /// By how much a right answer would be likelier, -1 to 1.
    pub gain: f64,
    /// What it was expected to cost, in US dollars.
    pub cost_usd: f64,
}

/// The end of a vote.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Votes {
    /// Votes for the answer that stands.
    pub leader: u32,
    /// Votes cast before it was settled.
    pub total: u32,
}
