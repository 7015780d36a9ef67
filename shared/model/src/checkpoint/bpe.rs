//! What files of vocabularies leave unsaid: how text is cut into words, and what merges into what.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::Error;
use crate::config::unsupported;

/// Bytes of a token at most. Vocabularies have lines of 128 spaces; a hostile one could have a
/// token as long as the file, and trying all its splits would take for ever.
const MAX_TOKEN: usize = 512;

/// A token and two others that it is made of.
pub(super) type Split = (usize, (usize, usize));

/// All ways to split tokens into two others, in the order of the tokens. `ids` are their positions.
///
/// # Errors
/// [`Error::Tokenizer`] for a token that is longer than any word.
pub(super) fn splits(tokens: &[&str], ids: &HashMap<&str, usize>) -> Result<Vec<Split>, Error> {
    let mut all = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        if token.len() > MAX_TOKEN {
            return Err(Error::Tokenizer(format!(
                "token {id} has {} bytes; no vocabulary has one of more than {MAX_TOKEN}",
                token.len()
            )));
        }
        let cuts = token.char_indices().skip(1);
        let mut ways: Vec<(usize, usize)> = cuts
            .filter_map(|(at, _)| Some((*ids.get(&token[..at])?, *ids.get(&token[at..])?)))
            .collect();
        ways.sort_unstable();
        all.extend(ways.into_iter().map(|way| (id, way)));
    }
    Ok(all)
}

/// How text is cut into words.
pub(super) struct Cut {
    normalizer: Value,
    pre_tokenizer: Value,
    /// Whether a whole word that is a token needs no merges.
    pub(super) ignore_merges: bool,
}

/// The `tokenizer.json` of a byte-level BPE.
pub(super) fn byte_level(added: Value, cut: Cut, vocab: Value, merges: Value) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": cut.normalizer,
        "pre_tokenizer": cut.pre_tokenizer,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": cut.ignore_merges,
            "vocab": vocab, "merges": merges,
        },
    })
}

/// How text is cut before BPE, by llama.cpp's name for it. The patterns are those of the models' own
/// `tokenizer.json`.
pub(super) fn pre_tokenizer(kind: &str) -> Result<Cut, Error> {
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    // Cased letters of any script, then runs of CJK: DeepSeek cuts at each pattern in turn.
    const DEEPSEEK: [&str; 6] = [
        r"[\r\n]",
        r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
        r"\p{N}+",
    ];
    const DEEPSEEK_CODER: [&str; 5] = [
        r"[\r\n]",
        r"\s?\p{L}+",
        r"\s?\p{P}+",
        r"[一-龥ࠀ-一가-퟿]+",
        r"\p{N}",
    ];
    const DEEPSEEK3: [&str; 3] = [
        r"\p{N}{1,3}",
        r"[一-龥぀-ゟ゠-ヿ]+",
        r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ];
    let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let splits = |patterns: &[&str]| {
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let steps: Vec<Value> = patterns.iter().map(split).chain([bytes(false)]).collect();
        json!({"type": "Sequence", "pretokenizers": steps})
    };
    let split = |pattern: &str| splits(&[pattern]);
    let cut = |pre_tokenizer| Cut {
        normalizer: Value::Null,
        pre_tokenizer,
        ignore_merges: false,
    };
    Ok(match kind {
        "default" | "gpt-2" => cut(bytes(true)),
        "llama-bpe" | "llama3" | "llama-v3" | "lfm2" => Cut {
            ignore_merges: true,
            ..cut(split(LLAMA3))
        },
        "dbrx" | "smaug-bpe" | "olmo" => cut(split(LLAMA3)),
        "deepseek-llm" => cut(splits(&DEEPSEEK)),
        "deepseek-coder" => cut(splits(&DEEPSEEK_CODER)),
        "deepseek-v3" => cut(splits(&DEEPSEEK3)),
        "qwen2" | "deepseek-r1-qwen" => Cut {
            normalizer: json!({"type": "NFC"}),
            ..cut(split(QWEN2))
        },
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            cut(json!({"type": "Sequence", "pretokenizers": [digits, bytes(true)]}))
        }
        other => {
            let supported = "default, gpt-2, llama-bpe, lfm2, dbrx, olmo, qwen2, smollm, deepseek-llm, deepseek-coder, deepseek-v3";
            return Err(unsupported("tokenizer.ggml.pre", &other.into(), supported));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    #[test]
    fn a_page_reads_every_way_to_cut() {
        for kind in [
            "default",
            "gpt-2",
            "llama-bpe",
            "lfm2",
            "dbrx",
            "olmo",
            "qwen2",
            "smollm",
            "deepseek-llm",
            "deepseek-coder",
            "deepseek-v3",
        ] {
            let cut = pre_tokenizer(kind).unwrap();
            let json = byte_level(json!([]), cut, json!({"a": 0}), json!([])).to_string();
            assert_eq!(Tokenizer::check_page(json.as_bytes()), Ok(()), "{kind}");
        }
    }
}
