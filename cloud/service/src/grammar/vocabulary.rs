//! The bytes that each token of a model stands for.

use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use serde_json::Value;
use sprat_model::{Model, Tokenizer};
use std::collections::HashMap;
use std::sync::Arc;

/// Longer tokens are never used: the trie has no room for them.
const MAX_BYTES: usize = 512;

/// A step from tokens to text, one of those that `tokenizer.json` lists under `decoder`.
#[derive(Debug, PartialEq)]
enum Step {
    /// Every character stands for a byte: GPT-2's alphabet.
    ByteLevel,
    /// `<0x0A>` stands for a byte.
    ByteFallback,
    /// One text stands for another.
    Replace(String, String),
}

/// What tokens stand for. Which spaces are dropped at a text's beginning is not its affair.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    words: Vec<Vec<u8>>,
}

impl Vocabulary {
    /// That of a tokenizer for a model of `size` tokens; none for one whose tokens are not made of bytes or of plain text.
    pub(crate) fn new(tokenizer: &Tokenizer, size: usize) -> Option<Self> {
        let mut steps = Vec::new();
        read(&tokenizer.decoder().ok()?, &mut steps)?;
        let tokens = (0..size).map(|id| u32::try_from(id).map(|id| tokenizer.token(id)));
        let words = tokens.map(|token| bytes(&token.unwrap_or_default(), &steps));
        let mut words: Vec<_> = words.collect();
        for (id, text, special) in tokenizer.added_tokens() {
            if let Some(word) = words.get_mut(id as usize).filter(|_| special) {
                *word = [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat();
            }
        }
        Some(Self { words })
    }

    /// That of a model.
    pub(crate) fn of(model: &Model) -> Option<Self> {
        Self::new(model.tokenizer(), model.config().vocab_size)
    }

    /// The special tokens, by their text.
    pub(crate) fn special(&self) -> HashMap<String, u32> {
        let all = (0u32..).zip(&self.words);
        let special = all.filter_map(|(id, word)| match word.split_first() {
            Some((&TokTrie::SPECIAL_TOKEN_MARKER, text)) => {
                Some((String::from_utf8_lossy(text).into_owned(), id))
            }
            _ => None,
        });
        special.collect()
    }

    /// Whether all that JSON must have can be written.
    pub(crate) fn has_json(&self) -> bool {
        let mut found = [false; 256];
        for word in &self.words {
            if let [byte] = word[..] {
                found[usize::from(byte)] = true;
            }
        }
        (b' '..=b'~').all(|byte| found[usize::from(byte)])
    }

    /// The bytes of a token; a special one's begin with 255, which no text has.
    #[cfg(test)]
    fn bytes(&self, id: u32) -> &[u8] {
        &self.words[id as usize]
    }

    /// The same as a tree of bytes, which knows the tokens that end an answer.
    pub(crate) fn environment(mut self, end_ids: &[u32]) -> TokEnv {
        let mut ends: Vec<u32> = end_ids.to_vec();
        ends.retain(|id| (*id as usize) < self.words.len());
        if ends.is_empty() {
            // The library wants one. The model has no such token, so that it is never drawn.
            ends.push(self.words.len() as u32);
            self.words.push(vec![TokTrie::SPECIAL_TOKEN_MARKER]);
        }
        let info = TokRxInfo::new(self.words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &self.words).with_eos_tokens(&ends);
        // How the tokenizer itself would cut a text does not matter: every way to write it is let through.
        Arc::new(ApproximateTokEnv::new(trie))
    }
}

/// Adds a decoder's steps; none if there is one that is not known.
fn read(decoder: &Value, steps: &mut Vec<Step>) -> Option<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match decoder["type"].as_str()? {
        "Sequence" => {
            let mut inner = decoder["decoders"].as_array()?.iter();
            inner.try_for_each(|decoder| read(decoder, steps))?;
        }
        "ByteLevel" => steps.push(Step::ByteLevel),
        "ByteFallback" => steps.push(Step::ByteFallback),
        "Metaspace" => {
            let space = text(&decoder["replacement"])?;
            steps.push(Step::Replace(space, " ".to_owned()));
        }
        "Replace" => {
            let pattern = text(&decoder["pattern"]["String"])?;
            steps.push(Step::Replace(pattern, text(&decoder["content"])?));
        }
        // They look at a text's beginning and end only.
        "Fuse" | "Strip" => {}
        _ => return None,
    }
    Some(())
}

