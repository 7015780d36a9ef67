//! Calls as Python writes them: `[f(a=1, b="x"), g()]`.

use serde_json::{Value, json};

use super::Call;
use super::read::is_name;

/// Lists and dictionaries in each other.
const MAX_DEPTH: usize = 32;

/// The calls of a list, or one alone; none if the text is anything else. Arguments have names, and values are literals.
pub(super) fn calls(text: &str) -> Option<Vec<Call>> {
    let mut reader = Reader { rest: text };
    let listed = reader.take("[");
    let mut calls = Vec::new();
    loop {
        calls.push(reader.call()?);
        if !listed || !reader.take(",") {
            break;
        }
    }
    let ended = !listed || reader.take("]");
    (ended && reader.rest.trim().is_empty()).then_some(calls)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Goes behind a token, if that comes next.
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What comes next and has only such characters; none if that is nothing.
    fn word(&mut self, may: impl Fn(char) -> bool) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let end = text.find(|c| !may(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn call(&mut self) -> Option<Call> {
        let name = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))?;
        // Llama's tools of its own are objects.
        let name = name.strip_suffix(".call").unwrap_or(name);
        if !is_name(name) || !self.take("(") {
            return None;
        }
        let mut arguments = Vec::<(&str, Value)>::new();
        while !self.take(")") {
            if !arguments.is_empty() && !self.take(",") {
                return None;
            }
            if self.take(")") {
                break;
            }
            let key = self.word(|c| c.is_alphanumeric() || c == '_')?;
            let twice = arguments.iter().any(|(known, _)| *known == key);
            if twice || !self.take("=") {
                return None;
            }
            arguments.push((key, self.value(0)?));
        }
        // In the order in which they were written.
        let pair = |(key, value): (&str, Value)| format!("{}: {value}", json!(key));
        let arguments: Vec<String> = arguments.into_iter().map(pair).collect();
        Some((name.to_owned(), format!("{{{}}}", arguments.join(", "))))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.trim_start().chars().next()? {
            quote @ ('"' | '\'') => self.string(quote).map(Value::from),
            '[' => {
                self.take("[");
                self.items("]", |reader| reader.value(depth + 1))
                    .map(Value::Array)
            }
            '{' => {
                self.take("{");
                let pairs = self.items("}", |reader| {
                    let quote = reader.rest.trim_start().chars().next()?;
                    let key = matches!(quote, '"' | '\'').then(|| reader.string(quote))??;
                    let has = reader.take(":");
                    has.then(|| reader.value(depth + 1))?
                        .map(|value| (key, value))
                })?;
                Some(Value::Object(pairs.into_iter().collect()))
            }
            _ => match self.word(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))? {
                "True" | "true" => Some(json!(true)),
                "False" | "false" => Some(json!(false)),
                "None" | "null" => Some(Value::Null),
                number => number_of(number),
            },
        }
    }

    /// What stands between commas, up to `end`.
    fn items<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            if self.take(end) {
                return Some(items);
            }
            if !items.is_empty() && !self.take(",") {
                return None;
            }
            // Python lets a comma stand behind the last one too.
            if !items.is_empty() && self.take(end) {
                return Some(items);
            }
            items.push(item(self)?);
        }
    }

    fn string(&mut self, quote: char) -> Option<String> {
        let text = self.rest.trim_start().strip_prefix(quote)?;
        let mut out = String::new();
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.rest = &text[at + c.len_utf8()..];
                    return Some(out);
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    '\n' => {}
                    kind @ ('x' | 'u' | 'U') => {
                        let digits = match kind {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                        out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                    }
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    // Python keeps those that it does not know.
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
        }
        None
    }
}

/// A number as it is written.
fn number_of(text: &str) -> Option<Value> {
    let text = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let known: Option<Value> = serde_json::from_str(&text).ok();
    // Python lets a point stand at either end.
    let known = known.or_else(|| text.parse::<f64>().ok().map(Value::from));
    known.filter(Value::is_number)
}
