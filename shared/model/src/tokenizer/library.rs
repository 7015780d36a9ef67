//! Hugging Face's library, for the tokenizers that are none of ours: Unigram, WordPiece, patterns that nobody else uses.

use serde_json::Value;
use tokenizers::normalizers::Precompiled;

use crate::Error;
use crate::guard::guard;

/// A tokenizer of the library.
pub(super) struct Library(tokenizers::Tokenizer);

impl Library {
    /// Reads a `tokenizer.json`.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        check_json(bytes)?;
        guard(Error::Tokenizer, || {
            let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(failed)?;
            Ok(Self(inner))
        })
    }

    pub(super) fn encode(&self, text: &str, around: bool) -> Result<Vec<u32>, Error> {
        guard(Error::Tokenizer, || {
            let encoding = self.0.encode_fast(text, around).map_err(failed)?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    pub(super) fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        guard(Error::Tokenizer, || {
            self.0.decode(ids, skip_special).map_err(failed)
        })
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    pub(super) fn is_special(&self, token: &str) -> bool {
        self.0.get_added_vocabulary().is_special_token(token)
    }

    pub(super) fn added_tokens(&self) -> Vec<(u32, String, bool)> {
        let added = self.0.get_added_tokens_decoder().into_iter();
        added
            .map(|(id, token)| (id, token.content, token.special))
            .collect()
    }

    pub(super) fn decoder(&self) -> Result<Value, Error> {
        let decoder = serde_json::to_value(self.0.get_decoder());
        decoder.map_err(|error| Error::Tokenizer(error.to_string()))
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    pub(super) fn token(&self, id: u32) -> Option<String> {
        self.0.id_to_token(id)
    }
}

/// Lists and objects in each other; real files have six.
const MAX_DEPTH: usize = 32;

/// That a file is JSON, not too deep, and has no broken tables: `tokenizers` panics at those.
fn check_json(bytes: &[u8]) -> Result<(), Error> {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if deepest > MAX_DEPTH {
        return Err(Error::Tokenizer(format!(
            "tokenizer.json is {deepest} levels deep"
        )));
    }
    #[derive(serde::Deserialize)]
    struct Parts {
        normalizer: Option<Value>,
    }
    let wrong = |e: serde_json::Error| Error::Tokenizer(format!("tokenizer.json: {e}"));
    let parts: Parts = serde_json::from_slice(bytes).map_err(wrong)?;
    check_precompiled(&parts.normalizer.unwrap_or_default()).map_err(wrong)
}

/// That SentencePiece's tables in a normalizer are such.
fn check_precompiled(normalizer: &Value) -> Result<(), serde_json::Error> {
    if normalizer["type"] == "Precompiled" {
        // From text, as `tokenizers` does it.
        serde_json::from_str::<Precompiled>(&normalizer.to_string())?;
    }
    let mut inner = normalizer["normalizers"].as_array().into_iter().flatten();
    inner.try_for_each(check_precompiled)
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}
