//! LoRA adapters: beside the weights they compute what they compute merged into them, and off they are gone, on a CPU to the bit.

use std::collections::BTreeMap;

use pollster::block_on;
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use sprat_model::tensor::{Int, Tensor, TensorData};
use sprat_model::{
    Adapter, Checkpoint, Decoder, Device, Error, KvCache, Model, ModelConfig, Options, RandomModel,
    Session, Sessions, Storage, TensorMap,
};

use crate::common::{devices, golden_models, golden_pack, goldens};
use crate::golden::{decoder, logit_tolerance};

const TOKENS: [u32; 12] = [5, 9, 20, 31, 8, 8, 3, 77, 12, 5, 9, 40];
const RANK: usize = 3;

/// Shapes and numbers by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// An adapter in the making: its settings, and its tensors with their shapes.
#[derive(Clone)]
struct Peft {
    config: Value,
    tensors: Tensors,
}

impl Peft {
    /// Random changes of these modules, `[out, in]` each. `strength` is about that of a weight's change.
    fn random(modules: &[(String, [usize; 2])], strength: f32) -> Self {
        let mut seed = 7u32;
        let mut draw = |count: usize, size: f32| -> Vec<f32> {
            let number = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 8) as f32 / (1 << 23) as f32 - 1.0) * size
            };
            (0..count).map(number).collect()
        };
        let mut tensors = BTreeMap::new();
        for (module, [out, input]) in modules {
            let name = |part| format!("base_model.model.{module}.lora_{part}.weight");
            let a = (vec![RANK, *input], draw(RANK * input, 1.0));
            let b = (vec![*out, RANK], draw(RANK * out, strength));
            tensors.insert(name("A"), a);
            tensors.insert(name("B"), b);
        }
        let config = json!({ "peft_type": "LORA", "r": RANK, "lora_alpha": 6, "bias": "none",
            "use_rslora": true, "init_lora_weights": true, "alpha_pattern": {}, "rank_pattern": null });
        Self { config, tensors }
    }

    /// The same without one of the settings or with another value of it.
    fn with(&self, key: &str, value: Value) -> Self {
        let mut other = self.clone();
        other.config[key] = value;
        other
    }

    fn files(&self) -> [Vec<u8>; 2] {
        let bytes = |values: &Vec<f32>| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let all: Vec<(_, _, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| (name, shape.clone(), bytes(values)))
            .collect();
        let views = all.iter().map(|(name, shape, bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        [
            self.config.to_string().into(),
            serialize(views, None).unwrap(),
        ]
    }

    fn read(&self) -> Result<Adapter, Error> {
        let [config, weights] = self.files();
        Adapter::from_peft(&config, &weights)
    }

    /// `W + s B A`, if this is the weight of a module that is changed.
    fn add_to(&self, name: &str, weights: &mut [f32]) {
        let Some(module) = name.strip_suffix(".weight") else {
            return;
        };
        let part = |part| {
            self.tensors
                .get(&format!("base_model.model.{module}.lora_{part}.weight"))
        };
        let (Some((_, a)), Some((_, b))) = (part("A"), part("B")) else {
            return;
        };
        let scale = 6.0 / (RANK as f32).sqrt();
        let input = a.len() / RANK;
        for (row, factors) in weights.chunks_mut(input).zip(b.chunks(RANK)) {
            for (factor, line) in factors.iter().zip(a.chunks(input)) {
                row.iter_mut()
                    .zip(line)
                    .for_each(|(w, a)| *w += scale * factor * a);
            }
        }
    }
}

/// All linear maps that can be changed.
fn linears(config: &ModelConfig) -> Vec<(String, [usize; 2])> {
    let tensors = config.tensors().into_iter().filter_map(|(name, shape)| {
        let other = name.contains("embed_tokens") || name.contains(".experts.");
        match (name.strip_suffix(".weight"), &*shape) {
            (Some(module), &[out, input]) if !other => Some((module.to_owned(), [out, input])),
            _ => None,
        }
    });
    tensors.collect()
}

/// The decoder with the adapter in its weights, as floats.
fn merged(decoder: &Decoder, config: &ModelConfig, peft: &Peft, device: &Device) -> Decoder {
    let mut tensors = TensorMap::new();
    for (name, values) in decoder.named_weights() {
        let (shape, mut values) = (values.shape().to_vec(), values.try_to_vec().unwrap());
        peft.add_to(&name, &mut values);
        tensors.insert(&name, &shape, values, device).unwrap();
    }
    Decoder::from_tensors(config, &mut tensors).unwrap()
}

/// The decoder whose weights are those of `base`, and `scale` of the way from there to those of `sum`.
fn between(
    base: &Decoder,
    sum: &Decoder,
    scale: f32,
    config: &ModelConfig,
    device: &Device,
) -> Decoder {
    let mut tensors = TensorMap::new();
    for ((name, own), (_, other)) in base.named_weights().into_iter().zip(sum.named_weights()) {
        let shape = own.shape().to_vec();
        let (mut own, other): (Vec<f32>, Vec<f32>) =
            (own.try_to_vec().unwrap(), other.try_to_vec().unwrap());
        let both = own.iter_mut().zip(other);
        both.for_each(|(own, other)| *own += scale * (other - *own));
        tensors.insert(&name, &shape, own, device).unwrap();
    }
    Decoder::from_tensors(config, &mut tensors).unwrap()
}

/// Logits of all positions at once, and of the last ones with a cache: after a few tokens, and after one more.
fn logits(decoder: &Decoder, config: &ModelConfig, tokens: &[u32], device: &Device) -> Vec<f32> {
    let ids = tokens.iter().map(|&id| id as i32).collect::<Vec<_>>();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), device);
    let mut all: Vec<f32> = decoder.forward(ids).into_data().try_to_vec().unwrap();
    let mut cache = KvCache::of_type(config, decoder.kv_type(), device);
    cache.expect(tokens.len());
    for piece in [&tokens[..tokens.len() - 1], &tokens[tokens.len() - 1..]] {
        all.extend(decoder.last_logits(piece, &mut cache, device).unwrap());
    }
    all
}

