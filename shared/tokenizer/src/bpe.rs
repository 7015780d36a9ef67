//! Byte-pair encoding: neighbours merge, the pair of the lowest rank first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::Error;
use crate::error::{malformed, unsupported};
use crate::spec::{Merges, ModelSpec};
use crate::vocab::{Vocab, mix};

/// Characters whose tokens are kept in a table: those of GPT-2's alphabet.
const DIRECT: usize = 512;
/// No symbol.
const NONE: u32 = u32::MAX;

/// A BPE model.
#[derive(Debug)]
pub(crate) struct Bpe {
    vocab: Vocab,
    /// Ranks of pairs.
    ranks: HashMap<u64, u32, BuildHasherDefault<PairHasher>>,
    /// What the pair of a rank becomes.
    merged: Vec<u32>,
    /// Tokens of the first characters.
    direct: Vec<Option<u32>>,
    /// Tokens of the bytes, if what has no token is written in bytes.
    bytes: Option<Vec<Option<u32>>>,
    unknown: Unknown,
    fuse_unknown: bool,
    ignore_merges: bool,
}

/// What becomes of a character without a token.
#[derive(Debug)]
enum Unknown {
    /// It is left out.
    Nothing,
    Token(u32),
    /// It would be this, which the vocabulary does not have.
    Missing(String),
}

/// What a word is made of on the way to its tokens; memory that is used again for the next word.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<u64>>,
}

/// A token of a word, between its neighbours.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    before: u32,
    after: u32,
    /// Whether it has become part of the one before.
    gone: bool,
}

impl Bpe {
    /// The model that a file describes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what is no plain BPE, [`Error::Malformed`] for merges of what are no tokens.
    pub(crate) fn new(spec: ModelSpec) -> Result<Self, Error> {
        if spec.dropout.is_some_and(|share| share != 0.0) {
            return Err(unsupported("the model", "with dropout"));
        }
        for (what, affix) in [
            ("continuing_subword_prefix", spec.continuing_subword_prefix),
            ("end_of_word_suffix", spec.end_of_word_suffix),
        ] {
            if let Some(affix) = affix.filter(|affix| !affix.is_empty()) {
                return Err(unsupported(what, affix));
            }
        }
        let (vocab, merges) = (spec.vocab.vocab, spec.merges.unwrap_or_default());
        let (ranks, merged) = ranks(&vocab, &merges)?;
        let direct = (0..DIRECT as u32).map(|code| {
            let character = char::from_u32(code)?;
            vocab.id(character.encode_utf8(&mut [0; 4]))
        });
        let direct = direct.collect();
        let byte = |byte: u8| vocab.id(&format!("<0x{byte:02X}>"));
        let bytes = spec.byte_fallback.unwrap_or_default();
        let bytes = bytes.then(|| (0..=u8::MAX).map(byte).collect());
        let unknown = match spec.unk_token {
            None => Unknown::Nothing,
            Some(token) => match vocab.id(&token) {
                Some(id) => Unknown::Token(id),
                None => Unknown::Missing(token),
            },
        };
        Ok(Self {
            ranks,
            merged,
            direct,
            bytes,
            unknown,
            fuse_unknown: spec.fuse_unk.unwrap_or_default(),
            ignore_merges: spec.ignore_merges.unwrap_or_default(),
            vocab,
        })
    }

    pub(crate) fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Appends the tokens of a word.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a character without a token where the file names one for it that does not exist.
    pub(crate) fn encode(
        &self,
        word: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), Error> {
        if self.ignore_merges
            && let Some(id) = self.vocab.id(word)
        {
            ids.push(id);
            return Ok(());
        }
        self.split(word, &mut scratch.symbols)?;
        self.merge(scratch);
        let left = scratch.symbols.iter().filter(|symbol| !symbol.gone);
        ids.extend(left.map(|symbol| symbol.id));
        Ok(())
    }

