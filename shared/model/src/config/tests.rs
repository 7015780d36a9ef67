//! Reading `config.json`: every family, both layouts, and what must be refused.

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
    let full = serde_json::json!(["full_attention", "full_attention"]);
    for (key, value) in [
        ("model_type", serde_json::json!("mamba")),
        ("hidden_act", serde_json::json!("gelu")),
        ("use_sliding_window", serde_json::json!(true)),
        ("sliding_window", serde_json::json!(4)),
        ("quantization_config", serde_json::json!({"bits": 4})),
        ("final_logit_softcapping", serde_json::json!(30.0)),
        (
            "layer_types",
            serde_json::json!(["full_attention", "linear_attention"]),
        ),
        ("num_local_experts", serde_json::json!(8)),
        ("rope_scaling", serde_json::json!("yarn")),
    ] {
        let mut json = minimal();
        json["layer_types"] = full.clone();
        read(&json).expect("full attention in every layer is what there is");
        json[key] = value;
        let error = read(&json).unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported { option, .. } if *option == key),
            "{error}"
        );
    }
    for scaling in [
        serde_json::json!({"type": "mystery", "factor": 4.0}),
        serde_json::json!({"factor": 4.0}),
    ] {
        let mut json = minimal();
        json["rope_scaling"] = scaling;
        let error = read(&json).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { option, .. } if *option == "rope_type"));
    }
}

/// A flag of another kind is not a flag that is off.
#[test]
fn values_of_the_wrong_kind_are_errors() {
    let mut json = minimal();
    json["model_type"] = "qwen2".into();
    json["sliding_window"] = 4.into();
    read(&json).unwrap();
    json["use_sliding_window"] = "yes".into();
    assert!(matches!(read(&json), Err(Error::Config(_))));
}

/// A filter of one position would have nothing to remember.
#[test]
fn filters_see_the_past() {
    let mut json = minimal();
    json["model_type"] = "lfm2".into();
    json["conv_L_cache"] = 1.into();
    assert!(matches!(read(&json), Err(Error::Unsupported { .. })));
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
