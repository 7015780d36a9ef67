//! Tokens that are found in a text as they stand, before anything else is done to it: the part `added_tokens`.

use std::collections::{HashMap, HashSet};

use crate::Error;
use crate::error::malformed;
use crate::normalize::Normalizer;
use crate::spec::AddedSpec;
use crate::unicode::is_word;
use crate::vocab::Vocab;

/// An added token.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) id: u32,
    pub(crate) spec: AddedSpec,
    /// What is looked for, and what the decoder gets: the content, or what the normalizer makes of it.
    text: String,
}

/// A part of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Span {
    Token(u32),
    /// From, to.
    Text(usize, usize),
}

/// All added tokens.
#[derive(Debug, Default)]
pub(crate) struct AddedTokens {
    tokens: Vec<Added>,
    /// Their positions, by content.
    by_content: HashMap<String, usize>,
    /// The same by id.
    by_id: HashMap<u32, usize>,
    special: HashSet<String>,
    /// Looked for in the text as it is given, and in the normalized text.
    plain: Finder,
    normalized: Finder,
}

impl AddedTokens {
    /// Gives each token its id: that of the vocabulary, or the next one after it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a text would be two of them.
    pub(crate) fn new(
        specs: Vec<AddedSpec>,
        vocab: &Vocab,
        normalizer: &Normalizer,
    ) -> Result<Self, Error> {
        let mut added = Self::default();
        let mut next = u32::try_from(vocab.len()).map_err(malformed)?;
        for spec in specs.into_iter().filter(|spec| !spec.content.is_empty()) {
            if spec.special {
                added.special.insert(spec.content.clone());
            }
            let text = match spec.normalized {
                true => normalizer.normalize(&spec.content)?.text.into_owned(),
                false => spec.content.clone(),
            };
            // One that is listed again is as it is listed last.
            if let Some(index) = added.by_content.get(&spec.content) {
                let token = &mut added.tokens[*index];
                (token.spec, token.text) = (spec, text);
                continue;
            }
            let id = vocab.id(&spec.content).unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            added
                .by_content
                .insert(spec.content.clone(), added.tokens.len());
            added.by_id.insert(id, added.tokens.len());
            added.tokens.push(Added { id, spec, text });
        }
        added.plain = Finder::new(&added.tokens, false)?;
        added.normalized = Finder::new(&added.tokens, true)?;
        Ok(added)
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &Added> {
        self.tokens.iter()
    }

    /// The id of a token.
    pub(crate) fn id(&self, content: &str) -> Option<u32> {
        let index = self.by_content.get(content)?;
        Some(self.tokens[*index].id)
    }

    /// The text of an id, as the decoder gets it.
    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        let index = self.by_id.get(&id)?;
        Some(&self.tokens[*index].text)
    }

    /// Whether a text is a special token.
    pub(crate) fn is_special(&self, text: &str) -> bool {
        self.special.contains(text)
    }

    /// The tokens in a text that was given, and what is between them.
    pub(crate) fn plain_spans(&self, text: &str) -> Vec<Span> {
        self.spans(&self.plain, text)
    }

    /// The same for a normalized text.
    pub(crate) fn normalized_spans(&self, text: &str) -> Vec<Span> {
        self.spans(&self.normalized, text)
    }

    fn spans(&self, finder: &Finder, text: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        let (mut at, mut done) = (0, 0);
        while let Some((mut start, found, index)) = finder.next(&self.tokens, text, at) {
            at = found;
            let mut end = found;
            let Added { id, spec, .. } = &self.tokens[index];
            let (before, after) = (&text[..start], &text[end..]);
            let joined = before.chars().next_back().is_some_and(is_word)
                || after.chars().next().is_some_and(is_word);
            if spec.single_word && joined {
                continue;
            }
            if spec.lstrip {
                // What the token before has taken is gone.
                let free = &text[done.min(start)..start];
                start -= free.len() - free.trim_end().len();
            }
            if spec.rstrip {
                end += after.len() - after.trim_start().len();
            }
            if done < start {
                spans.push(Span::Text(done, start));
            }
            spans.push(Span::Token(*id));
            done = end;
        }
        if done < text.len() {
            spans.push(Span::Text(done, text.len()));
        }
        spans
    }
}

/// Finds tokens in a text.
#[derive(Debug, Default)]
struct Finder {
    /// Positions of tokens, in the order of their texts.
    sorted: Vec<usize>,
    /// The bytes that they begin with.
    first: Vec<bool>,
}

impl Finder {
    fn new(tokens: &[Added], normalized: bool) -> Result<Self, Error> {
        let mut sorted: Vec<usize> = (0..tokens.len()).collect();
        sorted.retain(|index| tokens[*index].spec.normalized == normalized);
        sorted.sort_by(|a, b| tokens[*a].text.cmp(&tokens[*b].text));
        let mut first = vec![false; 256];
        for index in &sorted {
            let byte = tokens[*index].text.as_bytes().first();
            let byte =
                byte.ok_or_else(|| malformed("the normalizer leaves nothing of an added token"))?;
            first[usize::from(*byte)] = true;
        }
        let same = |pair: &&[usize]| tokens[pair[0]].text == tokens[pair[1]].text;
        match sorted.windows(2).find(same) {
            Some(pair) => {
                let [a, b] = [pair[0], pair[1]].map(|index| &tokens[index].spec.content);
                Err(malformed(format!(
                    "the added tokens {a:?} and {b:?} are the same after the normalizer"
                )))
            }
            None => Ok(Self { sorted, first }),
        }
    }

    /// The first token from a place on, and the longest one there: its start, its end, its position.
    fn next(&self, tokens: &[Added], text: &str, from: usize) -> Option<(usize, usize, usize)> {
        if self.sorted.is_empty() {
            return None;
        }
        let bytes = text.as_bytes();
        (from..bytes.len())
            .filter(|at| self.first[usize::from(bytes[*at])])
            .find_map(|at| {
                let (length, index) = self.longest(tokens, &bytes[at..])?;
                Some((at, at + length, index))
            })
    }

    /// The longest token that a text begins with.
    fn longest(&self, tokens: &[Added], text: &[u8]) -> Option<(usize, usize)> {
        let mut candidates = &self.sorted[..];
        let mut found = None;
        for (depth, byte) in text.iter().enumerate() {
            let at = |index: &usize| tokens[*index].text.as_bytes().get(depth).copied();
            let low = candidates.partition_point(|index| at(index) < Some(*byte));
            let high = candidates.partition_point(|index| at(index) <= Some(*byte));
            candidates = &candidates[low..high];
            // The one that ends here is the first of those that go on.
            let Some(first) = candidates.first().copied() else {
                break;
            };
            if tokens[first].text.len() == depth + 1 {
                found = Some((depth + 1, first));
            }
            if candidates.len() == usize::from(found.is_some_and(|(length, _)| length == depth + 1))
            {
                break;
            }
        }
        found
    }
}