/// What one token adds to a text.
fn bytes(token: &str, steps: &[Step]) -> Vec<u8> {
    let mut text = token.to_owned();
    for step in steps {
        match step {
            Step::ByteLevel => {
                let bytes: Option<Vec<u8>> = text.chars().map(byte_of).collect();
                return fitting(bytes.unwrap_or_else(|| text.into_bytes()));
            }
            Step::ByteFallback => {
                let hex = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
                let hex = hex.filter(|hex| hex.len() == 2);
                if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    return fitting(vec![byte]);
                }
            }
            Step::Replace(pattern, content) => text = text.replace(&**pattern, content),
        }
    }
    fitting(text.into_bytes())
}

/// No bytes, which are never drawn, where the tree has no place for a token.
fn fitting(bytes: Vec<u8>) -> Vec<u8> {
    let marked = bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER);
    match marked || bytes.len() > MAX_BYTES {
        true => Vec::new(),
        false => bytes,
    }
}

/// The byte that a character stands for in GPT-2's alphabet: printable ones for themselves, the others for what follows
/// 255 in their order.
fn byte_of(c: char) -> Option<u8> {
    let plain = |c: char| matches!(c, '!'..='~' | '¡'..='¬' | '®'..='ÿ');
    if plain(c) {
        return u8::try_from(c).ok();
    }
    let rank = (c as usize).checked_sub(256)?;
    (0..=255).filter(|byte| !plain(char::from(*byte))).nth(rank)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str) -> Tokenizer {
        let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap()
    }

    fn joined(tokenizer: &Tokenizer, text: &str) -> (Vec<u8>, String) {
        let vocabulary = Vocabulary::new(tokenizer, tokenizer.vocab_size()).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        let bytes = ids.iter().map(|id| vocabulary.bytes(*id));
        (
            bytes.collect::<Vec<_>>().concat(),
            tokenizer.decode(&ids).unwrap(),
        )
    }

    #[test]
    fn special_tokens_are_marked() {
        for (tokenizer, id, text) in [
            (file("web/models/sprat-tiny/tokenizer.json"), 2, "<|end|>"),
            (
                file("tests/goldens/tokenizer/unigram/tokenizer.json"),
                2,
                "</s>",
            ),
        ] {
            let vocabulary = Vocabulary::new(&tokenizer, 5000).unwrap();
            assert_eq!(vocabulary.bytes(id), [b"\xff", text.as_bytes()].concat());
            assert_eq!(vocabulary.bytes(4999), b"");
            assert!(vocabulary.has_json());
        }
    }

    #[test]
    fn tokens_of_words_are_not_bytes() {
        let wordpiece = file("tests/goldens/tokenizer/wordpiece/tokenizer.json");
        assert!(Vocabulary::new(&wordpiece, 10).is_none());
    }

    #[test]
    fn all_bytes_have_a_character() {
        let chars = (0..0x180).filter_map(char::from_u32);
        let mut bytes: Vec<u8> = chars.filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<_>>());
        assert_eq!(
            [byte_of('Ġ'), byte_of('Ċ'), byte_of('界')],
            [Some(b' '), Some(b'\n'), None]
        );
    }

    proptest! {
        /// Byte by byte what the tokenizer's own decoder says.
        #[test]
        fn tokens_put_together_are_the_text(text in "[ -~äé界🙂\n\t]{0,40}") {
            let tokenizer = file("web/models/sprat-tiny/tokenizer.json");
            let (bytes, decoded) = joined(&tokenizer, &text);
            prop_assert_eq!(&bytes, text.as_bytes());
            prop_assert_eq!(decoded, text);
        }

        /// The same of pieces of text with a mark for spaces, where the decoder takes off the space that the tokenizer has
        /// put in front. They know few characters; the others are bytes.
        #[test]
        fn pieces_put_together_are_the_text(text in "[a-z0-9{}\":,é界🙂 ]{0,40}[a-z]") {
            for kind in ["bpe-fallback", "unigram"] {
                let tokenizer = file(&format!("tests/goldens/tokenizer/{kind}/tokenizer.json"));
                let (bytes, decoded) = joined(&tokenizer, &text);
                let bytes = String::from_utf8(bytes).unwrap();
                prop_assert_eq!(bytes.strip_prefix(' '), Some(&*decoded), "{}", kind);
            }
        }
    }
}
