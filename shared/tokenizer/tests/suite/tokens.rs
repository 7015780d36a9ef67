//! The same tokens, and the same texts of them.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::families::{self, Family};
use crate::texts;

static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(families::all);

/// What the library's tables of Unicode's forms know.
static OLD: LazyLock<regex::Regex> =
    LazyLock::new(|| regex::Regex::new(r"^\p{Age=9.0}*$").unwrap());

fn compare(family: &Family, text: &str) -> Result<Vec<u32>, TestCaseError> {
    let mut all = Vec::new();
    for around in [false, true] {
        let theirs = family.theirs.encode_fast(text, around).unwrap();
        let ours = family.ours.encode(text, around).unwrap();
        prop_assert_eq!(
            &ours[..],
            theirs.get_ids(),
            "{}: {:?} is {:?}",
            family.name,
            text,
            theirs.get_tokens()
        );
        all = ours;
    }
    Ok(all)
}

fn compare_decoded(family: &Family, ids: &[u32]) -> Result<(), TestCaseError> {
    for skip in [false, true] {
        let theirs = family.theirs.decode(ids, skip).unwrap();
        let ours = family.ours.decode(ids, skip).unwrap();
        prop_assert_eq!(ours, theirs, "{}: {:?}", family.name, ids);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn texts_are_the_same_tokens(text in texts::text()) {
        for family in FAMILIES.iter().filter(|family| !family.has_form || OLD.is_match(&text)) {
            let ids = compare(family, &text)?;
            compare_decoded(family, &ids)?;
        }
    }

    #[test]
    fn tokens_are_the_same_texts(ids in prop::collection::vec(prop_oneof![0u32..720, any::<u32>()], 0..20)) {
        for family in FAMILIES.iter() {
            compare_decoded(family, &ids)?;
        }
    }

    /// Each way to cut, turned around or not, on top of each other.
    #[test]
    fn cuts_are_the_same(text in texts::text(), mark in any::<bool>(), steps in prop::collection::vec(step(), 1..4)) {
        let first = json!({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": true});
        let last = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let first = mark.then_some(first);
        let steps: Vec<Value> = first.into_iter().chain(steps).chain([last]).collect();
        let family = families::both("cuts", &families::byte_level(Value::Null, families::sequence(&steps), true));
        compare(&family, &text)?;
    }
}

fn step() -> impl Strategy<Value = Value> {
    let behavior = prop::sample::select(vec![
        "Removed",
        "Isolated",
        "MergedWithPrevious",
        "MergedWithNext",
        "Contiguous",
    ]);
    let pattern = prop::sample::select(vec![
        json!({"String": "a"}),
        json!({"String": " "}),
        json!({"String": "\n\n"}),
        json!({"Regex": r"\s"}),
        json!({"Regex": r"\p{L}+"}),
        json!({"Regex": r"\p{N}{1,3}"}),
        json!({"Regex": r" ?[^\s\p{L}\p{N}]+"}),
    ]);
    let split = (pattern, behavior.clone(), any::<bool>()).prop_map(|(pattern, behavior, invert)| {
        json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})
    });
    let digits =
        any::<bool>().prop_map(|each| json!({"type": "Digits", "individual_digits": each}));
    let mark = (prop::sample::select(vec!["always", "never"]), any::<bool>()).prop_map(|(scheme, split)| {
        json!({"type": "Metaspace", "replacement": "_", "prepend_scheme": scheme, "split": split})
    });
    let bytes = any::<bool>().prop_map(|space| {
        json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true})
    });
    prop_oneof![4 => split, 1 => digits, 1 => mark, 1 => bytes]
}

#[test]
fn vocabularies_are_the_same() {
    for Family {
        name, ours, theirs, ..
    } in FAMILIES.iter()
    {
        assert_eq!(ours.vocab_size(), theirs.get_vocab_size(true), "{name}");
        for id in (0..1000).chain([u32::MAX]) {
            assert_eq!(
                ours.token(id).map(str::to_owned),
                theirs.id_to_token(id),
                "{name}: {id}"
            );
        }
        for token in theirs
            .get_vocab(true)
            .keys()
            .map(String::as_str)
            .chain(["no such token", ""])
        {
            assert_eq!(
                ours.id(token),
                theirs.token_to_id(token),
                "{name}: {token:?}"
            );
        }
        let mut known: Vec<_> = ours
            .added_tokens()
            .map(|t| (t.id, t.content.to_owned(), t.special))
            .collect();
        let mut added: Vec<_> = theirs
            .get_added_tokens_decoder()
            .into_iter()
            .map(|(id, t)| (id, t.content, t.special))
            .collect();
        known.sort();
        added.sort();
        assert_eq!(known, added, "{name}");
        assert!(
            known
                .iter()
                .all(|(_, text, special)| ours.is_special(text) == *special)
        );
    }
}

/// Long words merge in a time that does not grow with their square.
#[test]
fn long_words_are_the_same() {
    for text in [
        "lazy dog".repeat(3000),
        "a".repeat(20_000),
        " ".repeat(5000),
        "中文😀".repeat(2000),
    ] {
        for family in FAMILIES.iter() {
            compare(family, &text).unwrap();
        }
    }
}
