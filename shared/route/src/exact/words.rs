//! Numbers in words: "seven", "twenty-three", "one hundred and five", "2.5 million".

use num_rational::BigRational;
use num_traits::Zero;

use super::lex::{Lexeme, Number, ratio};

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const SCALES: [(&str, i64); 4] = [
    ("trillion", 1_000_000_000_000),
    ("billion", 1_000_000_000),
    ("million", 1_000_000),
    ("thousand", 1000),
];
const ORDINALS: [&str; 13] = [
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    "tenth", "eleventh", "twelfth",
];

/// A number that was read, and what follows it.
pub(super) struct Read<'a> {
    pub(super) number: Number,
    pub(super) rest: &'a [Lexeme],
    /// Whether an "and" is part of it, which in a list could also part two numbers.
    pub(super) has_and: bool,
}

/// The number at the start, in figures or in words.
pub(super) fn number(lexemes: &[Lexeme]) -> Option<Read<'_>> {
    if let [first, rest @ ..] = lexemes
        && let Some(number) = first.number()
    {
        // "2.5 million", "3 hundred"; glued, as in "5m", it is a unit or unknown.
        let scale = rest.first().filter(|next| !next.glued).and_then(|next| {
            let word = next.word()?;
            if word == "hundred" {
                Some(100)
            } else {
                scale(word)
            }
        });
        let (number, rest) = match scale {
            Some(scale) => {
                let value = &number.value * ratio(scale, 1);
                (
                    Number::new(value.clone(), super::format::plain(&value)?),
                    &rest[1..],
                )
            }
            None => (number.clone(), rest),
        };
        return Some(Read {
            number,
            rest,
            has_and: false,
        });
    }
    spelled(lexemes)
}

fn scale(word: &str) -> Option<i64> {
    SCALES
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, scale)| *scale)
}

fn ones(lexeme: Option<&Lexeme>) -> Option<i64> {
    let word = lexeme?.word()?;
    ONES.iter()
        .position(|name| *name == word)
        .map(|value| value as i64)
}

/// A number below 100, and how many lexemes it takes.
fn below_hundred(lexemes: &[Lexeme]) -> Option<(i64, usize)> {
    let digit = |lexeme: Option<&Lexeme>| ones(lexeme).filter(|value| (1..10).contains(value));
    if let Some(value) = ones(lexemes.first()) {
        return Some((value, 1));
    }
    let word = lexemes.first()?.word()?;
    let tens = 20 + 10 * TENS.iter().position(|name| *name == word)? as i64;
    // "twenty-three": glued on both sides; "twenty - three" is a subtraction.
    if let [_, dash, next, ..] = lexemes
        && dash.is_symbol('-')
        && dash.glued
        && next.glued
    {
        return digit(Some(next)).map(|value| (tens + value, 3));
    }
    match digit(lexemes.get(1)) {
        Some(value) => Some((tens + value, 2)),
        None => Some((tens, 1)),
    }
}

fn spelled(lexemes: &[Lexeme]) -> Option<Read<'_>> {
    let mut rest = lexemes;
    let (mut total, mut has_and) = (0, false);
    let mut last_scale = i64::MAX;
    loop {
        let (group, after, and) = group(rest, last_scale == i64::MAX)?;
        let named = after.first().and_then(Lexeme::word).and_then(scale);
        has_and |= and;
        let Some(scale) = named.filter(|scale| *scale < last_scale && group > 0) else {
            total += group;
            rest = after;
            break;
        };
        total += group * scale;
        last_scale = scale;
        rest = &after[1..];
        // What may go on: "one thousand two hundred", "one thousand and five".
        let bare = rest.first().is_some_and(|next| next.is("and"));
        let next = if bare { &rest[1..] } else { rest };
        let small = group_value(next, bare);
        if small.is_none() {
            break;
        }
        has_and |= bare;
        rest = next;
    }
    let mut value = ratio(total, 1);
    if rest.first().is_some_and(|next| next.is("point")) {
        let (decimals, after) = decimals(&rest[1..])?;
        value += decimals;
        rest = after;
    }
    let text = super::format::plain(&value)?;
    Some(Read {
        number: Number::new(value, text),
        rest,
        has_and,
    })
}

/// Whether a group that continues a number begins here; after "and" only one below 100.
fn group_value(lexemes: &[Lexeme], after_and: bool) -> Option<i64> {
    let (value, rest, _) = group(lexemes, false)?;
    let scaled = rest
        .first()
        .and_then(Lexeme::word)
        .and_then(scale)
        .is_some();
    let plain = value < 100 && !scaled;
    (value > 0 && (!after_and || plain)).then_some(value)
}

