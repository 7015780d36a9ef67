//! What of JSON Schema a grammar can say, and how the JSON is written.

use serde_json::{Value, json};

/// Where the library looks for its options.
const OPTIONS: &str = "x-guidance";

/// Between two parts of JSON: nothing, a space, or a new line and its indentation. Without a limit a model may write
/// spaces for ever.
const WHITESPACE: &str = r" |\n[ \t]{0,64}";

/// A schema and how its JSON is to be written, whatever the schema says of that itself.
pub(super) fn with_our_options(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        let options = json!({"whitespace_pattern": WHITESPACE});
        fields.insert(OPTIONS.to_owned(), options);
    }
    schema
}

/// Keywords of JSON Schema that a grammar cannot say.
const UNSUPPORTED: [&str; 20] = [
    "not",
    "if",
    "then",
    "else",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
    "contentSchema",
];

/// What is wrong with a schema, in words of our own: the library's may quote anything.
pub(super) fn problem(message: &str) -> String {
    if let Some(list) = message.split("Unimplemented keys: ").nth(1) {
        let quoted = list.split('"').skip(1).step_by(2);
        let known: Vec<&str> = quoted.filter(|key| UNSUPPORTED.contains(key)).collect();
        if !known.is_empty() {
            return format!("has keywords that cannot be enforced: {}", known.join(", "));
        }
    }
    let reasons = [
        ("oneOf", "has a oneOf whose options overlap; use anyOf"),
        (
            "Unknown format",
            "has a format that cannot be enforced; use pattern",
        ),
        ("Unsatisfiable", "has no JSON that it lets through"),
        (
            "$ref",
            "has a $ref that is not inside of it: write it as #/$defs/name",
        ),
        ("Reference segment", "has a $ref to what is not there"),
        ("Unknown specification", "has a $schema that is not known"),
        ("regex", "has a pattern that cannot be enforced"),
        ("too large", "is too large"),
        ("too complex", "is too complex"),
    ];
    let reason = reasons.iter().find(|(word, _)| message.contains(word));
    let reason = reason.map_or("is no JSON Schema that can be enforced", |(_, words)| words);
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_keywords_and_nothing_else() {
        let keys = problem(r#"Unimplemented keys: ["SECRET", "not", "uniqueItems"] while SECRET"#);
        assert_eq!(
            keys,
            "has keywords that cannot be enforced: not, uniqueItems"
        );
        for message in [
            "SECRET",
            "Unknown format: SECRET",
            "Unimplemented keys: [\"SECRET\"]",
        ] {
            assert!(!problem(message).contains("SECRET") && problem(message).len() < 200);
        }
    }

    #[test]
    fn how_json_is_written_is_not_the_schemas_affair() {
        let schema = json!({"type": "object", "x-guidance": {"lenient": true}});
        let made = with_our_options(&schema);
        assert_eq!(
            made["x-guidance"],
            json!({"whitespace_pattern": WHITESPACE})
        );
    }
}
