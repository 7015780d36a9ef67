//! JSON schemas of what is read in more than one shape.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! by_hand {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

by_hand!(
    /// A message's content.
    Content,
    {"anyOf": [
        {"type": "string"},
        {"type": "null"},
        {"type": "array", "items": {"anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "enum": ["text", "input_text", "output_text"]},
                    "text": {"type": "string"}
                },
                "required": ["text"],
                "additionalProperties": false
            }
        ]}}
    ]}
);

by_hand!(
    /// Texts that end an answer.
    Stop,
    {"anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 256},
        {"type": "null"},
        {"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1, "maxLength": 256}}
    ]}
);

by_hand!(
    /// Token ids and what is added to their logits.
    Bias,
    {
        "type": "object",
        "maxProperties": 1024,
        "propertyNames": {"type": "string", "pattern": "^[0-9]{1,9}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}
    }
);

/// That a field needs another one to be true.
fn needs(field: serde_json::Value, name: &str, other: &str) -> serde_json::Value {
    let mut with = serde_json::Map::new();
    with.insert(name.to_owned(), field);
    let mut then = serde_json::Map::new();
    then.insert(other.to_owned(), serde_json::json!({"const": true}));
    serde_json::json!({
        "if": {"properties": with, "required": [name]},
        "then": {"properties": then, "required": [other]},
    })
}

fn stream_options() -> serde_json::Value {
    needs(
        serde_json::json!({"type": "object"}),
        "stream_options",
        "stream",
    )
}

/// What goes with what in a chat request.
pub(crate) fn chat(schema: &mut Schema) {
    let top = serde_json::json!({"type": "integer", "minimum": 1});
    let all = [needs(top, "top_logprobs", "logprobs"), stream_options()];
    schema.insert("allOf".to_owned(), all.into_iter().collect());
}

/// What goes with what in a text request.
pub(crate) fn text(schema: &mut Schema) {
    schema.insert("allOf".to_owned(), [stream_options()].into_iter().collect());
}

/// Either a text or messages.
pub(crate) fn tokenize(schema: &mut Schema) {
    let one = |name: &str, kind: &str, other: &str| {
        serde_json::json!({
            "properties": {name: {"type": kind}, other: {"type": "null"}},
            "required": [name],
        })
    };
    let either = [
        one("prompt", "string", "messages"),
        one("messages", "array", "prompt"),
    ];
    schema.insert("oneOf".to_owned(), either.into_iter().collect());
}

impl JsonSchema for crate::TextInput {
    fn schema_name() -> Cow<'static, str> {
        "TextInput".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let token = || serde_json::json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
        json_schema!({
            "description": "One text or several, or their token ids.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
                {"type": "array", "minItems": 1, "items": token()},
                {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": token()}}
            ]
        })
    }
}
