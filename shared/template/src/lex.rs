//! A template's text as tokens: what is printed as it stands, and what is between the braces. Whitespace is taken away here,
//! as `trim_blocks` and `lstrip_blocks` do and as `-` and `+` beside the braces ask for.

use std::num::IntErrorKind;

use crate::error::{Fail, at, syntax, unsupported};
use crate::number::decimal;
use crate::text::is_space;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'s> {
    /// Printed as it stands.
    Data(&'s str),
    OutputBegin,
    OutputEnd,
    BlockBegin,
    BlockEnd,
    Name(&'s str),
    Text(String),
    Int(i64),
    Float(f64),
    Symbol(&'static str),
    End,
}

/// In bytes. Names are compared at the price of short ones.
const LONGEST_NAME: usize = 1000;

/// Longer ones first, as the first that fits is taken.
const SYMBOLS: &[&str] = &[
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",",
];

/// The tokens of a template with their lines; the last is [`Token::End`].
pub(crate) fn lex(source: &str) -> Result<Vec<(Token<'_>, u32)>, Fail> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        line_start: true,
        tokens: Vec::new(),
    };
    while lexer.data()? {}
    lexer.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Whether a tag before this place took the end of its line with it, or there is nothing before.
    line_start: bool,
    tokens: Vec<(Token<'s>, u32)>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or("")
    }

    /// Goes on by so many bytes, counting lines.
    fn advance(&mut self, bytes: usize) -> &'s str {
        let rest = self.rest();
        let passed = rest.get(..bytes).unwrap_or(rest);
        self.at += passed.len();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count() as u32;
        passed
    }

    fn push(&mut self, token: Token<'s>) {
        self.tokens.push((token, self.line));
    }

    #[cold]
    fn error<T>(&self, what: &str) -> Result<T, Fail> {
        Err(at(syntax(&[what]), self.line))
    }

    /// Reads what is printed and the tag after it; false at the end.
    fn data(&mut self) -> Result<bool, Fail> {
        let rest = self.rest();
        let Some(start) = tag_start(rest) else {
            self.push_data(rest);
            self.advance(rest.len());
            return Ok(false);
        };
        let tag = &rest[start..];
        self.push_data(before(&rest[..start], tag, self.line_start));
        self.advance(start);
        let signed = tag[2..].starts_with(['-', '+']);
        if let Some(length) = raw_begin(tag) {
            self.advance(length);
            return self.raw().map(|()| true);
        }
        self.advance(if signed { 3 } else { 2 });
        match tag.as_bytes()[1] {
            b'#' => self.comment()?,
            b'%' => {
                self.push(Token::BlockBegin);
                self.inside("%}")?;
                self.push(Token::BlockEnd);
            }
            _ => {
                self.push(Token::OutputBegin);
                self.inside("}}")?;
                self.push(Token::OutputEnd);
            }
        }
        Ok(true)
    }

    fn push_data(&mut self, text: &'s str) {
        if !text.is_empty() {
            self.push(Token::Data(text));
        }
    }

    fn comment(&mut self) -> Result<(), Fail> {
        let rest = self.rest();
        let Some(end) = rest.find("#}") else {
            return self.error("a comment is not closed");
        };
        // The sign belongs to the end, if it is not that of the beginning.
        let signed = rest[..end].ends_with(['-', '+']);
        self.advance(if signed { end - 1 } else { end });
        self.tag_end("#}");
        Ok(())
    }

    /// From `{% raw %}` to `{% endraw %}`.
    fn raw(&mut self) -> Result<(), Fail> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%") {
            let start = from + found;
            let tag = &rest[start..];
            let sign = usize::from(tag[2..].starts_with(['-', '+']));
            let inner = tag[2 + sign..].trim_start_matches(is_space);
            if let Some(after) = inner.strip_prefix("endraw") {
                let end = after.trim_start_matches(is_space);
                if end.starts_with("%}") || end.starts_with("-%}") || end.starts_with("+%}") {
                    self.push_data(before(&rest[..start], tag, false));
                    self.advance(rest.len() - end.len());
                    self.tag_end("%}");
                    return Ok(());
                }
            }
            from = start + 2;
        }
        self.error("`raw` is not closed")
    }

    /// Goes past the end of a tag and the whitespace that it takes with it; false if there is no end here.
    fn tag_end(&mut self, end: &str) -> bool {
        let rest = self.rest();
        let block = end != "}}";
        let bare = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let sign = &rest[..rest.len() - bare.len()];
        if !bare.starts_with(end) || !(matches!(sign, "" | "-") || block && sign == "+") {
            return false;
        }
        let mut length = sign.len() + end.len();
        if sign == "-" {
            length = rest.len() - rest[length..].trim_start_matches(is_space).len();
        } else if block && sign.is_empty() && rest[length..].starts_with('\n') {
            length += 1;
        }
        self.line_start = self.advance(length).ends_with('\n');
        true
    }

    /// Reads an expression or statement up to its end.
    fn inside(&mut self, end: &str) -> Result<(), Fail> {
        let mut open = Vec::new();
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches(is_space).len();
            self.advance(space);
            if open.is_empty() && self.tag_end(end) {
                return Ok(());
            }
            let Some(first) = self.rest().chars().next() else {
                return self.error("a tag is not closed");
            };
            match first {
                '"' | '\'' => self.string(first)?,
                '0'..='9' => self.number()?,
                _ if first == '_' || first.is_alphabetic() => self.name()?,
                _ => self.symbol(&mut open)?,
            }
        }
    }

    fn name(&mut self) -> Result<(), Fail> {
        let rest = self.rest();
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
        let name = &rest[..end.unwrap_or(rest.len())];
        if name.len() > LONGEST_NAME {
            return self.error("a name is too long");
        }
        self.push(Token::Name(name));
        self.advance(name.len());
        Ok(())
    }

    fn symbol(&mut self, open: &mut Vec<&'static str>) -> Result<(), Fail> {
        let rest = self.rest();
        let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
            return self.error("there is a character that means nothing here");
        };
        let closes = match *symbol {
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => "",
        };
        if matches!(*symbol, "(" | "[" | "{") {
            open.push(*symbol);
        } else if !closes.is_empty() && open.pop() != Some(closes) {
            return self.error("a bracket is closed that is not open");
        }
        self.push(Token::Symbol(symbol));
        self.advance(symbol.len());
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), Fail> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest[1..].find(|c: char| {
            let is_end = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        });
        let Some(end) = end else {
            return self.error("a string is not closed");
        };
        let Some(text) = unescape(&rest[1..=end]) else {
            return self.error("a string has an escape that means nothing");
        };
        self.push(Token::Text(text));
        self.advance(end + 2);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fail> {
        let rest = self.rest();
        // After a dot it is the index of an item, and a dot after that is the next one's.
        let index = matches!(self.tokens.last(), Some((Token::Symbol("."), _)));
        let (length, fraction) = if index {
            (digits(rest), false)
        } else {
            numeral(rest)
        };
        let text = rest[..length].replace('_', "");
        let radix = match text.as_bytes() {
            [b'0', b'x' | b'X', ..] => 16,
            [b'0', b'o' | b'O', ..] => 8,
            [b'0', b'b' | b'B', ..] => 2,
            _ => 10,
        };
        let token = if fraction {
            decimal(&text).map(Token::Float)
        } else {
            let digits = if radix == 10 { &text } else { &text[2..] };
            match i64::from_str_radix(digits, radix) {
                Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                    let error = unsupported(&["an integer of more than 64 bits"]);
                    return Err(at(error, self.line));
                }
                value => value.ok().map(Token::Int),
            }
        };
        let Some(token) = token else {
            return self.error("a number cannot be read");
        };
        self.push(token);
        self.advance(length);
        Ok(())
    }
}