/// A number below 10,000 without "thousand": "five", "two hundred (and) six", "twelve hundred".
fn group(lexemes: &[Lexeme], may_be_article: bool) -> Option<(i64, &[Lexeme], bool)> {
    let hundred = |lexemes: &[Lexeme]| lexemes.first().is_some_and(|next| next.is("hundred"));
    let article = may_be_article
        && lexemes.first().is_some_and(|next| next.is("a"))
        && lexemes
            .get(1)
            .and_then(Lexeme::word)
            .is_some_and(|word| word == "hundred" || scale(word).is_some());
    let (mut value, taken) = if article {
        (1, 1)
    } else {
        below_hundred(lexemes)?
    };
    let mut rest = &lexemes[taken..];
    let mut has_and = false;
    if hundred(rest) && value > 0 {
        value *= 100;
        rest = &rest[1..];
        let and = rest.first().is_some_and(|next| next.is("and"));
        let next = if and { &rest[1..] } else { rest };
        if let Some((small, taken)) = below_hundred(next)
            && small > 0
            && !(and && hundred(&next[taken..]))
        {
            value += small;
            rest = &next[taken..];
            has_and = and;
        }
    }
    Some((value, rest, has_and))
}

/// Digits after "point": "two five".
fn decimals(lexemes: &[Lexeme]) -> Option<(BigRational, &[Lexeme])> {
    let (mut value, mut unit, mut taken) = (BigRational::zero(), ratio(1, 1), 0);
    while let Some(digit) = ones(lexemes.get(taken)).filter(|digit| *digit < 10) {
        unit /= ratio(10, 1);
        value += ratio(digit, 1) * &unit;
        taken += 1;
    }
    (taken > 0).then(|| (value, &lexemes[taken..]))
}

/// An ordinal, "10th" or "tenth", and what follows it.
pub(super) fn ordinal(lexemes: &[Lexeme]) -> Option<(i64, &[Lexeme])> {
    if let [first, suffix, rest @ ..] = lexemes
        && let Some(number) = first.number()
        && suffix.glued
        && matches!(suffix.word(), Some("st" | "nd" | "rd" | "th"))
    {
        return Some((super::lex::small(&number.value)?, rest));
    }
    let word = lexemes.first()?.word()?;
    let value = ORDINALS.iter().position(|name| *name == word)?;
    Some((value as i64, &lexemes[1..]))
}

/// The denominator that a word names: "half", "thirds", "quarter".
pub(super) fn denominator(lexeme: &Lexeme) -> Option<i64> {
    let word = lexeme.word()?;
    match word {
        "half" | "halves" => return Some(2),
        "quarter" | "quarters" => return Some(4),
        _ => {}
    }
    let singular = word.strip_suffix('s').unwrap_or(word);
    ORDINALS
        .iter()
        .position(|name| *name == singular)
        .filter(|n| *n >= 3)
        .map(|n| n as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::lex::lex;

    fn read(text: &str) -> Option<(String, usize)> {
        let lexemes = lex(text)?;
        number(&lexemes).map(|read| (read.number.text, read.rest.len()))
    }

    #[test]
    fn numbers_in_words() {
        for (text, value) in [
            ("seven", "7"),
            ("zero", "0"),
            ("nineteen", "19"),
            ("forty", "40"),
            ("twenty-three", "23"),
            ("ninety nine", "99"),
            ("a hundred", "100"),
            ("two hundred five", "205"),
            ("one hundred and five", "105"),
            ("twelve hundred", "1200"),
            ("three thousand four hundred and twenty-one", "3421"),
            ("one thousand and one", "1001"),
            ("two million three hundred thousand", "2300000"),
            ("a million", "1000000"),
            ("2.5 million", "2500000"),
            ("3 hundred", "300"),
            ("two point five", "2.5"),
            ("zero point zero two", "0.02"),
            ("1,234", "1234"),
        ] {
            assert_eq!(read(text), Some((value.into(), 0)), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_number_is_left_over() {
        for (text, value, left) in [
            ("one two", "1", 1),
            ("nineteen ninety", "19", 1),
            ("five and six", "5", 2),
            ("one hundred and two hundred", "100", 3),
            ("one thousand two thousand", "1002", 1),
            ("twenty - three", "20", 2),
        ] {
            assert_eq!(read(text), Some((value.into(), left)), "{text}");
        }
        assert_eq!(read("apple"), None);
        assert_eq!(read("a"), None);
        assert_eq!(read("two point"), None);
    }
}
