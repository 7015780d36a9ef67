//! What families read from `config.json` in the same way.

use serde_json::{Map, Value};

use super::keys::{Keys, unsupported};
use super::*;
use crate::rope::RopeOptions;

/// What all families read in the same way.
pub(super) struct Reader<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) family: Family,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) positions: usize,
}

impl Reader<'_> {
    pub(super) fn attention(&self) -> Result<AttentionConfig, Error> {
        let keys = &self.keys;
        let heads = check_size("num_attention_heads", keys.needed("num_attention_heads")?)?;
        let kv_heads = keys.size("num_key_value_heads")?.unwrap_or(heads);
        let kv_heads = check_size("num_key_value_heads", kv_heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(Error::Config(format!(
                "num_attention_heads = {heads} is not a multiple of num_key_value_heads = {kv_heads}"
            )));
        }
        let head_dim = match (keys.size("head_dim")?, self.family) {
            (Some(head_dim), _) => head_dim,
            (None, Family::Gemma3) => 256,
            (None, Family::Qwen3) => 128,
            (None, _) => self.hidden / heads,
        };
        even("head_dim", check_size("head_dim", head_dim)?)?;
        let bias = match self.family {
            Family::Qwen2 => true,
            Family::Phi3 | Family::Lfm2 | Family::Mistral => false,
            _ => keys.flag("attention_bias", false)?,
        };
        Ok(AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            qkv_bias: bias,
            output_bias: bias && self.family != Family::Qwen2,
            fused: self.family == Family::Phi3,
            qk_norm: match self.family {
                Family::Qwen3 | Family::Qwen3Moe | Family::Gemma3 | Family::Lfm2 => QkNorm::Head,
                Family::Olmo2 => QkNorm::Full,
                _ => QkNorm::None,
            },
            rope: Some(0),
            window: None,
            scale: (head_dim as f64).sqrt().recip(),
        })
    }

    pub(super) fn mlp(&self) -> Result<MlpConfig, Error> {
        let gemma = self.family == Family::Gemma3;
        let (key, default) = match gemma {
            true => ("hidden_activation", "gelu_pytorch_tanh"),
            false => ("hidden_act", "silu"),
        };
        let activation = match self.keys.text(key)?.unwrap_or(default) {
            "silu" | "swish" => Activation::Silu,
            "gelu_pytorch_tanh" => Activation::GeluTanh,
            other => return Err(unsupported(key, &other.into(), "silu, gelu_pytorch_tanh")),
        };
        let width = self.keys.needed("intermediate_size")?;
        let biased = matches!(self.family, Family::Llama | Family::SmolLm3);
        Ok(MlpConfig {
            width: check_size("intermediate_size", width)?,
            bias: biased && self.keys.flag("mlp_bias", false)?,
            fused: self.family == Family::Phi3,
            activation,
        })
    }

    /// The window of each layer.
    pub(super) fn windows(&self) -> Result<Vec<Option<usize>>, Error> {
        let keys = &self.keys;
        let window = match self.family {
            Family::Llama | Family::Olmo2 => {
                self.layer_types(&["full_attention"])?;
                return Ok(vec![None; self.layers]);
            }
            Family::Mistral | Family::Phi3 => keys.size("sliding_window")?,
            _ => {
                let window = keys.size("sliding_window")?;
                let used = keys.flag("use_sliding_window", false)?;
                window.filter(|_| used)
            }
        };
        let window = window
            .map(|w| check_size("sliding_window", w))
            .transpose()?;
        let types = self.layer_types(&["full_attention", "sliding_attention"])?;
        let first = match self.family {
            Family::Mistral | Family::Phi3 | Family::Qwen3Moe => 0,
            Family::SmolLm3 => usize::MAX,
            _ => keys.size("max_window_layers")?.unwrap_or(28),
        };
        let windows = (0..self.layers).map(|i| {
            let windowed = match &types {
                Some(types) => types[i] == "sliding_attention",
                None => i >= first,
            };
            match (windowed, &types, window) {
                (true, Some(_), None) => Err(Error::Config(
                    "layer_types wants a window but there is no sliding_window".into(),
                )),
                (true, _, window) => Ok(window),
                (false, ..) => Ok(None),
            }
        });
        windows.collect()
    }

    /// `layer_types`, if it is there: one of `known` for each layer.
    pub(super) fn layer_types(&self, known: &[&str]) -> Result<Option<Vec<&str>>, Error> {
        let Some(types) = self.keys.list("layer_types", Value::as_str)? else {
            return Ok(None);
        };
        if let Some(other) = types.iter().find(|t| !known.contains(t)) {
            let supported = "full_attention, sliding_attention or, in lfm2, conv";
            return Err(unsupported("layer_types", &(*other).into(), supported));
        }
        match types.len() == self.layers {
            true => Ok(Some(types)),
            false => Err(self.wrong_length("layer_types", types.len())),
        }
    }

    pub(super) fn wrong_length(&self, key: &str, len: usize) -> Error {
        let layers = self.layers;
        Error::Config(format!("{key} has {len} entries for {layers} layers"))
    }

    /// Rope's options: `rope_parameters` as transformers 5 writes it (nested by layer type in
    /// Gemma 3), or the older `rope_scaling`.
    pub(super) fn rope_parameters(
        &self,
        kind: Option<&str>,
    ) -> Result<Option<&Map<String, Value>>, Error> {
        let object = |key: &'static str| match self.keys.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(unsupported(key, other, "an object")),
        };
        let older = object("rope_scaling")?;
        let Some(newer) = object("rope_parameters")? else {
            // Gemma 3's scaling is for its full layers.
            return Ok(older.filter(|_| kind != Some("sliding_attention")));
        };
        match kind.and_then(|kind| newer.get(kind)) {
            Some(Value::Object(nested)) => Ok(Some(nested)),
            _ => Ok(Some(newer)),
        }
    }

    pub(super) fn rope(
        &self,
        head_dim: usize,
        theta: f64,
        kind: Option<&str>,
    ) -> Result<RopeConfig, Error> {
        let keys = &self.keys;
        let parameters = self.rope_parameters(kind)?;
        let nested = |key| parameters.and_then(|p| p.get(key)).and_then(Value::as_f64);
        let local = kind == Some("sliding_attention");
        let older = keys.number("rope_theta", theta)?;
        let theta = match (nested("rope_theta"), local) {
            (Some(theta), _) => theta,
            (None, true) => keys.number("rope_local_base_freq", theta)?,
            (None, false) => older,
        };
        let part = match self.family {
            Family::Phi3 => keys.number("partial_rotary_factor", 1.0)?,
            _ => 1.0,
        };
        let part = nested("partial_rotary_factor").unwrap_or(part);
        let dim = (positive("partial_rotary_factor", part)? * head_dim as f64) as usize;
        if dim > head_dim || dim < 2 || !dim.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "partial_rotary_factor = {part} turns {dim} of a head's {head_dim} elements; it must be an even part"
            )));
        }
        let deepseek = matches!(self.family, Family::DeepseekV2 | Family::DeepseekV3);
        let options = RopeOptions {
            theta: positive("rope_theta", theta)?,
            dim,
            interleaved: deepseek && keys.flag("rope_interleave", true)?,
            max_position_embeddings: self.positions,
            parameters,
            original_positions: keys.size("original_max_position_embeddings")?,
        };
        options.resolve()
    }
}

/// That a number is one that can be divided by.
pub(super) fn positive(name: &str, x: f64) -> Result<f64, Error> {
    if x.is_finite() && x > 0.0 {
        Ok(x)
    } else {
        Err(Error::Config(format!(
            "{name} = {x} must be a positive number"
        )))
    }
}

/// That a width can be halved.
pub(super) fn even(name: &str, size: usize) -> Result<(), Error> {
    match size.is_multiple_of(2) {
        true => Ok(()),
        false => Err(Error::Config(format!("{name} = {size} must be even"))),
    }
}
