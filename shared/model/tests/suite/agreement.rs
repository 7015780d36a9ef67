//! Quantized weights multiplied as they are, against the same weights as floats.

use std::path::PathBuf;

use pollster::block_on;
use sprat_model::tensor::{Int, Tensor, TensorData};
use sprat_model::{
    Checkpoint, Decoder, Device, DirSource, KvCache, Message, Model, ModelConfig, Options,
    RandomModel, Storage, TensorMap,
};

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny")
}

/// Name, shape and values.
type Floats = (String, Vec<usize>, Vec<f32>);

/// The shipped pack's tensors as floats.
fn shipped_tensors() -> (ModelConfig, Vec<Floats>) {
    let read = |name: &str| std::fs::read(shipped().join(name)).unwrap();
    let config = ModelConfig::from_json(&read("config.json")).unwrap();
    let mut tensors = TensorMap::new();
    let (shard, device) = ("model.safetensors", Device::flex());
    tensors.add_shard(shard, &read(shard), &device).unwrap();
    let decoder = Decoder::from_tensors(&config, &mut tensors).unwrap();
    let floats = decoder.named_weights().into_iter().map(|(name, values)| {
        let shape = values.shape().to_vec();
        (name, shape, values.try_to_vec().unwrap())
    });
    (config, floats.collect())
}

/// The shipped model rounded to `storage`: its weights kept as blocks, or multiplied as floats.
fn rounded(storage: Storage, keep: bool, device: &Device) -> (ModelConfig, Decoder) {
    let (config, floats) = shipped_tensors();
    let mut tensors = match keep {
        true => TensorMap::keeping_blocks(),
        false => TensorMap::new(),
    };
    for (name, shape, values) in floats {
        tensors
            .insert_as(storage, &name, &shape, values, device)
            .unwrap();
    }
    let decoder = Decoder::from_tensors(&config, &mut tensors).unwrap();
    (config, decoder)
}

/// Logits at every position of `tokens`, row by row.
fn logits(decoder: &Decoder, tokens: &[u32], device: &Device) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), device);
    decoder.forward(ids).into_data().try_to_vec().unwrap()
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len())
        .max_by(|a, b| row[*a].total_cmp(&row[*b]))
        .unwrap()
}

/// Besides the pack's own examples: what it was made for, and what it was not.
const QUESTIONS: [&str; 14] = [
    "Hello! How are you today?",
    "What is your name?",
    "Tell me a joke.",
    "What is the capital of Japan?",
    "Which countries border Spain?",
    "What is 48 plus 95?",
    "What is 12 * 12?",
    "Ana has 7 apples and buys 5 more. How many apples does she have?",
    "Dim the bedroom lights to 20 percent.",
    "Open the garage door, please.",
    "How many days are there in March?",
    "Convert 3 kilometers to meters.",
    "Who wrote the tragedy of Hamlet, and why does he hesitate?",
    "Explain how a rainbow forms.",
];

/// Questions with the answers that the shipped model gives to them, as tokens.
fn answers(device: &Device) -> Vec<Vec<u32>> {
    let source = DirSource(shipped());
    let model = block_on(Model::load(&source, device, &mut |_| {})).unwrap();
    let more = QUESTIONS.map(str::to_owned);
    let questions = model.manifest().examples.iter().chain(&more);
    let answer = |question: &String| {
        let message = Message {
            role: "user".to_owned(),
            content: question.clone(),
        };
        let mut tokens = model.prompt(&[message]).unwrap();
        let options = Options {
            max_tokens: 48,
            ..Options::default()
        };
        let mut session = model.session();
        let mut generation = session.generate(&model, &tokens.clone(), options).unwrap();
        while let Some(token) = block_on(generation.next()) {
            tokens.push(token.unwrap().id);
        }
        tokens
    };
    questions.map(answer).collect()
}

