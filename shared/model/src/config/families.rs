//! What each `model_type` makes of its `config.json`: one function per family, defaults as in
//! transformers' configuration classes.

use serde_json::{Map, Value};

use super::keys::{Keys, unsupported};
use super::reader::{Reader, even, positive};
use super::*;
use crate::rope::yarn_mscale;

/// The families of decoders this crate runs exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 2 and 3, SmolLM2: RMSNorm, rotate-half RoPE, SwiGLU, optional biases.
    Llama,
    /// Mistral: Llama with a sliding window in every layer.
    Mistral,
    /// Qwen 2 and 2.5: biases on query, key and value.
    Qwen2,
    /// Qwen 3: RMSNorm of each query and key head.
    Qwen3,
    /// Gemma 3, text only: windowed and full layers with a RoPE each, norms on both sides.
    Gemma3,
    /// SmolLM3: every fourth layer without positions.
    SmolLm3,
    /// LFM2: gated short convolutions beside attention.
    Lfm2,
    /// Phi-3 and Phi-4-mini: fused projections, LongRoPE.
    Phi3,
    /// OLMo 2: norms of outputs, and of queries and keys over all heads.
    Olmo2,
    /// Qwen3-MoE: routed experts.
    Qwen3Moe,
    /// DeepSeek-V2: latent attention, routed and shared experts.
    DeepseekV2,
    /// DeepSeek-V3: DeepSeek-V2 with sigmoid routing and a correction bias.
    DeepseekV3,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 12] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma3,
        Self::SmolLm3,
        Self::Lfm2,
        Self::Phi3,
        Self::Olmo2,
        Self::Qwen3Moe,
        Self::DeepseekV2,
        Self::DeepseekV3,
    ];

    /// The family's name in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3_text",
            Self::SmolLm3 => "smollm3",
            Self::Lfm2 => "lfm2",
            Self::Phi3 => "phi3",
            Self::Olmo2 => "olmo2",
            Self::Qwen3Moe => "qwen3_moe",
            Self::DeepseekV2 => "deepseek_v2",
            Self::DeepseekV3 => "deepseek_v3",
        }
    }

    fn read(keys: &Keys<'_>) -> Result<Self, Error> {
        const SUPPORTED: &str = "llama, mistral, qwen2, qwen3, gemma3_text, smollm3, lfm2, phi3, \
                                 olmo2, qwen3_moe, deepseek_v2, deepseek_v3";
        let Some(name) = keys.text("model_type")? else {
            return Err(Error::Config("model_type is missing".into()));
        };
        let known = Self::ALL.into_iter().find(|f| f.model_type() == name);
        known.ok_or_else(|| unsupported("model_type", &name.into(), SUPPORTED))
    }
}

