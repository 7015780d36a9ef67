//! Calls of tools, from what a model writes to what clients read.

use crate::common::{Parrot, app_of, app_with, ask, chat};
use serde_json::{Value, json};
use sprat_service::{AppConfig, CallFormat, Constraint, Echo, EchoOptions, Prompt, app};

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "What it does.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}})
}

fn caller() -> Parrot {
    Parrot {
        calls: Some(CallFormat::Tagged),
        ..Parrot::default()
    }
}

/// The tool calls that a stream's deltas make, and its text and finish reason.
fn joined(events: &[Option<Value>]) -> (Vec<Value>, String, Value) {
    let (mut calls, mut text, mut reason) = (Vec::<Value>::new(), String::new(), Value::Null);
    for chunk in events.iter().flatten() {
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        text += delta["content"].as_str().unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap() as usize;
            if index == calls.len() {
                assert_eq!(call["function"]["arguments"], "", "{call}");
                let mut first = call.clone();
                first.as_object_mut().unwrap().remove("index");
                calls.push(first);
            } else {
                assert!(call.get("id").is_none() && call.get("type").is_none());
                let sofar = &mut calls[index]["function"]["arguments"];
                let more = call["function"]["arguments"].as_str().unwrap();
                *sofar = json!(format!("{}{more}", sofar.as_str().unwrap()));
            }
        }
        if !choice["finish_reason"].is_null() {
            assert_eq!(*delta, json!({}));
            reason = choice["finish_reason"].clone();
        }
    }
    (calls, text, reason)
}

/// Ids differ from call to call.
fn without_ids(mut calls: Value) -> Value {
    for call in calls.as_array_mut().unwrap() {
        let id = call.as_object_mut().unwrap().remove("id").unwrap();
        let id = id
            .as_str()
            .unwrap()
            .strip_prefix("call_")
            .unwrap()
            .to_owned();
        assert!(id.len() == 24 && id.chars().all(|c| c.is_ascii_alphanumeric()));
    }
    calls
}

