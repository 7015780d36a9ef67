//! Keys and values as bytes: what goes on from them is the same to the bit, and what is not whole is refused.

use pollster::block_on;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use sprat_model::{
    Decoder, Device, Error, Fingerprint, KvCache, KvType, Model, ModelConfig, Options, PAGE,
    Session, Sessions,
};

use crate::common::{devices, golden_models, golden_pack};
use crate::golden::decoder;

const MODEL: Fingerprint = [7; 32];
const PROMPT: [u32; 21] = [
    5, 9, 20, 31, 8, 8, 3, 77, 12, 5, 9, 20, 31, 8, 40, 41, 42, 43, 44, 45, 46,
];

/// A text that has been read in two passes.
fn read(decoder: &Decoder, config: &ModelConfig, kept: KvType, device: &Device) -> KvCache {
    let mut cache = KvCache::of_type(config, kept, device);
    cache.expect(PROMPT.len() + 3);
    for piece in [&PROMPT[..13], &PROMPT[13..]] {
        decoder.last_logits(piece, &mut cache, device).unwrap();
    }
    cache
}

/// Logits of three more tokens, as bits.
fn go_on(decoder: &Decoder, cache: &mut KvCache, device: &Device) -> Vec<u32> {
    let logits = [4, 30, 11].map(|token| decoder.last_logits(&[token], cache, device).unwrap());
    logits.concat().iter().map(|l| l.to_bits()).collect()
}

/// What keys and values can be kept as there.
const KEPT_AS: &[KvType] = &[
    KvType::F32,
    #[cfg(feature = "burn")]
    KvType::F16,
];

#[test]
fn a_text_goes_on_from_its_bytes_as_if_nothing_had_been() {
    for (backend, device) in devices() {
        let mut names = golden_models();
        if backend != "flex" {
            names.dedup_by_key(|name| name.split('-').next().map(str::to_owned));
        }
        for name in names {
            let (config, decoder) = decoder(&name, &device);
            for &kept in KEPT_AS {
                let mut one = read(&decoder, &config, kept, &device);
                let bytes = block_on(one.export(&MODEL, &PROMPT)).unwrap();
                let mut other = KvCache::of_type(&config, kept, &device);
                let tokens = other.import(&MODEL, &bytes, &device).unwrap();
                assert_eq!(tokens, PROMPT);
                assert_eq!(other.len(), one.len());
                let again = block_on(other.export(&MODEL, &PROMPT)).unwrap();
                assert!(again == bytes, "{backend}, {name}, {kept:?}: other bytes");
                let expected = go_on(&decoder, &mut one, &device);
                let actual = go_on(&decoder, &mut other, &device);
                assert!(actual == expected, "{backend}, {name}, {kept:?}");
            }
        }
    }
}

fn model(name: &str) -> Model {
    block_on(Model::load(
        &golden_pack(name),
        &Device::flex(),
        &mut |_| {},
    ))
    .unwrap()
}

/// Tokens of a greedy answer, and how much of the prompt was known.
fn answer(model: &Model, session: &mut Session, prompt: &[u32]) -> (Vec<u32>, usize) {
    let options = Options {
        max_tokens: 6,
        ..Options::default()
    };
    let mut generation = session.generate(model, prompt, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        tokens.push(token.unwrap().id);
    }
    let cached = generation.cached_tokens();
    (tokens, cached)
}

#[test]
fn a_fork_and_its_origin_go_on_by_themselves() {
    for name in ["llama-gqa-tied", "lfm2"] {
        let model = model(name);
        let [left, right] = [[50, 51, 52], [60, 61, 62]].map(|end| [&PROMPT[..], &end].concat());
        let expected = [&left, &right].map(|prompt| answer(&model, &mut model.session(), prompt).0);
        let mut one = model.session();
        answer(&model, &mut one, &PROMPT);
        one.cut_back(PROMPT.len());
        let mut other = one.fork(&model);
        // In turns: what one writes the other does not read.
        for _ in 0..2 {
            for (session, prompt, expected) in [
                (&mut one, &left, &expected[0]),
                (&mut other, &right, &expected[1]),
            ] {
                let (tokens, cached) = answer(&model, session, prompt);
                assert_eq!(&tokens, expected, "{name}");
                assert!(cached >= PROMPT.len(), "{name}: {cached}");
            }
        }
    }
}

