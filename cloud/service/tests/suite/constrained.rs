//! Constrained answers of real models: whatever they would like to say, they say what was asked for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::common::{Wire, events};
use serde_json::{Value, json};
use sprat_model::{Manifest, PackFile};
use sprat_service::{ServeConfig, serve_until};
use tempfile::TempDir;
use tokio::sync::oneshot;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny")
}

/// The small model with another chat template.
fn with_template(template: &str) -> TempDir {
    with_markers(template, &[])
}

/// And with other texts for special tokens of its own that such a template does not need.
fn with_markers(template: &str, markers: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let tokenizer = std::fs::read_to_string(tiny().join("tokenizer.json")).unwrap();
    let own = ["<|pad|>", "<|system|>", "<|user|>"];
    let renamed = own.iter().zip(markers);
    let tokenizer = renamed.fold(tokenizer, |text, (own, marker)| text.replace(own, marker));
    let manifest = folder.path().join("sprat.json");
    let mut read = Manifest::from_json(&std::fs::read(&manifest).unwrap()).unwrap();
    for (name, text) in [
        ("chat_template.jinja", template),
        ("tokenizer.json", &tokenizer),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
        for file in read.files.iter_mut().filter(|file| file.path == name) {
            *file = PackFile::of(name, text.as_bytes());
        }
    }
    std::fs::write(&manifest, read.to_json()).unwrap();
    folder
}

/// A running server, until it is dropped.
struct Server {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start(model: &Path) -> Self {
        let config = ServeConfig {
            models: vec![model.to_path_buf().into()],
            address: "127.0.0.1:0".parse().unwrap(),
            ..ServeConfig::default()
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = oneshot::channel();
        let until = async move {
            let _ = stopped.await;
        };
        tokio::spawn(serve_until(
            config,
            move |at| ready.send(at).unwrap(),
            until,
        ));
        let address = address.await.unwrap();
        Self {
            address,
            _stop: stop,
        }
    }

