//! Files that are damaged, and files that are none of ours.

use serde_json::{Value, json};
use sprat_tokenizer::{Error, Tokenizer};

use crate::families;

fn good() -> Value {
    families::byte_level(
        Value::Null,
        json!({"type": "Digits", "individual_digits": true}),
        false,
    )
}

fn read(file: &Value) -> Option<Error> {
    Tokenizer::from_json(file.to_string().as_bytes()).err()
}

/// The file with something else in a place.
fn with(pointer: &str, value: Value) -> Value {
    let mut file = good();
    *file
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer}")) = value;
    file
}

#[test]
fn damaged_files_are_refused() {
    let whole = good().to_string();
    for end in [0, 1, 2, 100, whole.len() / 2, whole.len() - 1] {
        let mut end = end;
        while !whole.is_char_boundary(end) {
            end += 1;
        }
        let error = Tokenizer::from_json(&whole.as_bytes()[..end]).err();
        assert!(
            matches!(error, Some(Error::Malformed(_))),
            "{end}: {error:?}"
        );
    }
    assert_eq!(read(&good()), None);
    for file in [
        json!(null),
        json!([]),
        json!({"model": null}),
        with("/model/vocab", json!({"a": -1})),
        with("/model/vocab", json!({"a": 1.5})),
        with("/model/vocab", json!({"a": 5_000_000_000u64})),
        with("/model/vocab", json!("a")),
        with("/model/merges", json!(["a"])),
        with("/model/merges", json!(["a b c"])),
        with("/model/merges", json!([["a"]])),
        with("/model/merges", json!([["a", "b", "c"]])),
        with("/model/merges", json!([["a", 1]])),
        with("/model/merges", json!([["a", "nothing of ours"]])),
        with("/model/merges", json!([["Q", "Q"]])),
        with("/model/merges/0", json!(7)),
        with("/added_tokens/0", json!({"content": "<s>"})),
        with("/added_tokens/0/content", json!(1)),
        with("/pre_tokenizer", json!({"type": "Digits"})),
        with("/pre_tokenizer", json!({"type": "ByteLevel"})),
        with("/pre_tokenizer", json!({"type": "Sequence"})),
        with(
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": "a", "behavior": "Removed", "invert": false}),
        ),
        with(
            "/pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "ab"}),
        ),
        with("/pre_tokenizer", json!(3)),
        with("/normalizer", json!({"type": "Prepend"})),
        with(
            "/normalizer",
            json!({"type": "Replace", "pattern": {"String": "a"}}),
        ),
        with(
            "/decoder",
            json!({"type": "Strip", "content": "a", "start": -1, "stop": 0}),
        ),
        with(
            "/post_processor",
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]}),
        ),
        with(
            "/post_processor",
            json!({"type": "BertProcessing", "cls": ["a", 1]}),
        ),
    ] {
        let error = read(&file);
        assert!(matches!(error, Some(Error::Malformed(_))), "{error:?}");
    }
}

#[test]
fn what_is_not_ours_is_named() {
    for (file, name) in [
        (
            with(
                "/model",
                json!({"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.0]]}),
            ),
            "Unigram",
        ),
        (
            with("/model", json!({"type": "WordPiece", "vocab": {"a": 0}})),
            "WordPiece",
        ),
        (
            with(
                "/model",
                json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}),
            ),
            "WordLevel",
        ),
        (with("/model", json!({"vocab": {"a": 0}})), "without a type"),
        (with("/model/dropout", json!(0.5)), "dropout"),
        (with("/model/end_of_word_suffix", json!("</w>")), "</w>"),
        (with("/model/continuing_subword_prefix", json!("##")), "##"),
        (
            with(
                "/normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": ""}),
            ),
            "Precompiled",
        ),
        (
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers": [{"type": "Nmt"}]}),
            ),
            "Nmt",
        ),
        (
            with("/pre_tokenizer", json!({"type": "UnicodeScripts"})),
            "UnicodeScripts",
        ),
        (
            with("/pre_tokenizer", families::split(r"(?<=\s)\w", "Isolated")),
            r"(?<=\s)\w",
        ),
        (
            with("/pre_tokenizer", families::split("a", "Shredded")),
            "Shredded",
        ),
        (
            with(
                "/decoder",
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            ),
            "WordPiece",
        ),
        (with("/post_processor", json!({"type": "Riddle"})), "Riddle"),
    ] {
        let error = read(&file);
        assert!(
            matches!(&error, Some(Error::Unsupported { value, .. }) if value.contains(name)),
            "{name}: {error:?}"
        );
        assert!(
            error.is_some_and(|error| error.to_string().contains(name)),
            "{name}"
        );
    }
}

/// A token for what has none, which is none itself: only a text that needs it is refused, as by the library.
#[test]
fn an_unknown_token_that_is_missing_is_told_when_it_is_needed() {
    let mut file = with("/model/unk_token", json!("<missing>"));
    file["pre_tokenizer"] = Value::Null;
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
    assert!(tokenizer.encode("hello", false).is_ok());
    assert!(matches!(
        tokenizer.encode("中", false),
        Err(Error::Malformed(_))
    ));
}
