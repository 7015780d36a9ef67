//! `tokenizer.json`: ours, and natively the library's for what ours does not read.

mod detokenizer;
#[cfg(feature = "all-tokenizers")]
mod library;

#[cfg(not(target_arch = "wasm32"))]
use serde_json::Value;

use crate::Error;

pub use detokenizer::Detokenizer;

/// Text to token ids and back, as Hugging Face's `tokenizer.json` says.
pub struct Tokenizer {
    engine: Engine,
}

enum Engine {
    Ours(Box<sprat_tokenizer::Tokenizer>),
    #[cfg(feature = "all-tokenizers")]
    Library(Box<library::Library>),
}

/// The same for whichever it is.
macro_rules! either {
    ($self:ident, $ours:ident => $one:expr, $library:ident => $other:expr) => {
        match &$self.engine {
            Engine::Ours($ours) => $one,
            #[cfg(feature = "all-tokenizers")]
            Engine::Library($library) => $other,
        }
    };
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when it is damaged; [`Error::TokenizerUnsupported`] where only the library could read it, and
    /// is not there.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let engine = match sprat_tokenizer::Tokenizer::from_json(bytes) {
            Ok(ours) => Engine::Ours(Box::new(ours)),
            #[cfg(feature = "all-tokenizers")]
            Err(sprat_tokenizer::Error::Unsupported { .. }) => {
                Engine::Library(Box::new(library::Library::from_json(bytes)?))
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { engine })
    }

    /// That a page can read a `tokenizer.json`, which has no library for it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::TokenizerUnsupported`] with what a page cannot do.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check_page(bytes: &[u8]) -> Result<(), Error> {
        let read = sprat_tokenizer::Tokenizer::from_json(bytes);
        read.map(drop).map_err(failed)
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

    fn encode_as(&self, text: &str, around: bool) -> Result<Vec<u32>, Error> {
        either!(self,
            ours => ours.encode(text, around).map_err(failed),
            library => library.encode(text, around))
    }

    /// Text of `ids` without special tokens. Bytes that form no character become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the decoder refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.decode_as(ids, true)
    }

    fn decode_as(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        either!(self,
            ours => ours.decode(ids, skip_special).map_err(failed),
            library => library.decode(ids, skip_special))
    }

    /// As [`Tokenizer::decode`], but with the special tokens that are `shown`.
    fn decode_showing(&self, ids: &[u32], shown: &[u32]) -> Result<String, Error> {
        if shown.is_empty() {
            return self.decode(ids);
        }
        let is_special = |id: u32| {
            let token = self.token(id);
            either!(self, ours => ours.is_special(&token), library => library.is_special(&token))
        };
        let ids = ids.iter().copied();
        let ids: Vec<u32> = ids
            .filter(|id| shown.contains(id) || !is_special(*id))
            .collect();
        self.decode_as(&ids, false)
    }

    /// Tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        either!(self, ours => ours.vocab_size(), library => library.vocab_size())
    }

    /// The special tokens, as text.
    pub(crate) fn special_tokens(&self) -> Vec<String> {
        let added = self.added_tokens().into_iter();
        added
            .filter_map(|(_, text, special)| special.then_some(text))
            .collect()
    }

    /// The tokens that stand in `added_tokens`: id, text, and whether they are special, so that no text of theirs is ever
    /// given out.
    pub fn added_tokens(&self) -> Vec<(u32, String, bool)> {
        either!(self,
            ours => {
                let added = ours.added_tokens();
                added.map(|token| (token.id, token.content.to_owned(), token.special)).collect()
            },
            library => library.added_tokens())
    }

    /// How `tokenizer.json` makes text of tokens: its part `decoder`, null if it has none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if that cannot be written as JSON.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn decoder(&self) -> Result<Value, Error> {
        either!(self, ours => Ok(ours.decoder().clone()), library => library.decoder())
    }

    /// Id of a token written as it stands in the vocabulary, such as `<|end|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        either!(self, ours => ours.id(token), library => library.id(token))
    }

    /// A token as it stands in the vocabulary; the empty string for an unknown id.
    pub fn token(&self, id: u32) -> String {
        let token = either!(self,
            ours => ours.token(id).map(str::to_owned),
            library => library.token(id));
        token.unwrap_or_default()
    }
}

fn failed(error: sprat_tokenizer::Error) -> Error {
    match error {
        sprat_tokenizer::Error::Unsupported { what, value } => {
            Error::TokenizerUnsupported { what, value }
        }
        other => Error::Tokenizer(other.to_string()),
    }
}
