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

/// In as many buckets as a byte has values, by the lowest byte of their first characters.
static BUCKETS: LazyLock<[Vec<Entry>; 256]> = LazyLock::new(|| {
    let mut buckets = [const { Vec::new() }; 256];
    for (cue, words) in WORDS {
        for listed in words.split('|') {
            let word = listed.strip_prefix('~').unwrap_or(listed);
            buckets[bucket(word.chars().next().unwrap_or_default())].push(Entry {
                word,
                anywhere: word.len() < listed.len(),
                cue: *cue,
            });
        }
    }
    buckets
});

fn bucket(first: char) -> usize {
    first as usize % 256
}

/// The cues of the longest known word that begins at `index`, and where it ends.
pub(super) fn at(text: &Text, index: usize) -> Option<(Vec<Cue>, usize)> {
    let c = text.lower(index);
    if is_latin(c) && !text.begins(index) {
        return None;
    }
    let mut cues = Vec::new();
    let mut longest = index;
    for entry in &BUCKETS[bucket(c)] {
        let Some(end) = ends(text, index, entry).filter(|&end| end >= longest) else {
            continue;
        };
        if end > longest {
            cues.clear();
        }
        longest = end;
        // A word may tell several things.
        cues.push(entry.cue);
    }
    (longest > index).then_some((cues, longest))
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
