//! GGUF files made as llama.cpp makes them, against the Hugging Face folders they were made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use sprat_model::{
    Checkpoint, Decoder, Device, Error, GgufModel, KvCache, ModelConfig, ModelFolder, TensorMap,
    Tokenizer,
};

use crate::common::goldens;

fn models() -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(goldens("gguf").join("models")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut models: Vec<(String, PathBuf)> = files
        .map(|path| (name(&path), path))
        .filter(|(name, _)| !name.starts_with("tokenizer-"))
        .collect();
    models.sort();
    assert!(models.len() >= 9, "{models:?}");
    models
}

/// Logits after some tokens; matrices rounded to f16 first, as the files hold them.
fn logits(config: &ModelConfig, source: &mut dyn Checkpoint) -> Vec<f32> {
    let device = Device::flex();
    let mut tensors = TensorMap::new();
    for (name, shape) in config.tensors() {
        let mut values = source.read_tensor(&name, &shape).unwrap();
        if shape.len() == 2 {
            round(&mut values);
        }
        tensors.insert(&name, &shape, values, &device).unwrap();
    }
    let decoder = Decoder::from_tensors(config, &mut tensors).unwrap();
    let mut cache = KvCache::new(config, &device);
    let tokens: Vec<u32> = (3..27).collect();
    decoder.last_logits(&tokens, &mut cache, &device).unwrap()
}

fn round(values: &mut [f32]) {
    for value in values {
        *value = half::f16::from_f32(*value).to_f32();
    }
}

#[test]
fn a_model_through_gguf_equals_itself_through_safetensors() {
    for (name, path) in models() {
        let folder = goldens("model").join(&name);
        let mut folder = ModelFolder::open(&folder).unwrap();
        let mut gguf = GgufModel::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (tensor, shape) in folder.config().tensors() {
            let mut expected = folder.read_tensor(&tensor, &shape).unwrap();
            if shape.len() == 2 {
                round(&mut expected);
            }
            let actual = gguf.read_tensor(&tensor, &shape);
            let actual = actual.unwrap_or_else(|e| panic!("{name}, {tensor}: {e}"));
            let off = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs());
            // Gemma's "one plus" is added in the file and taken off again.
            let off = off.fold(0f32, f32::max);
            let allowed = if name == "gemma3_text" { 1e-6 } else { 0.0 };
            assert!(off <= allowed, "{name}, {tensor}: off by {off}");
        }
        for unknown in [
            "model.layers.99.self_attn.q_proj.weight",
            "model.layers.x",
            "y",
        ] {
            let error = gguf.read_tensor(unknown, &[1, 1]).unwrap_err();
            assert!(matches!(error, Error::TensorMissing(_)), "{name}: {error}");
        }
        // llama.cpp knows neither this golden's pattern of windows nor its scale.
        let config = match name.as_str() {
            "gemma3_text" => folder.config().clone(),
            _ => gguf.config().clone(),
        };
        let expected = logits(&folder.config().clone(), &mut folder);
        let actual = logits(&config, &mut gguf);
        let off = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs());
        let off = off.fold(0f32, f32::max);
        assert!(off <= 1e-4, "{name}: logits off by {off}");
    }
}

#[derive(Deserialize)]
struct Expected {
    gpt2: BTreeMap<String, Vec<u32>>,
    llama: BTreeMap<String, Vec<u32>>,
}

#[test]
fn vocabularies_of_gguf_files_encode_as_the_originals() {
    let expected = std::fs::read(goldens("gguf").join("tokenizers.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    for (kind, texts) in [("gpt2", expected.gpt2), ("llama", expected.llama)] {
        let file = goldens("gguf").join(format!("models/tokenizer-{kind}.gguf"));
        let json = sprat_model::gguf_tokenizer(&file).unwrap();
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        for (text, ids) in texts {
            assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{kind}: {text:?}");
            if !text.contains("<|") {
                assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{kind}");
            }
        }
    }
}

/// A model in three files, whichever is named; without one of them, an error that says so.
#[test]
fn a_model_in_parts_equals_itself_in_one_file() {
    let name = "llama-rope-llama3";
    let whole = goldens("gguf/models").join(format!("{name}.gguf"));
    let mut whole = GgufModel::open(&whole).unwrap();
    let part = |number| goldens("gguf/parts").join(format!("{name}-{number:05}-of-00003.gguf"));
    for number in 1..=3 {
        let mut parts = GgufModel::open(&part(number)).unwrap();
        assert_eq!(parts.name(), name);
        assert_eq!(parts.config(), whole.config());
        for (tensor, shape) in whole.config().tensors() {
            let expected = whole.read_tensor(&tensor, &shape).unwrap();
            assert_eq!(
                parts.read_tensor(&tensor, &shape).unwrap(),
                expected,
                "{tensor}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=2 {
        let path = part(number);
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let first = folder.path().join(part(1).file_name().unwrap());
    let error = GgufModel::open(&first).unwrap_err();
    assert!(error.to_string().contains("00003-of-00003"), "{error}");
    // Under another name, nothing says where the others are.
    let alone = folder.path().join("alone.gguf");
    std::fs::copy(part(1), &alone).unwrap();
    let error = GgufModel::open(&alone).unwrap_err();
    assert!(error.to_string().contains("in 3 files"), "{error}");
}

/// Every way to cut text that we know by llama.cpp's name: the patterns compile, and no byte is lost.
#[test]
fn texts_survive_every_way_of_cutting() {
    let source = goldens("gguf/models").join("tokenizer-gpt2.gguf");
    let bytes = std::fs::read(source).unwrap();
    // The key, its type, then the length of the value.
    let key = b"tokenizer.ggml.pre";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4;
    for kind in [
        "gpt-2",
        "llama-bpe",
        "dbrx",
        "qwen2",
        "smollm",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
    ] {
        let mut changed = bytes[..at].to_vec();
        changed.extend((kind.len() as u64).to_le_bytes());
        changed.extend(kind.as_bytes());
        changed.extend(&bytes[at + 8 + "qwen2".len()..]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocabulary.gguf");
        std::fs::write(&path, changed).unwrap();
        let json = sprat_model::gguf_tokenizer(&path).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        for text in [
            "Hello, world! 12345",
            "a\n\n b\t漢字かな 안녕 i'm",
            "naïve 𝕏 ...   x",
            "x=1;\r\n",
        ] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{kind}");
        }
    }
}
