//! Calls of tools as a grammar.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};
use sprat_wire::Tool;

use super::schema::with_our_options;
use crate::CallFormat;

/// Calls in one answer, where several may be.
const MOST: usize = 16;

/// Lark's words for an answer that is a call of one of the tools, or several calls, in that format. Each tool's schema is
/// a grammar of its own, so that its references stay inside of it. `special` are the special tokens, whose text nothing
/// else stands for.
pub(super) fn grammar(
    tools: &[Tool],
    format: CallFormat,
    several: bool,
    special: &HashMap<String, u32>,
) -> String {
    let form = format.form();
    let written = &form.written;
    let literal = |text: &str| literal(text, form.markers, special);
    let all = (0..tools.len()).map(|i| format!("call{i}"));
    let all: Vec<String> = all.collect();
    let more = match written.between.filter(|_| several) {
        Some(between) => format!("({} call){{0,{}}}", literal(between), MOST - 1),
        None => String::new(),
    };
    let before = written.before.iter().map(|text| literal(text));
    let before: Vec<String> = before.collect();
    let before = before.join(" | ");
    let after = literal(written.after);
    let mut lark = format!(
        "start: ({before}) call {more} {after}\ncall: {}\n",
        all.join(" | ")
    );
    for (i, tool) in tools.iter().enumerate() {
        let [head, middle] = written.name;
        let head = literal(&format!("{head}{}{middle}", tool.function.name));
        let tail = literal(written.tail);
        let schema = with_our_options(&parameters(tool));
        // Writing to a string cannot fail.
        let _ = writeln!(lark, "call{i}: {head} arguments{i} {tail}");
        let _ = writeln!(lark, "arguments{i}: %json {schema}");
    }
    lark
}

/// Lark's words for a text in which some markers may be tokens of their own.
fn literal(text: &str, markers: &[&str], special: &HashMap<String, u32>) -> String {
    let found = markers
        .iter()
        .filter_map(|marker| Some((text.find(marker)?, *marker, special.get(*marker)?)));
    match found.min_by_key(|(at, ..)| *at) {
        None => Value::from(text).to_string(),
        Some((at, marker, id)) => {
            let before = Value::from(&text[..at]);
            let behind = literal(&text[at + marker.len()..], markers, special);
            format!("{before} <[{id}]> {behind}")
        }
    }
}

/// The schema of a tool's arguments, which are always an object.
pub(super) fn parameters(tool: &Tool) -> Value {
    let Some(parameters) = &tool.function.parameters else {
        return json!({"type": "object", "properties": {}, "additionalProperties": false});
    };
    let mut parameters = parameters.clone();
    if let Some(fields) = parameters.as_object_mut() {
        fields.entry("type").or_insert(json!("object"));
    }
    parameters
}