/// Where the next tag begins.
fn tag_start(text: &str) -> Option<usize> {
    let pairs = text.as_bytes().windows(2);
    let mut pairs = pairs.map(|pair| matches!(pair, [b'{', b'{' | b'%' | b'#']));
    pairs.position(|begins| begins)
}

/// What is left of the text before a tag.
fn before<'s>(text: &'s str, tag: &str, line_start: bool) -> &'s str {
    let block = !tag.starts_with("{{");
    match tag.as_bytes().get(2) {
        Some(b'-') => text.trim_end_matches(is_space),
        Some(b'+') => text,
        _ if block => {
            let line = text.rfind('\n').map(|end| end + 1);
            match line.or(line_start.then_some(0)) {
                Some(line) if text[line..].chars().all(is_space) => &text[..line],
                _ => text,
            }
        }
        _ => text,
    }
}

/// The length of `{% raw %}`, if this is it. Unlike other blocks it leaves the line's end.
fn raw_begin(tag: &str) -> Option<usize> {
    let inner = tag.strip_prefix("{%")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.trim_start_matches(is_space).strip_prefix("raw")?;
    let inner = inner.trim_start_matches(is_space);
    let after = match inner.strip_prefix("-%}") {
        Some(after) => after.trim_start_matches(is_space),
        None => inner.strip_prefix("%}")?,
    };
    Some(tag.len() - after.len())
}

/// The length of a run of digits, which underscores may part.
fn digits(text: &str) -> usize {
    let end = text.find(|c: char| c != '_' && !c.is_ascii_digit());
    end.unwrap_or(text.len())
}

/// The length of a number, and whether it has a fraction or an exponent.
fn numeral(text: &str) -> (usize, bool) {
    if text.starts_with('0') && text[1..].starts_with(['x', 'X', 'o', 'O', 'b', 'B']) {
        let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        return (end.unwrap_or(text.len()), false);
    }
    let whole = digits(text);
    let mut length = whole;
    if text[length..].starts_with('.')
        && text[length + 1..].starts_with(|c: char| c.is_ascii_digit())
    {
        length += 1 + digits(&text[length + 1..]);
    }
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if power.starts_with(|c: char| c.is_ascii_digit()) {
            length = text.len() - power.len() + digits(power);
        }
    }
    (length, length > whole)
}

/// Python's escapes in a string; those it does not know stay as they are.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let kind = rest.chars().next()?;
        rest = &rest[kind.len_utf8()..];
        let (length, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                rest = &text[text.len() - rest.len() - 1..];
                let octal = rest
                    .bytes()
                    .take(3)
                    .take_while(|b| (b'0'..=b'7').contains(b));
                (octal.count(), 8)
            }
            _ => {
                simple_escape(kind, &mut out)?;
                continue;
            }
        };
        let code = rest.get(..length)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(code, radix).ok()?)?);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Some(out)
}

/// An escape of one letter.
fn simple_escape(kind: char, out: &mut String) -> Option<()> {
    match kind {
        '\n' => {}
        '\\' | '\'' | '"' => out.push(kind),
        'n' => out.push('\n'),
        't' => out.push('\t'),
        'r' => out.push('\r'),
        'a' => out.push('\u{7}'),
        'b' => out.push('\u{8}'),
        'f' => out.push('\u{c}'),
        'v' => out.push('\u{b}'),
        // A character by its name: a table of all of them would be needed.
        'N' => return None,
        _ => {
            out.push('\\');
            out.push(kind);
        }
    }
    Some(())
}
