//! Methods of strings, as Python has them.

use crate::args::{Bound, Signatures, or_int};
use crate::error::{Fail, invalid, unknown, unsupported};
use crate::meter::{Meter, Out};
use crate::print;
use crate::sequence::items;
use crate::value::{Form, Value};

/// Those that there are here.
pub(crate) const METHODS: Signatures = &[
    ("capitalize", ""),
    ("casefold", ""),
    ("count", "sub"),
    ("endswith", "suffix"),
    ("find", "sub"),
    ("index", "sub"),
    ("isalnum", ""),
    ("isalpha", ""),
    ("isascii", ""),
    ("isdecimal", ""),
    ("isdigit", ""),
    ("islower", ""),
    ("isnumeric", ""),
    ("isspace", ""),
    ("isupper", ""),
    ("join", "iterable"),
    ("lower", ""),
    ("lstrip", "chars"),
    ("partition", "sep"),
    ("removeprefix", "prefix"),
    ("removesuffix", "suffix"),
    ("replace", "old new count"),
    ("rfind", "sub"),
    ("rpartition", "sep"),
    ("rsplit", "sep maxsplit"),
    ("rstrip", "chars"),
    ("split", "sep maxsplit"),
    ("splitlines", "keepends"),
    ("startswith", "prefix"),
    ("strip", "chars"),
    ("title", ""),
    ("upper", ""),
];

/// What Python's `str.isspace` takes for whitespace: four control characters more than Unicode.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Calls a method.
pub(crate) fn call(text: &str, name: &str, args: &Bound, meter: &Meter) -> Result<Value, Fail> {
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars, ..] = args;
            let (start, end) = (name != "rstrip", name != "lstrip");
            Ok(Value::from(strip(text, chars, start, end, meter)?))
        }
        "split" | "rsplit" => {
            let [separator, limit, ..] = args;
            let limit = usize::try_from(or_int(limit, -1)?).unwrap_or(usize::MAX);
            let parts = split(text, separator, limit, name == "rsplit", meter)?;
            Ok(Value::list(parts))
        }
        "splitlines" => {
            let [keep, ..] = args;
            let lines = lines(text, keep.is_true(), meter)?;
            Ok(Value::list(lines.into_iter().map(Value::from).collect()))
        }
        "partition" | "rpartition" => partition(text, args, name == "rpartition"),
        "startswith" | "endswith" => {
            let [part, ..] = args;
            Ok(Value::Bool(starts_or_ends(
                text,
                part,
                name == "startswith",
                meter,
            )?))
        }
        "removeprefix" | "removesuffix" => {
            let [part, ..] = args;
            let part = part.text()?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(&**part),
                _ => text.strip_suffix(&**part),
            };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        "replace" => {
            let [old, new, limit, ..] = args;
            replace(text, old.text()?, new.text()?, limit)
        }
        "find" | "rfind" | "index" => find(text, name, args),
        "count" => {
            let [part, ..] = args;
            let count = text.matches(&**part.text()?).count();
            Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
        }
        "join" => {
            let [values, ..] = args;
            join(values, text, false, meter)
        }
        _ => simple(text, name),
    }
}

/// Methods without arguments.
pub(crate) fn simple(text: &str, name: &str) -> Result<Value, Fail> {
    let all = |is_it: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(is_it));
    Ok(match name {
        "upper" => Value::from(upper(text)),
        "lower" | "casefold" => Value::from(lower(text)),
        "capitalize" => Value::from(capitalize(text)),
        "title" => Value::from(title(text, char::is_alphabetic)),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isdigit" | "isdecimal" | "isnumeric" => Value::Bool(is_number(text, name == "isnumeric")?),
        "isspace" => all(is_space),
        "isascii" => Value::Bool(text.is_ascii()),
        "isupper" => Value::Bool(is_cased(text, char::is_uppercase, char::is_lowercase)),
        "islower" => Value::Bool(is_cased(text, char::is_lowercase, char::is_uppercase)),
        _ => return Err(unknown("the method", name)),
    })
}

