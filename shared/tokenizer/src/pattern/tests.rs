//! What the library's engine for regular expressions finds, and what ours does.

use std::sync::LazyLock;

use proptest::prelude::*;
use tokenizers::tokenizer::pattern::Pattern as _;
use tokenizers::utils::SysRegex;

use super::Pattern;
use crate::Error;

/// The patterns of well-known tokenizers.
const KNOWN: [&str; 23] = [
    // GPT-2, as it is and as tiktoken writes it.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // Llama 3, as it is and as tiktoken writes cl100k.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    // Qwen 2 and later, and one with marks.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // o200k, and Tekken.
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // DeepSeek, each step of its three cuts.
    r"[\r\n]",
    r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
    r"\p{N}+",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Falcon, BLOOM, and others.
    r"[0-9][0-9][0-9]",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"\d{1,3}(?=\w)|\w+|[^\w\s]{2,}|.",
];

/// The same, read by both.
static READY: LazyLock<Vec<(&str, Pattern, SysRegex)>> = LazyLock::new(|| {
    let both = |pattern| {
        (
            pattern,
            Pattern::new(pattern).unwrap(),
            SysRegex::new(pattern).unwrap(),
        )
    };
    KNOWN.map(both).into()
});

fn theirs(pattern: &str, text: &str) -> Vec<(usize, usize)> {
    matches(&SysRegex::new(pattern).unwrap(), text)
}

fn matches(regex: &SysRegex, text: &str) -> Vec<(usize, usize)> {
    let parts = regex.find_matches(text).unwrap().into_iter();
    parts
        .filter(|(_, is)| *is)
        .map(|(range, _)| range)
        .collect()
}

fn ours(pattern: &str, text: &str) -> Result<Vec<(usize, usize)>, Error> {
    let mut found = Vec::new();
    Pattern::new(pattern)?.find(text, |start, end| found.push((start, end)))?;
    Ok(found)
}

#[path = "../../tests/suite/texts.rs"]
mod texts;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn known_patterns_cut_as_the_library_does(text in texts::text()) {
        for (pattern, ours, theirs) in READY.iter() {
            let mut found = Vec::new();
            ours.find(&text, |start, end| found.push((start, end))).unwrap();
            prop_assert_eq!(found, matches(theirs, &text), "{}", pattern);
        }
    }

    /// Anything that is read means what it means there.
    #[test]
    fn patterns_of_our_kind_mean_the_same(pattern in pattern(), text in "[ab' \n1é\u{301}]{0,12}") {
        if let Ok(found) = ours(&pattern, &text) {
            prop_assert_eq!(found, theirs(&pattern, &text), "{}", pattern);
        }
    }
}

/// Patterns of a few pieces; some of them are none of ours.
fn pattern() -> impl Strategy<Value = String> {
    let class = prop::sample::select(vec![
        "a",
        "b",
        " ",
        "'",
        r"\s",
        r"\S",
        r"\n",
        r"\p{L}",
        r"\P{L}",
        r"\p{N}",
        r"\p{M}",
        "[ab]",
        r"[^\s\p{L}]",
        r"[^a\n]",
        ".",
        r"\w",
        "(?:a|b)",
        "(?i:A)",
    ]);
    let count = prop::sample::select(vec![
        "", "", "?", "*", "+", "{2}", "{1,2}", "{2,}", "++", "?+", "*+",
    ]);
    let single = (class, count).prop_map(|(class, count)| format!("{class}{count}"));
    let ahead = prop::sample::select(vec![
        r"(?!\S)",
        "(?=a)",
        "$",
        "(?:ab|a)?",
        "(?:a|b+)?",
        "(a|ab)",
    ]);
    let piece = prop_oneof![4 => single, 1 => ahead.prop_map(str::to_owned)];
    let way = prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    prop::collection::vec(way, 1..4).prop_map(|ways| ways.join("|"))
}

#[test]
fn what_is_not_ours_is_refused_by_name() {
    for pattern in [
        "(?:(?:ab?|b)?c)+?x",
        "(?<=a)b",
        "(?<!a)b",
        "a*",
        "",
        "a|",
        "()",
        "a+?",
        "a??",
        r"\bx",
        r"\p{Han}",
        r"\p{Greek}+",
        "[a&&b]",
        "[^[^a]]",
        "(",
        "a)",
        "[",
        "[]",
        "[b-a]",
        r"\",
        r"\xzz",
        r"\x{110000}",
        "a{2,1}",
        "a{99999}",
        "^a",
        "(?i:é)",
        "(?i:[à-é])",
        r"(?i:\p{Lu})",
        r"\1",
        "(?P<n>a)",
        r"\<a",
        "(?:ab)+",
        "(?:a|b)*",
        "(?!ab)",
        "(?x:a)",
        "[a--b]",
        "((((((((((a))))))))))",
    ] {
        let error = Pattern::new(pattern).map(|_| ());
        let refused = Error::Unsupported {
            what: "the pattern",
            value: pattern.to_owned(),
        };
        assert_eq!(error, Err(refused), "{pattern}");
    }
}

#[test]
fn no_text_takes_for_ever() {
    let spaces = " ".repeat(200_000);
    assert_eq!(ours(r"\s+$", &format!("{spaces}a")), Ok(vec![]));
    assert_eq!(ours(KNOWN[2], &spaces), Ok(vec![(0, spaces.len())]));
    let slow = ours(r"a*a*a*a*b", &"a".repeat(2000));
    assert_eq!(slow, Err(Error::Slow));
}
