use safetensors::tensor::{Dtype, TensorView};
use sprat_kernels::{quantize_q4, quantize_q8};

use super::*;

/// A matrix of two rows in blocks, and a vector of floats.
fn model(seed: f32, dtype: Dtype) -> Vec<u8> {
    let values: Vec<f32> = (0..64).map(|i| (i as f32 * seed).sin()).collect();
    let (scales, blocks) = match dtype {
        Dtype::I8 => quantize_q8(&values),
        _ => quantize_q4(&values),
    };
    let scales: Vec<u8> = scales.iter().flat_map(|v| v.to_le_bytes()).collect();
    let norm: Vec<u8> = [seed, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let columns = if dtype == Dtype::I8 { 32 } else { 16 };
    let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).unwrap();
    let tensors = [
        ("norm", view(Dtype::F32, vec![2], &norm)),
        ("w", view(dtype, vec![2, columns], &blocks)),
        ("w.scale", view(Dtype::F16, vec![2, 1], &scales)),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

fn mixer(dtype: Dtype) -> Mixer {
    let mut mixer = Mixer::default();
    mixer.add("a", vec![model(0.3, dtype)]);
    mixer.add("b", vec![model(1.7, dtype)]);
    mixer
}

fn recipe(weights: [f64; 2]) -> String {
    let model =
        |(name, weight)| serde_json::json!({"model": name, "parameters": {"weight": weight}});
    let models: Vec<_> = ["a", "b"].into_iter().zip(weights).map(model).collect();
    serde_json::json!({"merge_method": "linear", "models": models}).to_string()
}

fn values(shards: &[Vec<u8>], tensor: &str) -> Vec<f32> {
    let shards: Vec<Rc<[u8]>> = shards.iter().map(|shard| Rc::from(&**shard)).collect();
    let mut reader = open("mixed", &shards).unwrap();
    reader.read(tensor).unwrap()
}

#[test]
fn all_of_one_model_is_that_model_byte_for_byte() {
    for dtype in [Dtype::I8, Dtype::U8] {
        let mixed = mixer(dtype).mix(&recipe([0.0, 2.0]), |_| {}).unwrap();
        let of_b = model(1.7, dtype);
        assert_eq!(values(&mixed.shards, "norm"), [1.7, 1.0]);
        let (ours, theirs) = (
            values(&mixed.shards, "w"),
            values(std::slice::from_ref(&of_b), "w"),
        );
        let near = ours.iter().zip(&theirs).all(|(x, y)| (x - y).abs() < 2e-2);
        assert!(near, "{ours:?} {theirs:?}");
        if dtype == Dtype::I8 {
            assert!(mixed.shards == [of_b]);
        }
    }
}

#[test]
fn half_of_each_lies_between_within_a_rounding() {
    let mixer = mixer(Dtype::I8);
    let mut seen = 0;
    let mixed = mixer.mix(&recipe([1.0, 1.0]), |progress| {
        seen += 1;
        assert_eq!(progress.total_elements, 66);
    });
    let mixed = mixed.unwrap();
    assert_eq!(seen, 2);
    let of = |seed| values(&[model(seed, Dtype::I8)], "w");
    let halves = of(0.3).into_iter().zip(of(1.7)).map(|(a, b)| (a + b) / 2.0);
    for (ours, exact) in values(&mixed.shards, "w").into_iter().zip(halves) {
        assert!((ours - exact).abs() <= 0.5 / 127.0 + 1e-3, "{ours} {exact}");
    }
    assert_eq!(values(&mixed.shards, "norm"), [1.0, 1.0]);
}

#[test]
fn what_cannot_be_mixed_is_told() {
    let mut mixer = mixer(Dtype::I8);
    let fails = |mixer: &Mixer, recipe: &str| match mixer.mix(recipe, |_| {}) {
        Ok(_) => panic!("{recipe} was mixed"),
        Err(error) => error.to_string(),
    };
    let unknown = fails(&mixer, &recipe([1.0, 1.0]).replace("\"b\"", "\"c\""));
    assert!(unknown.contains("`c` was not added"), "{unknown}");
    let slices =
        "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [0, 1]}]}]}";
    assert!(!fails(&mixer, slices).is_empty());
    let union = recipe([1.0, 1.0]).replacen('{', "{\"tokenizer_source\": \"union\", ", 1);
    assert!(fails(&mixer, &union).contains("tokenizer"));
    assert!(fails(&mixer, "{merge_method: blend}").contains("blend"));
    let mut sum: serde_json::Value = serde_json::from_str(&recipe([1e9, 1e9])).unwrap();
    sum["parameters"] = serde_json::json!({"normalize": false});
    let large = fails(&mixer, &sum.to_string());
    assert!(large.contains("`w`"), "{large}");
    for length in [0, 3, 8, 100] {
        mixer.add("b", vec![model(1.7, Dtype::I8)[..length].to_vec()]);
        let cut = fails(&mixer, &recipe([1.0, 1.0]));
        assert!(cut.contains("model `b`"), "{cut}");
    }
    mixer.add("b", vec![]);
    assert!(fails(&mixer, &recipe([1.0, 1.0])).contains("`b`"));
    mixer.retain(|name| name != "b");
    assert!(mixer.has("a") && !mixer.has("b"));
}

#[test]
fn shards_keep_their_places() {
    let whole = model(0.3, Dtype::I8);
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let part = |names: &[&str]| {
        let views = names
            .iter()
            .map(|name| (*name, tensors.tensor(name).unwrap()));
        safetensors::serialize(views, None).unwrap()
    };
    let mut mixer = Mixer::default();
    let shards = vec![part(&["w"]), part(&["w.scale", "norm"])];
    mixer.add("a", shards.clone());
    mixer.add("b", vec![whole]);
    let mixed = mixer.mix(&recipe([0.5, 0.5]), |_| {}).unwrap();
    assert!(mixed.shards == shards);
}
