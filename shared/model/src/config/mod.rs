//! Hugging Face `config.json`: everything that decides a model's shape.
//!
//! `keys` reads it without passing anything over, `families` says what each `model_type` makes of
//! it, `reader` what they have in common, `names` what each calls its tensors. The result has no families left in it: a list of
//! layers, each of which says what it is made of.

mod families;
mod hops;
mod keys;
mod names;
mod reader;

use serde_json::{Map, Value};

use crate::Error;
use crate::rope::{Beyond, BeyondRule, RopeConfig};

pub use families::Family;
pub use hops::Hop;
pub(crate) use keys::unsupported;
pub(crate) use names::Names;

/// A decoder's shape, read from `config.json` and checked. Equal when they make equal decoders,
/// however they are written.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Whose rules apply.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether norms multiply by one plus their weight (Gemma).
    pub norm_plus_one: bool,
    /// What embeddings are multiplied with.
    pub embedding_scale: f64,
    /// Whether the output head is the embedding table.
    pub tie_word_embeddings: bool,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// The way through the layers: each once, in their order, in a model that was not merged in data flow space.
    pub hops: Vec<Hop>,
    /// The rotary embeddings that layers refer to by index.
    pub ropes: Vec<RopeConfig>,
    /// Standard deviation of freshly initialized weights.
    pub initializer_range: f64,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
    /// The file as it was read.
    json: Map<String, Value>,
}

/// What one layer is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerConfig {
    /// The half that looks at other positions.
    pub mixer: MixerConfig,
    /// The half that looks at one position.
    pub feed_forward: FeedForwardConfig,
}

/// The half of a layer that looks at other positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MixerConfig {
    /// Grouped-query attention.
    Attention(AttentionConfig),
    /// Multi-head latent attention.
    Latent(LatentConfig),
    /// Gated short convolution.
    ShortConv(ShortConvConfig),
}

/// The half of a layer that looks at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedForwardConfig {
    /// One gated network.
    Dense(MlpConfig),
    /// A few of many gated networks, chosen per token.
    Experts(ExpertsConfig),
}

/// Grouped-query attention (arXiv 2305.13245).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides the query heads.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Biases on query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the output projection.
    pub output_bias: bool,
    /// Whether the checkpoint holds query, key and value in one matrix (Phi-3).
    pub fused: bool,
    /// RMSNorm of queries and keys before they are turned.
    pub qk_norm: QkNorm,
    /// Index into [`ModelConfig::ropes`]; `None` for a layer without positions.
    pub rope: Option<usize>,
    /// A position sees this many positions, itself included; `None` for all.
    pub window: Option<usize>,
    /// What scores are multiplied with.
    pub scale: f64,
}

/// What RMSNorm of queries and keys goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// There is none.
    None,
    /// Each head by itself (Qwen 3, Gemma 3, LFM2).
    Head,
    /// All heads together (OLMo 2).
    Full,
}

/// Multi-head latent attention (arXiv 2405.04434).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentConfig {
    /// Heads.
    pub heads: usize,
    /// Width of the queries' latent; `None` for queries projected at once.
    pub q_rank: Option<usize>,
    /// Width of the latent that keys and values are made of: what the cache holds.
    pub kv_rank: usize,
    /// Width of a head's part without positions.
    pub nope_dim: usize,
    /// Width of a head's turned part; keys share theirs among all heads. Even.
    pub rope_dim: usize,
    /// Width of a head's values.
    pub value_dim: usize,
    /// Biases on the projections that have one (`attention_bias`).
    pub bias: bool,
    /// Index into [`ModelConfig::ropes`].
    pub rope: usize,
    /// What scores are multiplied with.
    pub scale: f64,
}

/// LFM2's gated short convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortConvConfig {
    /// Positions the convolution sees, the present one included.
    pub kernel: usize,
    /// Biases on its projections and the convolution.
    pub bias: bool,
}

/// A gated feed-forward network: `down(act(gate(x)) * up(x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MlpConfig {
    /// Width inside.
    pub width: usize,
    /// Biases on all three matrices.
    pub bias: bool,
    /// Whether the checkpoint holds gate and up in one matrix (Phi-3).
    pub fused: bool,
    /// The gate's function.
    pub activation: Activation,
}

/// The function of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// GELU by tanh.
    GeluTanh,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertsConfig {
    /// Experts to choose from.
    pub experts: usize,
    /// Experts chosen per token.
    pub per_token: usize,
    /// Width inside one expert.
    pub width: usize,
    /// Width inside the network that serves every token; `None` when there is none.
    pub shared_width: Option<usize>,
    /// How experts are chosen and weighed.
    pub router: RouterConfig,
    /// The gates' function.
    pub activation: Activation,
}

/// How experts are chosen and weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterConfig {
    /// From logits to scores.
    pub scoring: Scoring,
    /// A learned bias that takes part in the choice but not in the weight
    /// (`e_score_correction_bias`, arXiv 2408.15664).
    pub correction_bias: bool,
    /// Choice within the best groups of experts only.
    pub groups: Option<GroupsConfig>,
    /// Whether the chosen weights are divided by their sum.
    pub renormalize: bool,
    /// What weights are multiplied with.
    pub scale: f64,
}

/// From a router's logits to its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// Over all experts.
    Softmax,
    /// Each expert by itself.
    Sigmoid,
}

/// Choice within the best groups of experts (arXiv 2405.04434 §2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupsConfig {
    /// Groups, of neighbouring experts.
    pub count: usize,
    /// Groups that stay in the choice.
    pub keep: usize,
    /// A group's score: the sum of its so many best (1 in DeepSeek-V2, 2 in V3).
    pub best: usize,
}

