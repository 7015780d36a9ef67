//! `tokenizer.json` as it is written, read without a copy of each of its hundred thousands of texts.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use crate::vocab::Vocab;

/// The whole file.
#[derive(Deserialize)]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) added_tokens: Vec<AddedSpec>,
    #[serde(default)]
    pub(crate) normalizer: Value,
    #[serde(default)]
    pub(crate) pre_tokenizer: Value,
    #[serde(default)]
    pub(crate) post_processor: Value,
    #[serde(default)]
    pub(crate) decoder: Value,
    pub(crate) model: ModelSpec,
}

/// An entry of `added_tokens`. Its id is that of the vocabulary, or the next one that is free.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct AddedSpec {
    pub(crate) content: String,
    pub(crate) single_word: bool,
    pub(crate) lstrip: bool,
    pub(crate) rstrip: bool,
    pub(crate) normalized: bool,
    pub(crate) special: bool,
}

/// The part `model`, if it is BPE.
#[derive(Deserialize)]
pub(crate) struct ModelSpec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) dropout: Option<f32>,
    #[serde(default)]
    pub(crate) unk_token: Option<String>,
    #[serde(default)]
    pub(crate) continuing_subword_prefix: Option<String>,
    #[serde(default)]
    pub(crate) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(crate) fuse_unk: Option<bool>,
    #[serde(default)]
    pub(crate) byte_fallback: Option<bool>,
    #[serde(default)]
    pub(crate) ignore_merges: Option<bool>,
    pub(crate) vocab: VocabSpec,
    #[serde(default)]
    pub(crate) merges: Option<Merges>,
}

/// The part `vocab`.
#[derive(Default)]
pub(crate) struct VocabSpec {
    pub(crate) vocab: Vocab,
    /// Whether it is a list, which other models have.
    pub(crate) is_list: bool,
}

impl<'de> Deserialize<'de> for VocabSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabVisitor)
    }
}

struct VocabVisitor;

impl<'de> Visitor<'de> for VocabVisitor {
    type Value = VocabSpec;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("tokens and their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabSpec, A::Error> {
        let mut vocab = Vocab::default();
        while map.next_key_seed(Append(vocab.text()))?.is_some() {
            vocab.push(map.next_value()?).map_err(A::Error::custom)?;
        }
        vocab.finish();
        Ok(VocabSpec {
            vocab,
            is_list: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VocabSpec, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(VocabSpec {
            is_list: true,
            ..VocabSpec::default()
        })
    }
}

/// Appends a text to others.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a token")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}

/// The part `merges`: pairs of tokens, in the order of their ranks.
#[derive(Default)]
pub(crate) struct Merges {
    /// Both tokens of all pairs.
    text: String,
    /// Where the first token of a pair ends, and where the second does.
    ends: Vec<(usize, usize)>,
}

impl Merges {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The tokens of each pair, and both as one text.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|ends| ends.1));
        self.ends.iter().zip(starts).map(|((middle, end), start)| {
            (
                &self.text[start..*middle],
                &self.text[*middle..*end],
                &self.text[start..*end],
            )
        })
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MergesVisitor)
    }
}

struct MergesVisitor;

impl<'de> Visitor<'de> for MergesVisitor {
    type Value = Merges;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("pairs of tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merges, A::Error> {
        let mut merges = Merges::default();
        while list.next_element_seed(Pair(&mut merges))?.is_some() {}
        Ok(merges)
    }
}

/// Appends a pair: two texts in a list, or one with a space between them.
struct Pair<'a>(&'a mut Merges);

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("two tokens")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.starts_with("#version") {
            return Ok(());
        }
        let tokens = text
            .split_once(' ')
            .filter(|(_, right)| !right.contains(' '));
        let (left, right) =
            tokens.ok_or_else(|| E::custom(format!("{text:?} is no pair of tokens")))?;
        self.0.text.push_str(left);
        let middle = self.0.text.len();
        self.0.text.push_str(right);
        self.0.ends.push((middle, self.0.text.len()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let text = &mut self.0.text;
        let left = list.next_element_seed(Append(text))?;
        let middle = text.len();
        let right = list.next_element_seed(Append(text))?;
        if left.and(right).is_none() || list.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a merge is no pair of tokens"));
        }
        self.0.ends.push((middle, text.len()));
        Ok(())
    }
}