pub(super) fn read(json: &Map<String, Value>) -> Result<ModelConfig, Error> {
    let keys = Keys::new(json);
    let family = Family::read(&keys)?;
    let layers = keys.needed("num_hidden_layers")?;
    if layers == 0 || layers > MAX_LAYERS {
        return Err(Error::Config(format!(
            "num_hidden_layers = {layers} must be 1 to {MAX_LAYERS}"
        )));
    }
    let positions = match family {
        Family::Llama | Family::Olmo2 | Family::DeepseekV2 => 2048,
        Family::Phi3 | Family::DeepseekV3 => 4096,
        Family::Gemma3 | Family::Mistral => 131_072,
        Family::Lfm2 => 128_000,
        _ => 32_768,
    };
    let positions = keys.size("max_position_embeddings")?.unwrap_or(positions);
    let reader = Reader {
        hidden: check_size("hidden_size", keys.needed("hidden_size")?)?,
        positions: check_size("max_position_embeddings", positions)?,
        family,
        layers,
        keys,
    };
    let (layers, ropes) = reader.layers()?;
    let keys = &reader.keys;
    let eps = match family {
        Family::Lfm2 => keys.number("norm_eps", 1e-5)?,
        Family::Phi3 | Family::Olmo2 => keys.number("rms_norm_eps", 1e-5)?,
        _ => keys.number("rms_norm_eps", 1e-6)?,
    };
    let tied = matches!(family, Family::Gemma3 | Family::SmolLm3 | Family::Lfm2);
    let tied = match family {
        Family::Lfm2 => keys.flag("tie_embedding", tied)?,
        _ => tied,
    };
    let config = ModelConfig {
        family,
        vocab_size: check_size("vocab_size", keys.needed("vocab_size")?)?,
        hidden_size: reader.hidden,
        max_position_embeddings: reader.positions,
        rms_norm_eps: positive("rms_norm_eps", eps)?,
        norm_plus_one: family == Family::Gemma3,
        embedding_scale: match family {
            // Rounded to the table's type in transformers; ours is f32.
            Family::Gemma3 => f64::from((reader.hidden as f32).sqrt()),
            _ => 1.0,
        },
        tie_word_embeddings: keys.flag("tie_word_embeddings", tied)?,
        hops: hops::read(keys, layers.len())?,
        layers,
        ropes,
        initializer_range: positive("initializer_range", keys.number("initializer_range", 0.02)?)?,
        eos_token_ids: keys.token_ids("eos_token_id")?,
        json: json.clone(),
    };
    keys.refuse_unread()?;
    Ok(config)
}

type Layers = (Vec<LayerConfig>, Vec<RopeConfig>);

