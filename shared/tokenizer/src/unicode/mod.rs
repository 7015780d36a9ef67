//! General categories of characters, as far as patterns ask for them.
//!
//! The table is made by `cargo run -p sprat-tokenizer --example categories`; a test compares it with the library that
//! tokenizers are usually run by, character by character.

mod table;

use std::sync::OnceLock;

/// A general category, or several that no pattern tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Category {
    /// `Lu`; zero is for separators, control characters, and what is not assigned.
    Upper = 1,
    /// `Ll`
    Lower,
    /// `Lt`
    Title,
    /// `Lm`
    Modifier,
    /// `Lo`
    OtherLetter,
    /// `M`
    Mark,
    /// `Nd`
    Digit,
    /// `Nl`
    LetterNumber,
    /// `No`
    OtherNumber,
    /// `Pc`
    Connector,
    /// `P` but `Pc`
    Punctuation,
    /// `S`
    Symbol,
}

/// Categories as bits.
pub(crate) type Mask = u16;

impl Category {
    pub(crate) const fn bit(self) -> Mask {
        1 << self as u8
    }
}

/// `L`
pub(crate) const LETTER: Mask = Category::Upper.bit()
    | Category::Lower.bit()
    | Category::Title.bit()
    | Category::Modifier.bit()
    | Category::OtherLetter.bit();
/// `N`
pub(crate) const NUMBER: Mask =
    Category::Digit.bit() | Category::LetterNumber.bit() | Category::OtherNumber.bit();
/// `P`
pub(crate) const PUNCTUATION: Mask = Category::Connector.bit() | Category::Punctuation.bit();
/// All there are.
pub(crate) const ALL: Mask = (1 << 13) - 1;
/// What `\w` has, but for [`WORD_RANGES`].
pub(crate) const WORD: Mask = LETTER
    | Category::LetterNumber.bit()
    | Category::Mark.bit()
    | Category::Digit.bit()
    | Category::Connector.bit();
/// What else `\w` has: letters in circles and squares, and what joins characters.
pub(crate) const WORD_RANGES: [(char, char); 5] = [
    ('\u{200c}', '\u{200d}'),
    ('\u{24b6}', '\u{24e9}'),
    ('\u{1f130}', '\u{1f149}'),
    ('\u{1f150}', '\u{1f169}'),
    ('\u{1f170}', '\u{1f189}'),
];

/// The bit of a character's category.
pub(crate) fn category(character: char) -> Mask {
    let code = character as usize;
    let pages = PAGES.get_or_init(Pages::new);
    let page = usize::from(pages.index[code >> 8]);
    1 << pages.values[(page << 8) | (code & 0xff)]
}

/// Whether a character is one of words, as `\w` says.
pub(crate) fn is_word(character: char) -> bool {
    let within = |(first, last): &(char, char)| (*first..=*last).contains(&character);
    category(character) & WORD != 0 || WORD_RANGES.iter().any(within)
}

static PAGES: OnceLock<Pages> = OnceLock::new();

/// Pages of 256 characters; those that are alike throughout share one.
struct Pages {
    index: Vec<u16>,
    values: Vec<u8>,
}

impl Pages {
    fn new() -> Self {
        let (mut index, mut values) = (Vec::with_capacity(0x1100), Vec::new());
        let mut uniform = [None; 16];
        let mut page = Vec::with_capacity(256);
        for (category, length) in runs(table::RUNS) {
            let mut left = length;
            while left > 0 {
                let here = left.min(256 - page.len());
                page.resize(page.len() + here, category);
                left -= here;
                if page.len() == 256 {
                    let next = (values.len() >> 8) as u16;
                    let shared = match page.iter().all(|value| *value == page[0]) {
                        true => *uniform[usize::from(page[0])].get_or_insert(next),
                        false => next,
                    };
                    if shared == next {
                        values.extend_from_slice(&page);
                    }
                    index.push(shared);
                    page.clear();
                }
            }
        }
        Self { index, values }
    }
}

/// The runs of characters of one category: its number in four bits; in the other four how many there are, or zero, and
/// then the number follows, seven bits in a byte, the lowest first.
fn runs(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut bytes = bytes.iter();
    std::iter::from_fn(move || {
        let head = *bytes.next()?;
        let mut length = usize::from(head >> 4);
        let mut shift = 0;
        let mut more = length == 0;
        while more {
            let byte = *bytes.next()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            more = byte >= 0x80;
        }
        Some((head & 15, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_characters_are_of_the_category_that_the_library_knows() {
        let classes = [
            (LETTER, r"\p{L}"),
            (Category::Upper.bit(), r"\p{Lu}"),
            (Category::Lower.bit(), r"\p{Ll}"),
            (Category::Title.bit(), r"\p{Lt}"),
            (Category::Modifier.bit(), r"\p{Lm}"),
            (Category::Mark.bit(), r"\p{M}"),
            (NUMBER, r"\p{N}"),
            (Category::Digit.bit(), r"\p{Nd}"),
            (Category::OtherNumber.bit(), r"\p{No}"),
            (PUNCTUATION, r"\p{P}"),
            (Category::Connector.bit(), r"\p{Pc}"),
            (Category::Symbol.bit(), r"\p{S}"),
        ];
        let all: String = ('\0'..=char::MAX).collect();
        let known = |pattern: &str| {
            let regex = regex::Regex::new(pattern).unwrap();
            let found = regex
                .find_iter(&all)
                .flat_map(|found| found.as_str().chars());
            found.collect::<String>()
        };
        for (mask, pattern) in classes {
            let ours = all.chars().filter(|c| category(*c) & mask != 0);
            assert!(ours.collect::<String>() == known(pattern), "{pattern}");
        }
        let ours = all.chars().filter(|c| is_word(*c));
        assert!(ours.collect::<String>() == known(r"\w"));
    }
}