/// Larger sizes than any real model's: a damaged file must not ask for terabytes.
const MAX_SIZE: usize = 1 << 22;
/// More layers than any real model's.
const MAX_LAYERS: usize = 4096;

impl ModelConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`Error::Json`] when it does not parse, [`Error::Unsupported`] for a family or option that
    /// would change the result and is not implemented, [`Error::Config`] for impossible sizes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let json: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| Error::Json {
            file: "config.json",
            reason: e.to_string(),
        })?;
        families::read(&json)
    }

    /// The config in Hugging Face's keys, as it was read; [`ModelConfig::from_json`] reads it back.
    pub fn to_json(&self) -> Value {
        Value::Object(self.json.clone())
    }

    /// Adds tokens that end an answer, as `generation_config.json` may name beyond `config.json`.
    pub fn add_eos_token_ids(&mut self, ids: &[u32]) {
        self.eos_token_ids.extend(ids);
        self.eos_token_ids.sort_unstable();
        self.eos_token_ids.dedup();
        let ids = self.eos_token_ids.clone().into();
        self.json.insert("eos_token_id".into(), ids);
    }

    /// Positions a text may have: those the model was made for, or what its RoPE stretches to.
    pub fn context(&self) -> usize {
        let growing = |rope: &RopeConfig| match rope.beyond {
            Some(Beyond {
                positions,
                rule: BeyondRule::Growing { factor, .. },
            }) => (positions as f64 * f64::from(factor)) as usize,
            _ => self.max_position_embeddings,
        };
        let stretched = self.ropes.iter().map(growing).max();
        stretched
            .unwrap_or(self.max_position_embeddings)
            .min(MAX_SIZE)
    }

    /// Number of layers.
    pub fn num_hidden_layers(&self) -> usize {
        self.layers.len()
    }

    /// Names and shapes of all tensors the decoder is made of, in Hugging Face's names.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        crate::decoder::tensors(self)
    }

    /// The same decoder with another number of layers, gone through in their order.
    ///
    /// # Errors
    /// [`Error::Config`] if its layers are not all of one kind, or for no layer.
    pub fn with_layers(&self, layers: usize) -> Result<Self, Error> {
        if self.layers.iter().any(|layer| *layer != self.layers[0]) {
            let problem = "its layers are not all of one kind, so there can't be more or fewer";
            return Err(Error::Config(problem.to_owned()));
        }
        let mut json = self.json.clone();
        json.insert("num_hidden_layers".into(), layers.into());
        json.remove("hop_layers");
        json.remove("hop_scales");
        if let Some(Value::Array(types)) = json.get_mut("layer_types") {
            let first = types.first().cloned().unwrap_or_default();
            types.resize(layers, first);
        }
        families::read(&json)
    }

    /// The same decoder with another way through its layers.
    ///
    /// # Errors
    /// [`Error::Config`] for hops that it can't make.
    pub fn with_hops(&self, hops: &[Hop]) -> Result<Self, Error> {
        let mut json = self.json.clone();
        let layers: Vec<usize> = hops.iter().map(|hop| hop.layer).collect();
        let scales: Vec<f32> = hops.iter().map(|hop| hop.scale).collect();
        json.insert("hop_layers".into(), layers.into());
        json.insert("hop_scales".into(), scales.into());
        families::read(&json)
    }

    /// Number of weights; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.tensors()
            .iter()
            .map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>())
            .sum()
    }

    /// Whether this differs from `shallow` in nothing but more layers, all of one kind.
    pub fn deepens(&self, shallow: &Self) -> bool {
        let first = &self.layers[0];
        let of_one_kind = self.layers.iter().all(|layer| layer == first);
        let in_order = |config: &Self| {
            let plain = |(i, hop): (usize, &Hop)| hop.layer == i && hop.scale == 1.0;
            config.hops.len() == config.layers.len() && config.hops.iter().enumerate().all(plain)
        };
        if !in_order(self) || !in_order(shallow) {
            return false;
        }
        let as_shallow = Self {
            layers: self.layers[..self.layers.len().min(shallow.layers.len())].to_vec(),
            hops: shallow.hops.clone(),
            ..self.clone()
        };
        of_one_kind && as_shallow == *shallow
    }

    pub(crate) fn names(&self) -> &'static Names {
        self.family.names()
    }
}

impl PartialEq for ModelConfig {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            family,
            vocab_size,
            hidden_size,
            max_position_embeddings,
            rms_norm_eps,
            norm_plus_one,
            embedding_scale,
            tie_word_embeddings,
            layers,
            hops,
            ropes,
            initializer_range,
            eos_token_ids,
            json: _,
        } = self;
        *family == other.family
            && *vocab_size == other.vocab_size
            && *hidden_size == other.hidden_size
            && *max_position_embeddings == other.max_position_embeddings
            && *rms_norm_eps == other.rms_norm_eps
            && *norm_plus_one == other.norm_plus_one
            && *embedding_scale == other.embedding_scale
            && *tie_word_embeddings == other.tie_word_embeddings
            && *layers == other.layers
            && *hops == other.hops
            && *ropes == other.ropes
            && *initializer_range == other.initializer_range
            && *eos_token_ids == other.eos_token_ids
    }
}

/// That `size` is one a model can have.
fn check_size(name: &str, size: usize) -> Result<usize, Error> {
    match size {
        1..=MAX_SIZE => Ok(size),
        _ => Err(Error::Config(format!(
            "{name} = {size} must be 1 to {MAX_SIZE}"
        ))),
    }
}

#[cfg(test)]
mod tests;
