//! The decoder against transformers on tiny random models, on every backend compiled in.

use crate::common::{devices, golden_models, golden_pack, goldens};
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;
use sprat_model::tensor::{Int, Tensor, TensorData};
use sprat_model::{
    Decoder, Device, Family, KvCache, MixerConfig, Model, ModelConfig, Options, TensorMap,
};

/// transformers' own f32 is off its f64 by up to about 1e-5.
pub(crate) fn logit_tolerance(backend: &str) -> f32 {
    match backend {
        // burn multiplies f32 on NVIDIA's tensor cores with 10 bits of each factor (TF32).
        "cuda" => 0.1,
        _ => 1e-4,
    }
}

/// Of log-probability, margin and entropy.
fn confidence_tolerance(backend: &str) -> f32 {
    10.0 * logit_tolerance(backend)
}

#[derive(Deserialize)]
struct Golden {
    sequence: Vec<u32>,
    single: Vec<u32>,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    steps: Vec<Step>,
    /// For each layer with experts, and each token of `sequence`: who is chosen, ascending.
    #[serde(default)]
    experts: Vec<Vec<Vec<i32>>>,
    /// The same, were experts outside of the best groups masked with 0 instead of -inf.
    #[serde(default)]
    zero_masked_experts: Vec<Vec<Vec<i32>>>,
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

pub(crate) fn decoder(name: &str, device: &Device) -> (ModelConfig, Decoder) {
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
    let mut wrong = Vec::new();
    for (backend, device) in devices() {
        for name in &golden_models() {
            let (_, decoder) = decoder(name, &device);
            let golden = golden(name);
            for (key, tokens) in [("sequence", &golden.sequence), ("single", &golden.single)] {
                let logits = decoder.forward(ids(tokens, &device)).into_data();
                let expected = expected_logits(name, &format!("{key}.logits"));
                let off = max_difference(logits, &expected);
                if off > logit_tolerance(backend) || off.is_nan() {
                    wrong.push(format!("{backend}, {name}, {key}: off by {off}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One token at a time, all at once, and in uneven pieces: the same logits.
#[test]
fn the_cache_changes_nothing() {
    for (backend, device) in devices() {
        for name in &golden_models() {
            let (config, decoder) = decoder(name, &device);
            let golden = golden(name);
            let expected = expected_logits(name, "sequence.logits");
            let vocab = config.vocab_size;
            for pieces in [vec![1; 24], vec![24], vec![5, 1, 11, 7]] {
                let mut cache = KvCache::new(&config, &device);
                cache.expect(24);
                let mut at = 0;
                for piece in pieces {
                    let tokens = ids(&golden.sequence[at..at + piece], &device);
                    at += piece;
                    let logits = decoder
                        .forward_cached(tokens, &mut cache)
                        .unwrap()
                        .into_data();
                    let off = max_difference(logits, &expected[(at - 1) * vocab..at * vocab]);
                    assert!(
                        off <= logit_tolerance(backend),
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
        // Without a cache, transformers turns every key anew for each length of the text.
        let models = golden_models()
            .into_iter()
            .filter(|name| name != "llama-rope-dynamic");
        for name in &models.collect::<Vec<_>>() {
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
                        (actual - expected).abs() < confidence_tolerance(backend),
                        "{backend} {name}: {actual} {expected}"
                    );
                }
            }
            assert_eq!(tokens, golden.greedy, "{backend}, {name}");
        }
    }
}

/// Every family is proved by at least one golden model.
#[test]
fn every_family_has_a_golden_model() {
    let models = golden_models();
    for family in Family::ALL {
        let kind = family.model_type();
        let named = |name: &String| name == kind || name.starts_with(&format!("{kind}-"));
        assert!(models.iter().any(named), "{kind} has no golden model");
    }
}

/// Routers send every token to the experts that the original sends it to.
#[test]
fn experts_are_chosen_as_in_transformers() {
    let (mut checked, mut masked) = (0, 0);
    for (backend, device) in devices() {
        for name in &golden_models() {
            let golden = golden(name);
            if golden.experts.is_empty() {
                continue;
            }
            let (_, decoder) = decoder(name, &device);
            let routes = decoder.routes(ids(&golden.sequence, &device));
            assert_eq!(routes.len(), golden.experts.len(), "{name}");
            for (layer, expected) in routes.into_iter().zip(&golden.experts) {
                let per_token = layer.dims()[1];
                let layer = layer.into_data().convert::<i32>();
                let chosen = layer.try_to_vec::<i32>().unwrap();
                let chosen: Vec<Vec<i32>> = chosen
                    .chunks(per_token)
                    .map(|token| {
                        let mut token = token.to_vec();
                        token.sort_unstable();
                        token
                    })
                    .collect();
                assert_eq!(&chosen, expected, "{backend}, {name}");
            }
            // Where the two ways of masking differ, the golden is DeepSeek's own.
            let differ = golden.zero_masked_experts.iter().zip(&golden.experts);
            masked += differ.filter(|(zero, inf)| zero != inf).count();
            checked += 1;
        }
    }
    assert!(checked >= 4 && masked > 0);
}

/// Latent attention caches the latent and the one turned key, nothing expanded.
#[test]
fn the_latent_cache_holds_latents_only() {
    let mut checked = 0;
    for name in &golden_models() {
        let device = Device::flex();
        let (config, _) = decoder(name, &device);
        let MixerConfig::Latent(latent) = config.layers[0].mixer else {
            continue;
        };
        let per_layer = latent.kv_rank + latent.rope_dim;
        let expected = per_layer * config.layers.len() * size_of::<f32>();
        assert_eq!(KvCache::new(&config, &device).bytes_per_token(), expected);
        checked += 1;
    }
    assert!(checked >= 2);
}

/// Names, shapes and values survive being read, written and read again, in every family.
#[test]
fn decoders_write_what_they_read() {
    let device = Device::flex();
    for name in &golden_models() {
        let (config, decoder) = decoder(name, &device);
        let written = decoder.named_weights();
        let shapes: Vec<(String, Vec<usize>)> = written
            .iter()
            .map(|(name, data)| (name.clone(), data.shape().to_vec()))
            .collect();
        let sorted = |mut shapes: Vec<(String, Vec<usize>)>| {
            shapes.sort();
            shapes
        };
        assert_eq!(sorted(shapes), sorted(config.tensors()), "{name}");
        let pack = golden_pack(name);
        for (_, bytes) in pack.0.iter().filter(|(f, _)| f.ends_with(".safetensors")) {
            let shard = SafeTensors::deserialize(bytes).unwrap();
            for tensor in shard.names() {
                assert!(written.iter().any(|(w, _)| w == tensor), "{name}: {tensor}");
            }
        }
        let mut again = TensorMap::new();
        for (name, data) in written {
            let shape = data.shape().to_vec();
            again
                .insert(&name, &shape, data.try_to_vec().unwrap(), &device)
                .unwrap();
        }
        let again = Decoder::from_tensors(&config, &mut again).unwrap();
        let tokens = &golden(name).sequence;
        let logits = again.forward(ids(tokens, &device)).into_data();
        let expected = expected_logits(name, "sequence.logits");
        assert!(
            max_difference(logits, &expected) <= logit_tolerance("flex"),
            "{name}"
        );
    }
}

/// A second turn reuses the common prefix and answers as if it had not.
#[test]
fn a_second_turn_reuses_the_prefix() {
    for (backend, device) in devices() {
        for name in ["qwen3-qknorm-tied", "gemma3_text", "lfm2", "deepseek_v3"] {
            let model = block_on(Model::load(&golden_pack(name), &device, &mut |_| {}));
            let model = model.unwrap();
            let golden = golden(name);
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
            let fresh = run(&mut model.session(), &longer).0;
            assert_eq!(reused, fresh, "{backend}, {name}");
            // The first turn again, with another ending: back to where its prompt ended.
            let mut shorter = golden.prompt.clone();
            shorter.push(77);
            let (again, cached) = run(&mut session, &shorter);
            assert_eq!(cached, golden.prompt.len());
            assert_eq!(
                again,
                run(&mut model.session(), &shorter).0,
                "{backend}, {name}"
            );
            // Another beginning: nothing but the common part survives, and of convolutions, whose
            // states are kept at the ends of prompts, not even that.
            let mut other = longer.clone();
            other[3] = 77;
            let (changed, cached) = run(&mut session, &other);
            assert_eq!(cached, if name == "lfm2" { 0 } else { 3 });
            assert_eq!(
                changed,
                run(&mut model.session(), &other).0,
                "{backend}, {name}"
            );
        }
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
