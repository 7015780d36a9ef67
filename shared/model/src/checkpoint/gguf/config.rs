//! `config.json` of a GGUF file's metadata.

use serde_json::{Map, Value, json};

use super::architecture;
use super::parts::Parts;
use crate::config::unsupported;
use crate::gguf::{GgufError, Metadata};
use crate::{Error, Family, ModelConfig};

/// Metadata of one architecture: keys without its prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
}

impl Keys<'_> {
    fn optional<'m, T>(
        &'m self,
        key: &str,
        read: fn(&'m Metadata, &str) -> Result<T, GgufError>,
    ) -> Result<Option<T>, GgufError> {
        let key = format!("{}.{key}", self.prefix);
        self.metadata.optional(&key, read)
    }

    fn size(&self, key: &str) -> Result<u64, GgufError> {
        self.metadata.u64(&format!("{}.{key}", self.prefix))
    }

    fn maybe(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.optional(key, Metadata::u64)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        // Through its decimal text: 1e-6 as f32 is meant, not what it is as f64.
        let number = self.optional(key, Metadata::f32)?;
        Ok(number.and_then(|x| x.to_string().parse().ok()))
    }

    /// One number for all layers, or one per layer.
    fn per_layer(&self, key: &str, layers: usize) -> Result<Vec<u64>, GgufError> {
        let full = format!("{}.{key}", self.prefix);
        match self.metadata.u64s(&full) {
            Ok(list) => Ok(list),
            Err(_) => Ok(vec![self.metadata.u64(&full)?; layers]),
        }
    }
}

pub(super) fn read(file: &mut Parts) -> Result<ModelConfig, Error> {
    let factors = Factors::read(file)?;
    let json = to_json(file, &factors)?;
    ModelConfig::from_json(Value::Object(json).to_string().as_bytes())
}

/// Per-pair divisors of RoPE's frequencies, which llama.cpp keeps as tensors.
struct Factors {
    short: Option<Vec<f32>>,
    long: Option<Vec<f32>>,
}

impl Factors {
    fn read(file: &mut Parts) -> Result<Self, Error> {
        let mut read = |name: &str| match file.tensor(name) {
            Some(_) => file.read_f32(name).map(Some),
            None => Ok(None),
        };
        let all = read("rope_freqs.weight")?;
        Ok(Self {
            short: read("rope_factors_short.weight")?.or(all.clone()),
            long: read("rope_factors_long.weight")?.or(all),
        })
    }
}

