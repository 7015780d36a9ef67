//! `tokenizer.json` of a GGUF file's vocabulary.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::bpe::{byte_level, pre_tokenizer, splits};
use crate::Error;
use crate::config::unsupported;
use crate::gguf::{GgufError, Metadata};

/// llama.cpp's numbers for kinds of tokens.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: Vec<&'a str>,
    kinds: Vec<u64>,
}

/// Makes a `tokenizer.json` that encodes as llama.cpp does.
pub(super) fn to_json(metadata: &Metadata) -> Result<Vec<u8>, Error> {
    let tokens = metadata.strings("tokenizer.ggml.tokens")?;
    let kinds = metadata.optional("tokenizer.ggml.token_type", Metadata::u64s)?;
    let kinds = kinds.unwrap_or_else(|| vec![1; tokens.len()]);
    if kinds.len() != tokens.len() {
        return Err(Error::Tokenizer(format!(
            "tokenizer.ggml.token_type has {} entries for {} tokens",
            kinds.len(),
            tokens.len()
        )));
    }
    let vocabulary = Vocabulary {
        metadata,
        tokens,
        kinds,
    };
    let json = match metadata.str("tokenizer.ggml.model")? {
        "gpt2" => vocabulary.byte_level()?,
        "llama" => vocabulary.sentencepiece()?,
        other => {
            let key = "tokenizer.ggml.model";
            return Err(unsupported(key, &other.into(), "gpt2, llama"));
        }
    };
    Ok(json.to_string().into_bytes())
}

impl Vocabulary<'_> {
    fn ids(&self) -> HashMap<&str, usize> {
        let ids = self.tokens.iter().enumerate();
        ids.map(|(id, token)| (*token, id)).collect()
    }

    /// Tokens that are found in text as they stand, before anything else.
    fn added(&self) -> Value {
        let added = self.tokens.iter().zip(&self.kinds).enumerate();
        let added = added.filter(|(_, (_, kind))| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind));
        let entry = |(id, (token, kind)): (usize, (&&str, &u64))| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": *kind != USER_DEFINED,
            })
        };
        added.map(entry).collect()
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, GgufError> {
        Ok(self
            .metadata
            .optional(key, Metadata::bool)?
            .unwrap_or(default))
    }

    /// Byte-level BPE with its merges in the file.
    fn byte_level(&self) -> Result<Value, Error> {
        let merges = self.metadata.strings("tokenizer.ggml.merges")?;
        let kind = self
            .metadata
            .optional("tokenizer.ggml.pre", Metadata::str)?;
        let kind = kind.unwrap_or("default");
        Ok(byte_level(
            self.added(),
            pre_tokenizer(kind)?,
            json!(self.ids()),
            json!(merges),
        ))
    }

    /// SentencePiece's BPE: pieces with scores, spaces as U+2581, bytes for what is unknown. Two
    /// neighbours merge when they form a piece, the best piece first; as merges, that is every way
    /// to split a piece into two, in the order of scores.
    fn sentencepiece(&self) -> Result<Value, Error> {
        let scores = self.metadata.f32s("tokenizer.ggml.scores")?;
        if scores.len() != self.tokens.len() {
            return Err(Error::Tokenizer(format!(
                "tokenizer.ggml.scores has {} entries for {} tokens",
                scores.len(),
                self.tokens.len()
            )));
        }
        let ids = self.ids();
        let mut merges = splits(&self.tokens, &ids)?;
        merges.sort_by(|(a, _), (b, _)| scores[*b].total_cmp(&scores[*a]));
        let merge = |(_, (left, right)): (usize, (usize, usize))| {
            json!([self.tokens[left], self.tokens[right]])
        };
        let merges: Vec<Value> = merges.into_iter().map(merge).collect();
        let unknown = self.kinds.iter().position(|kind| *kind == UNKNOWN);
        let prefix = self.flag("tokenizer.ggml.add_space_prefix", true)?;
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let (normalizer, strip) = match prefix {
            true => (
                json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}),
                1,
            ),
            false => (spaces, 0),
        };
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": self.added(),
            "normalizer": normalizer,
            "pre_tokenizer": null,
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": strip, "stop": 0},
            ]},
            "model": {
                "type": "BPE", "dropout": null,
                "unk_token": unknown.map(|id| self.tokens[id]),
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": ids, "merges": merges,
            },
        }))
    }
}
