//! Which side of the wall a question or document is on.
//!
//! The side depends only on a hash of the normalised text, so two runs, two seeds and two
//! sources agree on it, and a question held out for evaluation can never be trained on.

use sha2::{Digest, Sha256};

/// Where a document belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Trained on.
    Train,
    /// Used for the validation loss during training.
    Validation,
    /// Asked by `sprat eval`, never trained on.
    HeldOut,
}

/// Share of all questions held out, in thousandths.
const HELD_OUT: u64 = 100;
/// Share of all documents used for the validation loss, in thousandths.
const VALIDATION: u64 = 20;

/// A 64-bit hash of a text's normal form: the first eight bytes of its SHA-256.
#[must_use]
pub fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(normalise(text).as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// The side of the wall that `key`, a question or any text standing for it, falls on.
#[must_use]
pub fn side(key: &str) -> Side {
    match hash(key) % 1000 {
        n if n < HELD_OUT => Side::HeldOut,
        n if n < HELD_OUT + VALIDATION => Side::Validation,
        _ => Side::Train,
    }
}

/// Lower case, one space between words, no punctuation except what changes the meaning of a sum.
///
/// Two questions that differ only in case, spacing, quotes or a final question mark have the same
/// normal form.
#[must_use]
pub fn normalise(text: &str) -> String {
    let chars: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let mut words = String::with_capacity(text.len());
    let digit = |i: Option<usize>| {
        i.and_then(|i| chars.get(i))
            .is_some_and(|c: &char| c.is_ascii_digit())
    };
    for (i, &c) in chars.iter().enumerate() {
        match c {
            '×' => words.push('*'),
            '÷' => words.push('/'),
            '+' | '-' | '*' | '/' | '%' | '=' | '<' | '>' | '$' | '€' | '£' => words.push(c),
            // Inside a number a point or colon is part of it; a comma only groups digits.
            '.' | ':' if digit(i.checked_sub(1)) && digit(Some(i + 1)) => words.push(c),
            ',' if digit(i.checked_sub(1)) && digit(Some(i + 1)) => {}
            '\'' | '’' => {}
            c if c.is_alphanumeric() => words.push(c),
            _ => words.push(' '),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_spacing_and_end_marks_do_not_matter() {
        assert_eq!(normalise("  What IS 17 × 23? "), "what is 17 * 23");
        assert_eq!(normalise("Don't stop!"), normalise("don’t stop"));
        assert_eq!(normalise("1,250.5 at 3:30."), "1250.5 at 3:30");
        assert_ne!(side("7 - 3"), Side::HeldOut);
        assert_ne!(normalise("7 - 3"), normalise("7 + 3"));
    }

    #[test]
    fn the_shares_are_about_right() {
        let held_out = (0..10_000)
            .filter(|i| side(&format!("q{i}")) == Side::HeldOut)
            .count();
        assert!((900..1100).contains(&held_out), "{held_out}");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in ".*") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once.clone());
        }
    }
}
