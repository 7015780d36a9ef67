//! What the suites share: the devices to test, and packs made of golden models.

use std::path::PathBuf;

use sprat_model::{
    Device, Family, MANIFEST, Manifest, MemorySource, ModelConfig, PackFile, Storage,
};

/// The processor and what else was compiled in, with their names. wgpu takes a software adapter, so that the suite
/// needs no GPU; `SPRAT_TEST_GPU=1` takes the machine's own, and `SPRAT_TEST_GPU=cuda` an NVIDIA card by CUDA, in
/// wgpu's place.
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    let cpu = [("flex", Device::flex())];
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cpu.into_iter().chain(gpu()).collect();
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    cpu.into()
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn gpu() -> Option<(&'static str, Device)> {
    match std::env::var("SPRAT_TEST_GPU") {
        #[cfg(feature = "cuda")]
        Ok(name) if name == "cuda" => Some(("cuda", Device::cuda(0))),
        #[cfg(feature = "wgpu")]
        Ok(_) => {
            let own = burn::tensor::DeviceKind::DefaultDevice;
            Some(("wgpu", Device::wgpu(own)))
        }
        #[cfg(feature = "wgpu")]
        Err(_) => Some(("wgpu", Device::wgpu(burn::tensor::DeviceKind::Cpu))),
        #[cfg(not(feature = "wgpu"))]
        _ => None,
    }
}

/// A folder of golden files, made by the script in it.
pub(crate) fn goldens(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/goldens")
        .join(name)
}

/// Every golden model there is.
pub(crate) fn golden_models() -> Vec<String> {
    let folders = std::fs::read_dir(goldens("model")).unwrap();
    let models = folders.map(|entry| entry.unwrap().path());
    let models = models.filter(|path| path.join("golden.json").is_file());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = models.map(name).collect();
    names.sort();
    assert!(names.len() >= Family::ALL.len(), "{names:?}");
    names
}

/// A word-level tokenizer of 256 words "t0" to "t255", for models without one of their own.
pub(crate) fn word_tokenizer() -> Vec<u8> {
    let vocab: serde_json::Map<String, serde_json::Value> =
        (0..256).map(|i| (format!("t{i}"), i.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": 2, "content": "t2", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "ignore_merges": true, "unk_token": "t0", "fuse_unk": true}
    })
    .to_string()
    .into_bytes()
}

pub(crate) const TEMPLATE: &str = "{% for m in messages %}{{ m.content }} {% endfor %}{% if add_generation_prompt %}t3{% endif %}";

/// A golden model as a pack in memory.
pub(crate) fn golden_pack(name: &str) -> MemorySource {
    let folder = goldens("model").join(name);
    let mut source = MemorySource::default();
    source.0.insert("tokenizer.json".into(), word_tokenizer());
    source
        .0
        .insert("chat_template.jinja".into(), TEMPLATE.into());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if file == "config.json" || (file.starts_with("model") && file.ends_with(".safetensors")) {
            source.0.insert(file, std::fs::read(path).unwrap());
        }
    }
    seal(source)
}

/// Writes the manifest for the files as they are.
pub(crate) fn seal(mut source: MemorySource) -> MemorySource {
    source.0.remove(MANIFEST);
    let config = ModelConfig::from_json(&source.0["config.json"]).unwrap();
    let manifest = Manifest {
        format: sprat_model::FORMAT,
        name: "golden".into(),
        description: "A random model.".into(),
        license: "MIT".into(),
        context: config.context(),
        parameters: config.parameters(),
        storage: Storage::F32,
        bos_token: "t1".into(),
        eos_token: "t2".into(),
        examples: vec![],
        files: source
            .0
            .iter()
            .map(|(path, bytes)| PackFile::of(path, bytes))
            .collect(),
        calibration: None,
        largest_buffer: None,
        check: None,
        bases: vec![],
    };
    source.0.insert(MANIFEST.into(), manifest.to_json());
    source
}
