//! Tokens that a GPU picks by itself, several in flight.

use pollster::block_on;
use sprat_model::{
    Device, Finish, Model, Options, RandomModel, Sampling, Session, Storage, Token, gpu_dispatches,
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

/// The device's picks are the host's, whatever the answer's length is to the number of steps in flight.
#[test]
fn picks_of_the_device_are_those_of_the_host() {
    for device in gpus() {
        let model = model("llama-15m", Storage::Q8, &device);
        let prompt: Vec<u32> = (300..317).collect();
        // Alternatives are read from the logits, which come to the host for them.
        let expected = answer(&model, &mut model.session(), &prompt, greedy(11, 2));
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

/// What is not greedy comes to the host, as before.
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
