//! Several texts in one pass: what one gets does not depend on the others.

use burn::tensor::Tensor;
use pollster::block_on;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sprat_model::{
    Checkpoint, Decoder, Device, Finish, Generation, KvCache, Model, ModelConfig, Options, Part,
    RandomModel, Sampling, Storage, step_together,
};

use crate::common::{devices, golden_models};
use crate::golden::{decoder, logit_tolerance};

/// A text, and how many of its tokens come in each pass; none where it waits.
struct Text {
    tokens: Vec<u32>,
    pieces: Vec<usize>,
    cache: KvCache,
    at: usize,
}

/// Texts that begin at different times, with prompts in pieces and then tokens one by one.
fn texts(config: &ModelConfig, device: &Device, seed: u64) -> Vec<Text> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let text = |i: usize| {
        let pieces = [vec![0; i], vec![3 + i, 5, 1, 1, 1], vec![1; 4 - i]].concat();
        let length: usize = pieces.iter().sum();
        let mut cache = KvCache::new(config, device);
        cache.expect(length);
        let token = || random.random_range(0..config.vocab_size as u32);
        Text {
            tokens: std::iter::repeat_with(token).take(length).collect(),
            pieces,
            cache,
            at: 0,
        }
    };
    (0..4).map(text).collect()
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}

/// The largest difference between logits of a pass together and alone, over all passes and texts.
fn largest_difference(decoder: &Decoder, config: &ModelConfig, device: &Device, seed: u64) -> f32 {
    let mut together = texts(config, device, seed);
    let mut alone = texts(config, device, seed);
    let mut largest = 0f32;
    for pass in 0..together[0].pieces.len() {
        let mut expected = Vec::new();
        let mut parts = Vec::new();
        for (text, single) in together.iter_mut().zip(&mut alone) {
            let piece = text.pieces[pass];
            if piece == 0 {
                continue;
            }
            let tokens = &text.tokens[text.at..text.at + piece];
            text.at += piece;
            let own = &mut [Part {
                tokens,
                cache: &mut single.cache,
            }];
            expected.extend(values(decoder.run_together(own)));
            parts.push(Part {
                tokens,
                cache: &mut text.cache,
            });
        }
        let logits = values(decoder.run_together(&mut parts));
        assert_eq!(logits.len(), expected.len());
        for (a, b) in logits.iter().zip(&expected) {
            let off = (a - b).abs();
            largest = if off.is_nan() {
                f32::INFINITY
            } else {
                largest.max(off)
            };
        }
    }
    largest
}

#[test]
fn logits_of_a_pass_together_are_those_of_passes_alone() {
    for (backend, device) in devices() {
        // What the models of a family differ in is the same together and alone; a software adapter takes its time.
        let family = |name: &String| name.split('-').next().map(str::to_owned);
        let mut names = golden_models();
        if backend != "flex" {
            names.dedup_by_key(|name| family(name));
        }
        for name in names {
            let (config, decoder) = decoder(&name, &device);
            let off = largest_difference(&decoder, &config, &device, 7);
            println!("{backend}, {name}: {off:e}");
            assert!(off <= logit_tolerance(backend), "{backend}, {name}: {off}");
        }
    }
}

#[test]
fn the_same_of_quantized_weights() {
    for (backend, device) in devices() {
        for storage in [Storage::Q8, Storage::Q4] {
            let mut source = RandomModel::new("llama-15m").unwrap();
            let config = source.config().clone();
            let mut tensors = source.load_tensors(storage, &device, &mut |_| {}).unwrap();
            let decoder = Decoder::from_tensors(&config, &mut tensors).unwrap();
            let off = largest_difference(&decoder, &config, &device, 8);
            println!("{backend}, {storage:?}: {off:e}");
            assert!(
                off <= logit_tolerance(backend),
                "{backend}, {storage:?}: {off}"
            );
        }
    }
}

/// Ids and log-probabilities of an answer, and why it ended.
type Written = (Vec<(u32, f32, String)>, Option<Finish>);