impl Reader<'_> {
    fn layers(&self) -> Result<Layers, Error> {
        match self.family {
            Family::Gemma3 => self.gemma3(),
            Family::SmolLm3 => self.smollm3(),
            Family::Lfm2 => self.lfm2(),
            Family::Qwen3Moe => self.qwen3_moe(),
            Family::DeepseekV2 | Family::DeepseekV3 => self.deepseek(),
            _ => self.plain(),
        }
    }

    /// Llama, Mistral, Qwen 2 and 3, Phi-3, OLMo 2: the same layer throughout, but for windows.
    fn plain(&self) -> Result<Layers, Error> {
        let attention = self.attention()?;
        let rope = self.rope(attention.head_dim, 10_000.0, None)?;
        let feed_forward = FeedForwardConfig::Dense(self.mlp()?);
        let layers = self.windows()?.into_iter().map(|window| LayerConfig {
            mixer: MixerConfig::Attention(AttentionConfig {
                window,
                ..attention
            }),
            feed_forward,
        });
        Ok((layers.collect(), vec![rope]))
    }

    fn gemma3(&self) -> Result<Layers, Error> {
        self.keys.only("attn_logit_softcapping", &[], "null")?;
        let mut attention = self.attention()?;
        let scalar = self.keys.number("query_pre_attn_scalar", 256.0)?;
        attention.scale = positive("query_pre_attn_scalar", scalar)?.sqrt().recip();
        let window = self.keys.size("sliding_window")?.unwrap_or(4096);
        let pattern = match self.keys.size("sliding_window_pattern")? {
            Some(pattern) => Some(pattern),
            None => self.keys.size("_sliding_window_pattern")?,
        };
        let pattern = pattern.unwrap_or(6).max(1);
        let windowed = match self.layer_types(&["full_attention", "sliding_attention"])? {
            Some(types) => types.iter().map(|t| *t == "sliding_attention").collect(),
            None => (1..=self.layers)
                .map(|layer| layer % pattern != 0)
                .collect::<Vec<_>>(),
        };
        let feed_forward = FeedForwardConfig::Dense(self.mlp()?);
        let layers = windowed.into_iter().map(|windowed| LayerConfig {
            mixer: MixerConfig::Attention(AttentionConfig {
                window: windowed.then_some(window),
                rope: Some(usize::from(windowed)),
                ..attention
            }),
            feed_forward,
        });
        let d = attention.head_dim;
        let full = self.rope(d, 1_000_000.0, Some("full_attention"))?;
        let local = self.rope(d, 10_000.0, Some("sliding_attention"))?;
        Ok((layers.collect(), vec![full, local]))
    }

    fn smollm3(&self) -> Result<Layers, Error> {
        let attention = self.attention()?;
        let interval = self
            .keys
            .size("no_rope_layer_interval")?
            .unwrap_or(4)
            .max(1);
        // 1 where a layer has positions, despite the name.
        let turned = match self.keys.list("no_rope_layers", Value::as_u64)? {
            Some(list) if list.len() == self.layers => list.iter().map(|&x| x != 0).collect(),
            Some(list) => return Err(self.wrong_length("no_rope_layers", list.len())),
            None => (1..=self.layers)
                .map(|layer| layer % interval != 0)
                .collect::<Vec<_>>(),
        };
        let feed_forward = FeedForwardConfig::Dense(self.mlp()?);
        let mut windows = self.windows()?;
        if self.keys.value("layer_types").is_none()
            && self.keys.flag("use_sliding_window", false)?
        {
            // Then the layers without positions are the windowed ones.
            let window = self.keys.size("sliding_window")?;
            for (slot, turned) in windows.iter_mut().zip(&turned) {
                *slot = window.filter(|_| !turned);
            }
        }
        let layers = turned.into_iter().zip(windows).map(|(turned, window)| {
            let rope = turned.then_some(0);
            LayerConfig {
                mixer: MixerConfig::Attention(AttentionConfig {
                    rope,
                    window,
                    ..attention
                }),
                feed_forward,
            }
        });
        let rope = self.rope(attention.head_dim, 2_000_000.0, None)?;
        Ok((layers.collect(), vec![rope]))
    }

    fn lfm2(&self) -> Result<Layers, Error> {
        let attention = self.attention()?;
        let conv = ShortConvConfig {
            kernel: check_size("conv_L_cache", self.keys.size("conv_L_cache")?.unwrap_or(3))?,
            bias: self.keys.flag("conv_bias", false)?,
        };
        if conv.kernel < 2 {
            return Err(unsupported(
                "conv_L_cache",
                &conv.kernel.into(),
                "2 or more",
            ));
        }
        let types = self.layer_types(&["full_attention", "conv"])?;
        let attends: Vec<bool> = match (types, self.keys.list("full_attn_idxs", Value::as_u64)?) {
            (Some(types), _) => types.iter().map(|t| *t == "full_attention").collect(),
            (None, Some(at)) => (0..self.layers).map(|i| at.contains(&(i as u64))).collect(),
            (None, None) => vec![true; self.layers],
        };
        let feed_forward = FeedForwardConfig::Dense(MlpConfig {
            width: self.lfm2_width()?,
            bias: false,
            fused: false,
            activation: Activation::Silu,
        });
        let layers = attends.into_iter().map(|attends| LayerConfig {
            mixer: match attends {
                true => MixerConfig::Attention(attention),
                false => MixerConfig::ShortConv(conv),
            },
            feed_forward,
        });
        let rope = self.rope(attention.head_dim, 1_000_000.0, None)?;
        Ok((layers.collect(), vec![rope]))
    }

    /// LFM2 gives the width of an ungated network; a gated one of as many weights is narrower.
    fn lfm2_width(&self) -> Result<usize, Error> {
        let width = match self.keys.size("block_ff_dim")? {
            Some(width) => width,
            None => self.keys.needed("intermediate_size")?,
        };
        let width = check_size("intermediate_size", width)?;
        let width = match self.keys.flag("block_auto_adjust_ff_dim", true)? {
            false => width,
            true => {
                // Null would leave out the rounding too; transformers itself refuses it.
                let key = "block_ffn_dim_multiplier";
                if self.keys.is_null(key) {
                    return Err(unsupported(key, &Value::Null, "a number"));
                }
                let multiplier = self.keys.number(key, 1.0)?;
                let multiple = self.keys.size("block_multiple_of")?.unwrap_or(256);
                let multiple = check_size("block_multiple_of", multiple)?;
                let narrower = (2 * width / 3) as f64;
                let width = (positive("block_ffn_dim_multiplier", multiplier)? * narrower) as usize;
                check_size("intermediate_size", width)?.next_multiple_of(multiple)
            }
        };
        check_size("intermediate_size", width)
    }

    fn qwen3_moe(&self) -> Result<Layers, Error> {
        let attention = self.attention()?;
        let rope = self.rope(attention.head_dim, 10_000.0, None)?;
        let dense = self.mlp()?;
        let experts = ExpertsConfig {
            experts: self.experts("num_experts")?.unwrap_or(128),
            per_token: self.keys.size("num_experts_per_tok")?.unwrap_or(8),
            width: self.keys.size("moe_intermediate_size")?.unwrap_or(768),
            shared_width: None,
            router: RouterConfig {
                scoring: Scoring::Softmax,
                correction_bias: false,
                groups: None,
                renormalize: self.keys.flag("norm_topk_prob", false)?,
                scale: 1.0,
            },
            activation: dense.activation,
        };
        self.check_experts(&experts)?;
        let step = self.keys.size("decoder_sparse_step")?.unwrap_or(1).max(1);
        let only = self.keys.list("mlp_only_layers", Value::as_u64)?;
        let only = only.unwrap_or_default();
        let windows = self.windows()?;
        let layers = windows.into_iter().enumerate().map(|(i, window)| {
            let routed = !only.contains(&(i as u64)) && (i + 1) % step == 0;
            LayerConfig {
                mixer: MixerConfig::Attention(AttentionConfig {
                    window,
                    ..attention
                }),
                feed_forward: match routed {
                    true => FeedForwardConfig::Experts(experts),
                    false => FeedForwardConfig::Dense(dense),
                },
            }
        });
        Ok((layers.collect(), vec![rope]))
    }

    fn deepseek(&self) -> Result<Layers, Error> {
        let latent = self.latent()?;
        let rope = self.rope(latent.rope_dim, 10_000.0, None)?;
        let dense = self.mlp()?;
        let first_dense = self.keys.size("first_k_dense_replace")?;
        let first_dense = first_dense.unwrap_or(match self.family {
            Family::DeepseekV3 => 3,
            _ => 0,
        });
        let step = self.keys.size("moe_layer_freq")?.unwrap_or(1);
        if step != 1 {
            return Err(unsupported("moe_layer_freq", &step.into(), "1"));
        }
        let experts = match first_dense < self.layers {
            true => Some(self.deepseek_experts(dense.activation)?),
            false => None,
        };
        let layers = (0..self.layers).map(|i| LayerConfig {
            mixer: MixerConfig::Latent(latent),
            feed_forward: match experts {
                Some(experts) if i >= first_dense => FeedForwardConfig::Experts(experts),
                _ => FeedForwardConfig::Dense(dense),
            },
        });
        Ok((layers.collect(), vec![rope]))
    }

    fn latent(&self) -> Result<LatentConfig, Error> {
        let keys = &self.keys;
        let size = |key, default| check_size(key, keys.size(key)?.unwrap_or(default));
        let q_rank = keys.size("q_lora_rank")?;
        let (nope_dim, rope_dim) = (
            size("qk_nope_head_dim", 128)?,
            size("qk_rope_head_dim", 64)?,
        );
        even("qk_rope_head_dim", rope_dim)?;
        let mut scale = ((nope_dim + rope_dim) as f64).sqrt().recip();
        // Attention's temperature of a stretched model (arXiv 2309.00071), as DeepSeek applies it.
        if let Some(parameters) = self.rope_parameters(None)? {
            let number = |key| parameters.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            let (factor, all) = (number("factor"), number("mscale_all_dim"));
            if all != 0.0 {
                scale *= yarn_mscale(factor, all).powi(2);
            }
        }
        Ok(LatentConfig {
            heads: size("num_attention_heads", 128)?,
            q_rank: q_rank
                .map(|rank| check_size("q_lora_rank", rank))
                .transpose()?,
            kv_rank: size("kv_lora_rank", 512)?,
            nope_dim,
            rope_dim,
            value_dim: size("v_head_dim", 128)?,
            bias: keys.flag("attention_bias", false)?,
            rope: 0,
            scale,
        })
    }

    fn deepseek_experts(&self, activation: Activation) -> Result<ExpertsConfig, Error> {
        let keys = &self.keys;
        let third = self.family == Family::DeepseekV3;
        let width = keys.needed("moe_intermediate_size")?;
        let shared = keys.size("n_shared_experts")?.unwrap_or(0);
        let grouped = match keys.text("topk_method")? {
            None | Some("noaux_tc") if third => true,
            None | Some("greedy") if !third => false,
            Some("group_limited_greedy") if !third => true,
            other => {
                let value = other.unwrap_or_default().into();
                let supported = "greedy or group_limited_greedy (V2), noaux_tc (V3)";
                return Err(unsupported("topk_method", &value, supported));
            }
        };
        if !third {
            // transformers and DeepSeek's own code disagree on what it means in V2.
            keys.only("norm_topk_prob", &["false"], "false, in deepseek_v2")?;
        }
        let scoring = if third { "sigmoid" } else { "softmax" };
        keys.only("scoring_func", &[scoring], scoring)?;
        let groups = match (keys.size("n_group")?, keys.size("topk_group")?) {
            (Some(count), Some(keep)) if grouped => Some(GroupsConfig {
                count,
                keep,
                best: if third { 2 } else { 1 },
            }),
            _ => None,
        };
        let experts = ExpertsConfig {
            experts: match self.experts("n_routed_experts")? {
                Some(experts) => experts,
                None => keys.needed("n_routed_experts")?,
            },
            per_token: keys.needed("num_experts_per_tok")?,
            width,
            shared_width: (shared > 0).then(|| shared.saturating_mul(width)),
            router: RouterConfig {
                scoring: if third {
                    Scoring::Sigmoid
                } else {
                    Scoring::Softmax
                },
                correction_bias: third,
                groups,
                renormalize: keys.flag("norm_topk_prob", third)?,
                scale: keys.number("routed_scaling_factor", if third { 2.5 } else { 1.0 })?,
            },
            activation,
        };
        self.check_experts(&experts)?;
        Ok(experts)
    }

    /// The number of experts, under the family's key or the one transformers 5 writes for all.
    fn experts(&self, key: &'static str) -> Result<Option<usize>, Error> {
        let general = self.keys.size("num_local_experts")?;
        Ok(self.keys.size(key)?.or(general))
    }

    fn check_experts(&self, config: &ExpertsConfig) -> Result<(), Error> {
        check_size("number of experts", config.experts)?;
        check_size("moe_intermediate_size", config.width)?;
        check_size("shared experts' width", config.shared_width.unwrap_or(1))?;
        if config.experts * self.layers > MAX_SIZE {
            return Err(Error::Config(format!(
                "{} experts in {} layers are too many",
                config.experts, self.layers
            )));
        }
        let (experts, chosen) = (config.experts, config.per_token);
        let fits = match config.router.groups {
            None => chosen <= experts,
            Some(GroupsConfig { count, keep, best }) => {
                (1..=experts).contains(&count)
                    && experts.is_multiple_of(count)
                    && (1..=count).contains(&keep)
                    && best <= experts / count
                    && chosen <= keep * (experts / count)
            }
        };
        match fits && chosen > 0 {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "{chosen} of {experts} experts can't be chosen within {:?}",
                config.router.groups
            ))),
        }
    }
}