#[test]
fn conversations_that_take_turns_are_not_read_again() {
    let model = model("llama-gqa-tied");
    let mut sessions = Sessions::default();
    let ask = |sessions: &mut Sessions, prompt: &[u32]| {
        let (tokens, cached) = answer(&model, sessions.pick(&model, prompt), prompt);
        let alone = answer(&model, &mut model.session(), prompt).0;
        assert_eq!(tokens, alone);
        ([prompt, &tokens].concat(), cached)
    };
    let (mut one, _) = ask(&mut sessions, &PROMPT);
    let mut other = one.clone();
    for turn in 0..3 {
        for (text, word) in [(&mut one, 70), (&mut other, 80)] {
            let prompt = [&text[..], &[word + turn; 20]].concat();
            let (now, cached) = ask(&mut sessions, &prompt);
            // The last token of an answer is not in the cache.
            assert!(
                cached + 1 >= text.len(),
                "{turn}: {cached} of {}",
                text.len()
            );
            *text = now;
        }
    }
    // What is saved is as much as it has in common with the text, and it is taken up elsewhere.
    let saved = block_on(sessions.export(&model, &one[..30], usize::MAX));
    let (tokens, bytes) = saved.unwrap().unwrap();
    assert_eq!(tokens, 30);
    let mut elsewhere = Sessions::default();
    assert_eq!(elsewhere.import(&model, &bytes), Ok(30));
    let (_, cached) = ask(&mut elsewhere, &one[..40]);
    assert_eq!(cached, 30);
    // Strangers find nothing, and neither does who has no room.
    for (prompt, most) in [(&[99][..], usize::MAX), (&one, 100)] {
        assert_eq!(block_on(sessions.export(&model, prompt, most)), Ok(None));
    }
    // Others come, and the one unused for longest is forgotten.
    for word in 90..94 {
        ask(&mut sessions, &[word; 30]);
    }
    assert_eq!(ask(&mut sessions, &one).1, 0);
}

#[test]
fn texts_in_a_pool_are_saved_and_shared_too() {
    let model = model("llama-gqa-tied");
    let expected = answer(&model, &mut model.session(), &PROMPT);
    let pool = model.pool(8 * PAGE);
    let mut other = model.session_in(&pool, 0);
    answer(&model, &mut other, &[90; 20]);
    let mut one = model.session_in(&pool, 0);
    answer(&model, &mut one, &PROMPT);
    drop(other);
    let bytes = block_on(one.export(&model)).unwrap();
    let forked = one.fork(&model);
    assert_eq!(forked.len(), one.len() / PAGE * PAGE);
    drop((one, forked));
    pool.forget();
    let mut back = model.session_in(&pool, 0);
    let held = back.import(&model, &bytes).unwrap();
    assert!(held >= PROMPT.len());
    let (tokens, cached) = answer(&model, &mut back, &PROMPT);
    assert_eq!((tokens, cached), (expected.0, PROMPT.len() - 1));
    // Others may begin with it now.
    let mut third = model.session_in(&pool, 0);
    assert_eq!(answer(&model, &mut third, &PROMPT).1, PAGE);
    // In a pool that is too small it is refused, and the session goes on being one.
    let small = model.pool(PAGE);
    let mut none = model.session_in(&small, 0);
    let full = none.import(&model, &bytes);
    assert!(matches!(full, Err(Error::CacheFull { .. })), "{full:?}");
    assert!(none.is_empty());
    answer(&model, &mut none, &[90; 4]);
}

#[test]
fn another_models_and_other_kinds_are_told_apart() {
    let (llama, qwen) = (model("llama-gqa-tied"), model("qwen3-qknorm-tied"));
    let mut session = llama.session();
    assert!(block_on(session.export(&llama)).is_err(), "nothing is held");
    answer(&llama, &mut session, &PROMPT);
    let bytes = block_on(session.export(&llama)).unwrap();
    let foreign = |result| assert!(matches!(result, Err(Error::CacheForeign(_))), "{result:?}");
    let mut other = qwen.session();
    foreign(other.import(&qwen, &bytes).map(|_| ()));
    let mut newer = bytes.clone();
    newer[8] += 1;
    foreign(session.import(&llama, &newer).map(|_| ()));
    // And it goes on with what it has.
    assert_eq!(answer(&llama, &mut session, &PROMPT).1, PROMPT.len() - 1);
}

