//! `tokenizer.json`, and text that streams out of it without broken characters.

use serde_json::Value;
use tokenizers::normalizers::Precompiled;

use crate::Error;
use crate::guard::guard;

/// Text to token ids and back, as Hugging Face's `tokenizer.json` says.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when it does not parse.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        check_json(bytes)?;
        guard(Error::Tokenizer, || {
            let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(failed)?;
            Ok(Self { inner })
        })
    }

    /// Token ids of `text`. Special tokens written out in the text become those tokens; none are
    /// added, because the chat template writes them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the text cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_as(text, false)
    }

    /// Token ids of a text by itself, with the special tokens that `tokenizer.json` puts around it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the text cannot be encoded.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_as(text, true)
    }

    fn encode_as(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        guard(Error::Tokenizer, || {
            let encoding = self.inner.encode_fast(text, special).map_err(failed)?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    /// Text of `ids` without special tokens. Bytes that form no character become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        guard(Error::Tokenizer, || {
            self.inner.decode(ids, true).map_err(failed)
        })
    }

    /// As [`Tokenizer::decode`], but with the special tokens that are `shown`.
    fn decode_showing(&self, ids: &[u32], shown: &[u32]) -> Result<String, Error> {
        if shown.is_empty() {
            return self.decode(ids);
        }
        let is_special = |id: u32| {
            let known = self.inner.get_added_vocabulary();
            known.is_special_token(&self.token(id))
        };
        let ids = ids.iter().copied();
        let ids: Vec<u32> = ids
            .filter(|id| shown.contains(id) || !is_special(*id))
            .collect();
        guard(Error::Tokenizer, || {
            self.inner.decode(&ids, false).map_err(failed)
        })
    }

    /// Tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The special tokens, as text.
    pub(crate) fn special_tokens(&self) -> Vec<String> {
        let added = self.inner.get_added_tokens_decoder();
        added
            .into_values()
            .filter(|token| token.special)
            .map(|token| token.content)
            .collect()
    }

    /// The tokens that stand in `added_tokens`: id, text, and whether they are special, so that no text of theirs is ever
    /// given out.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn added_tokens(&self) -> Vec<(u32, String, bool)> {
        let added = self.inner.get_added_tokens_decoder().into_iter();
        added
            .map(|(id, token)| (id, token.content, token.special))
            .collect()
    }

    /// How `tokenizer.json` makes text of tokens: its part `decoder`, null if it has none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if that cannot be written as JSON.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn decoder(&self) -> Result<Value, Error> {
        let decoder = serde_json::to_value(self.inner.get_decoder());
        decoder.map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// Id of a token written as it stands in the vocabulary, such as `<|end|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token as it stands in the vocabulary; the empty string for an unknown id.
    pub fn token(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_default()
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

/// Turns a stream of ids into a stream of text that never ends inside a UTF-8 character.
///
/// Decoding one id alone is wrong for tokenizers whose decoder looks at neighbours (leading
/// spaces, bytes of one character), so a short window is decoded twice, without and with the
/// newest ids, and the difference is new text.
#[derive(Default)]
pub struct Detokenizer {
    window: Vec<u32>,
    /// How much of the window has been given out.
    read: usize,
    /// Special tokens whose text is given out.
    shown: Vec<u32>,
}

impl Detokenizer {
    /// One that gives out the text of these special tokens too.
    pub fn showing(shown: &[u32]) -> Self {
        Self {
            shown: shown.to_vec(),
            ..Self::default()
        }
    }

    /// Adds one id and returns the text that became certain; empty inside a character.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn push(&mut self, id: u32, tokenizer: &Tokenizer) -> Result<String, Error> {
        self.window.push(id);
        let given = tokenizer.decode_showing(&self.window[..self.read], &self.shown)?;
        let all = tokenizer.decode_showing(&self.window, &self.shown)?;
        if all.len() <= given.len() || all.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let Some(new) = all.get(given.len()..) else {
            return Ok(String::new());
        };
        let new = new.to_owned();
        self.window.drain(..self.read);
        self.read = self.window.len();
        Ok(new)
    }

    /// The text still held back, with U+FFFD for an incomplete character.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, Error> {
        let given = tokenizer.decode_showing(&self.window[..self.read], &self.shown)?;
        let all = tokenizer.decode_showing(&self.window, &self.shown)?;
        self.window.clear();
        self.read = 0;
        Ok(all.get(given.len()..).unwrap_or_default().to_owned())
    }
}
