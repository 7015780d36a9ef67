//! The decoder against transformers on tiny random models, on every backend compiled in.

use crate::common::{GOLDEN_MODELS, devices, golden_pack, goldens};
use burn::tensor::{Int, Tensor, TensorData};
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;
use sprat_model::{Decoder, Device, KvCache, Model, ModelConfig, Options, TensorMap};

/// transformers' own f32 is off its f64 by up to about 1e-5.
const LOGIT_TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    sequence: Vec<u32>,
    single: Vec<u32>,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    logprob: f32,
    margin: f32,
    entropy: f32,
}

fn golden(name: &str) -> Golden {
    let path = goldens("model").join(name).join("golden.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn expected_logits(name: &str, key: &str) -> Vec<f32> {
    let bytes = std::fs::read(goldens("model").join(name).join("golden.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(key).unwrap();
    data.data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn decoder(name: &str, device: &Device) -> (ModelConfig, Decoder) {
    let pack = golden_pack(name);
    let config = ModelConfig::from_json(&pack.0["config.json"]).unwrap();
    let mut tensors = TensorMap::new();
    for (file, bytes) in pack
        .0
        .iter()
        .filter(|(file, _)| file.ends_with(".safetensors"))
    {
        tensors.add_shard(file, bytes, device).unwrap();
    }
    let decoder = Decoder::from_tensors(&config, &mut tensors).unwrap();
    (config, decoder)
}

fn ids(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    let data: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(data, [1, ids.len()]), device)
}

fn max_difference(actual: TensorData, expected: &[f32]) -> f32 {
    let actual = actual.convert::<f32>().try_to_vec::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    actual
        .iter()
        .zip(expected)
        .map(|(a, e)| (a - e).abs())
        .fold(0.0, f32::max)
}

#[test]
fn logits_equal_transformers() {
    for (backend, device) in devices() {
        for name in GOLDEN_MODELS {
            let (_, decoder) = decoder(name, &device);
            let golden = golden(name);
            for (key, tokens) in [("sequence", &golden.sequence), ("single", &golden.single)] {
                let logits = decoder.forward(ids(tokens, &device)).into_data();
                let expected = expected_logits(name, &format!("{key}.logits"));
                let off = max_difference(logits, &expected);
                assert!(
                    off <= LOGIT_TOLERANCE,
                    "{backend}, {name}, {key}: off by {off}"
                );
            }
        }
    }
}

/// One token at a time, all at once, and in uneven pieces: the same logits.
#[test]
fn the_cache_changes_nothing() {
    for (backend, device) in devices() {
        for name in GOLDEN_MODELS {
            let (config, decoder) = decoder(name, &device);
            let golden = golden(name);
            let expected = expected_logits(name, "sequence.logits");
            let vocab = config.vocab_size;
            for pieces in [vec![1; 24], vec![24], vec![5, 1, 11, 7]] {
                let mut cache = KvCache::new(&config, &device);
                let mut at = 0;
                for piece in pieces {
                    let tokens = ids(&golden.sequence[at..at + piece], &device);
                    at += piece;
                    let logits = decoder.forward_cached(tokens, &mut cache).into_data();
                    let off = max_difference(logits, &expected[(at - 1) * vocab..at * vocab]);
                    assert!(
                        off <= LOGIT_TOLERANCE,
                        "{backend}, {name}, position {at}: {off}"
                    );
                }
                assert_eq!(cache.len(), 24);
            }
        }
    }
}

/// 64 greedy tokens and the confidence in each, through the whole of `Model`.
#[test]
fn greedy_tokens_and_confidence_equal_transformers() {
    for (backend, device) in devices() {
        for name in GOLDEN_MODELS {
            let model = block_on(Model::load(&golden_pack(name), &device, &mut |_| {})).unwrap();
            let golden = golden(name);
            let mut session = model.session();
            let options = Options {
                max_tokens: golden.greedy.len(),
                ..Options::default()
            };
            let mut generation = session.generate(&model, &golden.prompt, options).unwrap();
            let mut tokens = Vec::new();
            for step in &golden.steps {
                let token = block_on(generation.next()).unwrap().unwrap();
                tokens.push(token.id);
                let pairs = [
                    (token.logprob, step.logprob),
                    (token.margin, step.margin),
                    (token.entropy, step.entropy),
                ];
                for (actual, expected) in pairs {
                    assert!(
                        (actual - expected).abs() < 1e-3,
                        "{backend} {name}: {actual} {expected}"
                    );
                }
            }
            assert_eq!(tokens, golden.greedy, "{backend}, {name}");
        }
    }
}

/// A second turn reuses the common prefix and answers as if it had not.
#[test]
fn a_second_turn_reuses_the_prefix() {
    for (_, device) in devices() {
        let model = block_on(Model::load(
            &golden_pack("qwen3-qknorm-tied"),
            &device,
            &mut |_| {},
        ));
        let model = model.unwrap();
        let golden = golden("qwen3-qknorm-tied");
        let run = |session: &mut sprat_model::Session, prompt: &[u32]| {
            let options = Options {
                max_tokens: 8,
                ..Options::default()
            };
            let mut generation = session.generate(&model, prompt, options).unwrap();
            let mut tokens = vec![];
            while let Some(token) = block_on(generation.next()) {
                tokens.push(token.unwrap().id);
            }
            (tokens, generation.cached_tokens())
        };
        let mut session = model.session();
        let (first, cached) = run(&mut session, &golden.prompt);
        assert_eq!(cached, 0);
        let mut longer = golden.prompt.clone();
        longer.extend(&first);
        longer.extend([9, 10, 11]);
        let (reused, cached) = run(&mut session, &longer);
        // The last generated token was never run, so it is not in the cache.
        assert_eq!(cached, golden.prompt.len() + first.len() - 1);
        assert_eq!(reused, run(&mut model.session(), &longer).0);
        // Another beginning: nothing but the common part survives.
        let mut other = longer.clone();
        other[3] = 77;
        let (changed, cached) = run(&mut session, &other);
        assert_eq!(cached, 3);
        assert_eq!(changed, run(&mut model.session(), &other).0);
    }
}

/// Past one page of the cache, up to the context's end.
#[test]
fn the_cache_grows_and_the_context_ends_the_answer() {
    let device = Device::flex();
    let pack = golden_pack("llama-gqa-tied");
    let mut config: serde_json::Value = serde_json::from_slice(&pack.0["config.json"]).unwrap();
    config["max_position_embeddings"] = 300.into();
    let mut pack = pack;
    pack.0
        .insert("config.json".into(), config.to_string().into_bytes());
    let model = block_on(Model::load(
        &crate::common::seal(pack),
        &device,
        &mut |_| {},
    ))
    .unwrap();
    let prompt: Vec<u32> = (0..100).map(|i| 3 + i % 250).collect();
    let mut session = model.session();
    let options = Options {
        max_tokens: 10_000,
        ..Options::default()
    };
    let mut generation = session.generate(&model, &prompt, options).unwrap();
    let mut tokens = prompt.clone();
    while let Some(token) = block_on(generation.next()) {
        tokens.push(token.unwrap().id);
    }
    assert_eq!(generation.finish(), Some(sprat_model::Finish::Length));
    assert_eq!(tokens.len(), 300);
    // The same continuation without a cache.
    let all = model.decoder().forward(ids(&tokens[..299], &device));
    let predicted = all
        .argmax(2)
        .into_data()
        .convert::<i32>()
        .try_to_vec::<i32>()
        .unwrap();
    let predicted: Vec<u32> = predicted.iter().map(|&id| id as u32).collect();
    assert_eq!(predicted[99..], tokens[100..]);
}