/// Random beginnings of texts with random options.
fn requests(model: &Model) -> Vec<(Vec<u32>, Options)> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let vocab = model.config().vocab_size as u32;
    let request = |i: u64| {
        let length = random.random_range(1..180);
        let shared: Vec<u32> = (5..40).collect();
        let own = (0..length).map(|_| random.random_range(5..vocab));
        let prompt = if i.is_multiple_of(3) {
            shared.into_iter().chain(own).collect()
        } else {
            own.collect()
        };
        let options = Options {
            max_tokens: random.random_range(0..24),
            sampling: Sampling {
                temperature: if i.is_multiple_of(4) { 0.9 } else { 0.0 },
                seed: i,
                ..Sampling::default()
            },
            top_logprobs: usize::from(i.is_multiple_of(5)),
            ..Options::default()
        };
        (prompt, options)
    };
    (0..64).map(request).collect()
}

/// The default model is quantized, so what it writes is the same to the last bit, whatever else is in the batch and
/// whenever that comes and goes.
#[test]
fn answers_do_not_depend_on_what_else_is_in_the_batch() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny");
    let device = Device::flex();
    let mut progress = |_| {};
    let open = Model::open(&folder, Storage::F32, &device, &mut progress);
    let model = block_on(open).unwrap();
    let requests = requests(&model);
    let alone: Vec<Written> = requests
        .iter()
        .map(|(prompt, options)| {
            let mut session = model.session();
            let mut answer = session.generate(&model, prompt, options.clone()).unwrap();
            let mut tokens = Vec::new();
            while let Some(token) = block_on(answer.next()) {
                let token = token.unwrap();
                tokens.push((token.id, token.logprob, token.text));
            }
            (tokens, answer.finish())
        })
        .collect();

    let mut random = ChaCha8Rng::seed_from_u64(12);
    let mut written: Vec<Written> = vec![Written::default(); requests.len()];
    let mut waiting = 0..requests.len();
    let mut running: Vec<(usize, Generation<'_>)> = Vec::new();
    let mut most = 0;
    loop {
        while running.len() < 20 && random.random_range(0..3) > 0 {
            let Some(i) = waiting.next() else { break };
            let (prompt, options) = requests[i].clone();
            running.push((
                i,
                model
                    .session()
                    .into_generation(&model, &prompt, options)
                    .unwrap(),
            ));
        }
        if running.is_empty() && waiting.is_empty() {
            break;
        }
        most = most.max(running.len());
        let mut answers: Vec<&mut Generation<'_>> =
            running.iter_mut().map(|(_, answer)| answer).collect();
        let tokens = block_on(step_together(model.decoder(), &mut answers));
        for ((i, _), token) in running.iter().zip(tokens) {
            if let Some(token) = token.transpose().unwrap() {
                written[*i].0.push((token.id, token.logprob, token.text));
            }
        }
        running.retain_mut(|(i, answer)| {
            written[*i].1 = answer.finish();
            answer.finish().is_none()
        });
        // A client that leaves takes its answer with it; the next one may go on with its session.
        if let Some((i, answer)) = running.pop_if(|_| random.random_range(0..40) == 0) {
            let (prompt, options) = requests[i].clone();
            let session = answer.into_session().unwrap();
            written[i] = Written::default();
            running.push((
                i,
                session.into_generation(&model, &prompt, options).unwrap(),
            ));
        }
    }
    assert_eq!(most, 20);
    for (i, (together, alone)) in written.iter().zip(&alone).enumerate() {
        assert_eq!(together, alone, "request {i}");
    }
}

/// Alone, a part is what a pass with a cache is.
#[test]
fn one_part_is_a_plain_pass() {
    for (backend, device) in devices() {
        let (config, decoder) = decoder("llama-mha-untied", &device);
        let tokens: Vec<u32> = (0..9).map(|i| i * 5 % config.vocab_size as u32).collect();
        let mut caches = [0, 1].map(|_| KvCache::new(&config, &device));
        let [one, other] = &mut caches;
        let part = Part {
            tokens: &tokens,
            cache: one,
        };
        let together = values(decoder.run_together(&mut [part]));
        let plain = decoder.last_logits(&tokens, other, &device).unwrap();
        assert_eq!(together, plain, "{backend}");
        assert_eq!((one.len(), other.len()), (9, 9));
    }
}
