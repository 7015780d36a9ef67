//! From text to numbers, words, dates and signs. Anything unknown ends the attempt.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::dates::Date;

/// A number as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: BigRational,
    /// With its thousands separators left out.
    pub(super) text: String,
    /// Whether it had thousands separators.
    pub(super) grouped: bool,
}

impl Number {
    pub(super) fn new(value: BigRational, text: impl Into<String>) -> Self {
        Self {
            value,
            text: text.into(),
            grouped: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(Number),
    Date(Date),
    /// In lower case.
    Word(String),
    Symbol(char),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    /// Whether it follows the one before without a space.
    pub(super) glued: bool,
}

impl Lexeme {
    pub(super) fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<&Number> {
        match &self.token {
            Token::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.token == Token::Symbol(symbol)
    }

    /// Whether it is this word, or this sign.
    pub(super) fn is(&self, text: &str) -> bool {
        match &self.token {
            Token::Word(word) => word == text,
            Token::Symbol(symbol) => text.chars().eq([*symbol]),
            _ => false,
        }
    }
}

/// The lexemes of a text; `None` where it holds something that is none.
pub(super) fn lex(text: &str) -> Option<Vec<Lexeme>> {
    // Words that are known here have no other letters with two cases.
    let chars = text.chars().map(|c| normalize(c.to_ascii_lowercase()));
    let chars: Vec<char> = chars.collect();
    let mut lexer = Lexer {
        chars: &chars,
        at: 0,
        lexemes: Vec::new(),
    };
    while lexer.step()?.is_some() {}
    Some(lexer.lexemes)
}

/// Different characters for one sign. A long dash is not a minus: "10–12" is a range.
fn normalize(character: char) -> char {
    match character {
        '×' | '·' | '⋅' | '∙' | '✕' | '✖' => '*',
        '÷' | '∕' => '/',
        '−' => '-',
        '’' | '‘' => '\'',
        other => other,
    }
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    lexemes: Vec<Lexeme>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn is_digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    /// Reads one lexeme: `Some(None)` at the end, `None` where there is something unknown.
    fn step(&mut self) -> Option<Option<()>> {
        let start = self.at;
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let glued = self.at == start && start > 0;
        let Some(next) = self.peek(0) else {
            return Some(None);
        };
        let before = self.lexemes.len();
        let token = match next {
            '0'..='9' => self.date().map(Some).or_else(|| self.number().map(Some))?,
            '.' if self.is_digit(1) => Some(self.number()?),
            'a'..='z' => self.word(),
            '*' if self.peek(1) == Some('*') => {
                self.at += 2;
                Some(Token::Symbol('^'))
            }
            '+' | '-' | '*' | '/' | '^' | '(' | ')' | '%' | '=' | '?' | '!' | '.' | ',' | ':'
            | '√' | '²' | '³' | '°' => {
                self.at += 1;
                Some(Token::Symbol(next))
            }
            _ => return None,
        };
        self.lexemes.extend(token.map(|token| Lexeme {
            token,
            glued: false,
        }));
        if let Some(first) = self.lexemes.get_mut(before) {
            first.glued = glued;
        }
        Some(Some(()))
    }

    /// A word, whose contractions are written out.
    fn word(&mut self) -> Option<Token> {
        let start = self.at;
        while self
            .peek(0)
            .is_some_and(|c| c.is_ascii_lowercase() || c == '\'')
        {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        match word.as_str() {
            "what's" | "whats" => {
                for word in ["what", "is"] {
                    let token = Token::Word(word.into());
                    self.lexemes.push(Lexeme {
                        token,
                        glued: false,
                    });
                }
                None
            }
            _ => Some(Token::Word(word)),
        }
    }

    /// A number: digits, perhaps in groups of three parted by commas, perhaps with decimals.
    fn number(&mut self) -> Option<Token> {
        let mut digits = self.digits();
        // "007" is a name, not a number.
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        let mut grouped = false;
        while self.peek(0) == Some(',') && self.is_digit(1) {
            self.at += 1;
            let group = self.digits();
            // "3,5" may be a decimal or a list; "0,500" likewise.
            if group.len() != 3 || !grouped && (digits.len() > 3 || digits == "0") {
                return None;
            }
            digits.push_str(&group);
            grouped = true;
        }
        let mut decimals = String::new();
        if self.peek(0) == Some('.') && self.is_digit(1) {
            self.at += 1;
            decimals = self.digits();
            // "1.2.3" is a version.
            if self.peek(0) == Some('.') && self.is_digit(1) {
                return None;
            }
        }
        let all: BigInt = format!("0{digits}{decimals}").parse().ok()?;
        let scale = BigInt::from(10).pow(u32::try_from(decimals.len()).ok()?);
        let value = BigRational::new(all, scale);
        let whole = if digits.is_empty() { "0" } else { &digits };
        let text = if decimals.is_empty() {
            whole.to_owned()
        } else {
            format!("{whole}.{decimals}")
        };
        Some(Token::Number(Number {
            value,
            text,
            grouped,
        }))
    }

    fn digits(&mut self) -> String {
        let start = self.at;
        while self.is_digit(0) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// An ISO date, `2024-02-29`. One that does not exist is no date, and then nothing at all.
    fn date(&mut self) -> Option<Token> {
        const SHAPE: &str = "dddd-dd-dd";
        let fits = |(ahead, kind): (usize, char)| match kind {
            'd' => self.is_digit(ahead),
            sign => self.peek(ahead) == Some(sign),
        };
        let ends = !self.is_digit(SHAPE.len()) && self.peek(SHAPE.len()) != Some('-');
        let begins = self.at == 0 || !matches!(self.chars[self.at - 1], '-' | '.' | ',' | '/');
        if !(SHAPE.chars().enumerate().all(fits) && ends && begins) {
            return None;
        }
        let part = |from: usize, to: usize| -> Option<i32> {
            self.chars[self.at + from..self.at + to]
                .iter()
                .collect::<String>()
                .parse()
                .ok()
        };
        let date = Date::new(part(0, 4)?, part(5, 7)?, part(8, 10)?)?;
        self.at += SHAPE.len();
        Some(Token::Date(date))
    }
}

/// Whether a number is whole.
pub(super) fn whole(value: &BigRational) -> Option<&BigInt> {
    value.is_integer().then(|| value.numer())
}

/// A small whole number.
pub(super) fn small(value: &BigRational) -> Option<i64> {
    i64::try_from(whole(value)?).ok()
}

/// A rational from a numerator and a denominator, which must not be 0.
pub(super) fn ratio(numerator: i64, denominator: i64) -> BigRational {
    debug_assert!(!denominator.is_zero());
    BigRational::new(numerator.into(), denominator.into())
}
