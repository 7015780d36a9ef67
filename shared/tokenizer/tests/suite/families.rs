//! A small tokenizer of each family, made on the spot.

use std::collections::HashMap;

use serde_json::{Value, json};
use sprat_tokenizer::Tokenizer;

/// What the vocabularies are learned from.
const TEXT: &str = "the quick brown fox jumps over the lazy dog and the lazy cat don't we'll I've it's 123 456 7890 3.14 \
    hello world Hello World HTTPServer return return zapping zap 中文 中文 漢字 かな 日本語 한국어 한국어 Привет привет мир ΑΒΓ \
    naïve café café 😀😀 👍🏽 x = y;  z   w -- ... !? (a) [b] {c} the the quick lazy hello";

/// A tokenizer of ours and the library's, from one file.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) ours: Tokenizer,
    pub(crate) theirs: tokenizers::Tokenizer,
    /// Whether texts are normalized to a form of Unicode, for which the library has tables of 2016.
    pub(crate) has_form: bool,
}

/// Reads a file twice.
pub(crate) fn both(name: &'static str, file: &Value) -> Family {
    let bytes = file.to_string().into_bytes();
    Family {
        name,
        ours: Tokenizer::from_json(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")),
        theirs: tokenizers::Tokenizer::from_bytes(&bytes).unwrap(),
        has_form: file.to_string().contains("\"NF"),
    }
}

/// Merges of neighbours in words, those that stand most often first, and the vocabulary of all that comes of it.
fn learn(words: &[Vec<String>], count: usize, start: Vec<String>) -> (Vec<String>, Vec<Value>) {
    let (mut words, mut vocab, mut merges) = (words.to_vec(), start, Vec::new());
    for _ in 0..count {
        let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
        for pair in words.iter().flat_map(|word| word.windows(2)) {
            *pairs.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        let best = pairs
            .into_iter()
            .max_by_key(|(pair, count)| (*count, *pair));
        let Some(((left, right), _)) = best else {
            break;
        };
        let (left, right) = (left.to_owned(), right.to_owned());
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if word[at] == left && word[at + 1] == right {
                    word[at] = word.remove(at) + &word[at];
                }
                at += 1;
            }
        }
        let both = format!("{left}{right}");
        if !vocab.contains(&both) {
            vocab.push(both);
        }
        merges.push(json!([left, right]));
    }
    (vocab, merges)
}

fn symbols(word: &str) -> Vec<String> {
    word.chars().map(String::from).collect()
}

fn ids(vocab: &[String]) -> Value {
    let entry = |(token, id): (&String, u32)| (token.clone(), Value::from(id));
    Value::Object(vocab.iter().zip(0..).map(entry).collect())
}

/// GPT-2's character of each byte.
fn alphabet(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match plain(byte) {
        true => char::from(byte),
        false => char::from_u32(256 + (0..byte).filter(|b| !plain(*b)).count() as u32).unwrap(),
    }
}

fn token(id: u32, content: &str, flags: &str) -> Value {
    json!({
        "id": id, "content": content, "special": flags.contains('s'), "normalized": flags.contains('n'),
        "lstrip": flags.contains('l'), "rstrip": flags.contains('r'), "single_word": flags.contains('w'),
    })
}

/// A file with bytes for tokens.
pub(crate) fn byte_level(normalizer: Value, pre_tokenizer: Value, ignore_merges: bool) -> Value {
    let words: Vec<Vec<String>> = TEXT
        .split_inclusive(' ')
        .map(|word| {
            word.bytes()
                .map(|byte| alphabet(byte).to_string())
                .collect()
        })
        .collect();
    let bytes = (0..=255).map(|byte| alphabet(byte).to_string()).collect();
    let (vocab, mut merges) = learn(&words, 200, bytes);
    // Written in the old way too.
    for merge in merges.iter_mut().filter(|_| ignore_merges) {
        *merge = format!(
            "{} {}",
            merge[0].as_str().unwrap(),
            merge[1].as_str().unwrap()
        )
        .into();
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            token(900, "<s>", "s"), token(901, "</s>", "sl"), token(902, "<|end|>", "slr"), token(903, "<tool>", ""),
            token(904, "lazy", "n"), token(905, "zap", "nw"), token(906, " \n", ""), token(907, "<|end|><|end|>", "s"),
            token(908, "Ω", "nr"),
        ],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {"<s>": {"id": "<s>", "ids": [900, 3], "tokens": ["<s>", "x"]}}},
        ]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges,
            "vocab": ids(&vocab), "merges": merges,
        },
    })
}

