//! Every parser of files that come from strangers, as a function of bytes that may be anything.
//!
//! A target must come back, soon and in little memory, whatever it is given. `cargo xtask test fuzz`
//! runs each under libFuzzer for some seconds; the test below runs them over their seeds.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sprat_model::gguf::Gguf;
use sprat_model::{
    Adapter, ChatTemplate, Checkpoint, Device, Extras, GgufModel, KvCache, Manifest, ModelConfig,
    ModelFolder, TemplateValue, TensorMap, Tokenizer,
};

/// One parser.
pub struct Target {
    /// What the fuzzer is told to run.
    pub name: &'static str,
    /// Files of the repository that it starts from: a folder, and how their names end.
    pub seeds: (&'static str, &'static str),
    /// Feeds it some bytes.
    pub run: fn(&[u8]),
}

impl Target {
    /// The seeds, and inputs that once broke something, below the repository's root.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn inputs(&self, root: &Path) -> std::io::Result<Vec<PathBuf>> {
        let (folder, end) = self.seeds;
        let mut found = Vec::new();
        find(&root.join(folder), end, &mut found)?;
        let broken = root.join("tests/fuzz/regressions").join(self.name);
        if broken.exists() {
            find(&broken, "", &mut found)?;
        }
        Ok(found)
    }
}

/// Files in a folder, at any depth, whose paths end so.
fn find(folder: &Path, end: &str, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, end, found)?;
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    Ok(())
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target {
        name: "gguf",
        seeds: ("tests/goldens/gguf", ".gguf"),
        run: gguf,
    },
    Target {
        name: "safetensors",
        seeds: ("tests/goldens/model/lfm2", ".safetensors"),
        run: safetensors,
    },
    Target {
        name: "config",
        seeds: ("tests/goldens/model", "config.json"),
        run: config,
    },
    Target {
        name: "template",
        seeds: ("tests/goldens/template", ".jinja"),
        run: template,
    },
    Target {
        name: "tokenizer",
        seeds: ("tests/goldens/tokenizer", "tokenizer.json"),
        run: tokenizer,
    },
    Target {
        name: "pattern",
        seeds: ("tests/fuzz/seeds/pattern", ".txt"),
        run: pattern,
    },
    Target {
        name: "manifest",
        seeds: ("web/models", "sprat.json"),
        run: manifest,
    },
    Target {
        name: "recipe",
        seeds: ("tests/goldens/merge", ".yml"),
        run: recipe,
    },
    Target {
        name: "vocabulary",
        seeds: ("tests/goldens/merge/tokens", "tokenizer.json"),
        run: vocabulary,
    },
    Target {
        name: "saved",
        seeds: ("tests/fuzz/seeds/saved", ".kv"),
        run: saved,
    },
    Target {
        name: "adapter",
        seeds: ("tests/goldens/merge/lora", ""),
        run: adapter,
    },
    Target {
        name: "detect",
        seeds: ("shared/route/goldens/detect", ""),
        run: detect,
    },
];

/// Largest tensor that is worth decoding here; a header may claim more, truthfully.
const MAX_ELEMENTS: usize = 1 << 20;

fn gguf(bytes: &[u8]) {
    let Ok(mut file) = Gguf::open(Cursor::new(bytes)) else {
        return;
    };
    let small = |tensor: &&sprat_model::gguf::TensorInfo| tensor.elements() <= MAX_ELEMENTS;
    let tensors = file.tensors().iter().filter(small).take(8);
    let names: Vec<String> = tensors.map(|tensor| tensor.name.clone()).collect();
    for name in names {
        let _ = file.read_f32(&name);
    }
    with_file("model.gguf", bytes, |path| {
        if let Ok(json) = sprat_model::gguf_tokenizer(path) {
            tokenizer(&json);
        }
        if let Ok(mut model) = GgufModel::open(path) {
            let _ = model.chat();
            read_some(&mut model);
        }
    });
}

fn safetensors(bytes: &[u8]) {
    let _ = TensorMap::new().add_shard("fuzzed", bytes, &Device::flex());
    with_file("model.safetensors", bytes, |path| {
        let Some(folder) = path.parent() else { return };
        let config = include_str!("../../goldens/model/lfm2/config.json");
        if std::fs::write(folder.join("config.json"), config).is_ok()
            && let Ok(mut model) = ModelFolder::open(folder)
        {
            read_some(&mut model);
        }
    });
}

fn config(bytes: &[u8]) {
    if let Ok(config) = ModelConfig::from_json(bytes) {
        let _ = config.parameters();
        let _ = config.tensors().into_iter().take(1000).count();
        let again = ModelConfig::from_json(config.to_json().to_string().as_bytes());
        assert!(again.is_ok(), "a config that was read does not read again");
    }
}

fn recipe(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(recipe) = sprat_merge::Recipe::parse(&text) {
        let again = sprat_merge::Recipe::parse(&recipe.to_string());
        assert_eq!(
            again.ok(),
            Some(recipe),
            "a recipe that was read does not read again"
        );
    }
}