    async fn ask(&self, more: Value) -> Value {
        let body = crate::common::ask("What is it?", named(more));
        let reply = Wire::post(self.address, &body).await.rest().await;
        serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    async fn stream(&self, more: Value) -> Vec<Value> {
        let mut more = named(more);
        more["stream"] = json!(true);
        let body = crate::common::ask("What is it?", more);
        let reply = Wire::post(self.address, &body).await.rest().await;
        let events = events(reply.split_once("\r\n\r\n").unwrap().1.as_bytes());
        events.into_iter().flatten().collect()
    }
}

impl Server {
    /// What the model reads of a conversation, without special tokens.
    async fn told(&self, messages: &Value) -> String {
        let ask = async |path: &str, body: Value| {
            let reply = Wire::post_to(self.address, path, &body).await.rest().await;
            serde_json::from_str::<Value>(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        let asked = json!({"model": "sprat-tiny", "messages": messages});
        let tokens = ask("/tokenize", asked).await["tokens"].clone();
        let asked = json!({"model": "sprat-tiny", "tokens": tokens});
        let text = ask("/detokenize", asked).await;
        text["prompt"]
            .as_str()
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned()
    }
}

fn named(mut more: Value) -> Value {
    more["model"] = json!("sprat-tiny");
    more
}

fn schema(schema: Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "test", "schema": schema, "strict": true}})
}

/// A schema, and whether a value is one that it describes.
type Case = (Value, fn(&Value) -> bool);

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn cases() -> Vec<Case> {
    vec![
        (
            json!({"enum": ["red", "green", 5, null, {"a": [1]}]}),
            |v| {
                [
                    json!("red"),
                    json!("green"),
                    json!(5),
                    json!(null),
                    json!({"a": [1]}),
                ]
                .contains(v)
            },
        ),
        (
            json!({"type": "object", "additionalProperties": false, "required": ["name", "inner"],
                "properties": {
                    "name": {"type": "string", "maxLength": 8},
                    "inner": {"type": "object", "additionalProperties": false, "required": ["on"],
                        "properties": {"on": {"type": "boolean"}, "n": {"type": "null"}}},
                    "more": {"const": 1}}}),
            |v| {
                keys(v)
                    .iter()
                    .all(|key| ["name", "inner", "more"].contains(key))
                    && v["name"].as_str().unwrap().chars().count() <= 8
                    && v["inner"]["on"].is_boolean()
                    && keys(&v["inner"]).len() <= 2
                    && v.get("more").is_none_or(|more| *more == json!(1))
            },
        ),
        (
            json!({"type": "array", "minItems": 2, "maxItems": 4,
                "items": {"type": "integer", "minimum": -3, "maximum": 12}}),
            |v| {
                let all = v.as_array().unwrap();
                (2..=4).contains(&all.len())
                    && all.iter().all(|n| (-3..=12).contains(&n.as_i64().unwrap()))
            },
        ),
        (
            json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
            |v| {
                let bytes = v.as_str().unwrap().as_bytes();
                bytes.len() == 6
                    && bytes[..2].iter().all(u8::is_ascii_uppercase)
                    && bytes[2] == b'-'
                    && bytes[3..].iter().all(u8::is_ascii_digit)
            },
        ),
        (
            json!({"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1, "maxLength": 3},
                {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/small"}}],
                "$defs": {"small": {"type": "number", "minimum": 0, "exclusiveMaximum": 2, "multipleOf": 0.5}}}),
            |v| match v {
                Value::Bool(_) => true,
                Value::String(text) => (1..=3).contains(&text.chars().count()),
                Value::Array(all) => {
                    let small = |n: &Value| [0.0, 0.5, 1.0, 1.5].contains(&n.as_f64().unwrap());
                    all.len() <= 1 && all.iter().all(small)
                }
                _ => false,
            },
        ),
    ]
}

#[tokio::test]
async fn every_answer_is_what_its_schema_describes() {
    let server = Server::start(&tiny()).await;
    for (described, is_right) in cases() {
        let answers = (0..5).map(|i| {
            server.ask(
                json!({"response_format": schema(described.clone()), "max_tokens": 200,
                "temperature": 1.0, "n": 10, "seed": i * 10}),
            )
        });
        let mut different = std::collections::HashSet::new();
        for reply in futures::future::join_all(answers).await {
            for choice in reply["choices"]
                .as_array()
                .unwrap_or_else(|| panic!("{reply}"))
            {
                assert_eq!(choice["finish_reason"], "stop", "{choice}");
                let text = choice["message"]["content"].as_str().unwrap();
                let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
                assert!(is_right(&value), "{text} by {described}");
                different.insert(text.to_owned());
            }
        }
        println!("{} answers by {described}", different.len());
        assert!(different.len() > 1);
    }
}

#[tokio::test]
async fn objects_are_objects_and_cut_ones_say_so() {
    let server = Server::start(&tiny()).await;
    let asked = |temperature: f32, seed: u64| {
        json!({"response_format": {"type": "json_object"}, "max_tokens": 60, "n": 10,
            "temperature": temperature, "seed": seed * 10, "logprobs": true})
    };
    let mut whole = 0;
    for i in 0..5 {
        let reply = server.ask(asked(1.0, i)).await;
        for choice in reply["choices"]
            .as_array()
            .unwrap_or_else(|| panic!("{reply}"))
        {
            let text = choice["message"]["content"].as_str().unwrap();
            assert!(text.starts_with('{'), "{text}");
            let read = serde_json::from_str::<Value>(text);
            match choice["finish_reason"].as_str().unwrap() {
                "stop" => whole += usize::from(read.unwrap().is_object()),
                reason => assert!(reason == "length" && read.unwrap_err().is_eof(), "{text}"),
            }
            // What is reported is how likely the model itself found it.
            let entries = choice["logprobs"]["content"].as_array().unwrap();
            assert!(
                entries
                    .iter()
                    .all(|entry| entry["logprob"].as_f64().unwrap() <= 0.0)
            );
        }
    }
    println!("{whole} of 50 are whole");
    // Greedy ones too, in a stream and at once.
    let mut one = asked(0.0, 0);
    one["n"] = json!(1);
    let at_once = server.ask(one.clone()).await;
    let streamed = server.stream(one).await;
    let texts = streamed
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    let content = &at_once["choices"][0]["message"]["content"];
    assert_eq!(*content, json!(texts.collect::<String>()));
}

/// Constrained and free answers that run at once are those that they are alone.
#[tokio::test]
async fn answers_do_not_depend_on_the_others() {
    let server = Server::start(&tiny()).await;
    let described: Vec<Value> = cases().into_iter().map(|(schema, _)| schema).collect();
    let asked = |i: usize| {
        let temperature = if i.is_multiple_of(3) { 0.0 } else { 1.0 };
        let mut more = json!({"max_tokens": 30 + i, "temperature": temperature, "seed": i});
        if !i.is_multiple_of(4) {
            more["response_format"] = schema(described[i % described.len()].clone());
        }
        more
    };
    let mut alone = Vec::new();
    for i in 0..16 {
        alone.push(server.ask(asked(i)).await["choices"].clone());
    }
    let together = (0..16).map(|i| server.ask(asked(i)));
    for (i, reply) in futures::future::join_all(together).await.iter().enumerate() {
        assert_eq!(reply["choices"], alone[i], "request {i}");
    }
}

#[tokio::test]
async fn what_cannot_be_promised_is_refused() {
    let server = Server::start(&tiny()).await;
    for (described, words) in [
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"type": "string", "format": "SECRET"}), "format"),
        (json!({"$ref": "https://example.org/SECRET"}), "$ref"),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "oneOf",
        ),
        (
            json!({"type": "integer", "minimum": 5, "maximum": 1}),
            "no JSON",
        ),
        (json!({"type": "SECRET"}), "JSON Schema"),
        (
            json!({"properties": "SECRET", "x-guidance": {"lenient": true}}),
            "JSON Schema",
        ),
        (
            json!({"type": "string", "pattern": "(?=SECRET)"}),
            "pattern",
        ),
    ] {
        let reply = server
            .ask(json!({"response_format": schema(described.clone())}))
            .await;
        let error = &reply["error"];
        assert_eq!(
            error["param"], "response_format.json_schema.schema",
            "{described}: {reply}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{described}: {message}");
        assert!(
            !message.contains("SECRET") && message.len() < 200,
            "{message}"
        );
    }
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let reply = server.ask(json!({"tools": tools})).await;
    assert_eq!(reply["error"]["param"], "tools", "{reply}");
}

