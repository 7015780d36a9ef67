//! Guessing tokens from the text so far: fewer passes, the same answer.

use pollster::block_on;
use proptest::prelude::*;
use sprat_model::{Device, MemorySource, Model, Options, RandomModel, Session, Storage, Token};

use crate::common::{golden_pack, seal};

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

/// A pack with another golden model as its draft.
fn with_draft(name: &str, draft: &str) -> MemorySource {
    let mut source = golden_pack(name);
    for (file, bytes) in golden_pack(draft).0 {
        if file == "config.json" || file.ends_with(".safetensors") {
            source.0.insert(format!("draft-{file}"), bytes);
        }
    }
    seal(source)
}

/// A model that guesses for itself is always right, and another one rarely; either way the answer is the
/// same, and a session goes on where it was left.
#[test]
fn a_draft_model_saves_passes_and_changes_nothing() {
    let name = "qwen3-gqa8";
    let load = |source: &MemorySource| {
        block_on(Model::load(source, &Device::flex(), &mut |_| {})).unwrap()
    };
    let prompt = [9, 4, 77, 130, 6];
    let alone = load(&golden_pack(name));
    let (plain, _) = answer(&alone, &mut alone.session(), &prompt, 40, false);
    let (looked_up, by_text) = answer(&alone, &mut alone.session(), &prompt, 40, true);
    assert_eq!(looked_up.len(), 40);
    for (draft, most) in [(name, 12), ("llama-gqa-tied", by_text), ("olmo2", by_text)] {
        let model = load(&with_draft(name, draft));
        let mut session = model.session();
        let (guessed, passes) = answer(&model, &mut session, &prompt, 40, true);
        println!("{draft}: {passes} passes, {by_text} without it");
        assert!(passes <= most, "{draft}: {passes}");
        let ids = |tokens: &[Token]| tokens.iter().map(|token| token.id).collect::<Vec<_>>();
        assert_eq!(ids(&guessed), ids(&plain), "{draft}");
        // The same conversation, cut in its middle and gone on with.
        let longer = [&prompt[..], &ids(&plain)[..17]].concat();
        let (rest, _) = answer(&model, &mut session, &longer, 23, true);
        assert_eq!(ids(&rest), ids(&plain)[17..], "{draft}");
    }
}

#[test]
fn a_draft_of_another_vocabulary_is_refused() {
    let mut source = with_draft("qwen3-gqa8", "llama-gqa-tied");
    let config = String::from_utf8(source.0["draft-config.json"].clone()).unwrap();
    let config = config.replace("\"vocab_size\": 256", "\"vocab_size\": 255");
    source
        .0
        .insert("draft-config.json".into(), config.into_bytes());
    let loaded = block_on(Model::load(&seal(source), &Device::flex(), &mut |_| {}));
    let error = loaded.err().unwrap().to_string();
    assert!(error.contains("255") && error.contains("256"), "{error}");
}