/// Under forced decoding of what the model says, the same token is likeliest nearly always: blocks
/// multiplied as they are against the same rounded weights as floats.
#[test]
fn the_shipped_model_says_the_same_with_its_blocks_as_they_are() {
    let cpu = Device::flex();
    let texts = answers(&cpu);
    for (storage, least) in [
        (Storage::Q8, 0.99),
        (Storage::Q4, 0.97),
        (Storage::Mixed, 0.97),
    ] {
        let (config, floats) = rounded(storage, false, &cpu);
        for (backend, device) in crate::common::devices() {
            let (_, kept) = rounded(storage, true, &device);
            let (mut same, mut all) = (0, 0);
            for tokens in &texts {
                let expected = logits(&floats, tokens, &cpu);
                let actual = logits(&kept, tokens, &device);
                let rows = expected
                    .chunks(config.vocab_size)
                    .zip(actual.chunks(config.vocab_size));
                for (expected, actual) in rows {
                    same += usize::from(argmax(expected) == argmax(actual));
                    all += 1;
                }
            }
            println!("{backend}, {storage:?}: {same} of {all} positions");
            assert!(all > 300, "{all} positions");
            assert!(
                same as f64 >= least * all as f64,
                "{backend}, {storage:?}: {same} of {all}"
            );
        }
    }
}

/// 8-bit activations move logits a little, and by no more; a slip in a kernel or in the order of rows
/// moves them by as much as they are.
#[test]
fn quantized_products_are_near_those_of_floats_on_the_cpu() {
    for storage in [Storage::Q8, Storage::Q4, Storage::Mixed] {
        quantized_products_are_near_those_of_floats(&Device::flex(), storage, 0.05);
    }
}

/// A GPU takes activations as they are. Both of its kernels: for hardware, and for software.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[test]
fn quantized_products_are_those_of_floats_on_a_gpu() {
    for (backend, device) in crate::common::devices().into_iter().skip(1) {
        // Scores without a cache are burn's product, on NVIDIA's tensor cores with 10 bits of each factor.
        let tolerance = if backend == "cuda" { 2e-3 } else { 1e-4 };
        for software in [true, false] {
            sprat_model::gpu_is_software(software);
            for storage in [Storage::Q8, Storage::Q4] {
                quantized_products_are_near_those_of_floats(&device, storage, tolerance);
            }
        }
    }
}

/// `tolerance` relative to the size of the logits.
fn quantized_products_are_near_those_of_floats(device: &Device, storage: Storage, tolerance: f32) {
    let mut source = RandomModel::new("llama-15m").unwrap();
    let config = source.config().clone();
    let mut kept = source.load_tensors(storage, device, &mut |_| {}).unwrap();
    let kept = Decoder::from_tensors(&config, &mut kept).unwrap();
    // The same rounded weights, multiplied as floats.
    let mut tensors = TensorMap::new();
    let cpu = Device::flex();
    for (name, values) in kept.named_weights() {
        let (shape, values) = (values.shape().to_vec(), values.try_to_vec().unwrap());
        tensors.insert(&name, &shape, values, &cpu).unwrap();
    }
    let floats = Decoder::from_tensors(&config, &mut tensors).unwrap();
    let tokens: Vec<u32> = (0..21).map(|i| (i * 7919) % 32000).collect();
    let expected = logits(&floats, &tokens, &cpu);
    let actual = logits(&kept, &tokens, device);
    let size = expected.iter().map(|v| v * v).sum::<f32>().sqrt();
    let off = expected.iter().zip(&actual).map(|(a, b)| (a - b).powi(2));
    let off = off.sum::<f32>().sqrt();
    assert!(
        off < tolerance * size,
        "{device:?}, {storage:?}: {off} of {size}"
    );

    // At once and token by token: the cache, and kernels for one and for many tokens.
    let new = || KvCache::of_type(&config, kept.kv_type(), device);
    let mut cache = new();
    let last = kept.last_logits(&tokens, &mut cache, device).unwrap();
    let mut cache = new();
    let mut single = Vec::new();
    for token in &tokens {
        single = kept.last_logits(&[*token], &mut cache, device).unwrap();
    }
    let whole = &actual[actual.len() - config.vocab_size..];
    let size = whole.iter().fold(0f32, |max, v| max.max(v.abs()));
    for other in [&last, &single] {
        let off = whole.iter().zip(other).map(|(a, b)| (a - b).abs());
        let off = off.fold(0.0, f32::max);
        assert!(
            off < 0.02 * size,
            "{device:?}, {storage:?}: {off} of {size}"
        );
    }
}