fn furthest(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let off = one.iter().zip(other).map(|(a, b)| (a - b).abs());
    off.fold(0.0, |most, off| {
        if off.is_nan() {
            f32::INFINITY
        } else {
            off.max(most)
        }
    })
}

/// Nothing of an adapter is left. A software GPU that other tests use at the same time was seen to sum in another order, by
/// 1e-6; what an adapter leaves behind is far more.
fn assert_gone(backend: &str, base: &[f32], again: &[f32]) {
    let off = furthest(base, again);
    let most = if backend == "flex" { 0.0 } else { 1e-4 };
    assert!(off <= most, "{backend}: the base is another, by {off}");
}

#[test]
fn an_adapter_computes_what_its_sum_with_the_weights_does() {
    for (backend, device) in devices() {
        let mut names = golden_models();
        if backend != "flex" {
            names.dedup_by_key(|name| name.split('-').next().map(str::to_owned));
        }
        for name in names {
            let (config, mut decoder) = decoder(&name, &device);
            let peft = Peft::random(&linears(&config), 0.03);
            let sum = merged(&decoder, &config, &peft, &device);
            let expected = logits(&sum, &config, &TOKENS, &device);
            let base = logits(&decoder, &config, &TOKENS, &device);
            decoder.adapt(Some(&peft.read().unwrap())).unwrap();
            let actual = logits(&decoder, &config, &TOKENS, &device);
            let (off, moved) = (furthest(&actual, &expected), furthest(&base, &expected));
            assert!(moved > 0.05, "{backend}, {name}: moved by {moved} only");
            let tolerance = logit_tolerance(backend);
            assert!(
                off <= tolerance,
                "{backend}, {name}: off by {off} of {moved}"
            );
            decoder.adapt(None).unwrap();
            let again = logits(&decoder, &config, &TOKENS, &device);
            assert_gone(backend, &base, &again);
        }
    }
}

