//! The shapes as JSON: what is written, what is read, and that reading never panics.
#![allow(clippy::unwrap_used)]
// The feature `server` adds fields.
#![allow(clippy::needless_update)]

use proptest::option;
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_str, from_value, json, to_string, to_value};
use sprat_wire::*;

#[test]
fn content_is_a_string_null_or_text_parts() {
    let read = |content: Value| {
        from_value::<Message>(json!({"role": "user", "content": content})).map(|m| m.content)
    };
    assert_eq!(read(json!("hi")).unwrap(), "hi");
    assert_eq!(read(json!(null)).unwrap(), "");
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b", "x": 1}, "c"]);
    assert_eq!(read(parts).unwrap(), "a\nb\nc");
    let image = json!([{"type": "image_url", "image_url": {"url": "SECRET"}}]);
    let error = read(image).unwrap_err().to_string();
    assert!(
        error.contains("text part") && !error.contains("SECRET"),
        "{error}"
    );
    assert!(read(json!(5)).is_err());
}

#[test]
fn a_request_as_clients_send_it() {
    let request: ChatRequest = from_value(json!({
        "model": "m",
        "messages": [{"role": "developer", "content": "be brief", "name": "x"}],
        "stream": null, "stream_options": {"include_usage": true}, "stop": "END",
        "max_tokens": 5, "max_completion_tokens": 7, "tools": [], "metadata": {"a": [1]}
    }))
    .unwrap();
    assert_eq!(request.messages, [Message::new(Role::System, "be brief")]);
    assert_eq!(request.stop, ["END"]);
    assert!(!request.stream && request.include_usage());
    assert_eq!(request.token_limit(), Some((7, "max_completion_tokens")));
    assert!(from_str::<ChatRequest>(r#"{"model":"m"}"#).is_err());
    assert!(from_str::<ChatRequest>(r#"{"model":"m","messages":[{"role":"tool"}]}"#).is_err());
}

#[cfg(feature = "server")]
#[test]
fn tools_are_read_and_written_as_openai_does() {
    let request = json!({
        "model": "m", "stream": false,
        "messages": [
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": "5", "tool_call_id": "c1"}
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"b": 1, "a": 2}}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false
    });
    let read: ChatRequest = from_value(request.clone()).unwrap();
    assert_eq!(to_value(&read).unwrap(), request);
    assert_eq!(read.messages[1].role, Role::Tool);
    for choice in ["none", "auto", "required"] {
        let read: ToolChoice = from_value(json!(choice)).unwrap();
        assert_eq!(to_value(read).unwrap(), choice);
    }
    assert!(from_value::<ToolChoice>(json!("SECRET")).is_err());
    let secret = CalledFunction {
        name: "f".into(),
        arguments: "SECRET".into(),
    };
    assert!(!format!("{secret:?}").contains("SECRET"));
}

#[test]
fn debug_output_hides_what_was_written() {
    let request = ChatRequest::new("m", vec![Message::new(Role::User, "SECRET")]);
    assert!(!format!("{request:?}").contains("SECRET"));
}

#[test]
fn a_chunk_is_written_as_openai_writes_it() {
    let chunk = Chunk {
        id: "chatcmpl-1".into(),
        object: Chunk::OBJECT.into(),
        created: 1_700_000_000,
        model: "m".into(),
        system_fingerprint: None,
        choices: vec![ChunkChoice {
            delta: Delta {
                role: Some(Role::Assistant),
                content: Some(String::new()),
                ..Delta::default()
            },
            ..ChunkChoice::default()
        }],
        usage: Some(None),
        x_continue: None,
        #[cfg(feature = "server")]
        x_route: None,
    };
    let expected = concat!(
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","#,
        r#""system_fingerprint":null,"choices":[{"index":0,"delta":{"role":"assistant","#,
        r#""content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#,
    );
    assert_eq!(to_string(&chunk).unwrap(), expected);
    assert!(
        to_value(Chunk {
            usage: None,
            ..chunk
        })
        .unwrap()
        .get("usage")
        .is_none()
    );
}

#[test]
fn chunks_of_other_servers_are_read() {
    let chunk: Chunk = from_value(json!({"choices": null, "usage": {"prompt_tokens": 3}})).unwrap();
    assert_eq!(chunk.usage().unwrap().prompt_tokens, 3);
    assert_eq!(chunk.text(), "");
    let chunk: Chunk = from_value(json!({"choices": [
        {"delta": {"role": "", "content": "x", "tool_calls": []}, "finish_reason": "abort"}
    ]}))
    .unwrap();
    assert_eq!(
        (chunk.text(), chunk.finish_reason()),
        ("x", Some(FinishReason::Other))
    );
}

#[test]
fn an_error_in_the_stream_is_not_a_chunk() {
    let line = |text| from_str::<StreamLine>(text).unwrap();
    let StreamLine::Error(body) = line(r#"{"error":{"message":"boom","code":500}}"#) else {
        panic!("read as a chunk");
    };
    assert_eq!(
        (body.error.message.as_str(), body.error.code.as_deref()),
        ("boom", Some("500"))
    );
    let StreamLine::Error(body) = line(r#"{"error":"Unauthorized"}"#) else {
        panic!("read as a chunk");
    };
    assert_eq!(body.error.message, "Unauthorized");
    assert!(matches!(line(r#"{"choices":[]}"#), StreamLine::Chunk(_)));
    assert!(from_str::<StreamLine>("{}").is_err());
}

#[test]
fn an_error_body_is_written_whole() {
    let body = ErrorBody::new(kind::INVALID_REQUEST, "no such model")
        .with_param("model")
        .with_code(code::MODEL_NOT_FOUND);
    let expected = json!({"error": {"message": "no such model", "type": "invalid_request_error",
        "param": "model", "code": "model_not_found"}});
    assert_eq!(to_value(body).unwrap(), expected);
    let plain = to_value(ErrorBody::new(kind::SERVER, "x")).unwrap();
    assert_eq!(plain["error"]["param"], Value::Null);
}

#[test]
fn an_impossible_token_has_a_logprob_that_json_can_hold() {
    let token = TopLogprob {
        token: "x".into(),
        logprob: f32::NEG_INFINITY,
        bytes: Some(vec![120]),
    };
    assert_eq!(
        to_value(token).unwrap(),
        json!({"token": "x", "logprob": -9999.0, "bytes": [120]})
    );
}

#[test]
fn a_receipt_has_the_keys_that_the_page_reads() {
    let receipt = Receipt {
        source: Source::Device,
        rule: "sure".into(),
        reason: "The model was sure.".into(),
        confidence: Some(0.5),
        threshold: None,
        bound: Some(Bound {
            alpha: 0.05,
            delta: 0.1,
            n: 863,
            coverage: 0.25,
        }),
        model: Some("sprat-tiny".into()),
        device: Some("CPU".into()),
        prompt_tokens: 1,
        cached_tokens: 2,
        completion_tokens: 3,
        continued_tokens: 7,
        finish_reason: Some(FinishReason::Length),
        first_token_ms: Some(4.0),
        device_ms: 5.0,
        cloud_ms: 0.0,
        total_ms: 6.0,
        bytes_sent: 0,
        cost_usd: 0.0,
    };
    let expected = json!({"source": "device", "rule": "sure", "reason": "The model was sure.",
        "confidence": 0.5, "threshold": null,
        "bound": {"alpha": 0.05, "delta": 0.1, "n": 863, "coverage": 0.25}, "model": "sprat-tiny", "device": "CPU",
        "prompt_tokens": 1, "cached_tokens": 2, "completion_tokens": 3, "continued_tokens": 7, "finish_reason": "length", "first_token_ms": 4.0,
        "device_ms": 5.0, "cloud_ms": 0.0, "total_ms": 6.0, "bytes_sent": 0, "cost_usd": 0.0});
    assert_eq!(to_value(receipt).unwrap(), expected);
}

/// Other servers write other things where a model's status is; their lists are read all the same.
#[test]
fn a_models_status_is_read_where_it_is_known() {
    for (status, expected) in [
        (json!("loaded"), Some(ModelStatus::Loaded)),
        (json!("unloaded"), Some(ModelStatus::Unloaded)),
        (json!({"value": "loaded", "args": []}), None),
        (json!("sleeping"), None),
        (json!(null), None),
    ] {
        let list = json!({"data": [{"id": "m", "status": status}]});
        let list: ModelList = from_str(&list.to_string()).unwrap();
        assert_eq!(list.data[0].status, expected, "{status}");
    }
}

/// Reads `text` as every shape there is.
fn read_all(text: &str) {
    fn read<T: DeserializeOwned>(text: &str) {
        let _ = from_str::<T>(text);
    }
    read::<ChatRequest>(text);
    read::<Completion>(text);
    read::<StreamLine>(text);
    read::<ErrorBody>(text);
    read::<ModelList>(text);
    read::<Receipt>(text);
    read::<Message>(text);
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> Result<(), TestCaseError> {
    let text = to_string(value).unwrap();
    prop_assert_eq!(&from_str::<T>(&text).unwrap(), value, "{}", text);
    Ok(())
}

/// Milliseconds to the microsecond: serde_json reads longer fractions only nearly exactly.
fn millis() -> impl Strategy<Value = f64> {
    any::<u32>().prop_map(|n| f64::from(n) / 1000.0)
}

fn logprob() -> impl Strategy<Value = f32> {
    (0u32..1_000_000).prop_map(|n| -(n as f32) / 65536.0)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant)]
}

prop_compose! {
    fn request()(
        model in ".*",
        messages in proptest::collection::vec((role(), ".*"), 0..4),
        (stream, usage) in (any::<bool>(), option::of(any::<bool>())),
        (max_tokens, max_completion_tokens, top_k, seed, n) in any::<(
            Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>)>(),
        (temperature, top_p, min_p, repetition_penalty) in (
            option::of(logprob()), option::of(logprob()), option::of(logprob()),
            option::of(logprob())),
        stop in proptest::collection::vec(".*", 0..3),
        (logprobs, top_logprobs) in any::<(Option<bool>, Option<i64>)>(),
    ) -> ChatRequest {
        ChatRequest {
            model, stream, max_tokens, max_completion_tokens, temperature, top_p, top_k, min_p,
            repetition_penalty, seed, stop, n, logprobs, top_logprobs,
            messages: messages.into_iter().map(|(role, text)| Message::new(role, text)).collect(),
            stream_options: usage.map(|include_usage| StreamOptions { include_usage }),
            ..ChatRequest::default()
        }
    }
}

prop_compose! {
    fn logprobs()(content in proptest::collection::vec(
        (".*", logprob(), option::of(any::<[u8; 3]>()), ".*", logprob()), 0..3)) -> Logprobs {
        let content = content.into_iter().map(|(token, logprob, bytes, other, less)| TokenLogprob {
            token, logprob, bytes: bytes.map(|b| b.to_vec()),
            top_logprobs: vec![TopLogprob { token: other, logprob: less, bytes: None }],
        });
        Logprobs { content: content.collect(), refusal: None }
    }
}

fn finish() -> impl Strategy<Value = Option<FinishReason>> {
    option::of(prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length)
    ])
}

prop_compose! {
    fn chunk()(
        (id, model) in (".*", ".*"),
        created in any::<u64>(),
        delta in (option::of(role()), option::of(".*")),
        logprobs in option::of(logprobs()),
        finish_reason in finish(),
        usage in option::of(option::of(any::<(u32, u32, u32)>())),
    ) -> Chunk {
        Chunk {
            id, created, model, object: Chunk::OBJECT.into(), system_fingerprint: None,
            choices: vec![ChunkChoice {
                index: 0, logprobs, finish_reason,
                delta: Delta { role: delta.0, content: delta.1, ..Delta::default() },
            }],
            usage: usage.map(|u| u.map(|(p, c, n)| Usage::new(p, c, n))),
            x_continue: None,
            #[cfg(feature = "server")]
            x_route: None,
        }
    }
}

prop_compose! {
    fn receipt()(
        source in prop_oneof![Just(Source::Exact), Just(Source::Device), Just(Source::Cloud)],
        (rule, reason, model, device) in (".*", ".*", option::of(".*"), option::of(".*")),
        (confidence, threshold) in (option::of(logprob()), option::of(logprob())),
        (prompt_tokens, cached_tokens, completion_tokens) in any::<(u32, u32, u32)>(),
        (first_token_ms, device_ms, cloud_ms, total_ms) in
            (option::of(millis()), millis(), millis(), millis()),
        (bytes_sent, cost_usd) in (any::<u64>(), millis()),
        (alpha, delta, n, coverage) in (millis(), millis(), any::<u64>(), millis()),
        promised in any::<bool>(),
    ) -> Receipt {
        let bound = promised.then_some(Bound { alpha, delta, n, coverage });
        Receipt {
            continued_tokens: 3,
            finish_reason: promised.then_some(FinishReason::Stop),
            source, rule, reason, confidence, threshold, bound, model, device, prompt_tokens,
            cached_tokens, completion_tokens, first_token_ms, device_ms, cloud_ms, total_ms,
            bytes_sent, cost_usd,
        }
    }
}

/// Any JSON value whose keys are often those of our shapes.
fn near_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["(user|system|stop|text|chat\\.completion)", ".*"].prop_map(Value::from),
    ];
    let key = "(model|messages|role|content|type|text|stop|stream|stream_options|choices|delta|\
               usage|error|message|code|logprobs|data|id|index|finish_reason|max_tokens)";
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in ".*") {
        read_all(&text);
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in near_json()) {
        read_all(&value.to_string());
    }

    #[test]
    fn a_request_cut_anywhere_is_an_error(request in request(), at in any::<prop::sample::Index>()) {
        let text = to_string(&request).unwrap();
        let mut end = at.index(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        prop_assert!(from_str::<ChatRequest>(&text[..end]).is_err());
    }

    #[test]
    fn a_request_survives(request in request()) {
        survives(&request)?;
    }

    #[test]
    fn a_chunk_survives(chunk in chunk()) {
        survives(&chunk)?;
        let line = StreamLine::Chunk(chunk);
        survives(&line)?;
    }

    #[test]
    fn a_completion_survives(chunk in chunk(), text in ".*") {
        let choices = chunk.choices.into_iter().map(|choice| Choice {
            index: choice.index,
            message: Answer {
                role: Role::Assistant,
                content: Some(text.clone()),
                refusal: None,
                #[cfg(feature = "server")]
                tool_calls: vec![],
            },
            logprobs: choice.logprobs,
            finish_reason: choice.finish_reason,
        });
        survives(&Completion {
            id: chunk.id,
            object: Completion::OBJECT.into(),
            created: chunk.created,
            model: chunk.model,
            system_fingerprint: Some("fp".into()),
            choices: choices.collect(),
            usage: chunk.usage.flatten(),
            x_continue: None,
            #[cfg(feature = "server")]
            x_route: None,
        })?;
    }

    #[test]
    fn an_error_survives(message in ".*", param in option::of(".*"), code in option::of(".*")) {
        let mut body = ErrorBody::new(kind::SERVER, message);
        (body.error.param, body.error.code) = (param, code);
        survives(&body)?;
    }

    #[test]
    fn a_receipt_survives(receipt in receipt()) {
        survives(&receipt)?;
    }

    #[test]
    fn a_model_list_survives(cards in proptest::collection::vec((".*", any::<(u64, Option<u32>, u8)>()), 0..3)) {
        let status = |n: u8| match n % 5 {
            0 => Some(ModelStatus::Loaded),
            1 => Some(ModelStatus::Loading),
            2 => Some(ModelStatus::Unloaded),
            3 => Some(ModelStatus::Failed),
            _ => None,
        };
        let cards = cards.into_iter().map(|(id, (created, max_model_len, n))| ModelCard {
            id, created, max_model_len, object: ModelCard::OBJECT.into(), owned_by: "sprat".into(), status: status(n),
        });
        survives(&ModelList::new(cards.collect()))?;
    }
}