const TAGGED: &str = r#"{% if tools %}{% for t in tools %}{{ t.function.name }} {% endfor %}Write <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>.{% endif %}{% for m in messages %}<|{{ m.role if m.role != 'tool' else 'user' }}|>{{ m.content }}
{%- for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"#;

/// A template that tells of tools and has these words about how they are called; and the special tokens among those words.
fn forms() -> Vec<(String, &'static [&'static str])> {
    let said: [(&str, &'static [&'static str]); 9] = [
        (r#"<tool_call>{"name": , "arguments": }</tool_call>"#, &[]),
        (r#"{"name": , "parameters": }"#, &[]),
        ("[TOOL_CALLS][", &["[TOOL_CALLS]"]),
        ("[TOOL_CALLS][", &[]),
        ("[TOOL_CALLS]name[ARGS]", &["[TOOL_CALLS]", "[ARGS]"]),
        (
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>name ```json",
            &[
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁sep｜>",
                "<｜tool▁call▁end｜>",
            ],
        ),
        (
            "<｜tool▁call▁begin｜>name<｜tool▁sep｜>",
            &[
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁calls▁end｜>",
                "<｜tool▁sep｜>",
            ],
        ),
        ("<|tool_call|><|/tool_call|>", &["<|tool_call|>"]),
        (
            "<|tool_call_start|>",
            &["<|tool_call_start|>", "<|tool_call_end|>"],
        ),
    ];
    let template = |said: &str| {
        format!(
            "{{% if tools %}}{{% for t in tools %}}{{{{ t.function.name }}}} {{% endfor %}}{{% endif %}}{{# {said} #}}\
             {{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}<|assistant|>"
        )
    };
    let forms = said
        .iter()
        .map(|(said, markers)| (template(said), *markers));
    forms.collect()
}

fn tools() -> Value {
    let light = json!({"type": "object", "additionalProperties": false, "required": ["room", "on"],
        "properties": {"room": {"$ref": "#/$defs/room"}, "on": {"type": "boolean"}},
        "$defs": {"room": {"enum": ["hall", "kitchen"]}}});
    json!([{"type": "function", "function": {"name": "set_light", "parameters": light}},
        {"type": "function", "function": {"name": "now", "description": "The time."}}])
}

/// Checks a call, and returns the function's name.
fn checked(call: &Value) -> String {
    assert_eq!(call["type"], "function");
    let arguments = call["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    let name = call["function"]["name"].as_str().unwrap();
    match name {
        "now" => assert_eq!(arguments, json!({})),
        "set_light" => {
            assert!(["hall", "kitchen"].contains(&arguments["room"].as_str().unwrap()));
            assert!(arguments["on"].is_boolean() && keys(&arguments).len() == 2);
        }
        other => panic!("{other}"),
    }
    name.to_owned()
}

#[tokio::test]
async fn calls_that_must_come_do() {
    for (template, markers) in forms() {
        let folder = with_markers(&template, markers);
        let server = Server::start(folder.path()).await;
        let asked = |choice: Value| {
            json!({"tools": tools(), "tool_choice": choice, "temperature": 1.0, "n": 10,
                "seed": 1})
        };
        let named = json!({"type": "function", "function": {"name": "set_light"}});
        for choice in [json!("required"), named.clone()] {
            let reply = server.ask(asked(choice.clone())).await;
            for answer in reply["choices"]
                .as_array()
                .unwrap_or_else(|| panic!("{reply}"))
            {
                assert_eq!(answer["finish_reason"], "tool_calls", "{answer}");
                assert_eq!(answer["message"]["content"], Value::Null, "{answer}");
                let calls = answer["message"]["tool_calls"].as_array().unwrap();
                assert_eq!(calls.len(), 1);
                let name = checked(&calls[0]);
                assert!(choice == "required" || name == "set_light");
            }
        }
        // A stream's deltas are the same call.
        let mut one = asked(named);
        one["n"] = json!(1);
        let whole = server.ask(one.clone()).await["choices"][0]["message"]["tool_calls"][0].clone();
        let chunks = server.stream(one).await;
        let deltas = chunks
            .iter()
            .filter_map(|c| c["choices"][0]["delta"]["tool_calls"].as_array());
        let deltas: Vec<&Value> = deltas.flatten().collect();
        assert_eq!(deltas[0]["function"]["name"], "set_light");
        let arguments = deltas
            .iter()
            .map(|d| d["function"]["arguments"].as_str().unwrap());
        assert_eq!(
            json!(arguments.collect::<String>()),
            whole["function"]["arguments"]
        );
    }
}

/// Several calls where they are allowed.
#[tokio::test]
async fn several_calls_are_whole_ones() {
    for (template, markers) in forms() {
        let folder = with_markers(&template, markers);
        let server = Server::start(folder.path()).await;
        let asked = json!({"tools": tools(), "tool_choice": "required", "parallel_tool_calls": true,
            "temperature": 1.0, "n": 10, "seed": 3});
        let reply = server.ask(asked).await;
        let mut counts = Vec::new();
        for answer in reply["choices"]
            .as_array()
            .unwrap_or_else(|| panic!("{reply}"))
        {
            let calls = answer["message"]["tool_calls"].as_array();
            let calls = calls.map_or(&[][..], Vec::as_slice);
            // Where the context ended, so did the last call.
            let cut = usize::from(answer["finish_reason"] == "length");
            let whole = &calls[..calls.len().saturating_sub(cut)];
            whole.iter().for_each(|call| drop(checked(call)));
            counts.push(whole.len());
        }
        // How many there are, the model decides.
        println!("calls: {counts:?}");
        assert!(counts.iter().any(|n| *n > 0), "{template}");
    }
}

/// A conversation that goes on with a call's result.
#[tokio::test]
async fn calls_and_their_results_go_round() {
    let folder = with_template(TAGGED);
    let server = Server::start(folder.path()).await;
    let one = json!({"tools": tools(), "tool_choice": "required", "max_tokens": 100});
    let message = server.ask(one).await["choices"][0]["message"].clone();
    let id = message["tool_calls"][0]["id"].clone();
    let messages = json!([{"role": "user", "content": "Now?"}, message,
        {"role": "tool", "tool_call_id": id, "content": "It is noon."}]);
    let reply = server
        .ask(json!({"messages": messages, "tools": tools(), "max_tokens": 5}))
        .await;
    assert!(
        reply["usage"]["completion_tokens"].as_u64().unwrap() > 0,
        "{reply}"
    );
    // The model reads both as its template writes them.
    let text = server.told(&messages).await;
    assert!(
        text.contains("\"arguments\": {") && text.contains("It is noon."),
        "{text}"
    );
}

/// Templates differ in what they want to hear of calls.
#[tokio::test]
async fn calls_are_told_as_templates_want_them() {
    let messages = json!([{"role": "user", "content": "Now?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_0123456789ab", "type": "function",
            "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
        {"role": "tool", "tool_call_id": "call_0123456789ab", "content": "Noon."}]);
    let each = |body: &str| format!("{{# tools #}}{{% for m in messages %}}{body}{{% endfor %}}");
    for (template, markers, told) in [
        // Ids of nine letters.
        (
            each(
                "{% for c in m.tool_calls or [] %}[TOOL_CALLS][{{ c.function | tojson }}{{ c.id }}]{% endfor %}\
                {{ m.tool_call_id }}",
            ),
            &["[TOOL_CALLS]"][..],
            r#"[{"name": "f", "arguments": {"a": 1}}3456789ab]3456789ab"#,
        ),
        // Arguments as text.
        (
            each(
                "{% for c in m.tool_calls or [] %}<｜tool▁call▁begin｜>{{ 'x' + c.function.arguments }}{% endfor %}",
            ),
            &[],
            "<｜tool▁call▁begin｜>x{\"a\": 1}",
        ),
        // Calls in the text, without special tokens, and another role for results.
        (
            each("{{ m.role }}:{{ m.content }}{# <|tool_call|> tool_response #}"),
            &["<|tool_call|>"],
            r#"user:Now?assistant:[{"name": "f", "arguments": {"a": 1}}]tool_response:Noon."#,
        ),
        (
            each("{{ m.content }}{# tool_calls <｜tool▁call▁begin｜> ```json #}"),
            &[],
            "Now?<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```\
             <｜tool▁call▁end｜><｜tool▁calls▁end｜>Noon.",
        ),
    ] {
        let folder = with_markers(&template, markers);
        let server = Server::start(folder.path()).await;
        let text = server.told(&messages).await;
        assert_eq!(text, told, "{template}");
    }
}
