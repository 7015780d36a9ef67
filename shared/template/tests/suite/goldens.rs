//! What transformers rendered: the files in `tests/goldens/template`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sprat_template::{Error, Value};

use crate::support::{Json, render, theirs_to_ours as ours};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/template")
}

fn read<T: DeserializeOwned>(file: &str) -> T {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The text of a template beside the goldens.
fn template(name: &str) -> String {
    let file = format!("{}.jinja", name.trim_end_matches(".jinja"));
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// A message as transformers gives it to a template: without fields that are null.
fn message(message: &Json) -> Value {
    let fields = message.0.try_iter().unwrap();
    let fields = fields.map(|key| (ours(&key), ours(&message.0.get_item(&key).unwrap())));
    Value::map(
        fields
            .filter(|(_, value)| !matches!(value, Value::None))
            .collect(),
    )
}

struct Call<'a> {
    messages: &'a [Json],
    tools: Option<&'a [Json]>,
    prompt: bool,
    tokens: [&'a str; 2],
}

fn apply(source: &str, call: &Call) -> Result<String, Error> {
    let list = |values: &[Json]| Value::list(values.iter().map(|value| ours(&value.0)).collect());
    let tools = call.tools.map_or(Value::None, list);
    let variables = vec![
        (
            "messages",
            Value::list(call.messages.iter().map(message).collect()),
        ),
        ("add_generation_prompt", Value::from(call.prompt)),
        ("tools", tools.clone()),
        ("xml_tools", tools),
        ("documents", Value::None),
        ("bos_token", Value::from(call.tokens[0])),
        ("eos_token", Value::from(call.tokens[1])),
    ];
    render(source, variables)
}

/// What came out is what transformers rendered, or an error that says the same.
fn check(
    rendered: Result<String, Error>,
    expected: &Option<String>,
    error: &Option<String>,
    what: &str,
) {
    match (rendered, expected, error) {
        (Ok(text), Some(expected), _) => assert_eq!(text, *expected, "{what}"),
        (Err(said), None, Some(error)) => {
            assert!(said.to_string().contains(error.as_str()), "{what}: {said}");
        }
        (Ok(_), ..) => panic!("{what}: it renders"),
        (Err(error), ..) => panic!("{what}: {error}"),
    }
}

#[derive(Deserialize)]
struct Goldens {
    bos_token: String,
    eos_token: String,
    conversations: BTreeMap<String, Vec<Json>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

#[test]
fn conversations_render_as_in_transformers() {
    let golden: Goldens = read("golden.json");
    assert!(golden.cases.len() > 10);
    for case in &golden.cases {
        let call = Call {
            messages: &golden.conversations[&case.conversation],
            tools: None,
            prompt: case.add_generation_prompt,
            tokens: [&golden.bos_token, &golden.eos_token],
        };
        let rendered = apply(&template(&case.template), &call);
        let what = format!("{} with {}", case.template, case.conversation);
        check(rendered, &case.expected, &case.error, &what);
    }
}

#[derive(Deserialize)]
struct ToolGoldens {
    bos_token: String,
    eos_token: String,
    cases: Vec<ToolCase>,
}

#[derive(Deserialize)]
struct ToolCase {
    template: String,
    messages: Vec<Json>,
    tools: Option<Vec<Json>>,
    add_generation_prompt: bool,
    expected: Option<String>,
    error: Option<String>,
}

#[test]
fn tools_render_as_in_transformers() {
    let golden: ToolGoldens = read("tools.json");
    assert!(golden.cases.len() > 4);
    for case in &golden.cases {
        let call = Call {
            messages: &case.messages,
            tools: case.tools.as_deref(),
            prompt: case.add_generation_prompt,
            tokens: [&golden.bos_token, &golden.eos_token],
        };
        let rendered = apply(&template(&case.template), &call);
        check(rendered, &case.expected, &case.error, &case.template);
    }
}

#[derive(Deserialize)]
struct Published {
    bos_token: String,
    eos_token: String,
    tools: Vec<Json>,
    conversations: BTreeMap<String, Vec<Json>>,
    /// SHA-256 of the templates by file name.
    templates: BTreeMap<String, String>,
    cases: Vec<PublishedCase>,
}

#[derive(Deserialize)]
struct PublishedCase {
    template: String,
    conversation: String,
    #[serde(default)]
    tools: bool,
    add_generation_prompt: bool,
    /// None where transformers fails.
    sha256: Option<String>,
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Templates of published models, which are not ours to copy: from the folders that `SPRAT_TEMPLATES` lists, as PATH does.
/// Where transformers fails, ours may render.
#[test]
fn published_templates_render_as_in_transformers() {
    let golden: Published = read("published.json");
    let Some(folders) = std::env::var_os("SPRAT_TEMPLATES") else {
        eprintln!("SPRAT_TEMPLATES names no folder with templates: nothing was compared");
        return;
    };
    let folders: Vec<_> = std::env::split_paths(&folders).collect();
    let (mut compared, mut lenient) = (0, 0);
    for (file, hash) in &golden.templates {
        let mut paths = folders.iter().map(|folder| folder.join(file));
        let Some(path) = paths.find(|path| path.exists()) else {
            continue;
        };
        let source = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            sha256(source.as_bytes()),
            *hash,
            "{file} is another version"
        );
        for case in golden.cases.iter().filter(|case| case.template == *file) {
            let call = Call {
                messages: &golden.conversations[&case.conversation],
                tools: case.tools.then_some(golden.tools.as_slice()),
                prompt: case.add_generation_prompt,
                tokens: [&golden.bos_token, &golden.eos_token],
            };
            let rendered = apply(&source, &call);
            let what = format!("{file} with {}", case.conversation);
            let Some(expected) = &case.sha256 else {
                lenient += usize::from(rendered.is_ok());
                continue;
            };
            let rendered = rendered.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(sha256(rendered.as_bytes()), *expected, "{what}: {rendered}");
            compared += 1;
        }
    }
    assert!(compared > 0, "SPRAT_TEMPLATES has none of the templates");
    println!("{compared} renderings compared; {lenient} render that fail in transformers");
}

#[derive(Deserialize)]
struct Expressions {
    variables: BTreeMap<String, Json>,
    cases: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    source: String,
    expected: Option<String>,
}

/// What does not render as Jinja renders it, on purpose.
const DIFFERENT: &[(&str, &str)] = &[
    ("{{ map.keys() }}", "printed as the list that it is like"),
    ("{{ '1_0'|int }}", "numbers in texts have no underscores"),
    ("{{ 1234|round(-2) }}", "a float"),
    ("{{ 2 ** 0.5 }}", "would need a library"),
    ("{{ '\\N{DIGIT ONE}' }}", "characters have no names here"),
    (
        "{{ [\"\\x00\\x1b\\x7f\\x80\\xa0\\xad\\u200b\"] }}",
        "there is no table of what Python prints",
    ),
    // Jinja fails with these.
    ("{{ text.startswith(['H']) }}", "a list will do for a tuple"),
    ("{{ 5|indent }}", "printed first, as for other filters"),
    ("{{ text is defined is true }}", "tests follow each other"),
    ("{{ 08 }}", "a number"),
    ("{% set true = 1 %}", "a name that nothing can read"),
    (
        "{% macro m(a=1, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(2, 3) }}",
        "in any order",
    ),
    // Jinja takes these two for nothing at a template's end only.
    ("{% raw %}", "not closed"),
    ("{#", "not closed"),
];

/// What templates can be made of, one thing at a time, by Jinja2 itself.
#[test]
fn expressions_render_as_in_jinja() {
    let golden: Expressions = read("expressions.json");
    assert!(golden.cases.len() > 500);
    let variables = golden.variables.iter();
    let variables: Vec<_> = variables
        .map(|(name, value)| (name.as_str(), ours(&value.0)))
        .collect();
    let mut wrong = Vec::new();
    for case in &golden.cases {
        let rendered = render(&case.source, variables.clone());
        let same = rendered.as_ref().ok() == case.expected.as_ref();
        if same == DIFFERENT.iter().any(|(source, _)| *source == case.source) {
            wrong.push(format!(
                "{}\n  ours {rendered:?}\n  Jinja's {:?}",
                case.source, case.expected
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