fn vocabulary(bytes: &[u8]) {
    use sprat_merge::Tokenizer;
    let known = include_bytes!("../../goldens/merge/tokens/right/tokenizer.json");
    let known = Tokenizer::parse("known", known).expect("a golden tokenizer");
    if let Ok(tokenizer) = Tokenizer::parse("fuzzed", bytes) {
        for union in [
            tokenizer.united(std::slice::from_ref(&known)),
            known.united(&[tokenizer]),
        ] {
            let Ok(union) = union else { continue };
            let again = Tokenizer::parse("again", &union.to_json());
            let again = again.expect("a union that was written reads again");
            assert_eq!(again.tokens(), union.tokens());
        }
    }
}

fn detect(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for finding in sprat_route::detect::detect(&text).iter() {
        assert!(
            text.get(finding.range.clone()).is_some(),
            "a range that is none"
        );
    }
    let _ = sprat_route::detect::Levels::from_json(bytes);
}

fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(template) = ChatTemplate::new(&text, "<s>", "</s>") {
        let messages = serde_json::json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": {"x": [1, 2.5]}}}
            ]},
        ]);
        let messages = messages.as_array().into_iter().flatten();
        let messages: Vec<_> = messages.map(TemplateValue::from_serialize).collect();
        let tool = serde_json::json!({"name": "f", "parameters": {}});
        let tools = Some(vec![TemplateValue::from_serialize(tool)]);
        let extras = Extras {
            tools,
            documents: None,
        };
        let _ = template.render_with(&messages, &extras, true);
    }
}

fn tokenizer(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes) {
        for text in ["", "Hello, wörld! 1234 <s>", "\u{1f600}\u{200d}  \t\n漢字"] {
            if let Ok(ids) = tokenizer.encode_plain(text) {
                let _ = tokenizer.decode(&ids);
            }
        }
        let _ = tokenizer.decode(&[0, 1, u32::MAX]);
    }
}

/// A pattern that cuts text, in a tokenizer that is in order otherwise.
fn pattern(bytes: &[u8]) {
    let Ok(pattern) = std::str::from_utf8(bytes) else {
        return;
    };
    let file = serde_json::json!({
        "added_tokens": [],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "a"},
    });
    let Ok(tokenizer) = sprat_tokenizer::Tokenizer::from_json(file.to_string().as_bytes()) else {
        return;
    };
    for text in [
        "it's  HTTPServer 1234\r\n\n (漢字 e\u{301})? ",
        &"a1 ".repeat(200),
        &" ".repeat(999),
    ] {
        if let Ok(ids) = tokenizer.encode(text, false) {
            assert!(ids.len() <= text.len());
        }
    }
}

fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::from_json(bytes) {
        for file in manifest.files.iter().take(16) {
            let _ = file.chunk_range(usize::MAX);
            let _ = manifest.verify(&file.path, b"bytes");
            let _ = manifest.verify_chunk(&file.path, 1, b"bytes");
        }
        if let Some(gate) = &manifest.calibration {
            let _ = sprat_route::gate::Gate::from_json(gate.to_string().as_bytes());
        }
    }
}

/// Keys and values that were saved, as they are and with the checksum that they should have.
fn saved(bytes: &[u8]) {
    let config = include_bytes!("../../goldens/model/lfm2/config.json");
    let Ok(config) = ModelConfig::from_json(config) else {
        return;
    };
    let mut sealed = bytes.to_vec();
    if let Some((body, sum)) = sealed.split_last_chunk_mut::<32>() {
        *sum = Sha256::digest(body).into();
    }
    for bytes in [bytes, &sealed] {
        let mut cache = KvCache::new(&config, &Device::flex());
        let tokens = cache.import(&[7; 32], bytes, &Device::flex());
        assert_eq!(cache.len(), tokens.map_or(0, |tokens| tokens.len()));
    }
}

/// An adapter's settings, or its tensors.
fn adapter(bytes: &[u8]) {
    let config = include_bytes!("../../goldens/merge/lora/patterns/adapter_config.json");
    let weights = include_bytes!("../../goldens/merge/lora/patterns/adapter_model.safetensors");
    let _ = Adapter::from_peft(bytes, weights);
    let _ = Adapter::from_peft(config, bytes);
}

fn read_some(model: &mut dyn Checkpoint) {
    for (name, shape) in model.config().tensors().into_iter().take(8) {
        if shape.iter().product::<usize>() <= MAX_ELEMENTS {
            let _ = model.read_tensor(&name, &shape);
        }
    }
}

/// Runs something on a file with these bytes.
fn with_file(name: &str, bytes: &[u8], run: impl FnOnce(&Path)) {
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_ok() {
        run(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_inputs_are_survived() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for target in TARGETS {
            let inputs = target.inputs(&root).unwrap();
            assert!(!inputs.is_empty(), "{} has no seeds", target.name);
            for input in inputs {
                (target.run)(&std::fs::read(input).unwrap());
            }
        }
    }
}
