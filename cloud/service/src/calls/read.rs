//! What stands between the tags of a block of calls.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::forms::Body;
use super::{Call, python};

/// The calls of a block, and what stands behind them; none if it is no block of calls. `closed` if it has come to its end
/// for sure.
pub(super) fn block(body: Body, text: &str, closed: bool) -> Option<(Vec<Call>, &str)> {
    let begun = text.trim_start();
    match body {
        Body::Parts {
            begin,
            separator,
            end,
        } => parts(text, begin, separator, end),
        Body::Python if !begun.starts_with('{') && !is_list_of_objects(begun) => {
            Some((python::calls(text)?, ""))
        }
        Body::Json | Body::Python if begun.starts_with('[') => list(begun),
        Body::Json | Body::Python => Some((vec![object(text, closed)?], "")),
    }
}

fn is_list_of_objects(text: &str) -> bool {
    let inside = text.strip_prefix('[');
    inside.is_some_and(|inside| inside.trim_start().starts_with('{'))
}

/// JSON objects in a list. One that was cut off is a call if its name has come.
fn list(text: &str) -> Option<(Vec<Call>, &str)> {
    let (elements, rest) = elements(text.strip_prefix('[')?);
    let closed = rest.is_some();
    let last = elements.len().checked_sub(1)?;
    let calls = elements.iter().enumerate();
    let calls = calls.map(|(i, element)| object(element, closed || i < last));
    Some((calls.collect::<Option<_>>()?, rest.unwrap_or_default()))
}

/// What stands between a list's commas, and behind its end, if that has come.
fn elements(text: &str) -> (Vec<&str>, Option<&str>) {
    let mut elements = Vec::new();
    let (mut depth, mut begin) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    let mut end = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' if depth == 0 => {
                end = Some(at);
                break;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                elements.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    elements.push(&text[begin..end.unwrap_or(text.len())]);
    (elements, end.map(|at| &text[at + 1..]))
}

/// A call's name and arguments; `closed` if it has come to its end for sure.
fn object(text: &str, closed: bool) -> Option<Call> {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    match (in_order(text, true), serde_json::from_str::<Value>(text)) {
        (Some((name, arguments)), _) if is_json(&arguments) => Some((name, text_of(arguments))),
        (_, Ok(call)) if call["name"].is_string() => {
            let arguments = call.get("arguments").or_else(|| call.get("parameters"));
            let arguments = arguments.map_or("{}".to_owned(), Value::to_string);
            Some((call["name"].as_str()?.to_owned(), text_of(arguments)))
        }
        // Not JSON: whoever gets it sees what the model wrote.
        _ => in_order(text, closed),
    }
}

/// Arguments that are a string with JSON in it are taken out of it.
fn text_of(arguments: String) -> String {
    serde_json::from_str::<String>(&arguments).unwrap_or(arguments)
}

/// A call whose name stands before its arguments, these as they are written.
fn in_order(block: &str, closed: bool) -> Option<Call> {
    let after = |text, token| str::trim_start(text).strip_prefix(token);
    let rest = after(after(after(block, "{")?, "\"name\"")?, ":")?;
    let (name, rest) = after(rest, "\"")?.split_once('"')?;
    let rest = after(rest, ",")?;
    let rest = after(rest, "\"arguments\"").or_else(|| after(rest, "\"parameters\""))?;
    let rest = after(rest, ":")?.trim();
    let arguments = match closed {
        true => rest.strip_suffix('}').unwrap_or(rest).trim_end(),
        false => rest,
    };
    Some((name.to_owned(), arguments.to_owned()))
}

/// Names and arguments, one after the other.
fn parts<'a>(
    text: &'a str,
    begin: &str,
    separator: &str,
    end: &str,
) -> Option<(Vec<Call>, &'a str)> {
    let mut calls = Vec::new();
    let mut behind = "";
    for part in text.split(begin).filter(|part| !part.trim().is_empty()) {
        // Only the last one may have text behind it.
        if !behind.is_empty() {
            return None;
        }
        let (part, rest) = match end {
            "" => (part, ""),
            end => part.split_once(end).unwrap_or((part, "")),
        };
        let (name, arguments) = part.split_once(separator)?;
        let (call, more) = match arguments.split_once("```json") {
            // The separator stood behind a kind of tool.
            Some((name, fenced)) if is_name(name.trim()) => {
                let arguments = fenced
                    .rsplit_once("```")
                    .map_or(fenced, |(inside, _)| inside);
                ((name, arguments), "")
            }
            _ => {
                // An id that the model has made up itself is not needed.
                let name = name.split("[CALL_ID]").next().unwrap_or(name);
                let (arguments, more) = first_value(arguments);
                ((name, arguments), more)
            }
        };
        let (name, arguments) = (call.0.trim(), call.1.trim());
        if !is_name(name) || !(arguments.is_empty() || arguments.starts_with('{')) {
            return None;
        }
        calls.push((name.to_owned(), arguments.to_owned()));
        behind = if rest.trim().is_empty() {
            more.trim()
        } else {
            rest
        };
    }
    (!calls.is_empty()).then_some((calls, behind))
}

/// A text's first value of JSON, and what follows; all of it if that is none.
fn first_value(text: &str) -> (&str, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => text.split_at(values.byte_offset()),
        _ => (text, ""),
    }
}

/// Whether a function may be called so.
pub(super) fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(known)
}
