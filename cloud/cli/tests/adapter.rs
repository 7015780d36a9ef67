//! LoRA adapters on the command line: a model answers with one, and one becomes a pack.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

const SPRAT: &str = env!("CARGO_BIN_EXE_sprat");

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny")
}

/// A folder of PEFT that changes a layer's `down_proj` by a matrix whose numbers are all `size`.
fn adapter(folder: &Path, size: f32) {
    let config = fs::read(model().join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let width = |key: &str| usize::try_from(config[key].as_u64().unwrap()).unwrap();
    let values = |count: usize, value: f32| value.to_le_bytes().repeat(count);
    let (input, out) = (width("intermediate_size"), width("hidden_size"));
    let (a, b) = (values(input, 1.0), values(out, size));
    let name = |part| format!("base_model.model.model.layers.0.mlp.down_proj.lora_{part}.weight");
    let view = |shape: [usize; 2], bytes| TensorView::new(Dtype::F32, shape.into(), bytes).unwrap();
    let tensors = [
        (name("A"), view([1, input], &a)),
        (name("B"), view([out, 1], &b)),
    ];
    fs::create_dir(folder).unwrap();
    let weights = serialize(tensors, None).unwrap();
    fs::write(folder.join("adapter_model.safetensors"), weights).unwrap();
    let config = json!({ "peft_type": "LORA", "r": 1, "lora_alpha": 1 });
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
}

fn sprat(arguments: &[&str]) -> Output {
    Command::new(SPRAT).args(arguments).output().unwrap()
}

fn ask(more: &[&str]) -> (String, String) {
    let model = model().display().to_string();
    let question = [
        "ask",
        "What is your name?",
        "--model",
        &model,
        "--max-tokens",
        "12",
    ];
    let output = sprat(&[&question, more].concat());
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_model_answers_with_an_adapter() {
    let bench = tempfile::tempdir().unwrap();
    let path = |name: &str| bench.path().join(name).display().to_string();
    adapter(&bench.path().join("nothing"), 0.0);
    adapter(&bench.path().join("much"), 0.5);
    let (alone, told) = ask(&[]);
    assert!(told.contains("confidence"), "{told}");
    let (same, told) = ask(&["--adapter", &path("nothing")]);
    assert_eq!(alone, same);
    // What was measured of the model alone says nothing of it now.
    assert!(!told.contains("confidence"), "{told}");
    let (other, _) = ask(&["--adapter", &path("much")]);
    assert_ne!(alone, other);
    let scaled = |scale| ask(&["--adapter", &path("much"), "--adapter-scale", scale]).0;
    assert_eq!([scaled("0"), scaled("1")], [alone, other]);
    let refused = |more: &[&str]| {
        let model = model().display().to_string();
        let output = sprat(&[&["ask", "Hi", "--model", &model], more].concat());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["--adapter", &path("much"), "--adapter-scale", "NaN"]);
    assert!(told.contains("scale"), "{told}");
    let told = refused(&["--adapter-scale", "2"]);
    assert!(told.contains("--adapter <DIR>"), "{told}");
    let output = sprat(&[
        "ask",
        "Hi",
        "--model",
        &model().display().to_string(),
        "--adapter",
        &path("none"),
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("adapter_config.json"),
        "{told}"
    );
}

#[test]
fn an_adapter_becomes_a_pack_that_names_its_base() {
    let bench = tempfile::tempdir().unwrap();
    let path = |name: &str| bench.path().join(name).display().to_string();
    adapter(&bench.path().join("lora"), 0.5);
    let base = model().display().to_string();
    let output = sprat(&["pack", &path("lora"), "--out", &path("pack")]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("--base"),
        "{told}"
    );
    let output = sprat(&[
        "pack",
        &path("lora"),
        "--out",
        &path("pack"),
        "--base",
        &base,
    ]);
    assert!(output.status.success(), "{output:?}");
    let manifest = |folder: &Path| {
        let json = fs::read(folder.join("sprat.json")).unwrap();
        sprat_model::Manifest::from_json(&json).unwrap()
    };
    let pack = bench.path().join("pack");
    let (own, of_base) = (manifest(&pack), manifest(&model()));
    own.check_base(&of_base).unwrap();
    assert!(own.check_base(&own).is_err());
    assert!(of_base.check_base(&of_base).is_err());
    for file in &own.files {
        own.verify(&file.path, &fs::read(pack.join(&file.path)).unwrap())
            .unwrap();
    }
    // It is still what PEFT wrote.
    let (other, _) = ask(&["--adapter", &path("pack")]);
    assert_eq!(other, ask(&["--adapter", &path("lora")]).0);

    fs::write(
        bench.path().join("lora/adapter_config.json"),
        r#"{ "peft_type": "LORA", "r": 1, "lora_alpha": 1, "use_dora": true }"#,
    )
    .unwrap();
    let output = sprat(&[
        "pack",
        &path("lora"),
        "--out",
        &path("other"),
        "--base",
        &base,
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("use_dora"), "{told}");
    assert!(!bench.path().join("other").exists());
}
