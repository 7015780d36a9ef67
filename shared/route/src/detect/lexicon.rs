//! Finds the words of [`super::words`] in a text.

use std::sync::LazyLock;

use super::text::{Text, is_hangul, is_latin, is_letter};
use super::words::{Cue, WORDS};

struct Entry {
    word: &'static str,
    /// Whether it may stand within another word.
    anywhere: bool,
    cue: Cue,
}

/// By their first characters, and the longest first.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    for (cue, words) in WORDS {
        entries.extend(words.split('|').map(|word| Entry {
            word: word.strip_prefix('~').unwrap_or(word),
            anywhere: word.starts_with('~'),
            cue: *cue,
        }));
    }
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| (first(entry), core::cmp::Reverse(entry.word.len()));
        key(a).cmp(&key(b))
    });
    entries
});

fn first(entry: &Entry) -> char {
    entry.word.chars().next().unwrap_or('\0')
}

/// The cues of the longest known word that begins at `index`, and where it ends.
pub(super) fn at(text: &Text, index: usize) -> Option<(Vec<Cue>, usize)> {
    let c = text.lower(index);
    if is_latin(c) && !text.begins(index) {
        return None;
    }
    let from = ENTRIES.partition_point(|entry| first(entry) < c);
    let mut found: Option<(Vec<Cue>, usize)> = None;
    for entry in ENTRIES[from..].iter().take_while(|e| first(e) == c) {
        let Some(end) = ends(text, index, entry) else {
            continue;
        };
        match &mut found {
            None => found = Some((vec![entry.cue], end)),
            // A word may tell several things.
            Some((cues, longest)) if *longest == end => cues.push(entry.cue),
            Some(_) => {}
        }
    }
    found
}

/// Where the word ends, if it stands there.
fn ends(text: &Text, index: usize, entry: &Entry) -> Option<usize> {
    if is_hangul(text.at(index)) && is_hangul(text.before(index)) && !entry.anywhere {
        return None;
    }
    if !text.has(index, entry.word) {
        return None;
    }
    let end = index + entry.word.chars().count();
    if !is_latin(text.before(end)) {
        return Some(end);
    }
    // "loans", "mother's".
    let plural = if text.has(end, "'s") {
        end + 2
    } else if text.lower(end) == 's' && is_letter(text.before(end)) {
        end + 1
    } else {
        end
    };
    (!is_latin(text.at(plural))).then_some(plural)
}

/// Whether the word is in a list separated by `|`.
pub(super) fn lists(list: &str, word: &str) -> bool {
    list.split('|').any(|listed| listed == word)
}