/// A file with marks for spaces, as SentencePiece's. With `scores`, every way to make a token is a merge, in the order of
/// the tokens, so that many pairs become the same; GGUF files are read so.
pub(crate) fn pieces(
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    scores: bool,
) -> Value {
    let marked = TEXT.replace(' ', "▁");
    let words: Vec<Vec<String>> = marked.split_inclusive('▁').map(symbols).collect();
    let mut start: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    start.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    for symbol in symbols(&marked) {
        if !start.contains(&symbol) {
            start.push(symbol);
        }
    }
    let (vocab, mut merges) = learn(&words, 200, start);
    if scores {
        merges.clear();
        for token in vocab.iter().filter(|token| !token.starts_with('<')) {
            let splits = token
                .char_indices()
                .skip(1)
                .map(|(at, _)| token.split_at(at));
            let known =
                splits.filter(|(a, b)| [a, b].iter().all(|part| vocab.iter().any(|t| t == *part)));
            merges.extend(known.map(|(left, right)| json!([left, right])));
        }
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            token(0, "<unk>", "s"), token(1, "<s>", "s"), token(2, "</s>", "sn"), token(700, "<|end|>", "sr"),
            token(701, "<tool>", "n"), token(702, "lazy", "nlw"), token(703, "▁▁", ""),
        ],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true,
            "add_prefix_space": true},
        "decoder": decoder,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": ids(&vocab), "merges": merges,
        },
    })
}

/// A step that cuts by a pattern.
pub(crate) fn split(pattern: &str, behavior: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": false})
}

/// Several steps.
pub(crate) fn sequence(steps: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK: [&str; 3] = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

/// One of each.
pub(crate) fn all() -> Vec<Family> {
    let bytes = |space: bool, regex: bool| json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": regex});
    let digits = |each: bool| json!({"type": "Digits", "individual_digits": each});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let llama =
        json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]});
    let strip = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]});
    let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
    let metaspaces = json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace("always", true)]});
    let by_space = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    let deepseek = sequence(&[
        split(DEEPSEEK[0], "Isolated"),
        split(DEEPSEEK[1], "Isolated"),
        split(DEEPSEEK[2], "Isolated"),
        bytes(false, false),
    ]);
    let falcon = sequence(&[
        bytes(false, true),
        digits(false),
        split("[0-9][0-9][0-9]", "Isolated"),
    ]);
    let changes = json!({"type": "Sequence", "normalizers": [
        {"type": "Strip", "strip_left": true, "strip_right": false}, {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " "},
    ]});
    let null = Value::Null;
    [
        ("gpt-2", byte_level(null.clone(), bytes(false, true), false)),
        (
            "gpt-2, with a space",
            byte_level(null.clone(), bytes(true, true), false),
        ),
        (
            "smollm",
            byte_level(
                null.clone(),
                sequence(&[digits(true), bytes(false, true)]),
                false,
            ),
        ),
        (
            "llama 3",
            byte_level(
                null.clone(),
                sequence(&[split(LLAMA3, "Isolated"), bytes(false, false)]),
                true,
            ),
        ),
        (
            "qwen 2",
            byte_level(
                json!({"type": "NFC"}),
                sequence(&[split(QWEN2, "Isolated"), bytes(false, false)]),
                false,
            ),
        ),
        (
            "nfkd",
            byte_level(json!({"type": "NFKD"}), bytes(false, true), false),
        ),
        ("deepseek", byte_level(null.clone(), deepseek, false)),
        ("falcon", byte_level(null.clone(), falcon, false)),
        (
            "changes",
            byte_level(changes.clone(), bytes(true, true), true),
        ),
        (
            "llama 2",
            pieces(llama.clone(), null.clone(), strip.clone(), false),
        ),
        (
            "llama 2, of scores",
            pieces(llama, null.clone(), strip.clone(), true),
        ),
        ("gemma", pieces(replace, by_space, strip.clone(), false)),
        (
            "mistral",
            pieces(
                null.clone(),
                metaspace("first", false),
                strip.clone(),
                false,
            ),
        ),
        (
            "metaspace",
            pieces(
                null.clone(),
                metaspace("always", true),
                metaspaces.clone(),
                true,
            ),
        ),
        (
            "metaspace, changed",
            pieces(changes, metaspace("first", true), metaspaces, false),
        ),
        ("nothing", pieces(null.clone(), null.clone(), null, false)),
    ]
    .iter()
    .map(|(name, file)| both(name, file))
    .collect()
}