/// Against the weights that PEFT itself makes of model and adapter; at another scale its change of them is multiplied.
#[test]
fn adapters_of_peft_compute_what_peft_does() {
    let folder = goldens("merge/lora");
    let config = json!({ "model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 64, "tie_word_embeddings": false });
    let config = ModelConfig::from_json(config.to_string().as_bytes()).unwrap();
    let load = |file: &str, device: &Device| {
        let mut tensors = TensorMap::new();
        let bytes = std::fs::read(folder.join(file)).unwrap();
        tensors.add_shard(file, &bytes, device).unwrap();
        Decoder::from_tensors(&config, &mut tensors).unwrap()
    };
    // More than are computed one by one on a CPU.
    let tokens: Vec<u32> = (0..40).map(|i| i * i % 8).collect();
    for (backend, device) in devices() {
        let mut decoder = load("model.safetensors", &device);
        for (kind, scale) in [
            ("plain", 1.0),
            ("plain", 0.5),
            ("patterns", 0.5),
            ("patterns", 1.0),
            ("patterns", -2.0),
        ] {
            let sum = load(&format!("{kind}/merged.safetensors"), &device);
            let sum = between(&decoder, &sum, scale as f32, &config, &device);
            let adapter = Adapter::open(&folder.join(kind)).unwrap();
            // In the place of the one before.
            decoder
                .adapt(Some(&adapter.scaled(scale).unwrap()))
                .unwrap();
            let expected = logits(&sum, &config, &tokens, &device);
            let off = furthest(&logits(&decoder, &config, &tokens, &device), &expected);
            assert!(
                off <= logit_tolerance(backend),
                "{backend}, {kind} at {scale}: {off}"
            );
        }
    }
    // It has a whole head besides.
    let error = Adapter::open(&folder.join("stabilized")).unwrap_err();
    assert!(error.to_string().contains("modules_to_save"), "{error}");
}

#[test]
fn quantized_weights_stay_as_they_are_beside_an_adapter() {
    let tokens: Vec<u32> = (0..7).map(|i| (i * 7919) % 32000).collect();
    for (backend, device) in devices() {
        let tolerance = match backend {
            // Activations in 8 bits.
            "flex" => 0.05,
            "cuda" => 2e-3,
            // Keys and values of eleven bits.
            _ => 5e-4,
        };
        for storage in [Storage::Q8, Storage::Q4] {
            let mut source = RandomModel::new("llama-15m").unwrap();
            let config = source.config().clone();
            let mut kept = source.load_tensors(storage, &device, &mut |_| {}).unwrap();
            let mut kept = Decoder::from_tensors(&config, &mut kept).unwrap();
            let peft = Peft::random(&linears(&config), 0.01);
            let cpu = Device::flex();
            let sum = merged(&kept, &config, &peft, &cpu);
            let expected = logits(&sum, &config, &tokens, &cpu);
            let base = logits(&kept, &config, &tokens, &device);
            kept.adapt(Some(&peft.read().unwrap())).unwrap();
            let actual = logits(&kept, &config, &tokens, &device);
            let norm = |x: &[f32], y: &[f32]| {
                let squares = x.iter().zip(y).map(|(x, y)| (x - y).powi(2));
                squares.sum::<f32>().sqrt()
            };
            let size = norm(&expected, &vec![0.0; expected.len()]);
            let (off, moved) = (norm(&actual, &expected), norm(&base, &expected));
            assert!(
                moved > 0.2 * size,
                "{backend}, {storage:?}: {moved} of {size}"
            );
            assert!(
                off < tolerance * size,
                "{backend}, {storage:?}: {off} of {size}"
            );
            kept.adapt(None).unwrap();
            let again = logits(&kept, &config, &tokens, &device);
            assert_gone(backend, &base, &again);
        }
    }
}

fn model(device: &Device) -> Model {
    block_on(Model::load(
        &golden_pack("llama-gqa-tied"),
        device,
        &mut |_| {},
    ))
    .unwrap()
}

/// Two different adapters of a model.
fn two(model: &Model) -> [Peft; 2] {
    let modules = linears(model.config());
    [
        Peft::random(&modules, 0.05),
        Peft::random(&modules[3..], 0.08),
    ]
}

/// A greedy answer.
fn answer(model: &Model, session: &mut Session) -> Vec<u32> {
    let options = Options {
        max_tokens: 24,
        ..Options::default()
    };
    let mut generation = session.generate(model, &TOKENS, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        tokens.push(token.unwrap().id);
    }
    tokens
}

/// On a GPU the steps of an answer are recorded, and those of one adapter are not another's.
#[test]
fn a_conversation_goes_on_with_another_adapter_as_if_it_had_begun_so() {
    for (backend, device) in devices() {
        let mut model = model(&device);
        let adapters = two(&model).map(|peft| peft.read().unwrap());
        let half = adapters[1].clone().scaled(0.5).unwrap();
        let choices = [
            None,
            Some(&adapters[0]),
            Some(&adapters[1]),
            Some(&half),
            None,
        ];
        let pool = model.pool(512);
        let mut alone = model.session();
        let mut pooled = model.session_in(&pool, 3);
        let mut sessions = Sessions::default();
        let mut answers = Vec::new();
        for adapter in choices {
            model.set_adapter(adapter).unwrap();
            assert_eq!(model.adapter(), adapter.map(Adapter::fingerprint));
            let fresh = answer(&model, &mut model.session());
            assert_eq!(answer(&model, &mut alone), fresh, "{backend}");
            assert_eq!(answer(&model, &mut pooled), fresh, "{backend}, in a pool");
            let mut new = model.session_in(&pool, 3);
            assert_eq!(answer(&model, &mut new), fresh, "{backend}, in a pool");
            let picked = sessions.pick(&model, &TOKENS);
            assert_eq!(picked.len(), 0, "of another adapter");
            assert_eq!(answer(&model, picked), fresh, "{backend}");
            answers.push(fresh);
        }
        let changes = answers.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(changes, "{answers:?}");
        assert_eq!(answers[0], answers[4]);
    }
}

#[test]
fn what_was_saved_with_one_adapter_is_not_taken_up_with_another() {
    let mut model = model(&Device::flex());
    let [one, other] = two(&model).map(|peft| peft.read().unwrap());
    let half = one.clone().scaled(0.5).unwrap();
    let mut saved = Vec::new();
    for adapter in [None, Some(&one), Some(&other), Some(&half)] {
        model.set_adapter(adapter).unwrap();
        let mut session = model.session();
        answer(&model, &mut session);
        saved.push((adapter, block_on(session.export(&model)).unwrap()));
    }
    for (own, bytes) in &saved {
        for (adapter, _) in &saved {
            model.set_adapter(*adapter).unwrap();
            let taken = model.session().import(&model, bytes);
            let same = own.map(Adapter::fingerprint) == model.adapter();
            assert_eq!(taken.is_ok(), same, "{taken:?}");
        }
    }
}

#[test]
fn a_scale_is_a_number_that_leaves_something_of_the_model() {
    let modules = [("model.layers.0.self_attn.q_proj".to_owned(), [8, 4])];
    let adapter = Peft::random(&modules, 0.1).read().unwrap();
    let scaled = |scale| adapter.clone().scaled(scale);
    assert_eq!(scaled(1.0).unwrap().fingerprint(), adapter.fingerprint());
    let names = [0.0, 0.5, -0.5, 10.0, -10.0].map(|scale| scaled(scale).unwrap().fingerprint());
    for (at, name) in names.iter().enumerate() {
        assert!(*name != adapter.fingerprint() && !names[..at].contains(name));
    }
    for scale in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 10.5, -1e300] {
        let error = scaled(scale).unwrap_err().to_string();
        assert!(error.contains("scale: it must be a number"), "{error}");
    }
    let large = Peft::random(&modules, 1e38).with("lora_alpha", json!(1));
    let error = large.read().unwrap().scaled(10.0).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn what_is_no_plain_adapter_is_refused_and_says_why() {
    let modules = [("model.layers.0.self_attn.q_proj".to_owned(), [8, 4])];
    let peft = Peft::random(&modules, 0.1);
    peft.read().unwrap();
    let [a, b] =
        ["A", "B"].map(|part| format!("base_model.model.{}.lora_{part}.weight", modules[0].0));
    let tensors = |change: &dyn Fn(&mut Tensors)| {
        let mut other = peft.clone();
        change(&mut other.tensors);
        other
    };
    let nan = |name: &str| {
        tensors(&|all| {
            all.get_mut(name).unwrap().1[2] = f32::NAN;
        })
    };
    for (bad, word) in [
        (peft.with("peft_type", json!("LOHA")), "peft_type"),
        (peft.with("use_dora", json!(true)), "use_dora"),
        (peft.with("bias", json!("all")), "bias"),
        (peft.with("fan_in_fan_out", json!(true)), "fan_in_fan_out"),
        (
            peft.with("alora_invocation_tokens", json!([1])),
            "alora_invocation_tokens",
        ),
        (
            peft.with("init_lora_weights", json!("pissa_niter_4")),
            "init_lora_weights",
        ),
        (peft.with("r", json!(4)), "rank 3"),
        (peft.with("r", Value::Null), "r: it must be"),
        (peft.with("lora_alpha", json!("much")), "lora_alpha"),
        (peft.with("lora_alpha", json!(1e300)), "too large"),
        (peft.with("rank_pattern", json!({ "q_proj": 2 })), "rank 3"),
        (
            peft.with("alpha_pattern", json!({ ".*_proj": 2 })),
            "alpha_pattern",
        ),
        (
            peft.with(
                "alpha_pattern",
                json!({ "q_proj": 2, "self_attn.q_proj": 3 }),
            ),
            "one number",
        ),
        (nan(&a), "NaN"),
        (nan(&b), "NaN"),
        (tensors(&|all| all.clear()), "one at least"),
        (tensors(&|all| drop(all.remove(&a))), "every lora_A"),
        (tensors(&|all| drop(all.remove(&b))), "missing"),
        (
            tensors(&|all| all.get_mut(&a).unwrap().0 = vec![RANK * 4]),
            "no matrix",
        ),
        (
            tensors(&|all| all.get_mut(&b).unwrap().0 = vec![3, 8]),
            "B 8",
        ),
        (
            tensors(&|all| {
                drop(all.insert("x.lora_magnitude_vector".into(), (vec![1], vec![1.0])))
            }),
            "x.lora_magnitude_vector",
        ),
    ] {
        let error = bad.read().unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    let [config, weights] = peft.files();
    assert!(matches!(
        Adapter::from_peft(b"[", &weights),
        Err(Error::Json { .. })
    ));
    assert!(matches!(
        Adapter::from_peft(&config, &weights[..weights.len() - 1]),
        Err(Error::Safetensors { .. })
    ));
    let missing = Adapter::open(&goldens("nowhere"));
    assert!(matches!(missing, Err(Error::Missing { .. })));
}

#[test]
fn an_adapter_of_another_model_changes_nothing() {
    let device = Device::flex();
    let mut model = model(&device);
    let own = two(&model)[0].read().unwrap();
    model.set_adapter(Some(&own)).unwrap();
    let before = answer(&model, &mut model.session());
    let [right, other] = two(&model)[0].clone().shapes_of_another();
    for (bad, word) in [(right, "another model's"), (other, "no linear map")] {
        let error = model.set_adapter(Some(&bad.read().unwrap())).unwrap_err();
        assert!(matches!(error, Error::Adapter { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(model.adapter(), Some(own.fingerprint()));
    assert_eq!(answer(&model, &mut model.session()), before);
}

impl Peft {
    /// The same with one module more: in another shape, and of a name that the model has not.
    fn shapes_of_another(self) -> [Self; 2] {
        let more = [
            ("model.layers.1.mlp.up_proj", [1000, 24]),
            ("model.embed_tokens", [8, 8]),
        ];
        more.map(|(module, shape)| {
            let more = Self::random(&[(module.to_owned(), shape)], 0.1);
            let mut all = self.clone();
            all.tensors.extend(more.tensors);
            all
        })
    }
}

proptest! {
    /// Whatever a byte or a length is changed to, an adapter is refused, or is one that computes numbers.
    #[test]
    fn damaged_adapters_do_no_harm(at in any::<prop::sample::Index>(), byte: u8, cut in any::<Option<u16>>(), second: bool) {
        let (config, mut decoder) = decoder("llama-gqa-tied", &Device::flex());
        let peft = Peft::random(&linears(&config)[..4], 0.1);
        let mut files = peft.files();
        let file = &mut files[usize::from(second)];
        let at = at.index(file.len());
        file[at] = byte;
        if let Some(cut) = cut {
            file.truncate(usize::from(cut));
        }
        if let Ok(adapter) = Adapter::from_peft(&files[0], &files[1])
            && decoder.adapt(Some(&adapter)).is_ok()
        {
            let mut cache = KvCache::new(&config, &Device::flex());
            let logits = decoder.last_logits(&TOKENS, &mut cache, &Device::flex()).unwrap();
            prop_assert_eq!(logits.len(), config.vocab_size);
        }
    }
}
