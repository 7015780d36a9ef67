//! A text as the scanners read it: full-width forms and fancy punctuation made plain, invisible
//! characters left out, runs of blanks made one. Each character knows where it came from.

use core::ops::Range;

/// Longest run that [`Text::skip`] goes over: longer than any name, number or domain looked for.
const REACH: usize = 64;

/// The characters of a text after folding.
pub(super) struct Text {
    chars: Vec<char>,
    /// Byte offset of each in the original, and the original's length.
    starts: Vec<usize>,
}

impl Text {
    pub(super) fn new(original: &str) -> Self {
        let mut text = Self {
            chars: Vec::with_capacity(original.len()),
            starts: Vec::with_capacity(original.len() + 1),
        };
        for (start, c) in original.char_indices() {
            let Some(c) = fold(c) else { continue };
            if c == ' ' && text.chars.last() == Some(&' ') {
                continue;
            }
            text.chars.push(c);
            text.starts.push(start);
        }
        text.starts.push(original.len());
        text
    }

    pub(super) fn len(&self) -> usize {
        self.chars.len()
    }

    /// The character there; a line break before the beginning and behind the end.
    pub(super) fn at(&self, index: usize) -> char {
        self.chars.get(index).copied().unwrap_or('\n')
    }

    /// The character before `index`.
    pub(super) fn before(&self, index: usize) -> char {
        index.checked_sub(1).map_or('\n', |index| self.at(index))
    }

    /// The same in lower case.
    pub(super) fn lower(&self, index: usize) -> char {
        lower(self.at(index))
    }

    /// Whether a word or a number may begin there: no letter or digit of an alphabet stands before it.
    pub(super) fn begins(&self, index: usize) -> bool {
        !is_latin(self.before(index))
    }

    /// The first index from `index` on whose character is something else; at most [`REACH`] further,
    /// so that a long run is not read again from each of its characters.
    pub(super) fn skip(&self, index: usize, is: impl Fn(char) -> bool) -> usize {
        let end = (index + REACH).min(self.len()).max(index);
        (index..end).find(|&at| !is(self.at(at))).unwrap_or(end)
    }

    /// The nearest character before `index` that is no blank.
    pub(super) fn last_before(&self, index: usize) -> char {
        match self.before(index) {
            ' ' => self.before(index - 1),
            c => c,
        }
    }

    /// The nearest character from `index` on that is no blank.
    pub(super) fn next_from(&self, index: usize) -> char {
        match self.at(index) {
            ' ' => self.at(index + 1),
            c => c,
        }
    }

    /// Whether `word`, in lower case, stands there.
    pub(super) fn has(&self, index: usize, word: &str) -> bool {
        word.chars()
            .enumerate()
            .all(|(offset, c)| self.lower(index + offset) == c)
    }

    /// The word of letters there, in lower case, cut after 24 characters.
    pub(super) fn word(&self, index: usize) -> String {
        let end = self.skip(index, is_letter).min(index + 24);
        (index..end).map(|at| self.lower(at)).collect()
    }

    /// Byte range in the original.
    pub(super) fn range(&self, start: usize, end: usize) -> Range<usize> {
        self.starts[start]..self.starts[end.min(self.len())]
    }
}

/// A character in its plain form; `None` if it is not seen.
fn fold(c: char) -> Option<char> {
    let ascii = |offset: u32| char::from_u32(u32::from(c) - offset);
    match c {
        '\t' | '\r' | ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => {
            Some(' ')
        }
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => None,
        '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => None,
        '\u{ff01}'..='\u{ff5e}' => ascii(0xfee0),
        '\u{660}'..='\u{669}' => ascii(0x630),
        '\u{6f0}'..='\u{6f9}' => ascii(0x6c0),
        // Mathematical bold, double-struck, sans-serif and monospace digits.
        '\u{1d7ce}'..='\u{1d7ff}' => char::from_digit((u32::from(c) - 0x1d7ce) % 10, 10),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' => Some('-'),
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => Some('\''),
        '\u{201c}' | '\u{201d}' | '「' | '」' | '『' | '』' => Some('"'),
        c => Some(c),
    }
}

fn lower(c: char) -> char {
    match c {
        'À'..='Þ' if c != '×' => char::from_u32(u32::from(c) + 32).unwrap_or(c),
        c => c.to_ascii_lowercase(),
    }
}

/// A letter or digit of the Latin alphabet.
pub(super) fn is_latin(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c)
}

/// A letter of the Latin alphabet.
pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, 'À'..='\u{24f}') && !matches!(c, '×' | '÷')
}

/// A capital of the Latin alphabet.
pub(super) fn is_capital(c: char) -> bool {
    c.is_ascii_uppercase() || is_letter(c) && lower(c) != c
}

pub(super) fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}

/// Kanji or kana.
pub(super) fn is_japanese(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '々' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fc}')
}

pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// Where a sentence may end; what is personal in one says nothing of the next.
pub(super) fn ends_sentence(text: &Text, index: usize) -> bool {
    match text.at(index) {
        '\n' | '!' | '?' | ';' | '。' => true,
        '.' => matches!(text.at(index + 1), ' ' | '\n'),
        _ => false,
    }
}
