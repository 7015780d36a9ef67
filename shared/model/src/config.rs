//! Hugging Face `config.json`: everything that decides a model's shape.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The families of decoders this crate runs exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama 2 and 3, SmolLM2: RMSNorm, rotate-half RoPE, SwiGLU, optional biases.
    Llama,
    /// Qwen 2 and 2.5: Llama with biases on query, key and value.
    Qwen2,
    /// Qwen 3: Llama with an RMSNorm over each query and key head.
    Qwen3,
}

/// A decoder's shape, read from `config.json` and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which family's rules apply.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads per layer.
    pub num_attention_heads: usize,
    /// Key and value heads per layer; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Positions the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding's frequencies.
    pub rope_theta: f64,
    /// Whether the output head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Biases on query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub output_bias: bool,
    /// Biases in the feed-forward layer.
    pub mlp_bias: bool,
    /// RMSNorm over each query and key head before RoPE.
    pub qk_norm: bool,
    /// Standard deviation of freshly initialized weights.
    pub initializer_range: f64,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
}

/// `config.json` as people have it: both the classic keys and those of transformers 5.
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "default_positions")]
    max_position_embeddings: usize,
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<serde_json::Value>,
    rope_parameters: Option<serde_json::Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    attention_bias: Option<bool>,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "default_act")]
    hidden_act: String,
    #[serde(default)]
    use_sliding_window: bool,
    layer_types: Option<Vec<String>>,
    #[serde(default = "default_init")]
    initializer_range: f64,
    #[serde(default)]
    eos_token_id: TokenIds,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum TokenIds {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

fn default_positions() -> usize {
    2048
}
fn default_eps() -> f64 {
    1e-6
}
fn default_act() -> String {
    "silu".to_owned()
}
fn default_init() -> f64 {
    0.02
}

/// Larger sizes than any real model's: a damaged file must not ask for terabytes.
const MAX_SIZE: usize = 1 << 22;

impl ModelConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`Error::Json`] when it does not parse, [`Error::Unsupported`] for a family or option that
    /// would change the result and is not implemented, [`Error::Config`] for impossible sizes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| Error::Json {
            file: "config.json",
            reason: e.to_string(),
        })?;
        let family = match raw.model_type.as_str() {
            "llama" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            other => {
                return Err(Error::Unsupported {
                    option: "model_type",
                    value: other.to_owned(),
                    supported: "llama, qwen2, qwen3",
                });
            }
        };
        raw.refuse_what_we_would_ignore()?;
        let attention_bias = raw.attention_bias.unwrap_or(false);
        let config = Self {
            family,
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
            head_dim: raw
                .head_dim
                .unwrap_or(raw.hidden_size / raw.num_attention_heads.max(1)),
            max_position_embeddings: raw.max_position_embeddings,
            rms_norm_eps: raw.rms_norm_eps,
            rope_theta: raw.rope_theta()?,
            tie_word_embeddings: raw.tie_word_embeddings,
            qkv_bias: family == Family::Qwen2 || attention_bias,
            output_bias: family != Family::Qwen2 && attention_bias,
            mlp_bias: raw.mlp_bias,
            qk_norm: family == Family::Qwen3,
            initializer_range: raw.initializer_range,
            eos_token_ids: match raw.eos_token_id {
                TokenIds::None => Vec::new(),
                TokenIds::One(id) => vec![id],
                TokenIds::Many(ids) => ids,
            },
        };
        config.check()?;
        Ok(config)
    }

    /// Writes the config in Hugging Face's keys; [`ModelConfig::from_json`] reads it back.
    pub fn to_json(&self) -> serde_json::Value {
        let architecture = match self.family {
            Family::Llama => "LlamaForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        };
        let mut json = serde_json::json!({
            "architectures": [architecture],
            "model_type": self.family,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "mlp_bias": self.mlp_bias,
            "hidden_act": "silu",
            "initializer_range": self.initializer_range,
            "eos_token_id": self.eos_token_ids,
        });
        if self.family != Family::Qwen2 {
            json["attention_bias"] = self.qkv_bias.into();
        }
        json
    }

    /// Query heads that share one key and value head.
    pub fn query_groups(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// Names and shapes of all tensors the decoder is made of, in Hugging Face's names.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (h, d) = (self.hidden_size, self.head_dim);
        let (q, kv) = (self.num_attention_heads * d, self.num_key_value_heads * d);
        let ffn = self.intermediate_size;
        let mut all = vec![(
            "model.embed_tokens.weight".to_owned(),
            vec![self.vocab_size, h],
        )];
        for layer in 0..self.num_hidden_layers {
            let mut add = |name: &str, shape: Vec<usize>| {
                all.push((format!("model.layers.{layer}.{name}"), shape));
            };
            add("input_layernorm.weight", vec![h]);
            for (name, out) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                add(&format!("self_attn.{name}.weight"), vec![out, h]);
                if self.qkv_bias {
                    add(&format!("self_attn.{name}.bias"), vec![out]);
                }
            }
            add("self_attn.o_proj.weight", vec![h, q]);
            if self.output_bias {
                add("self_attn.o_proj.bias", vec![h]);
            }
            if self.qk_norm {
                add("self_attn.q_norm.weight", vec![d]);
                add("self_attn.k_norm.weight", vec![d]);
            }
            add("post_attention_layernorm.weight", vec![h]);
            for (name, out, input) in [
                ("gate_proj", ffn, h),
                ("up_proj", ffn, h),
                ("down_proj", h, ffn),
            ] {
                add(&format!("mlp.{name}.weight"), vec![out, input]);
                if self.mlp_bias {
                    add(&format!("mlp.{name}.bias"), vec![out]);
                }
            }
        }
        all.push(("model.norm.weight".to_owned(), vec![h]));
        if !self.tie_word_embeddings {
            all.push(("lm_head.weight".to_owned(), vec![self.vocab_size, h]));
        }
        all
    }

    /// Number of weights; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.tensors()
            .iter()
            .map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>())
            .sum()
    }

    fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (name, size) in sizes {
            if size == 0 || size > MAX_SIZE {
                return Err(Error::Config(format!(
                    "{name} = {size} must be 1 to {MAX_SIZE}"
                )));
            }
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            return Err(Error::Config(format!(
                "num_attention_heads = {} is not a multiple of num_key_value_heads = {}",
                self.num_attention_heads, self.num_key_value_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "head_dim = {} must be even",
                self.head_dim
            )));
        }
        let positive = |name: &str, x: f64| {
            if x.is_finite() && x > 0.0 {
                Ok(())
            } else {
                Err(Error::Config(format!(
                    "{name} = {x} must be a positive number"
                )))
            }
        };
        positive("rms_norm_eps", self.rms_norm_eps)?;
        positive("rope_theta", self.rope_theta)?;
        positive("initializer_range", self.initializer_range)
    }
}

