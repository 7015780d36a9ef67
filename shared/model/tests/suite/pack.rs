//! Packs: what is written reads back, and what was damaged is named and not used.

use crate::common::{golden_pack, seal};
use pollster::block_on;
use sprat_model::{
    Check, Decoder, Device, DirSource, Error, MANIFEST, Manifest, MemorySource, Message, Model,
    ModelConfig, Options, PackContents, Sampling, Storage, write_pack,
};

fn load(source: &MemorySource) -> Result<Model, Error> {
    block_on(Model::load(source, &Device::flex(), &mut |_| {}))
}

fn error(source: &MemorySource) -> Error {
    load(source).err().expect("this pack is damaged")
}

const NAME: &str = "llama-mha-untied";

#[test]
fn truncated_and_altered_files_are_named_and_not_loaded() {
    for file in [
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model.safetensors",
    ] {
        let mut cut = golden_pack(NAME);
        let bytes = cut.0.get_mut(file).unwrap();
        bytes.truncate(bytes.len() - 1);
        assert!(matches!(error(&cut), Error::Size { file: f, .. } if f == file));

        let mut altered = golden_pack(NAME);
        let bytes = altered.0.get_mut(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert!(matches!(error(&altered), Error::Hash { file: f, chunk: 0, .. } if f == file));
    }
}

#[test]
fn a_missing_file_is_named() {
    let mut pack = golden_pack("llama-f16-shards");
    let shard = pack
        .0
        .keys()
        .find(|k| k.contains("00002-of-00003"))
        .unwrap()
        .clone();
    pack.0.remove(&shard);
    assert!(matches!(error(&pack), Error::Missing { file, .. } if file == shard));
    // Sealed without the shard, the tensors are what is missing.
    assert!(matches!(error(&seal(pack)), Error::TensorMissing(_)));
}

/// Replaces the pack's weights by what `change` makes of them.
fn with_weights(change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>)) -> MemorySource {
    let mut pack = golden_pack(NAME);
    let bytes = pack.0["model.safetensors"].clone();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let changed: Vec<_> = tensors
        .iter()
        .map(|(name, view)| {
            let mut shape = view.shape().to_vec();
            let floats = view.data().chunks_exact(4);
            let mut values: Vec<f32> = floats
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect();
            change(name, &mut shape, &mut values);
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.to_owned(), shape, bytes)
        })
        .collect();
    let views = changed.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        (
            name,
            safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap(),
        )
    });
    pack.0.insert(
        "model.safetensors".into(),
        safetensors::serialize(views, None).unwrap(),
    );
    seal(pack)
}

#[test]
fn nan_weights_and_wrong_shapes_are_named() {
    let nan = with_weights(|name, _, values| {
        if name.ends_with("1.mlp.up_proj.weight") {
            values[5] = f32::NAN;
        }
    });
    assert!(
        matches!(error(&nan), Error::WeightNotFinite { name, index: 5 } if name.ends_with("1.mlp.up_proj.weight"))
    );
    let turned = with_weights(|name, shape, _| {
        if name.ends_with("0.mlp.up_proj.weight") {
            shape.reverse();
        }
    });
    assert!(
        matches!(error(&turned), Error::Shape { name, .. } if name.ends_with("0.mlp.up_proj.weight"))
    );
}

/// Weights large enough to overflow are a typed error when the model runs, not garbage.
#[test]
fn logits_that_are_not_numbers_are_an_error() {
    let huge = with_weights(|name, _, values| {
        if name.contains("o_proj") || name.contains("down_proj") {
            values.fill(3e38);
        }
    });
    let model = load(&huge).unwrap();
    let mut session = model.session();
    let mut generation = session
        .generate(&model, &[5, 6], Options::default())
        .unwrap();
    let first = block_on(generation.next()).unwrap();
    assert!(matches!(first, Err(Error::LogitsNotFinite { position: 1 })));
    assert!(block_on(generation.next()).is_none());
}

#[test]
fn prompts_that_cannot_run_are_errors() {
    let model = load(&golden_pack(NAME)).unwrap();
    let mut session = model.session();
    let mut start = |prompt: &[u32], options| session.generate(&model, prompt, options).err();
    assert!(matches!(
        start(&[], Options::default()),
        Some(Error::Prompt(_))
    ));
    assert!(matches!(
        start(&[256], Options::default()),
        Some(Error::Prompt(_))
    ));
    let long = vec![5; model.context()];
    assert!(matches!(
        start(&long, Options::default()),
        Some(Error::ContextTooLong { .. })
    ));
    let sampling = Sampling {
        top_p: -1.0,
        ..Sampling::default()
    };
    let options = Options {
        sampling,
        ..Options::default()
    };
    assert!(matches!(
        start(&[5], options),
        Some(Error::Option {
            option: "top_p",
            ..
        })
    ));
}

#[test]
fn a_wrong_known_value_stops_the_load() {
    let pack = golden_pack(NAME);
    let model = load(&pack).unwrap();
    let right = block_on(model.make_check(&[5, 6, 7], 6)).unwrap();
    let with = |check: Check| {
        let mut pack = pack.clone();
        let mut manifest = Manifest::from_json(&pack.0[MANIFEST]).unwrap();
        manifest.check = Some(check);
        pack.0.insert(MANIFEST.into(), manifest.to_json());
        pack
    };
    load(&with(right.clone())).unwrap();
    let mut other = right.clone();
    other.tokens[2] ^= 1;
    assert!(matches!(error(&with(other)), Error::WarmUp { .. }));
    let mut off = right;
    off.logprobs[1] += 0.1;
    assert!(matches!(error(&with(off)), Error::WarmUp { .. }));
}

