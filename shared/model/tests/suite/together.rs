//! Several texts in one pass: what one gets does not depend on the others.

use pollster::block_on;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sprat_model::tensor::Tensor;
use sprat_model::{
    BeyondRule, Checkpoint, Decoder, Device, Finish, Generation, KvCache, KvPool, KvType, Model,
    ModelConfig, Options, Part, RandomModel, Sampling, Storage, step_together,
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

/// Texts that begin at different times, with prompts in pieces and then tokens one by one; with memory of their own each, or
/// with pages of one pool.
fn texts(config: &ModelConfig, device: &Device, seed: u64, pool: Option<&KvPool>) -> Vec<Text> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let text = |i: usize| {
        let pieces = [vec![0; i], vec![3 + i, 5, 1, 1, 1], vec![1; 4 - i]].concat();
        let length: usize = pieces.iter().sum();
        let mut cache = match pool {
            Some(pool) => KvCache::in_pool(pool, 0, config, device),
            None => KvCache::new(config, device),
        };
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

impl Text {
    /// Its part in the pass with this number.
    fn next(&mut self, pass: usize) -> Option<Part<'_>> {
        let piece = self.pieces[pass];
        let tokens = &self.tokens[self.at..self.at + piece];
        self.at += piece;
        (piece > 0).then_some(Part {
            tokens,
            cache: &mut self.cache,
        })
    }
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().try_to_vec().unwrap()
}

/// The largest difference between logits of a pass together and alone, over all passes and texts.
fn largest_difference(decoder: &Decoder, config: &ModelConfig, device: &Device, seed: u64) -> f32 {
    let mut alone = texts(config, device, seed, None);
    let mut expected = Vec::new();
    for pass in 0..alone[0].pieces.len() {
        let mut logits = Vec::new();
        for text in &mut alone {
            if let Some(part) = text.next(pass) {
                logits.extend(values(decoder.run_together(&mut [part]).unwrap()));
            }
        }
        expected.push(logits);
    }
    let pool = KvPool::new(config, 200, KvType::F32, device);
    let own = texts(config, device, seed, None);
    let in_pool = texts(config, device, seed, Some(&pool));
    [own, in_pool]
        .map(|texts| difference(decoder, texts, &expected))
        .into_iter()
        .fold(0.0, f32::max)
}

/// That of all passes over these texts together from what is expected.
fn difference(decoder: &Decoder, mut texts: Vec<Text>, expected: &[Vec<f32>]) -> f32 {
    let mut largest = 0f32;
    for (pass, expected) in expected.iter().enumerate() {
        let parts = texts.iter_mut().filter_map(|text| text.next(pass));
        let logits = values(
            decoder
                .run_together(&mut parts.collect::<Vec<_>>())
                .unwrap(),
        );
        assert_eq!(logits.len(), expected.len());
        for (a, b) in logits.iter().zip(expected) {
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

/// What is written to each request by itself.
fn alone(model: &Model, requests: &[(Vec<u32>, Options)]) -> Vec<Written> {
    requests
        .iter()
        .map(|(prompt, options)| {
            let mut session = model.session();
            let mut answer = session.generate(model, prompt, options.clone()).unwrap();
            let mut tokens = Vec::new();
            while let Some(token) = block_on(answer.next()) {
                let token = token.unwrap();
                tokens.push((token.id, token.logprob, token.text));
            }
            (tokens, answer.finish())
        })
        .collect()
}

fn tiny() -> Model {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny");
    let device = Device::flex();
    let mut progress = |_| {};
    let open = Model::open(&folder, Storage::F32, &device, &mut progress);
    block_on(open).unwrap()
}

/// The default model is quantized, so what it writes is the same to the last bit, whatever else is in the batch and
/// whenever that comes and goes.
#[test]
fn answers_do_not_depend_on_what_else_is_in_the_batch() {
    let model = tiny();
    let requests = requests(&model);
    let alone = alone(&model, &requests);

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

/// The same in a pool that is too small for all that run: answers are set aside and go on, what is set aside or was said
/// before is taken over where it is still there, and in the end nothing is held.
#[test]
fn answers_do_not_depend_on_the_pool_that_they_share() {
    let model = tiny();
    let requests = requests(&model);
    let alone = alone(&model, &requests);
    let pool = model.pool(640);
    let positions = pool.positions();
    let begin = |i: usize| {
        let (prompt, options) = requests[i].clone();
        let session = model.session_in(&pool, i as u64 % 2);
        session.into_generation(&model, &prompt, options).unwrap()
    };
    let mut random = ChaCha8Rng::seed_from_u64(13);
    // Each comes twice: what was said the first time may still be there.
    let mut waiting: Vec<usize> = (0..requests.len()).chain(0..requests.len()).collect();
    let mut aside: Vec<(usize, Written, Generation<'_>)> = Vec::new();
    let mut running: Vec<(usize, Written, Generation<'_>)> = Vec::new();
    let (mut set_aside, mut cached) = (0, 0);
    loop {
        while running.len() < 8 && random.random_range(0..4) > 0 {
            if let Some(answer) = aside.pop() {
                running.push(answer);
            } else if let Some(i) = waiting.pop() {
                let answer = begin(i);
                cached += answer.cached_tokens();
                running.push((i, Written::default(), answer));
            } else {
                break;
            }
        }
        if running.is_empty() && aside.is_empty() && waiting.is_empty() {
            break;
        }
        let mut first = 0;
        while first < running.len() {
            if running[first].2.make_room().is_ok() {
                first += 1;
                continue;
            }
            let mut last = running.pop().unwrap();
            last.2.set_aside();
            set_aside += 1;
            aside.push(last);
        }
        let mut answers: Vec<&mut Generation<'_>> =
            running.iter_mut().map(|(_, _, answer)| answer).collect();
        let tokens = block_on(step_together(model.decoder(), &mut answers));
        for ((_, written, _), token) in running.iter_mut().zip(tokens) {
            if let Some(token) = token.transpose().unwrap() {
                written.0.push((token.id, token.logprob, token.text));
            }
        }
        running.retain_mut(|(i, written, answer)| {
            written.1 = answer.finish();
            if written.1.is_some() {
                assert_eq!(*written, alone[*i], "request {i}");
            }
            written.1.is_none()
        });
    }
    println!("{set_aside} set aside, {cached} tokens taken over");
    assert!(set_aside > 20 && cached > 500);
    assert_eq!((pool.free(), pool.positions()), (positions, positions));
}

/// Alone an answer guesses ahead, also in a pool, and gets memory for it.
#[test]
fn an_answer_alone_in_a_pool_guesses_as_by_itself() {
    let model = tiny();
    let requests: Vec<(Vec<u32>, Options)> = (0..12)
        .map(|i| {
            // What repeats itself is guessed.
            let piece: Vec<u32> = (0..6 + i).map(|j| 50 + (i * 31 + j * 7) % 400).collect();
            let options = Options {
                max_tokens: 60,
                ..Options::default()
            };
            (piece.repeat(5), options)
        })
        .collect();
    let alone = alone(&model, &requests);
    let pool = model.pool(160);
    let mut guessed = 0;
    for ((prompt, options), alone) in requests.iter().zip(&alone) {
        let session = model.session_in(&pool, 0);
        let options = options.clone();
        let mut answer = session.into_generation(&model, prompt, options).unwrap();
        let mut written = Written::default();
        loop {
            answer.make_room().unwrap();
            match block_on(answer.next()) {
                Some(token) => {
                    let token = token.unwrap();
                    written.0.push((token.id, token.logprob, token.text));
                }
                None => break,
            }
            if written.0.len() == 20 {
                answer.set_aside();
            }
        }
        written.1 = answer.finish();
        guessed += written.0.len() - answer.passes().min(written.0.len());
        // The pool may hold less than the model's context.
        let same = written.0.len();
        assert_eq!(written.0, alone.0[..same]);
        assert!(same == alone.0.len() || written.1 == Some(Finish::Length));
    }
    assert!(guessed > 20, "{guessed}");
}

/// Convolutions have a state besides their pages; texts go on where there is one.
#[test]
fn every_architecture_goes_on_from_what_another_text_has_said() {
    for (backend, device) in devices() {
        for name in golden_models() {
            // A software adapter takes its time: one of each mechanism.
            let few = ["deepseek_v3", "gemma3_text", "lfm2", "qwen3-qknorm-tied"];
            if backend != "flex" && !few.contains(&&*name) {
                continue;
            }
            let (config, decoder) = decoder(&name, &device);
            let pool = KvPool::new(&config, 128, KvType::F32, &device);
            let length = 80.min(config.context());
            let vocab = config.vocab_size;
            let tokens: Vec<u32> = (0..length).map(|i| (i * i * 7 % vocab) as u32).collect();
            let run = |cache: &mut KvCache, from: usize| {
                let mut last = Vec::new();
                for piece in tokens[from..].chunks(16) {
                    last = decoder.last_logits(piece, cache, &device).unwrap();
                    cache.publish(&tokens[..cache.len()]);
                }
                last
            };
            let mut plain = KvCache::new(&config, &device);
            plain.expect(length);
            let expected = run(&mut plain, 0);
            // A text in front, so that pages are not where positions are.
            let mut other = KvCache::in_pool(&pool, 0, &config, &device);
            decoder
                .last_logits(&tokens[1..20], &mut other, &device)
                .unwrap();
            for round in 0..2 {
                let mut cache = KvCache::in_pool(&pool, 0, &config, &device);
                cache.expect(length);
                let known = cache.adopt(&tokens[..length - 1]);
                let growing = config.ropes.iter().any(|rope| {
                    let rule = rope.beyond.as_ref().map(|beyond| &beyond.rule);
                    matches!(rule, Some(BeyondRule::Growing { .. }))
                });
                let whole = if round == 0 || growing {
                    0
                } else {
                    (length - 1) / 16 * 16
                };
                assert_eq!(known, whole, "{backend}, {name}");
                let logits = run(&mut cache, known);
                let off = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let off = off.fold(0.0, f32::max);
                println!("{backend}, {name}, {round}: {off:e}");
                assert!(off <= logit_tolerance(backend), "{backend}, {name}: {off}");
            }
        }
    }
}

/// Rows of sixteen bits hold eleven of each number, whichever way a layer reads them.
#[cfg(feature = "burn")]
#[test]
fn keys_and_values_in_half_the_bits_are_near() {
    for (backend, device) in devices() {
        let mut names = golden_models();
        if backend != "flex" {
            // A software adapter takes its time.
            names.dedup_by_key(|name| name.split('-').next().map(str::to_owned));
        }
        for name in names {
            half_the_bits_are_near(&name, &device);
        }
    }
}

#[cfg(feature = "burn")]
fn half_the_bits_are_near(name: &str, device: &Device) {
    let (config, decoder) = decoder(name, device);
    let vocab = config.vocab_size;
    let tokens: Vec<u32> = (0..40).map(|i| (i * i * 7 % vocab) as u32).collect();
    let [exact, half] = [KvType::F32, KvType::F16].map(|kept| {
        let mut cache = KvCache::of_type(&config, kept, device);
        cache.expect(tokens.len());
        let pieces = tokens[..30].chunks(15).chain(tokens[30..].chunks(1));
        let logits: Vec<_> = pieces
            .map(|piece| decoder.last_logits(piece, &mut cache, device).unwrap())
            .collect();
        (logits.concat(), cache.bytes_per_token())
    });
    let size = exact.0.iter().fold(0f32, |max, v| max.max(v.abs()));
    let off = exact.0.iter().zip(&half.0).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f32::max);
    println!(
        "{name}: {off:e} of {size}, {} and {} bytes",
        exact.1, half.1
    );
    // A score that is off by a thousandth of thirty counts three hundredths more or less.
    assert!(off < 1e-2 * size, "{name}: {off} of {size}");
    match half.1 < exact.1 {
        true => assert!(off > 0.0 && half.1 >= exact.1 / 2, "{name}"),
        false => assert_eq!(off, 0.0, "{name}"),
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
        let together = values(decoder.run_together(&mut [part]).unwrap());
        let plain = decoder.last_logits(&tokens, other, &device).unwrap();
        assert_eq!(together, plain, "{backend}");
        assert_eq!((one.len(), other.len()), (9, 9));
    }
}
