//! Tokens that a GPU picks by itself, several in flight.

use pollster::block_on;
use sprat_model::{
    Device, Finish, Model, Options, RandomModel, Sampling, Session, Storage, Token, gpu_dispatches,
    step_together,
};

use crate::common::devices;

fn model(shape: &str, storage: Storage, device: &Device) -> Model {
    let mut source = RandomModel::new(shape).unwrap();
    Model::from_checkpoint(&mut source, storage, device, &mut |_| {}).unwrap()
}

fn gpus() -> Vec<Device> {
    let all = devices().into_iter().skip(1);
    all.map(|(_, device)| device).collect()
}

fn answer(model: &Model, session: &mut Session, prompt: &[u32], options: Options) -> Vec<Token> {
    let mut generation = session.generate(model, prompt, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        tokens.push(token.unwrap());
    }
    tokens
}

fn greedy(max_tokens: usize, top_logprobs: usize) -> Options {
    Options {
        max_tokens,
        top_logprobs,
        ..Options::default()
    }
}

/// A layer of attention and a dense network takes five launches, six in long texts, and a token four
/// besides them: embedding, head, and two for the pick.
#[test]
fn a_token_takes_few_dispatches() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let layers = model.config().layers.len() as u64;
        let mut session = model.session();
        let prompt: Vec<u32> = (100..124).collect();
        answer(&model, &mut session, &prompt, greedy(1, 0));
        let mut cost = |tokens| {
            let before = gpu_dispatches();
            // All that is asked for is run; the first token by the prompt's last position.
            assert_eq!(
                answer(&model, &mut session, &prompt, greedy(tokens, 0)).len(),
                tokens
            );
            gpu_dispatches() - before
        };
        assert_eq!(cost(9) - cost(5), 4 * (5 * layers + 4));
    }
}

/// A step of several answers takes as many launches however many they are and however they draw: of a layer seven, two more
/// than one answer's, as what has many rows is normed before its products.
#[test]
fn a_step_of_several_takes_as_many_launches_whatever_their_number() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let layers = model.config().layers.len() as u64;
        let pool = model.pool(1000);
        for (count, expected) in [
            (1, 5 * layers + 4),
            (2, 7 * layers + 5),
            (6, 7 * layers + 5),
        ] {
            let begin = |seed: u64| {
                let prompt: Vec<u32> = (100..110 + seed as u32).collect();
                let sampling = Sampling {
                    temperature: 0.5 * (seed % 3) as f32,
                    top_k: 20,
                    seed,
                    ..Sampling::default()
                };
                let options = Options {
                    sampling,
                    ..greedy(10, 0)
                };
                let session = model.session_in(&pool, 0);
                session.into_generation(&model, &prompt, options).unwrap()
            };
            let mut answers: Vec<_> = (0..count).map(begin).collect();
            for step in 0..4 {
                let before = gpu_dispatches();
                let mut all: Vec<_> = answers.iter_mut().collect();
                all.iter_mut()
                    .for_each(|answer| answer.make_room().unwrap());
                let tokens = block_on(step_together(model.decoder(), &mut all));
                assert!(tokens.into_iter().all(|token| token.unwrap().is_ok()));
                let launches = gpu_dispatches() - before;
                // The first one reads the prompts.
                assert!(step == 0 || launches == expected, "{count}: {launches}");
            }
        }
    }
}

/// What is drawn from the shortlists of a device, alone and together, is what is drawn from all logits where tokens are cut,
/// and the same alone and together where every token may be drawn.
#[test]
fn draws_are_the_same_alone_and_together() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let pool = model.pool(1000);
        let request = |seed: u64, bias: bool| {
            let prompt: Vec<u32> = (300..320 + seed as u32).collect();
            let cuts = seed % 4;
            let sampling = Sampling {
                temperature: 0.2 + 0.4 * (seed % 3) as f32,
                top_k: if cuts == 1 { 40 } else { 0 },
                top_p: if cuts == 2 { 0.3 } else { 1.0 },
                min_p: if cuts == 3 { 0.2 } else { 0.0 },
                bias: if bias { vec![(0, 0.0)] } else { vec![] },
                seed,
                ..Sampling::default()
            };
            let options = Options {
                sampling,
                ..greedy(12, 2)
            };
            (prompt, options)
        };
        let ids = |tokens: &[Token]| tokens.iter().map(|t| t.id).collect::<Vec<_>>();
        let alone = |seed, bias| {
            let (prompt, options) = request(seed, bias);
            ids(&answer(&model, &mut model.session(), &prompt, options))
        };
        let begin = |seed| {
            let (prompt, options) = request(seed, false);
            let session = model.session_in(&pool, 0);
            session.into_generation(&model, &prompt, options).unwrap()
        };
        let mut answers: Vec<_> = (0..8).map(begin).collect();
        let mut written = vec![Vec::new(); answers.len()];
        while written.iter().any(|written| written.len() < 12) {
            let mut all: Vec<_> = answers.iter_mut().collect();
            all.iter_mut()
                .for_each(|answer| answer.make_room().unwrap());
            let tokens = block_on(step_together(model.decoder(), &mut all));
            for (written, token) in written.iter_mut().zip(tokens) {
                written.extend(token.transpose().unwrap().map(|token| token.id));
            }
        }
        for (seed, written) in (0..).zip(&written) {
            assert_eq!(*written, alone(seed, false), "{seed}");
            if seed % 4 != 0 {
                assert_eq!(*written, alone(seed, true), "{seed}, all logits");
            }
        }
    }
}