impl Raw {
    fn refuse_what_we_would_ignore(&self) -> Result<(), Error> {
        if self.hidden_act != "silu" {
            return Err(Error::Unsupported {
                option: "hidden_act",
                value: self.hidden_act.clone(),
                supported: "silu",
            });
        }
        let windowed = |t: &String| t != "full_attention";
        if self.use_sliding_window || self.layer_types.iter().flatten().any(windowed) {
            return Err(Error::Unsupported {
                option: "use_sliding_window",
                value: "true".to_owned(),
                supported: "full attention in every layer",
            });
        }
        for (option, value) in [
            ("rope_scaling", &self.rope_scaling),
            ("rope_parameters", &self.rope_parameters),
        ] {
            let Some(value) = value.as_ref().filter(|v| !v.is_null()) else {
                continue;
            };
            let kind = value.get("rope_type").or_else(|| value.get("type"));
            // A scaling without a type would be a scaling we don't know.
            let plain = match kind {
                Some(kind) => kind == "default",
                None => option == "rope_parameters",
            };
            if !plain {
                return Err(Error::Unsupported {
                    option,
                    value: value.to_string(),
                    supported: "rope_type default",
                });
            }
        }
        Ok(())
    }

    fn rope_theta(&self) -> Result<f64, Error> {
        let nested = self
            .rope_parameters
            .as_ref()
            .and_then(|p| p.get("rope_theta"));
        match (nested, self.rope_theta) {
            (Some(theta), _) => theta
                .as_f64()
                .ok_or_else(|| Error::Config(format!("rope_theta = {theta} is not a number"))),
            (None, theta) => Ok(theta.unwrap_or(10_000.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minimal() -> serde_json::Value {
        serde_json::json!({
            "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2
        })
    }

    fn read(json: &serde_json::Value) -> Result<ModelConfig, Error> {
        ModelConfig::from_json(json.to_string().as_bytes())
    }

    #[test]
    fn classic_and_new_rope_keys_mean_the_same() {
        let mut classic = minimal();
        classic["rope_theta"] = 5e5.into();
        let mut new = minimal();
        new["rope_parameters"] = serde_json::json!({"rope_type": "default", "rope_theta": 5e5});
        assert_eq!(read(&classic).unwrap(), read(&new).unwrap());
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        for (key, value) in [
            ("model_type", serde_json::json!("mamba")),
            ("hidden_act", serde_json::json!("gelu")),
            ("use_sliding_window", serde_json::json!(true)),
            (
                "rope_scaling",
                serde_json::json!({"type": "yarn", "factor": 4.0}),
            ),
            (
                "rope_parameters",
                serde_json::json!({"rope_type": "llama3", "rope_theta": 1e4}),
            ),
        ] {
            let mut json = minimal();
            json[key] = value;
            let error = read(&json).unwrap_err();
            assert!(
                matches!(&error, Error::Unsupported { option, .. } if *option == key),
                "{error}"
            );
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        for (key, value) in [
            ("vocab_size", 0u64),
            ("hidden_size", 1 << 40),
            ("num_key_value_heads", 3),
            ("head_dim", 7),
        ] {
            let mut json = minimal();
            json[key] = value.into();
            assert!(matches!(read(&json), Err(Error::Config(_))), "{key}");
        }
    }

    #[test]
    fn written_configs_read_back() {
        for family in ["llama", "qwen2", "qwen3"] {
            let mut json = minimal();
            json["model_type"] = family.into();
            json["eos_token_id"] = serde_json::json!([2, 3]);
            let config = read(&json).unwrap();
            assert_eq!(read(&config.to_json()).unwrap(), config);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = ModelConfig::from_json(&bytes);
        }

        #[test]
        fn no_sizes_panic(v in any::<usize>(), h in any::<usize>(), a in any::<usize>(), k in any::<usize>()) {
            let mut json = minimal();
            json["vocab_size"] = v.into();
            json["hidden_size"] = h.into();
            json["num_attention_heads"] = a.into();
            json["num_key_value_heads"] = k.into();
            let _ = read(&json);
        }
    }
}
