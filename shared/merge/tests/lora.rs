//! Adapters against what PEFT merges them to, made by `tests/goldens/merge/lora/make.py`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sprat_merge::{ModelFolder, TensorReader, WithLora};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/merge/lora")
}

fn model() -> Box<dyn TensorReader> {
    Box::new(ModelFolder::open(&goldens().join("model.safetensors")).unwrap())
}

#[test]
fn weights_are_what_peft_merges_them_to() {
    for kind in ["plain", "stabilized", "patterns"] {
        let folder = goldens().join(kind);
        let mut ours = WithLora::open(model(), &folder).unwrap();
        let mut theirs = ModelFolder::open(&folder.join("merged.safetensors")).unwrap();
        let mut plain = model();
        let mut changed = 0;
        assert_eq!(ours.names(), theirs.names());
        for name in theirs.names() {
            let (ours, theirs) = (ours.read(&name).unwrap(), theirs.read(&name).unwrap());
            changed += usize::from(theirs != plain.read(&name).unwrap());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(
                    (ours - theirs).abs() <= 1e-6,
                    "{kind}: {name}: {ours} {theirs}"
                );
            }
        }
        assert!(changed >= 3, "{kind}: {changed}");
    }
}

#[test]
fn other_adapters_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config: Value =
        serde_json::from_slice(&fs::read(goldens().join("plain/adapter_config.json")).unwrap())
            .unwrap();
    let weights = "adapter_model.safetensors";
    fs::copy(
        goldens().join("plain").join(weights),
        folder.path().join(weights),
    )
    .unwrap();
    let refused = |key: &str, value: Value| {
        let mut config = config.clone();
        config[key] = value;
        fs::write(
            folder.path().join("adapter_config.json"),
            config.to_string(),
        )
        .unwrap();
        WithLora::open(model(), folder.path())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused("peft_type", json!("IA3")).contains("IA3"));
    assert!(refused("use_dora", json!(true)).contains("use_dora"));
    assert!(refused("fan_in_fan_out", json!(true)).contains("fan_in_fan_out"));
    assert!(refused("alpha_pattern", json!({"^model.*q_proj": 1})).contains("expression"));
    assert!(refused("lora_alpha", json!("much")).contains("adapter_config.json"));
    // An adapter of another model.
    let other = Box::new(ModelFolder::open(&goldens().join("../base.safetensors")).unwrap());
    let error = WithLora::open(other, &goldens().join("plain"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("but `model.layers.0."), "{error}");
    fs::remove_file(folder.path().join(weights)).unwrap();
    assert!(refused("r", json!(2)).contains(weights));
}
