//! Calls of tools as a grammar.

use std::fmt::Write;

use serde_json::{Value, json};
use sprat_wire::Tool;

use super::schema::with_our_options;
use crate::CallFormat;

/// Calls in one answer, where several may be.
const MOST: usize = 16;

/// Lark's words for an answer that is a call of one of the tools, or several calls, in that format. Each tool's schema is
/// a grammar of its own, so that its references stay inside of it.
pub(super) fn grammar(tools: &[Tool], format: CallFormat, several: bool) -> String {
    let rules = |name: &str| {
        let all = (0..tools.len()).map(|i| format!("{name}{i}"));
        all.collect::<Vec<_>>()
    };
    let start = match (several, format) {
        (true, CallFormat::Tagged) => format!("call (\"\\n\" call){{0,{}}}", MOST - 1),
        _ => "call".to_owned(),
    };
    let mut lark = format!("start: {start}\ncall: {}\n", rules("call").join(" | "));
    for (i, tool) in tools.iter().enumerate() {
        let (open, close) = format.around(&tool.function.name);
        let (open, close) = (Value::from(open), Value::from(close));
        let parameters = parameters(tool);
        // Writing to a string cannot fail.
        let _ = writeln!(lark, "call{i}: {open} arguments{i} {close}");
        let _ = writeln!(
            lark,
            "arguments{i}: %json {}",
            with_our_options(&parameters)
        );
    }
    lark
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