#[test]
fn manifests_that_reach_outside_or_lie_are_refused() {
    let pack = golden_pack(NAME);
    let original: serde_json::Value = serde_json::from_slice(&pack.0[MANIFEST]).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = original.clone();
        change(&mut json);
        let result = Manifest::from_json(json.to_string().as_bytes());
        assert!(matches!(result, Err(Error::Json { file: MANIFEST, .. })));
    };
    for path in [
        "../secret",
        "/etc/passwd",
        "a/b",
        "",
        ".hidden",
        "c:\\x",
        "ü",
    ] {
        refused(&|json| json["files"][0]["path"] = path.into());
    }
    refused(&|json| json["format"] = 2.into());
    refused(&|json| json["files"][0]["chunk_bytes"] = 0.into());
    refused(&|json| json["files"][0]["sha256"] = serde_json::json!([]));
    refused(&|json| json["files"][0]["size"] = u64::MAX.into());
}

/// A config with rows that are multiples of the quantization block.
fn small_config() -> ModelConfig {
    let json = serde_json::json!({
        "model_type": "qwen3", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "tie_word_embeddings": true, "max_position_embeddings": 64, "initializer_range": 0.2
    });
    ModelConfig::from_json(json.to_string().as_bytes()).unwrap()
}

#[test]
fn every_storage_reads_back_as_it_was_written() {
    let config = small_config();
    let device = Device::flex();
    let decoder = Decoder::new(&config, 7, &device);
    let tensors: Vec<_> = decoder
        .named_weights()
        .into_iter()
        .map(|(name, data)| {
            let shape = data.shape().to_vec();
            (name, shape, data.try_to_vec::<f32>().unwrap())
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for (storage, tolerance) in [
        (Storage::F32, 0.0),
        (Storage::F16, 1e-3),
        (Storage::Q8, 5e-3),
        // The side without the level of -8 is cut at 7: an eighth, and half a step.
        (Storage::Q4, 0.14),
        (Storage::Mixed, 0.14),
    ] {
        let dir = folder.path().join("pack");
        let pack = seal_contents(&config, storage);
        let contents = PackContents {
            manifest: pack,
            config: &config,
            tokenizer: &crate::common::word_tokenizer(),
            template: crate::common::TEMPLATE,
            draft: None,
            extra: vec![("README.md", b"# A card".to_vec())],
        };
        let mut read = |name: &str, _: &[usize]| {
            let tensor = tensors.iter().find(|tensor| tensor.0 == name);
            Ok(tensor.unwrap().2.clone())
        };
        let mut last = (0, 0);
        write_pack(&dir, contents, &mut read, &mut |done, total| {
            last = (done, total)
        })
        .unwrap();
        assert!(
            last.0 > 0 && last.0 == last.1,
            "progress ends at the whole: {last:?}"
        );
        let model = block_on(Model::load(&DirSource(dir.clone()), &device, &mut |_| {})).unwrap();
        assert_eq!(model.config(), &config);
        for ((name, _, expected), (_, actual)) in
            tensors.iter().zip(model.decoder().named_weights())
        {
            let actual = actual.try_to_vec::<f32>().unwrap();
            let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (a, e) in actual.iter().zip(expected) {
                assert!(
                    (a - e).abs() <= tolerance * largest,
                    "{name} as {storage:?}: {a} {e}"
                );
            }
        }
        assert!(dir.join("README.md").exists());
        assert!(
            !folder.path().join("pack.part").exists() && !folder.path().join("pack.old").exists()
        );
    }
}

fn seal_contents(config: &ModelConfig, storage: Storage) -> Manifest {
    Manifest {
        format: 0,
        name: "written".into(),
        description: String::new(),
        license: "MIT".into(),
        context: 64,
        parameters: 0,
        storage,
        bos_token: "t1".into(),
        eos_token: "t2".into(),
        examples: vec![],
        files: vec![],
        calibration: Some(serde_json::json!({"kept": true})),
        largest_buffer: None,
        check: None,
        bases: vec![],
    }
    .tap(|m| m.parameters = config.parameters())
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
impl Tap for Manifest {}

/// A person's text cannot pose as a special token.
#[test]
fn special_tokens_in_a_message_are_taken_apart() {
    let model = load(&golden_pack(NAME)).unwrap();
    let prompt = |content: &str| {
        let message = Message {
            role: "user".into(),
            content: content.into(),
        };
        model.prompt(&[message]).unwrap()
    };
    assert_eq!(prompt("t7 t8"), [7, 8, 3]);
    assert!(!prompt("t7 t2 t8").contains(&2));
}

#[test]
fn a_fingerprint_is_of_what_decides_the_answers() {
    let config = small_config();
    let mut manifest = seal_contents(&config, Storage::F32);
    let file = |path: &str, hash: &str| sprat_model::PackFile {
        path: path.to_owned(),
        size: 1,
        chunk_bytes: 1,
        sha256: vec![hash.to_owned()],
    };
    manifest.files = vec![
        file("model.safetensors", "00"),
        file("tokenizer.json", "11"),
    ];
    let first = manifest.fingerprint();
    assert_eq!(first.len(), 64);
    // Neither a name, nor a gate, nor a draft model changes an answer.
    let mut same = manifest.clone();
    same.name = "other".to_owned();
    same.calibration = Some(serde_json::json!({}));
    same.files.push(file("draft-model.safetensors", "22"));
    assert_eq!(same.fingerprint(), first);
    for (i, hash) in [(0, "01"), (1, "12")] {
        let mut other = manifest.clone();
        other.files[i].sha256 = vec![hash.to_owned()];
        assert_ne!(other.fingerprint(), first);
    }
}
