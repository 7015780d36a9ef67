//! Answers that need no model: plain arithmetic, unit conversions, and dates that need no clock.
//!
//! The rule is to answer only what cannot mean anything else. Every word of a question must be
//! understood; one that is not ("apples", "in history") makes [`answer`] silent, and so does
//! everything with two readings: `555-1234`, `9/11`, `-2^2`, "half of 10 plus 6", gallons.
//! Numbers are exact fractions of any size, so an answer is either exact or marked "≈".

mod arithmetic;
mod dates;
mod eval;
mod format;
mod lex;
mod parse;
mod units;
mod words;

use lex::Lexeme;

/// Longer questions are not plain arithmetic.
const LONGEST: usize = 300;

/// An exact answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// The answer, for a person: `391`, `≈ 3.333333`, `Saturday`.
    pub text: String,
    /// What was understood: `17 × 23`, `10 km in miles`.
    pub expression: String,
}

/// Answers a question exactly, or not at all where its meaning is not certain.
///
/// ```
/// use sprat_route::exact::answer;
/// let text = |question| answer(question).map(|exact| exact.text);
/// assert_eq!(text("What is 17 * 23?").as_deref(), Some("391"));
/// assert_eq!(text("seven plus five").as_deref(), Some("12"));
/// assert_eq!(text("how many days between 2024-02-01 and 2024-03-01").as_deref(), Some("29"));
/// assert_eq!(text("10 / 3 =").as_deref(), Some("≈ 3.333333"));
/// assert_eq!(text("my number is 555-1234"), None);
/// ```
pub fn answer(question: &str) -> Option<Exact> {
    if question.len() > LONGEST {
        return None;
    }
    let lexemes = lex::lex(question)?;
    let lexemes = without_courtesies(&lexemes);
    dates::answer(lexemes)
        .or_else(|| units::answer(lexemes))
        .or_else(|| arithmetic::answer(lexemes))
}

/// Without "hello", "please" and closing marks. A closing "!" may be a factorial, so it stays.
fn without_courtesies(mut lexemes: &[Lexeme]) -> &[Lexeme] {
    const OPENINGS: &[&str] = &["hi", "hello", "hey", "ok", "okay", "so", "please", "now"];
    const REQUESTS: &[&str] = &["can you", "could you", "would you", "can you please"];
    const CLOSINGS: &[&str] = &["please", "thanks", "thank you", "for me"];
    const MARKS: &[char] = &[',', '.', '!', ':'];
    loop {
        let before = lexemes.len();
        if let Some(opening) = lexemes.first().and_then(Lexeme::word)
            && OPENINGS.contains(&opening)
        {
            lexemes = &lexemes[1..];
            while lexemes
                .first()
                .is_some_and(|l| MARKS.iter().any(|mark| l.is_symbol(*mark)))
            {
                lexemes = &lexemes[1..];
            }
        }
        for request in REQUESTS {
            lexemes = strip_start(lexemes, request).unwrap_or(lexemes);
        }
        for closing in CLOSINGS {
            lexemes = strip_end(lexemes, closing).unwrap_or(lexemes);
        }
        while let [rest @ .., last] = lexemes
            && (last.is_symbol('?') || last.is_symbol('.') || last.is_symbol(','))
        {
            lexemes = rest;
        }
        if lexemes.len() == before {
            return lexemes;
        }
    }
}

/// What follows the words of `phrase`, if they come first.
fn strip_start<'a>(lexemes: &'a [Lexeme], phrase: &str) -> Option<&'a [Lexeme]> {
    phrase
        .split(' ')
        .try_fold(lexemes, |rest, word| match rest {
            [first, rest @ ..] if first.is(word) => Some(rest),
            _ => None,
        })
}

/// What precedes the words of `phrase`, if they come last.
fn strip_end<'a>(lexemes: &'a [Lexeme], phrase: &str) -> Option<&'a [Lexeme]> {
    let count = phrase.split(' ').count();
    let (rest, end) = lexemes.split_at_checked(lexemes.len().checked_sub(count)?)?;
    strip_start(end, phrase)?.is_empty().then_some(rest)
}

#[cfg(test)]
mod tests;
