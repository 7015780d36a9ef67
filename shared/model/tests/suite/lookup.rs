//! Guessing tokens from the text so far: fewer passes, the same answer.

use pollster::block_on;
use proptest::prelude::*;
use sprat_model::{Device, Model, Options, RandomModel, Session, Storage, Token};

fn model(storage: Storage) -> Model {
    let mut source = RandomModel::new("llama-15m").unwrap();
    Model::from_checkpoint(&mut source, storage, &Device::flex(), &mut |_| {}).unwrap()
}

fn answer(
    model: &Model,
    session: &mut Session,
    prompt: &[u32],
    max_tokens: usize,
    lookup: bool,
) -> (Vec<Token>, usize) {
    let options = Options {
        max_tokens,
        lookup,
        top_logprobs: 2,
        ..Options::default()
    };
    let mut generation = session.generate(model, prompt, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        tokens.push(token.unwrap());
    }
    let passes = generation.passes();
    (tokens, passes)
}

/// Random weights soon go round in circles, which is what guesses are best at.
#[test]
fn guesses_save_passes_and_change_nothing() {
    for storage in [Storage::Q8, Storage::Q4, Storage::F32] {
        let model = model(storage);
        let prompt: Vec<u32> = (500..520).collect();
        let (plain, passes) = answer(&model, &mut model.session(), &prompt, 120, false);
        assert_eq!(passes, plain.len());
        let (guessed, passes) = answer(&model, &mut model.session(), &prompt, 120, true);
        println!("{storage:?}: {passes} passes for {} tokens", guessed.len());
        assert!(4 * passes < 3 * guessed.len(), "{storage:?}: {passes}");
        assert_eq!(guessed.len(), plain.len());
        for (guessed, plain) in guessed.iter().zip(&plain) {
            assert_eq!((guessed.id, &guessed.text), (plain.id, &plain.text));
            match storage {
                // Products of floats are added up in another order.
                Storage::F32 => assert!((guessed.entropy - plain.entropy).abs() < 1e-3),
                _ => assert_eq!(guessed, plain),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is repeated in the prompt, wherever the answer is cut and taken up again.
    #[test]
    fn any_answer_is_the_same_with_guesses(
        words in proptest::collection::vec(3u32..9, 2..30), most in 1usize..30, taken in 1usize..30,
    ) {
        thread_local! {
            static MODEL: Model = model(Storage::Q8);
        }
        MODEL.with(|model| {
            let (plain, _) = answer(model, &mut model.session(), &words, most, false);
            let mut session = model.session();
            let options = Options { max_tokens: most, ..Options::default() };
            let mut longer = words.clone();
            let mut generation = session.generate(model, &words, options).unwrap();
            for expected in plain.iter().take(taken) {
                let token = block_on(generation.next()).unwrap().unwrap();
                assert_eq!(token.id, expected.id);
                longer.push(token.id);
            }
            drop(generation);
            let rest = plain.get(taken..).unwrap_or_default();
            let (again, _) = answer(model, &mut session, &longer, rest.len(), true);
            assert!(again.iter().map(|t| t.id).eq(rest.iter().map(|t| t.id)));
        });
    }
}