fn to_json(file: &Parts, factors: &Factors) -> Result<Map<String, Value>, Error> {
    const SUPPORTED: &str = "llama, qwen2, qwen3, gemma3, lfm2, phi3, olmo2, qwen3moe, deepseek2";
    let metadata = file.metadata();
    let name = metadata.str("general.architecture")?;
    let keys = Keys {
        metadata,
        prefix: name,
    };
    let named = |family: &Family| architecture(*family) == Some(name);
    let family = Family::ALL.into_iter().find(named);
    let family =
        family.ok_or_else(|| unsupported("general.architecture", &name.into(), SUPPORTED))?;
    // llama.cpp's number for sigmoid scores: DeepSeek-V3.
    let sigmoid = keys.maybe("expert_gating_func")? == Some(2);
    let family = match (family, sigmoid) {
        (Family::DeepseekV2, true) => Family::DeepseekV3,
        (family, _) => family,
    };
    let has = |tensor: &str| file.tensor(tensor).is_some();
    let layers = usize::try_from(keys.size("block_count")?).unwrap_or(usize::MAX);
    let table = file.tensor("token_embd.weight");
    let table = table.ok_or_else(|| Error::TensorMissing("token_embd.weight".into()))?;
    let mut json = Map::new();
    let mut set = |key: &str, value: Value| json.insert(key.to_owned(), value);
    set("model_type", family.model_type().into());
    set(
        "vocab_size",
        table.shape.first().copied().unwrap_or(0).into(),
    );
    set("hidden_size", keys.size("embedding_length")?.into());
    set("num_hidden_layers", layers.into());
    set(
        "max_position_embeddings",
        keys.size("context_length")?.into(),
    );
    set("tie_word_embeddings", (!has("output.weight")).into());
    let heads = keys.per_layer("attention.head_count", 1)?;
    set(
        "num_attention_heads",
        heads.iter().max().copied().unwrap_or(0).into(),
    );
    // 0 for a layer without attention (LFM2).
    let kv_heads = keys.per_layer("attention.head_count_kv", layers.min(4096))?;
    set(
        "num_key_value_heads",
        kv_heads.iter().max().copied().unwrap_or(0).into(),
    );
    let width = keys.per_layer("feed_forward_length", 1)?;
    set(
        "intermediate_size",
        width.iter().max().copied().unwrap_or(0).into(),
    );
    if let Some(eps) = keys.number("attention.layer_norm_rms_epsilon")? {
        set("rms_norm_eps", eps.into());
        set("norm_eps", eps.into());
    }
    if let Some(theta) = keys.number("rope.freq_base")? {
        set("rope_theta", theta.into());
    }
    let mut ids = Vec::new();
    for key in ["eos_token_id", "eot_token_id"] {
        let key = format!("tokenizer.ggml.{key}");
        ids.extend(metadata.optional(&key, Metadata::u64)?);
    }
    set("eos_token_id", ids.into());
    match family {
        Family::DeepseekV2 | Family::DeepseekV3 => {
            set(
                "scoring_func",
                if sigmoid { "sigmoid" } else { "softmax" }.into(),
            );
            deepseek(&keys, &mut json)?;
        }
        _ => {
            set("head_dim", keys.maybe("attention.key_length")?.into());
            let biased = has("blk.0.attn_output.bias");
            if biased || (family == Family::Qwen3 && has("blk.0.attn_q.bias")) {
                set("attention_bias", true.into());
            }
            if has("blk.0.ffn_up.bias") {
                set("mlp_bias", true.into());
            }
        }
    }
    match family {
        Family::Gemma3 => gemma3(&keys, layers, &mut json)?,
        Family::Lfm2 => {
            let kinds = kv_heads.iter().map(|heads| match heads {
                0 => "conv",
                _ => "full_attention",
            });
            json.insert("layer_types".into(), kinds.collect());
            json.insert(
                "conv_L_cache".into(),
                keys.size("shortconv.l_cache")?.into(),
            );
            json.insert("conv_bias".into(), has("blk.0.shortconv.conv.bias").into());
            json.insert("block_auto_adjust_ff_dim".into(), false.into());
        }
        Family::Phi3 => {
            let window = keys.maybe("attention.sliding_window")?.filter(|w| *w > 0);
            json.insert("sliding_window".into(), window.into());
            let turned = keys.maybe("rope.dimension_count")?;
            let head = match json.get("head_dim").and_then(Value::as_u64) {
                Some(head) => head,
                None => {
                    let heads = heads.iter().max().copied().unwrap_or(0);
                    keys.size("embedding_length")? / heads.max(1)
                }
            };
            if let Some(turned) = turned {
                let part = turned as f64 / head.max(1) as f64;
                json.insert("partial_rotary_factor".into(), part.into());
            }
        }
        Family::Qwen3Moe => {
            let dense = |layer: &usize| !has(&format!("blk.{layer}.ffn_gate_inp.weight"));
            let dense: Vec<usize> = (0..layers.min(4096)).filter(dense).collect();
            json.insert("mlp_only_layers".into(), dense.into());
            json.insert("num_experts".into(), keys.size("expert_count")?.into());
            json.insert(
                "num_experts_per_tok".into(),
                keys.size("expert_used_count")?.into(),
            );
            let width = keys.maybe("expert_feed_forward_length")?;
            json.insert("moe_intermediate_size".into(), width.into());
            // llama.cpp always renormalises Qwen 3's weights, unless the file says otherwise.
            let normed = keys.optional("expert_weights_norm", Metadata::bool)?;
            json.insert("norm_topk_prob".into(), normed.unwrap_or(true).into());
        }
        _ => {}
    }
    if let Some(scaling) = rope_scaling(&keys, family, factors)? {
        json.insert("rope_scaling".into(), scaling);
    }
    Ok(json)
}

fn gemma3(keys: &Keys<'_>, layers: usize, json: &mut Map<String, Value>) -> Result<(), Error> {
    let window = keys.maybe("attention.sliding_window")?;
    json.insert("sliding_window".into(), window.into());
    if let Ok(windowed) = keys
        .metadata
        .bools("gemma3.attention.sliding_window_pattern")
    {
        let kinds = windowed.iter().take(layers).map(|windowed| match windowed {
            true => "sliding_attention",
            false => "full_attention",
        });
        json.insert("layer_types".into(), kinds.collect());
    }
    // The scale is that of the head's width in every size but 27B, whose heads llama.cpp scales by
    // the width of the stream divided by their number.
    let head = json.get("head_dim").and_then(Value::as_u64).unwrap_or(256);
    let scalar = match layers {
        62 => keys.size("embedding_length")? / keys.size("attention.head_count")?.max(1),
        _ => head,
    };
    json.insert("query_pre_attn_scalar".into(), scalar.into());
    if let Some(theta) = keys.number("rope.freq_base_swa")? {
        json.insert("rope_local_base_freq".into(), theta.into());
    }
    Ok(())
}