/// The device's picks are the host's, whatever the answer's length is to the number of steps in flight.
#[test]
fn picks_of_the_device_are_those_of_the_host() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let prompt: Vec<u32> = (300..317).collect();
        // For penalties and the like all logits come to the host.
        let sampling = Sampling {
            bias: vec![(0, 0.0)],
            ..Sampling::default()
        };
        let options = Options {
            sampling,
            ..greedy(11, 2)
        };
        let expected = answer(&model, &mut model.session(), &prompt, options);
        // For alternatives a shortlist does.
        let listed = answer(&model, &mut model.session(), &prompt, greedy(11, 2));
        for (got, expected) in listed.iter().zip(&expected) {
            assert_eq!(got.id, expected.id);
            let ids = |token: &Token| token.top.iter().map(|top| top.0).collect::<Vec<_>>();
            assert_eq!(ids(got), ids(expected));
            assert!((got.top[1].2 - expected.top[1].2).abs() < 1e-4);
        }
        assert_eq!(expected.len(), 11);
        for most in [0, 1, 2, 4, 5, 6, 9, 10, 11] {
            let mut session = model.session();
            let got = answer(&model, &mut session, &prompt, greedy(most, 0));
            assert_eq!(got.len(), most);
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got.id, expected.id);
                for (got, expected) in [
                    (got.logprob, expected.logprob),
                    (got.margin, expected.margin),
                    (got.entropy, expected.entropy),
                ] {
                    assert!((got - expected).abs() < 1e-4, "{got} for {expected}");
                }
            }
        }
    }
}

/// A step is recorded for so many positions, and with the buffers of so large a cache: what comes after is
/// recorded anew.
#[test]
fn recorded_steps_end_where_their_room_does() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        for start in [118, 245] {
            let prompt: Vec<u32> = (300..300 + start).collect();
            let expected = answer(&model, &mut model.session(), &prompt, greedy(30, 2));
            let got = answer(&model, &mut model.session(), &prompt, greedy(30, 0));
            let ids = |tokens: &[Token]| tokens.iter().map(|t| t.id).collect::<Vec<_>>();
            assert_eq!(ids(&got), ids(&expected), "after {start}");
        }
    }
}

/// An answer that is dropped in its middle, with tokens in flight, leaves a session as good as new, for
/// attention and for the states of convolutions.
#[test]
fn an_answer_that_is_dropped_leaves_a_good_session() {
    for device in gpus() {
        for name in ["llama-f16-shards", "lfm2"] {
            let source = crate::common::golden_pack(name);
            let model = block_on(Model::load(&source, &device, &mut |_| {})).unwrap();
            let prompt = [5, 17, 33, 8];
            let whole = answer(&model, &mut model.session(), &prompt, greedy(24, 0));
            for taken in [1, 2, 5, 6, 10] {
                let mut session = model.session();
                let mut generation = session.generate(&model, &prompt, greedy(24, 0)).unwrap();
                let mut longer = prompt.to_vec();
                for expected in whole.iter().take(taken) {
                    let token = block_on(generation.next()).unwrap().unwrap();
                    assert_eq!(token.id, expected.id);
                    longer.push(token.id);
                }
                assert_eq!(generation.finish(), None::<Finish>);
                drop(generation);
                let rest = answer(&model, &mut session, &longer, greedy(24 - taken, 0));
                let ids = rest.iter().map(|token| token.id);
                let expected = whole[taken..].iter().map(|token| token.id);
                assert!(ids.eq(expected), "{name} after {taken}");
            }
        }
    }
}

/// What is not greedy is drawn by the host, from a shortlist.
#[test]
fn other_samplings_still_draw() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let options = Options {
            sampling: Sampling {
                temperature: 0.8,
                top_p: 0.9,
                seed: 3,
                ..Sampling::default()
            },
            ..greedy(6, 0)
        };
        let tokens = answer(&model, &mut model.session(), &[300, 301], options);
        assert_eq!(tokens.len(), 6);
    }
}
