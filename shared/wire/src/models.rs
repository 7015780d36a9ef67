//! `GET /v1/models`.

use serde::{Deserialize, Serialize};

use crate::lenient;

/// The models a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ModelList {
    /// Always [`ModelList::OBJECT`].
    #[serde(default)]
    pub object: String,
    /// One entry per model.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub data: Vec<ModelCard>,
}

impl ModelList {
    /// What stands in `object`.
    pub const OBJECT: &'static str = "list";

    /// A list of these models.
    pub fn new(data: Vec<ModelCard>) -> Self {
        Self {
            object: Self::OBJECT.to_owned(),
            data,
        }
    }
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ModelCard {
    /// What a request names as `model`.
    pub id: String,
    /// Always [`ModelCard::OBJECT`].
    #[serde(default)]
    pub object: String,
    /// When the model was made available, in seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Who made it.
    #[serde(default)]
    pub owned_by: String,
    /// Context in tokens, prompt and answer together (an extension that vLLM has too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<u32>,
    /// Where its weights are (an extension). What other servers write there in another form reads as none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::known_status"
    )]
    pub status: Option<ModelStatus>,
}

impl ModelCard {
    /// What stands in `object`.
    pub const OBJECT: &'static str = "model";
}

/// Where a model's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ModelStatus {
    /// In memory, or on another server that is asked.
    Loaded,
    /// On their way there.
    Loading,
    /// On the disk; a request loads them.
    Unloaded,
    /// The last try to load them failed, or the model does not compute any more.
    Failed,
}