/// Whether all are digits. Beyond ASCII's it would take a table to tell which are, and among letters which have a value.
fn is_number(text: &str, letters: bool) -> Result<bool, Fail> {
    let mut others = text.chars().filter(|c| !c.is_ascii_digit());
    let certainly_not = |c: char| c.is_ascii() || !letters && !c.is_numeric();
    if others.clone().any(certainly_not) {
        return Ok(false);
    }
    match others.next() {
        Some(_) => Err(unsupported(&["a digit that is not one of ASCII's"])),
        None => Ok(!text.is_empty()),
    }
}

/// Whether some letters are of one case and none of the other.
pub(crate) fn is_cased(text: &str, some: fn(char) -> bool, none: fn(char) -> bool) -> bool {
    text.chars().any(some) && !text.chars().any(none)
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    upper(first.encode_utf8(&mut [0; 4])) + &lower(chars.as_str())
}

/// Words with a large first letter; whatever `in_word` does not take parts them.
pub(crate) fn title(text: &str, in_word: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let mut room = [0; 4];
        let letter = c.encode_utf8(&mut room);
        // Without asking the browser for each.
        match (c.is_ascii(), inside) {
            (true, true) => out.push(c.to_ascii_lowercase()),
            (true, false) => out.push(c.to_ascii_uppercase()),
            (false, true) => out.push_str(&lower(letter)),
            (false, false) => out.push_str(&upper(letter)),
        }
        inside = in_word(c);
    }
    out
}

/// In small letters.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// In large letters.
#[cfg(not(target_arch = "wasm32"))]
fn upper(text: &str) -> String {
    text.to_uppercase()
}

/// In small letters. The browser has the tables already.
#[cfg(target_arch = "wasm32")]
pub(crate) fn lower(text: &str) -> String {
    js_sys::JsString::from(text).to_lower_case().into()
}

/// In large letters, as [`lower`].
#[cfg(target_arch = "wasm32")]
fn upper(text: &str) -> String {
    js_sys::JsString::from(text).to_upper_case().into()
}

/// Without whitespace, or these characters, at its ends.
pub(crate) fn strip<'t>(
    text: &'t str,
    chars: &Value,
    start: bool,
    end: bool,
    meter: &Meter,
) -> Result<&'t str, Fail> {
    let chars = match chars {
        Value::Undefined | Value::None => None,
        chars => Some(chars.text()?),
    };
    // Each character is looked for among these.
    let looks = chars.map_or(0, |chars| chars.len());
    meter.spend_bytes(text.len().saturating_mul(looks))?;
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if start {
        text.trim_start_matches(goes)
    } else {
        text
    };
    Ok(if end {
        text.trim_end_matches(goes)
    } else {
        text
    })
}

/// The parts between separators, at most so many splits, counted from the end for `rsplit`.
fn split(
    text: &str,
    separator: &Value,
    limit: usize,
    from_end: bool,
    meter: &Meter,
) -> Result<Vec<Value>, Fail> {
    let separator = match separator {
        Value::Undefined | Value::None => None,
        separator => Some(separator.text()?),
    };
    if separator.is_some_and(|separator| separator.is_empty()) {
        return Err(invalid(&["the separator is empty"]));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        meter.spend(1)?;
        if separator.is_none() {
            rest = if from_end {
                rest.trim_end_matches(is_space)
            } else {
                rest.trim_start_matches(is_space)
            };
            if rest.is_empty() {
                break;
            }
        }
        let cut = match (separator, from_end) {
            (Some(separator), false) => rest.split_once(&**separator),
            (Some(separator), true) => rest.rsplit_once(&**separator),
            (None, false) => rest.split_once(is_space),
            (None, true) => rest.rsplit_once(is_space),
        };
        match cut.filter(|_| parts.len() < limit) {
            Some((before, after)) => {
                let (part, other) = if from_end {
                    (after, before)
                } else {
                    (before, after)
                };
                parts.push(Value::from(part));
                rest = other;
            }
            None => {
                // What is left has lost the whitespace on one side; Python leaves that on the other only if it has to stop.
                let whole = if separator.is_none() && cut.is_none() {
                    rest.trim_matches(is_space)
                } else {
                    rest
                };
                parts.push(Value::from(whole));
                break;
            }
        }
    }
    if from_end {
        parts.reverse();
    }
    Ok(parts)
}

