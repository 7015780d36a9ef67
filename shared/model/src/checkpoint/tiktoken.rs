//! `tokenizer.json` of a rank file in tiktoken's form: a token in base64 and its rank, line by line.
//! Byte pairs merge whenever they form a token, the lowest rank first.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};

use super::bpe::{byte_level, pre_tokenizer, splits};
use crate::Error;

/// The rank file of a folder, if it has one.
pub(super) fn find(folder: &Path) -> Option<String> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some(name.to_str()?.to_owned())
    });
    let mut names: Vec<String> = names
        .filter(|name| name == "tokenizer.model" || name.ends_with(".tiktoken"))
        .collect();
    names.sort();
    names.into_iter().next()
}

/// Makes a `tokenizer.json`. The special tokens are those of `tokenizer_config.json`; how text is
/// cut into words, the file doesn't say: as Qwen does for its models, as Llama 3 and cl100k do for all
/// others.
pub(super) fn to_json(
    ranks: &[u8],
    settings: &Value,
    model_type: &Value,
) -> Result<Vec<u8>, Error> {
    of_tokens(&parse(ranks)?, settings, model_type)
}

/// The smallest of them: a byte is a token.
pub(super) fn of_bytes() -> Result<Vec<u8>, Error> {
    let tokens: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    of_tokens(&tokens, &Value::Null, &Value::Null)
}

fn of_tokens(tokens: &[Vec<u8>], settings: &Value, model_type: &Value) -> Result<Vec<u8>, Error> {
    let texts: Vec<String> = tokens.iter().map(|bytes| printable(bytes)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ids: HashMap<&str, usize> = texts.iter().enumerate().map(|(id, t)| (*t, id)).collect();
    let merge = |(_, (left, right))| json!([texts[left], texts[right]]);
    let merges: Vec<Value> = splits(&texts, &ids)?.into_iter().map(merge).collect();
    let qwen = model_type
        .as_str()
        .is_some_and(|name| name.starts_with("qwen"));
    let mut cut = pre_tokenizer(if qwen { "qwen2" } else { "llama-bpe" })?;
    // A word that is a token is that token, whatever the cut's own models do.
    cut.ignore_merges = true;
    let json = byte_level(json!(added(settings)?), cut, json!(ids), json!(merges));
    Ok(json.to_string().into_bytes())
}

/// Tokens in the order of their ranks, which must be 0, 1, 2 and so on.
fn parse(ranks: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let wrong = |line: usize| {
        Error::Tokenizer(format!(
            "line {line} of the rank file is not a token in base64 and its rank; a tokenizer.model \
             of SentencePiece must be converted to tokenizer.json, which transformers does on saving"
        ))
    };
    let text = std::str::from_utf8(ranks).map_err(|_| wrong(1))?;
    let mut tokens = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let (token, rank) = line.split_once(' ').ok_or_else(|| wrong(index + 1))?;
        let token = base64::engine::general_purpose::STANDARD.decode(token);
        match (token, rank.trim().parse::<usize>()) {
            (Ok(token), Ok(rank)) if rank == tokens.len() && !token.is_empty() => {
                tokens.push(token)
            }
            _ => return Err(wrong(index + 1)),
        }
    }
    Ok(tokens)
}

/// The characters that byte-level BPE writes bytes as (GPT-2): itself for a printable one, the next
/// free one from U+0100 on for all others.
fn printable(bytes: &[u8]) -> String {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let character = |byte: &u8| match plain(*byte) {
        true => char::from(*byte),
        false => {
            let before = (0..*byte).filter(|b| !plain(*b)).count() as u32;
            char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    };
    bytes.iter().map(character).collect()
}

/// The special tokens of `tokenizer_config.json`.
fn added(settings: &Value) -> Result<Vec<Value>, Error> {
    let tokens = settings["added_tokens_decoder"].as_object();
    let entry = |(id, token): (&String, &Value)| {
        let content = token["content"]
            .as_str()
            .filter(|content| !content.is_empty());
        match (id.parse::<u32>(), content) {
            (Ok(id), Some(content)) => Ok(json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false,
                "special": token["special"].as_bool().unwrap_or(true),
            })),
            _ => Err(Error::Tokenizer(format!(
                "added_tokens_decoder in tokenizer_config.json: {id:?} is no id with a token"
            ))),
        }
    };
    let mut entries = tokens
        .into_iter()
        .flatten()
        .map(entry)
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry["id"].as_u64());
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rank_file_is_refused() {
        for wrong in [
            "\x0a\x0e\x0a",
            "IQ==",
            "IQ== x",
            "IQ== 1",
            "IQ== 0\nIg== 2",
            "=== 0",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(b"IQ== 0\nIg== 1\n").unwrap(), [b"!", b"\""]);
        assert!(parse(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn bytes_are_written_as_gpt_2_does() {
        assert_eq!(printable(b" a\n!"), "\u{120}a\u{10a}!");
        assert_eq!(printable(&[0, 0x7f, 0xad]), "\u{100}\u{121}\u{143}");
    }
}