    /// A symbol for each character.
    fn split(&self, word: &str, symbols: &mut Vec<Symbol>) -> Result<(), Error> {
        symbols.clear();
        let mut unknown = None;
        for (at, character) in word.char_indices() {
            let text = &word[at..at + character.len_utf8()];
            let id = match self.direct.get(character as usize) {
                Some(id) => *id,
                None => self.vocab.id(text),
            };
            if let Some(id) = id {
                symbols.extend(unknown.take().map(symbol));
                symbols.push(symbol(id));
            } else if !self.write_bytes(text, symbols) {
                // Several in a row are one, if they are fused.
                if !self.fuse_unknown {
                    symbols.extend(unknown.take().map(symbol));
                }
                unknown = match &self.unknown {
                    Unknown::Nothing => None,
                    Unknown::Token(id) => Some(*id),
                    Unknown::Missing(token) => {
                        let problem =
                            format!("the unknown token {token:?} is not in the vocabulary");
                        return Err(malformed(problem));
                    }
                };
            }
        }
        symbols.extend(unknown.map(symbol));
        let last = symbols.len().saturating_sub(1);
        for (index, symbol) in symbols.iter_mut().enumerate() {
            symbol.before = (index as u32).wrapping_sub(1);
            symbol.after = if index == last {
                NONE
            } else {
                index as u32 + 1
            };
        }
        Ok(())
    }

    /// Symbols for a character's bytes, if all of them have tokens.
    fn write_bytes(&self, text: &str, symbols: &mut Vec<Symbol>) -> bool {
        let Some(bytes) = &self.bytes else {
            return false;
        };
        let before = symbols.len();
        let tokens = text.bytes().map_while(|byte| bytes[usize::from(byte)]);
        symbols.extend(tokens.map(symbol));
        let whole = symbols.len() - before == text.len();
        if !whole {
            symbols.truncate(before);
        }
        whole
    }

    fn rank(&self, left: u32, right: u32) -> Option<u32> {
        self.ranks.get(&pair(left, right)).copied()
    }

    /// Merges what can be. Of equal ranks, the pair that stands first comes first.
    fn merge(&self, scratch: &mut Scratch) {
        let Scratch { symbols, queue } = scratch;
        queue.clear();
        let waiting = |rank: u32, at: usize| Reverse(u64::from(rank) << 32 | at as u64);
        for (at, pair) in symbols.windows(2).enumerate() {
            let rank = self.rank(pair[0].id, pair[1].id);
            queue.extend(rank.map(|rank| waiting(rank, at)));
        }
        while let Some(Reverse(next)) = queue.pop() {
            let (rank, at) = ((next >> 32) as usize, (next & u64::from(u32::MAX)) as usize);
            let Symbol {
                id,
                before,
                after,
                gone,
            } = symbols[at];
            let Some(right) = symbols.get(after as usize).copied().filter(|_| !gone) else {
                continue;
            };
            // The pair may have changed since. It may also have become another one of the same result, which merges now:
            // that is the library's order, and some vocabularies have many such pairs.
            let now = self.rank(id, right.id);
            let id = self.merged[rank];
            if now.is_none_or(|now| self.merged[now as usize] != id) {
                continue;
            }
            symbols[after as usize].gone = true;
            symbols[at].id = id;
            symbols[at].after = right.after;
            if let Some(next) = symbols.get_mut(right.after as usize) {
                next.before = at as u32;
                let rank = self.rank(id, next.id);
                queue.extend(rank.map(|rank| waiting(rank, at)));
            }
            if let Some(left) = symbols.get(before as usize) {
                let rank = self.rank(left.id, id);
                queue.extend(rank.map(|rank| waiting(rank, before as usize)));
            }
        }
    }
}

fn symbol(id: u32) -> Symbol {
    Symbol {
        id,
        before: NONE,
        after: NONE,
        gone: false,
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

type Ranks = HashMap<u64, u32, BuildHasherDefault<PairHasher>>;

/// The ranks of all pairs, and what they become.
fn ranks(vocab: &Vocab, merges: &Merges) -> Result<(Ranks, Vec<u32>), Error> {
    let mut ranks = Ranks::with_capacity_and_hasher(merges.len(), BuildHasherDefault::default());
    let mut merged = Vec::with_capacity(merges.len());
    for (left, right, both) in merges.each() {
        let id = |token: &str| {
            let id = vocab.id(token);
            id.ok_or_else(|| malformed(format!("a merge needs {token:?}, which is no token")))
        };
        let rank = u32::try_from(merged.len()).map_err(malformed)?;
        // Of a pair that is listed twice, the last rank counts.
        ranks.insert(pair(id(left)?, id(right)?), rank);
        merged.push(id(both)?);
    }
    Ok((ranks, merged))
}

/// Hashes a pair of ids.
#[derive(Debug, Default, Clone, Copy)]
struct PairHasher(u64);

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(value);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