/// Lines, by every character that Python takes for a line's end.
pub(crate) fn lines<'t>(text: &'t str, keep: bool, meter: &Meter) -> Result<Vec<&'t str>, Fail> {
    let is_end = |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(is_end) {
        meter.spend(1)?;
        let length = rest[end..].chars().next().map_or(0, char::len_utf8);
        let length = if rest[end..].starts_with("\r\n") {
            2
        } else {
            length
        };
        lines.push(&rest[..if keep { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    Ok(lines)
}

fn partition(text: &str, args: &Bound, from_end: bool) -> Result<Value, Fail> {
    let [separator, ..] = args;
    let separator = separator.text()?;
    if separator.is_empty() {
        return Err(invalid(&["the separator is empty"]));
    }
    let found = if from_end {
        text.rsplit_once(&**separator)
    } else {
        text.split_once(&**separator)
    };
    let parts = match (found, from_end) {
        (Some((before, after)), _) => [before, separator, after],
        (None, false) => [text, "", ""],
        (None, true) => ["", "", text],
    };
    Ok(Value::sequence(
        Form::Tuple,
        parts.map(Value::from).to_vec(),
    ))
}

/// Whether a text starts or ends with a part, or with one of several.
pub(crate) fn starts_or_ends(
    text: &str,
    part: &Value,
    start: bool,
    meter: &Meter,
) -> Result<bool, Fail> {
    let is_it = |part: &str| {
        if start {
            text.starts_with(part)
        } else {
            text.ends_with(part)
        }
    };
    let Value::List(parts) = part else {
        return Ok(is_it(part.text()?));
    };
    for part in &parts.items {
        meter.spend(1)?;
        meter.weigh_text(part)?;
        if is_it(part.text()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn replace(text: &str, old: &str, new: &str, limit: &Value) -> Result<Value, Fail> {
    let limit = usize::try_from(or_int(limit, -1)?).unwrap_or(usize::MAX);
    let mut out = Out::default();
    let mut from = 0;
    for (place, _) in text.match_indices(old).take(limit) {
        out.push(&text[from..place])?;
        out.push(new)?;
        from = place + old.len();
    }
    out.push(&text[from..])?;
    Ok(out.into_value())
}

/// The place of a part, in characters.
fn find(text: &str, name: &str, args: &Bound) -> Result<Value, Fail> {
    let [part, ..] = args;
    let part = part.text()?;
    let found = if name == "rfind" {
        text.rfind(&**part)
    } else {
        text.find(&**part)
    };
    match found {
        Some(place) => {
            let chars = text[..place].chars().count();
            Ok(Value::Int(i64::try_from(chars).unwrap_or(i64::MAX)))
        }
        None if name == "index" => Err(invalid(&["there is no such part in the string"])),
        None => Ok(Value::Int(-1)),
    }
}

/// Values with a separator between them. The filter makes strings of them, the method wants strings.
pub(crate) fn join(
    values: &Value,
    separator: &str,
    any: bool,
    meter: &Meter,
) -> Result<Value, Fail> {
    let mut out = Out::default();
    for (index, item) in items(values, meter)?.items.iter().enumerate() {
        meter.spend(1)?;
        if index > 0 {
            out.push(separator)?;
        }
        if any {
            print::text(item, &mut out)?;
        } else {
            out.push(item.text()?)?;
        }
    }
    Ok(out.into_value())
}