#[cfg(feature = "flex")]
#[test]
fn numbers_of_another_size_are_refused() {
    let foreign = |result| assert!(matches!(result, Err(Error::CacheForeign(_))), "{result:?}");
    let device = Device::flex();
    let (config, decoder) = decoder("llama-gqa-tied", &device);
    let mut cache = read(&decoder, &config, KvType::F16, &device);
    let halves = block_on(cache.export(&MODEL, &PROMPT)).unwrap();
    let mut whole = KvCache::new(&config, &device);
    foreign(whole.import(&MODEL, &halves, &device).map(|_| ()));
    foreign(cache.import(&[8; 32], &halves, &device).map(|_| ()));
    assert_eq!((whole.len(), cache.len()), (0, PROMPT.len()));
}

/// With the checksum that these bytes should have.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(body) = bytes.len().checked_sub(32) {
        let sum = Sha256::digest(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum);
    }
    bytes
}

fn small() -> (ModelConfig, Decoder, Vec<u8>) {
    let device = Device::flex();
    let (config, decoder) = decoder("lfm2", &device);
    let mut cache = KvCache::new(&config, &device);
    decoder
        .last_logits(&PROMPT[..3], &mut cache, &device)
        .unwrap();
    let bytes = block_on(cache.export(&MODEL, &PROMPT[..3])).unwrap();
    (config, decoder, bytes)
}

#[test]
fn what_is_cut_off_is_refused() {
    let (config, _, bytes) = small();
    let device = Device::flex();
    let mut cache = KvCache::new(&config, &device);
    let step = (bytes.len() / 500).max(1);
    for len in (0..200).chain((200..bytes.len()).step_by(step)) {
        for cut in [bytes[..len].to_vec(), sealed(bytes[..len].to_vec())] {
            let error = cache.import(&MODEL, &cut, &device).unwrap_err();
            assert!(
                matches!(error, Error::CacheDamaged(_) | Error::CacheForeign(_)),
                "{len}: {error:?}"
            );
        }
    }
    let longer = sealed([&bytes[..], &[0; 40]].concat());
    assert!(cache.import(&MODEL, &longer, &device).is_err());
    assert!(cache.is_empty());
    assert!(cache.import(&MODEL, &bytes, &device).is_ok());
}

/// A file of the first version of the format, which a fuzzer starts from, is read for as long as there is that version.
#[test]
fn an_old_file_is_read() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fuzz/seeds/saved/lfm2.kv"
    );
    let (config, _, bytes) = small();
    if std::env::var_os("SPRAT_WRITE_SEEDS").is_some() {
        std::fs::write(path, &bytes).unwrap();
    }
    let mut cache = KvCache::new(&config, &Device::flex());
    let old = std::fs::read(path).unwrap();
    let tokens = cache.import(&MODEL, &old, &Device::flex()).unwrap();
    assert_eq!(tokens, PROMPT[..3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_flipped_bit_is_found_and_nothing_is_lost(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        thread_local!(static SMALL: (ModelConfig, Decoder, Vec<u8>) = small());
        SMALL.with(|(config, decoder, bytes)| {
            let device = Device::flex();
            let mut cache = KvCache::new(config, &device);
            decoder.last_logits(&PROMPT[..2], &mut cache, &device).unwrap();
            let mut flipped = bytes.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            let result = cache.import(&MODEL, &flipped, &device);
            // What stands before the checksum says which version it is.
            prop_assert!(matches!(result, Err(Error::CacheDamaged(_)))
                || (8..12).contains(&at) && matches!(result, Err(Error::CacheForeign(_))));
            prop_assert_eq!(cache.len(), 2);
            // Sizes that lie get no further for being sealed.
            let result = cache.import(&MODEL, &sealed(flipped), &device);
            prop_assert!(result.is_err() || at >= 48, "{at}");
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let config = include_bytes!("../../../../tests/goldens/model/lfm2/config.json");
        let config = ModelConfig::from_json(config).unwrap();
        let mut cache = KvCache::new(&config, &Device::flex());
        let begun = [b"sprat-kv\x01\0\0\0", &MODEL[..], &bytes].concat();
        for bytes in [sealed(begun), bytes] {
            prop_assert!(cache.import(&MODEL, &bytes, &Device::flex()).is_err());
        }
    }
}