#[tokio::test]
async fn what_the_model_writes_as_calls_are_calls() {
    let app = app_of(caller());
    let one = r#"<tool_call> {"name": "f", "arguments": {"a": 1}} </tool_call>"#;
    let two = r#"<tool_call> {"name": "g", "arguments": {"a": } </tool_call>"#;
    let call = |name: &str, arguments: &str| json!({"type": "function", "function": {"name": name, "arguments": arguments}});
    for (said, more, content, calls, reason) in [
        (
            "Hello there.",
            json!({}),
            json!("Hello there."),
            json!([]),
            "stop",
        ),
        (
            one,
            json!({}),
            Value::Null,
            json!([call("f", r#"{"a": 1}"#)]),
            "tool_calls",
        ),
        (
            &*format!("I look: {one} {two}"),
            json!({"parallel_tool_calls": true}),
            json!("I look:"),
            json!([call("f", r#"{"a": 1}"#), call("g", r#"{"a":"#)]),
            "tool_calls",
        ),
        // One call only, unless several are allowed.
        (
            &format!("{one} {two}"),
            json!({}),
            Value::Null,
            json!([call("f", r#"{"a": 1}"#)]),
            "tool_calls",
        ),
        (
            one,
            json!({"max_tokens": 5}),
            Value::Null,
            json!([call("f", r#"{"a":"#)]),
            "length",
        ),
    ] {
        let mut fields = more;
        fields["tools"] = json!([tool("f"), tool("g")]);
        let whole = chat(&app, ask(said, fields.clone())).await.json();
        let choice = &whole["choices"][0];
        let message = &choice["message"];
        assert_eq!(message["content"], content, "{whole}");
        let made = message.get("tool_calls").cloned().unwrap_or(json!([]));
        assert_eq!(without_ids(made), calls, "{whole}");
        assert_eq!(choice["finish_reason"], reason, "{whole}");
        fields["stream"] = json!(true);
        let (streamed, text, ended) = joined(&chat(&app, ask(said, fields)).await.events());
        assert_eq!(without_ids(json!(streamed)), calls);
        assert_eq!(text, content.as_str().unwrap_or_default());
        assert_eq!(ended, reason);
    }
}

/// Not every form lets a model be stopped behind its first call.
#[tokio::test]
async fn there_is_one_call_unless_several_are_allowed() {
    let app = app_of(Parrot {
        calls: Some(CallFormat::Mistral),
        ..Parrot::default()
    });
    let said = r#"Look: [TOOL_CALLS] [{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}] Done."#;
    for (several, names, content) in [
        (json!(null), vec!["f"], "Look:"),
        (json!(false), vec!["f"], "Look:"),
        (json!(true), vec!["f", "g"], "Look: Done."),
    ] {
        let mut fields = json!({"tools": [tool("f"), tool("g")], "parallel_tool_calls": several});
        let whole = chat(&app, ask(said, fields.clone())).await.json();
        let message = &whole["choices"][0]["message"];
        let calls = message["tool_calls"].as_array().unwrap();
        let called: Vec<_> = calls.iter().map(|c| &c["function"]["name"]).collect();
        assert_eq!(json!(called), json!(names));
        assert_eq!(message["content"].as_str().unwrap().trim(), content);
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
        fields["stream"] = json!(true);
        let (streamed, text, reason) = joined(&chat(&app, ask(said, fields)).await.events());
        assert_eq!((streamed.len(), text.trim()), (names.len(), content));
        assert_eq!(reason, "tool_calls");
    }
}

#[tokio::test]
async fn the_engine_is_told_of_tools_and_choices() {
    let parrot = caller().share();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let tools = json!([tool("f"), tool("g")]);
    let job = |more: Value| {
        let (app, parrot) = (&app, &parrot);
        let mut fields = more;
        fields["tools"] = tools.clone();
        async move {
            let reply = chat(app, ask("hi", fields)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            parrot.job.lock().unwrap().take().unwrap()
        }
    };
    let auto = job(json!({})).await;
    assert_eq!(
        (auto.tools.len(), &*auto.stop),
        (2, &["</tool_call>".to_owned()][..])
    );
    assert_eq!(auto.constraint, None);
    let none = job(json!({"tool_choice": "none"})).await;
    assert!(none.tools.is_empty() && none.stop.is_empty());
    let named = json!({"tool_choice": {"type": "function", "function": {"name": "g"}}});
    let Some(Constraint::Calls {
        tools: may,
        several,
    }) = job(named).await.constraint
    else {
        panic!("no constraint");
    };
    assert_eq!(
        (may.len(), &*may[0].function.name, several),
        (1, "g", false)
    );
    // A conversation with a call and its result goes on.
    let messages = json!([
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 5."}
    ]);
    let Prompt::Chat(read) = job(json!({"messages": messages})).await.prompt else {
        panic!("no chat");
    };
    assert_eq!(read[1].tool_calls[0].function.arguments, "{\"a\": 1}");
    assert_eq!(read[2].tool_call_id.as_deref(), Some("call_1"));
}

#[tokio::test]
async fn unknown_fields_inside_are_named() {
    let app = app_of(caller());
    for (fields, param) in [
        (
            json!({"tools": [{"type": "function", "x": 1, "function": {"name": "f"}}]}),
            "tools[0].x",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}),
            "tools[0].function.x",
        ),
        (
            json!({"tools": [tool("f")],
                "tool_choice": {"type": "function", "function": {"name": "f", "x": 1}}}),
            "tool_choice.function.x",
        ),
        (
            json!({"response_format": {"type": "text", "x": 1}}),
            "response_format.x",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "x": 1}}}),
            "response_format.json_schema.x",
        ),
        (
            json!({"response_format": {"type": "xml"}}),
            "response_format.type",
        ),
        (
            json!({"tools": [{"type": "web_search", "function": {"name": "f"}}]}),
            "tools[0].type",
        ),
        (
            json!({"tools": [tool("f")], "tool_choice": "always"}),
            "tool_choice",
        ),
    ] {
        let reply = chat(&app, ask("hi", fields)).await;
        reply.is_error(400, "invalid_request_error", Some(param), None);
    }
}

#[tokio::test]
async fn engines_that_cannot_say_so() {
    let echo = Echo::new(EchoOptions::default());
    let state = sprat_service::AppState::new(vec![std::sync::Arc::new(echo)], AppConfig::default());
    let echo = app(state.unwrap());
    let asked = |more: Value| {
        let mut body = ask("hi", more);
        body["model"] = json!("echo");
        body
    };
    let object = json!({"response_format": {"type": "json_object"}});
    let reply = chat(&echo, asked(object)).await;
    reply.is_error(400, "invalid_request_error", Some("response_format"), None);
    let reply = chat(&echo, asked(json!({"tools": [tool("f")]}))).await;
    reply.is_error(400, "invalid_request_error", Some("tools"), None);
}
