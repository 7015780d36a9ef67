//! Turns that were private once.

use core::fmt;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::Level;

/// Recognizes private turns, and those that the person must be asked about, when a caller sends a
/// conversation again, without keeping their text.
///
/// An interface like `chat(messages, private)` gets the whole history with every call, so a later
/// call that is not marked private would carry the private turns along. Remember the turns of each
/// private call, the answer included, and treat a later call as private if it
/// [touches](Taint::touches) them: it begins like a private thread, or repeats one of its turns.
/// Turns shorter than [`Taint::DISTINCT`] characters ("yes", "hello") are recognized only as part
/// of such a beginning. System prompts are the page's own text: leave them out.
///
/// It holds 64-bit fingerprints, in memory only. A collision can make an open call private, never
/// a private one open.
#[derive(Clone, Default)]
pub struct Taint {
    beginnings: HashMap<u64, Level>,
    turns: HashMap<u64, Level>,
}

impl Taint {
    /// Turns of at least this many characters are recognized wherever they stand.
    pub const DISTINCT: usize = 16;

    /// That has seen nothing private.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the turns of a private thread, in order.
    pub fn remember(&mut self, turns: &[&str]) {
        self.remember_at(Level::Private, turns);
    }

    /// Remembers the turns of a thread, in order, with its level. A turn keeps the highest that it
    /// ever had; of an open thread there is nothing to remember.
    pub fn remember_at(&mut self, level: Level, turns: &[&str]) {
        if level == Level::Open {
            return;
        }
        let raise = |map: &mut HashMap<u64, Level>, print| {
            let known = map.entry(print).or_default();
            *known = level.max(*known);
        };
        if let Some(whole) = beginnings(turns).last() {
            raise(&mut self.beginnings, whole);
        }
        distinct(turns).for_each(|print| raise(&mut self.turns, print));
    }

    /// The level that these turns, in order, have by what is remembered: the least for a thread of
    /// them.
    pub fn level(&self, turns: &[&str]) -> Level {
        let begun = beginnings(turns).filter_map(|print| self.beginnings.get(&print));
        let single = distinct(turns).filter_map(|print| self.turns.get(&print));
        begun.chain(single).max().copied().unwrap_or_default()
    }

    /// Whether these turns, in order, contain something remembered as private.
    pub fn touches(&self, turns: &[&str]) -> bool {
        self.level(turns) == Level::Private
    }

    /// Forgets everything: only when the person says that what was private may leave after all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl fmt::Debug for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taint(redacted)")
    }
}

/// A fingerprint of the first turn, of the first two, and so on.
fn beginnings<'a>(turns: &'a [&str]) -> impl Iterator<Item = u64> + 'a {
    let mut hasher = DefaultHasher::new();
    turns.iter().map(move |turn| {
        turn.trim().hash(&mut hasher);
        hasher.finish()
    })
}

/// A fingerprint of each turn that is long enough to be recognized by itself.
fn distinct<'a>(turns: &'a [&str]) -> impl Iterator<Item = u64> + 'a {
    let long = |turn: &&&str| turn.trim().chars().count() >= Taint::DISTINCT;
    turns
        .iter()
        .filter(long)
        .filter_map(|turn| beginnings(&[turn]).next())
}