fn deepseek(keys: &Keys<'_>, json: &mut Map<String, Value>) -> Result<(), Error> {
    let rope = keys.size("rope.dimension_count")?;
    let key = match keys.maybe("attention.key_length_mla")? {
        Some(key) => key,
        None => keys.size("attention.key_length")?,
    };
    let value = match keys.maybe("attention.value_length_mla")? {
        Some(value) => value,
        None => keys.size("attention.value_length")?,
    };
    let mut set = |key: &str, value: Value| json.insert(key.to_owned(), value);
    set("q_lora_rank", keys.maybe("attention.q_lora_rank")?.into());
    set("kv_lora_rank", keys.size("attention.kv_lora_rank")?.into());
    set("qk_rope_head_dim", rope.into());
    set("qk_nope_head_dim", key.saturating_sub(rope).into());
    set("v_head_dim", value.into());
    set("n_routed_experts", keys.maybe("expert_count")?.into());
    set(
        "num_experts_per_tok",
        keys.maybe("expert_used_count")?.into(),
    );
    set(
        "n_shared_experts",
        keys.maybe("expert_shared_count")?.into(),
    );
    set(
        "moe_intermediate_size",
        keys.maybe("expert_feed_forward_length")?.into(),
    );
    set(
        "first_k_dense_replace",
        keys.maybe("leading_dense_block_count")?.unwrap_or(0).into(),
    );
    set(
        "routed_scaling_factor",
        keys.number("expert_weights_scale")?.unwrap_or(1.0).into(),
    );
    let normed = keys.optional("expert_weights_norm", Metadata::bool)?;
    set("norm_topk_prob", normed.unwrap_or(false).into());
    let groups = keys
        .maybe("expert_group_count")?
        .filter(|groups| *groups > 1);
    set("n_group", groups.into());
    set("topk_group", keys.maybe("expert_group_used_count")?.into());
    let method = match (json.get("scoring_func"), groups) {
        (Some(Value::String(scoring)), _) if scoring == "sigmoid" => "noaux_tc",
        (_, Some(_)) => "group_limited_greedy",
        (_, None) => "greedy",
    };
    json.insert("topk_method".into(), method.into());
    Ok(())
}

fn rope_scaling(
    keys: &Keys<'_>,
    family: Family,
    factors: &Factors,
) -> Result<Option<Value>, Error> {
    let original = keys.maybe("rope.scaling.original_context_length")?;
    if let (Some(short), Some(long)) = (&factors.short, &factors.long) {
        // Llama 3's stretching comes as factors of its own, without a temperature.
        let attention = match family {
            Family::Phi3 => keys.number("rope.scaling.attn_factor")?,
            _ => Some(1.0),
        };
        let positions = keys.size("context_length")?;
        return Ok(Some(json!({
            "rope_type": "longrope", "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": original.unwrap_or(positions),
            "attention_factor": attention,
        })));
    }
    let kind = keys.optional("rope.scaling.type", Metadata::str)?;
    let factor = keys.number("rope.scaling.factor")?;
    match kind {
        None | Some("none") => Ok(None),
        Some("linear") => Ok(Some(json!({"rope_type": "linear", "factor": factor}))),
        Some("yarn") => {
            // 0.1 mscale_all_dim; DeepSeek has equal mscales, so the cosines keep their size.
            let mscale = keys
                .number("rope.scaling.yarn_log_multiplier")?
                .map(|m| m / 0.1);
            Ok(Some(json!({
                "rope_type": "yarn", "factor": factor,
                "original_max_position_embeddings": original,
                "mscale": mscale, "mscale_all_dim": mscale,
                "attention_factor": keys.number("rope.scaling.attn_factor")?,
                "beta_fast": keys.number("rope.scaling.yarn_beta_fast")?,
                "beta_slow": keys.number("rope.scaling.yarn_beta_slow")?,
            })))
        }
        Some(other) => Err(unsupported(
            "rope.scaling.type",
            &other.into(),
            "none, linear, yarn",
        )),
    }
}
