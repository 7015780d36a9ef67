//! Character classes.

use crate::unicode::{Mask, category};

/// A class of characters: some of ASCII, categories, ranges, white space; or all others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Set {
    /// The ASCII characters, whatever the other fields say.
    pub(super) ascii: u128,
    pub(super) categories: Mask,
    pub(super) space: bool,
    pub(super) ranges: Vec<(char, char)>,
    pub(super) negated: bool,
}

impl Set {
    /// One character.
    pub(super) fn one(character: char) -> Self {
        let mut set = Self::default();
        set.add(character, character);
        set
    }

    /// Adds all characters from one to another.
    pub(super) fn add(&mut self, first: char, last: char) {
        for byte in 0..128u8 {
            if (first..=last).contains(&char::from(byte)) {
                self.ascii |= 1 << byte;
            }
        }
        if !last.is_ascii() {
            self.ranges.push((first.max('\u{80}'), last));
        }
    }

    /// Adds the characters of some categories.
    pub(super) fn add_categories(&mut self, mask: Mask) {
        self.categories |= mask;
        self.add_ascii(|c| category(c) & mask != 0);
    }

    /// Adds white space.
    pub(super) fn add_space(&mut self) {
        self.space = true;
        self.add_ascii(char::is_whitespace);
    }

    fn add_ascii(&mut self, wanted: impl Fn(char) -> bool) {
        for byte in (0..128u8).filter(|byte| wanted(char::from(*byte))) {
            self.ascii |= 1 << byte;
        }
    }

    /// Adds the other form of each of its letters, and what Unicode counts as one.
    pub(super) fn fold(&mut self) {
        const LOWER: u128 = ((1 << 26) - 1) << b'a';
        let upper = (self.ascii & LOWER) >> 32;
        let lower = (self.ascii << 32) & LOWER;
        self.ascii |= upper | lower;
        // A long s, and the sign of kelvin.
        for (letter, other) in [(b's', '\u{17f}'), (b'k', '\u{212a}')] {
            if self.ascii >> letter & 1 == 1 {
                self.ranges.push((other, other));
            }
        }
    }

    /// Adds what another one has that is not negated.
    pub(super) fn join(&mut self, other: &Self) {
        self.ascii |= other.ascii;
        self.categories |= other.categories;
        self.space |= other.space;
        self.ranges.extend_from_slice(&other.ranges);
    }

    /// All characters that it does not have.
    pub(super) fn negate(&mut self) {
        self.negated = !self.negated;
        self.ascii = !self.ascii;
    }

    /// Whether it has a character beyond ASCII.
    fn has_beyond(&self, character: char) -> bool {
        let within = |(first, last): &(char, char)| (*first..=*last).contains(&character);
        let has = self.categories != 0 && category(character) & self.categories != 0
            || self.space && character.is_whitespace()
            || self.ranges.iter().any(within);
        has != self.negated
    }

    /// Whether it can have any character beyond ASCII.
    pub(super) fn is_beyond(&self) -> bool {
        self.negated || self.categories != 0 || self.space || !self.ranges.is_empty()
    }

    /// How many bytes the character at a place has, if the set has it. The place is one where a character begins.
    pub(super) fn fits(&self, text: &str, at: usize) -> Option<usize> {
        match *text.as_bytes().get(at)? {
            byte @ 0..0x80 => (self.ascii >> byte & 1 == 1).then_some(1),
            byte => {
                let character = text.get(at..)?.chars().next()?;
                self.has_beyond(character).then_some(width(byte))
            }
        }
    }
}

/// Bytes of a character, by its first.
pub(super) fn width(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}
