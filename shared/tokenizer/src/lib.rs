//! Tokenizers of the models that people run as decoders: BPE as Hugging Face's `tokenizer.json` writes it down, with bytes in
//! GPT-2's alphabet or with SentencePiece's marks for spaces.
//!
//! Texts become the tokens that Hugging Face's `tokenizers` makes of them, and tokens the texts. What is different: there is no
//! engine for regular expressions but one for those few that cut text into words ([`Error::Unsupported`] names any other); a
//! file's `truncation` and `padding` are not looked at, as the callers of that library switch them off; and nothing panics.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod added;
mod alphabet;
mod bpe;
mod cut;
mod decode;
mod error;
mod normalize;
mod part;
mod pattern;
mod spec;
mod template;
mod unicode;
mod vocab;

use added::{AddedTokens, Span};
use bpe::{Bpe, Scratch};
use cut::Cutter;
use decode::Decoder;
use normalize::Normalizer;
use part::Part;
use serde_json::Value;
use spec::Spec;
use template::Template;

pub use error::Error;

/// Text to token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    added: AddedTokens,
    normalizer: Normalizer,
    cutter: Cutter,
    bpe: Bpe,
    template: Template,
    decoder: Decoder,
    /// The part `decoder` as it is written.
    decoder_value: Value,
}

/// A token of the list `added_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedToken<'a> {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub content: &'a str,
    /// Whether it is markup, not text.
    pub special: bool,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let spec: Spec = serde_json::from_slice(bytes).map_err(error::malformed)?;
        let (kind, merges) = (spec.model.kind.as_deref(), &spec.model.merges);
        match kind {
            Some("BPE") if merges.is_none() => return Err(error::malformed("it has no merges")),
            Some("BPE") => {}
            // Old files do not say what they are.
            None if merges.is_some() => {}
            other => {
                let other = other.unwrap_or("without a type");
                return Err(error::unsupported("the model", other));
            }
        }
        if spec.model.vocab.is_list {
            return Err(error::malformed("the vocabulary is a list"));
        }
        let part = |what, value| Part { what, value };
        let normalizer = Normalizer::new(part("the normalizer", &spec.normalizer))?;
        let bpe = Bpe::new(spec.model)?;
        Ok(Self {
            added: AddedTokens::new(spec.added_tokens, bpe.vocab(), &normalizer)?,
            normalizer,
            cutter: Cutter::new(part("the pre_tokenizer", &spec.pre_tokenizer))?,
            bpe,
            template: Template::new(part("the post_processor", &spec.post_processor))?,
            decoder: Decoder::new(part("the decoder", &spec.decoder))?,
            decoder_value: spec.decoder,
        })
    }

    /// Token ids of a text. Added tokens that are written out in it become those tokens. `around` puts the tokens of the
    /// file's template around it.
    ///
    /// # Errors
    /// [`Error::Slow`]; [`Error::Malformed`] for a character that no token stands for in a file that says which one should.
    pub fn encode(&self, text: &str, around: bool) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut scratch = Scratch::default();
        for span in self.added.plain_spans(text) {
            let (start, end) = match span {
                Span::Token(id) => {
                    ids.push(id);
                    continue;
                }
                Span::Text(start, end) => (start, end),
            };
            let normalized = self.normalizer.normalize(&text[start..end])?;
            let mut first = start == 0 && normalized.whole;
            for span in self.added.normalized_spans(&normalized.text) {
                match span {
                    Span::Token(id) => ids.push(id),
                    Span::Text(start, end) => {
                        self.cutter
                            .cut(&normalized.text[start..end], first, |word| {
                                self.bpe.encode(word, &mut scratch, &mut ids)
                            })?;
                    }
                }
                first = false;
            }
        }
        Ok(self.template.around(ids, around))
    }

    /// Text of token ids; those that are no tokens are left out. Bytes that form no character become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Slow`].
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        let tokens = ids.iter().filter_map(|id| self.token(*id));
        let tokens = tokens.filter(|token| !skip_special || !self.added.is_special(token));
        self.decoder.decode(tokens)
    }

    /// Tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        let vocab = self.bpe.vocab();
        let beyond = self
            .added
            .each()
            .filter(|token| vocab.id(&token.spec.content).is_none());
        vocab.len() + beyond.count()
    }

    /// The id of a token, written as it stands in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.bpe.vocab().id(token))
    }

    /// A token as it stands in the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.added.token(id).or_else(|| self.bpe.vocab().token(id))
    }

    /// Whether a text is a special token.
    pub fn is_special(&self, token: &str) -> bool {
        self.added.is_special(token)
    }

    /// The list `added_tokens`.
    pub fn added_tokens(&self) -> impl Iterator<Item = AddedToken<'_>> {
        self.added.each().map(|token| AddedToken {
            id: token.id,
            content: &token.spec.content,
            special: token.spec.special,
        })
    }

    /// How the file makes text of tokens: its part `decoder`, null if it has none.
    pub fn decoder(&self) -> &Value {
        &self.decoder_value
    }
}
