//! Recipes: everything that decides a run, as a TOML file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sprat_model::ModelConfig;

use super::schedule::Plan;
use crate::dataset::Mixture;
use crate::{Error, Result};

/// A recipe file: `[model]`, `[train]`, `[data]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name; also names the run.
    pub name: String,
    /// One sentence for the model card.
    #[serde(default)]
    pub description: String,
    /// A `tokenizer.json`, relative to the recipe. Without one, that of `train.init` is taken, or
    /// one is trained on the mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// How to train.
    pub train: TrainConfig,
    /// Hugging Face config keys. Left out when `train.init` gives the model.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub model: toml::Table,
    /// What to train on.
    pub data: Mixture,
}

/// The `[train]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Draws weights, data and their order.
    pub seed: u64,
    /// Rows per optimizer step.
    pub batch: usize,
    /// Tokens per row.
    pub time: usize,
    /// Rows per forward pass; 0 means all of the batch. The gradients of the parts are added, on
    /// a CPU by several threads at once.
    #[serde(default)]
    pub micro_batch: usize,
    /// Optimizer steps. May be left out where minutes are given.
    #[serde(default)]
    pub steps: usize,
    /// Wall-clock budget; the number of steps is then found from the measured speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The last learning rate as a share of the peak.
    #[serde(default = "default_final_ratio")]
    pub final_ratio: f64,
    /// Steps of linear warm-up.
    #[serde(default = "default_warmup")]
    pub warmup_steps: usize,
    /// Decoupled weight decay of matrices; embeddings, norms and biases have none.
    #[serde(default = "default_decay")]
    pub weight_decay: f32,
    /// Adam's two decay rates.
    #[serde(default = "default_betas")]
    pub betas: [f32; 2],
    /// Adam's epsilon.
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
    /// Largest norm of all gradients together.
    #[serde(default = "default_clip")]
    pub clip: f32,
    /// Steps between validations.
    #[serde(default = "default_validate")]
    pub validate_every: usize,
    /// Batches per validation.
    #[serde(default = "default_validation_batches")]
    pub validation_batches: usize,
    /// Steps between checkpoints.
    #[serde(default = "default_checkpoint")]
    pub checkpoint_every: usize,
    /// A model folder (checkpoint or pack) to start from, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// The plans a run with a time budget followed; a finished run writes them here, so that its
    /// recipe repeats it step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Plan>,
}

fn default_final_ratio() -> f64 {
    0.1
}
fn default_warmup() -> usize {
    50
}
fn default_decay() -> f32 {
    0.1
}
fn default_betas() -> [f32; 2] {
    [0.9, 0.95]
}
fn default_epsilon() -> f32 {
    1e-8
}
fn default_clip() -> f32 {
    1.0
}
fn default_validate() -> usize {
    200
}
fn default_validation_batches() -> usize {
    8
}
fn default_checkpoint() -> usize {
    200
}

impl Recipe {
    /// Reads and checks a recipe; relative paths in it become relative to its folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] when it is not TOML of this form, [`Error::Recipe`] for a
    /// value that cannot work.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read the recipe", path))?;
        let mut recipe: Self =
            toml::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut recipe.tokenizer, &mut recipe.train.init]
            .into_iter()
            .flatten()
        {
            *file = folder.join(&*file);
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::recipe("model", e.to_string()))
    }

    /// The model's shape from `[model]`; `model_type` is llama unless given.
    ///
    /// # Errors
    /// [`Error::Model`] for a shape the decoder does not do.
    pub fn model_config(&self, vocab_size: usize, eos: u32) -> Result<ModelConfig> {
        let json =
            serde_json::to_value(&self.model).map_err(|e| Error::recipe("model", e.to_string()))?;
        let mut keys = match json {
            serde_json::Value::Object(keys) => keys,
            _ => serde_json::Map::new(),
        };
        keys.entry("model_type").or_insert_with(|| "llama".into());
        keys.entry("vocab_size")
            .or_insert_with(|| vocab_size.into());
        keys.entry("eos_token_id").or_insert_with(|| eos.into());
        let bytes = serde_json::Value::Object(keys).to_string().into_bytes();
        ModelConfig::from_json(&bytes).map_err(Error::model("make a model of the recipe"))
    }

    /// What serde cannot say about the values.
    pub(crate) fn check(&self) -> Result<()> {
        let train = &self.train;
        let at_least_one = [
            ("train.batch", train.batch),
            ("train.time", train.time),
            ("train.validate_every", train.validate_every),
            ("train.checkpoint_every", train.checkpoint_every),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                return Err(Error::recipe(field, "must be 1 or more"));
            }
        }
        let positive = [
            ("train.learning_rate", train.learning_rate),
            ("train.clip", f64::from(train.clip)),
            ("train.epsilon", f64::from(train.epsilon)),
            ("train.max_minutes", train.max_minutes.unwrap_or(1.0)),
        ];
        for (field, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::recipe(
                    field,
                    format!("is {value}; it must be above 0"),
                ));
            }
        }
        let shares = [
            ("train.final_ratio", train.final_ratio, 1.0),
            ("train.betas", f64::from(train.betas[0]), 0.9999),
            ("train.betas", f64::from(train.betas[1]), 0.99999),
            ("train.weight_decay", f64::from(train.weight_decay), 10.0),
        ];
        for (field, value, most) in shares {
            if !(0.0..=most).contains(&value) {
                return Err(Error::recipe(
                    field,
                    format!("is {value}; it must be 0 to {most}"),
                ));
            }
        }
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return Err(Error::recipe("name", "must be usable as a folder name"));
        }
        if train
            .plan
            .windows(2)
            .any(|pair| pair[0].step >= pair[1].step)
        {
            return Err(Error::recipe("train.plan", "must go up in steps"));
        }
        Ok(())
    }
}
