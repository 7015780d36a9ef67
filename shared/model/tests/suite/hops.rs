//! Ways through the layers that are not simply from the first to the last.

use sprat_model::tensor::{Int, Tensor, TensorData};
use sprat_model::{Decoder, Device, Hop, KvCache, ModelConfig, TensorMap};

use crate::common::devices;
use crate::golden::logit_tolerance;

fn config(layers: usize) -> ModelConfig {
    let json = format!(
        r#"{{"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": {layers}, "num_attention_heads": 4, "num_key_value_heads": 2,
        "initializer_range": 0.2, "tie_word_embeddings": true}}"#
    );
    ModelConfig::from_json(json.as_bytes()).unwrap()
}

fn hops(order: &[usize], scales: &[f32]) -> Vec<Hop> {
    let hop = |(layer, scale): (&usize, &f32)| Hop {
        layer: *layer,
        scale: *scale,
    };
    order.iter().zip(scales).map(hop).collect()
}

/// A decoder of another config with the weights of one of two layers: its layer i has those of `order[i]`.
fn decoder(config: &ModelConfig, order: &[usize], device: &Device) -> Decoder {
    let source = Decoder::new(&self::config(2), 3, &Device::flex()).named_weights();
    let mut tensors = TensorMap::new();
    for (name, shape) in config.tensors() {
        let of = match name
            .strip_prefix("model.layers.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((layer, rest)) => {
                let layer = order[layer.parse::<usize>().unwrap()];
                format!("model.layers.{layer}.{rest}")
            }
            None => name.clone(),
        };
        let (_, values) = source.iter().find(|(name, _)| *name == of).unwrap();
        let values = values.try_to_vec().unwrap();
        tensors.insert(&name, &shape, values, device).unwrap();
    }
    Decoder::from_tensors(config, &mut tensors).unwrap()
}

const TOKENS: [u32; 9] = [3, 60, 7, 7, 21, 0, 44, 3, 12];

fn logits(decoder: &Decoder, device: &Device) -> Vec<f32> {
    let ids: Vec<i32> = TOKENS.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, TOKENS.len()]), device);
    let logits = decoder.forward(ids).into_data();
    logits
        .try_to_vec()
        .unwrap()
        .split_off((TOKENS.len() - 1) * 64)
}

/// The logits after the last token, token by token with a cache.
fn stepwise(decoder: &Decoder, config: &ModelConfig, device: &Device) -> Vec<f32> {
    let mut cache = KvCache::new(config, device);
    let mut last = Vec::new();
    for token in TOKENS {
        last = decoder.last_logits(&[token], &mut cache, device).unwrap();
    }
    last
}

fn close(backend: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(
            (a - b).abs() < logit_tolerance(backend),
            "{backend}: {a} {b}"
        );
    }
}

#[test]
fn the_plain_way_is_the_plain_model() {
    let plain = config(2);
    let same = plain.with_hops(&hops(&[0, 1], &[1.0, 1.0])).unwrap();
    assert_eq!(same, plain);
    let device = Device::flex();
    let [a, b] = [&plain, &same].map(|config| logits(&decoder(config, &[0, 1], &device), &device));
    assert_eq!(a, b);
    assert_eq!(
        ModelConfig::from_json(same.to_json().to_string().as_bytes()).unwrap(),
        same
    );
}

#[test]
fn a_way_is_a_model_of_copied_layers_and_each_hop_has_its_own_cache() {
    let order = [1, 0, 1, 1];
    for (name, device) in devices() {
        let way = config(2).with_hops(&hops(&order, &[1.0; 4])).unwrap();
        let copied = config(4);
        let way_decoder = decoder(&way, &[0, 1], &device);
        let expected = logits(&decoder(&copied, &order, &device), &device);
        close(name, &logits(&way_decoder, &device), &expected);
        close(name, &stepwise(&way_decoder, &way, &device), &expected);
        let cache = KvCache::new(&way, &device);
        let of_copied = KvCache::new(&copied, &device);
        assert_eq!(
            cache.bytes_per_token(),
            of_copied.bytes_per_token(),
            "{name}"
        );
    }
}

#[test]
fn scales_change_what_comes_in_with_and_without_a_cache() {
    for (name, device) in devices() {
        let way = |scales: [f32; 3]| config(2).with_hops(&hops(&[0, 1, 0], &scales)).unwrap();
        let scaled = way([1.0, 0.5, 1.25]);
        let scaled_decoder = decoder(&scaled, &[0, 1], &device);
        let whole = logits(&scaled_decoder, &device);
        close(name, &stepwise(&scaled_decoder, &scaled, &device), &whole);
        let plain = logits(&decoder(&way([1.0; 3]), &[0, 1], &device), &device);
        assert!(whole.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-2));
    }
}

#[test]
fn ways_that_lead_nowhere_are_refused() {
    let fails = |order: &[usize], scales: &[f32]| {
        let result = config(2).with_hops(&hops(order, scales));
        result.unwrap_err().to_string()
    };
    assert!(fails(&[0, 2], &[1.0; 2]).contains("only 2 layers"));
    assert!(fails(&[], &[]).contains("1 to 4096"));
    assert!(fails(&[0; 5000], &[1.0; 5000]).contains("5000 entries"));
    // JSON has no infinity: it becomes null.
    assert!(fails(&[0], &[f32::INFINITY]).contains("hop_scales"));
    let mut json = config(2).to_json();
    json["hop_scales"] = serde_json::json!([1.0]);
    let error = ModelConfig::from_json(json.to_string().as_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("1 entries for 2 hops"),
        "{error}"
    );
}
