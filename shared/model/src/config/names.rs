//! What each family calls its tensors inside a layer.

use super::Family;

/// Names of a layer's parts, below `model.layers.N`. A norm without a name is not there.
#[derive(Debug)]
pub(crate) struct Names {
    /// Norm of the mixer's input.
    pub(crate) before_mixer: Option<&'static str>,
    /// Norm of the mixer's output, before it is added.
    pub(crate) after_mixer: Option<&'static str>,
    /// Norm of the feed-forward layer's input.
    pub(crate) before_feed_forward: Option<&'static str>,
    /// Norm of the feed-forward layer's output, before it is added.
    pub(crate) after_feed_forward: Option<&'static str>,
    pub(crate) attention_output: &'static str,
    pub(crate) q_norm: &'static str,
    pub(crate) k_norm: &'static str,
    pub(crate) feed_forward: &'static str,
    pub(crate) gate: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// The norm after the last layer, below `model`.
    pub(crate) final_norm: &'static str,
}

const LLAMA: Names = Names {
    before_mixer: Some("input_layernorm"),
    after_mixer: None,
    before_feed_forward: Some("post_attention_layernorm"),
    after_feed_forward: None,
    attention_output: "o_proj",
    q_norm: "q_norm",
    k_norm: "k_norm",
    feed_forward: "mlp",
    gate: "gate_proj",
    up: "up_proj",
    down: "down_proj",
    final_norm: "norm",
};

/// Norms on both sides of each half layer.
const GEMMA3: Names = Names {
    after_mixer: Some("post_attention_layernorm"),
    before_feed_forward: Some("pre_feedforward_layernorm"),
    after_feed_forward: Some("post_feedforward_layernorm"),
    ..LLAMA
};

/// Norms of the outputs only.
const OLMO2: Names = Names {
    before_mixer: None,
    after_mixer: Some("post_attention_layernorm"),
    before_feed_forward: None,
    after_feed_forward: Some("post_feedforward_layernorm"),
    ..LLAMA
};

const LFM2: Names = Names {
    before_mixer: Some("operator_norm"),
    before_feed_forward: Some("ffn_norm"),
    attention_output: "out_proj",
    q_norm: "q_layernorm",
    k_norm: "k_layernorm",
    feed_forward: "feed_forward",
    gate: "w1",
    up: "w3",
    down: "w2",
    final_norm: "embedding_norm",
    ..LLAMA
};

impl Family {
    pub(crate) fn names(self) -> &'static Names {
        match self {
            Self::Gemma3 => &GEMMA3,
            Self::Olmo2 => &OLMO2,
            Self::Lfm2 => &LFM2,
            _ => &LLAMA,
        }
    }
}
