//! Chat completions: what is answered, whole and as a stream.

use crate::common::*;
use serde_json::{Value, json};
use sprat_service::{AppConfig, Prompt};

#[tokio::test]
async fn a_whole_answer() {
    let app = app_of(Parrot::default());
    let reply = chat(&app, ask("polly wants a cracker", json!({}))).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "parrot");
    assert_eq!(body["system_fingerprint"], "fp_parrot");
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    let message = json!({"role": "assistant", "content": "polly wants a cracker", "refusal": null});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    assert_eq!(body["choices"], json!([choice]));
    let usage = json!({"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 2}});
    assert_eq!(body["usage"], usage);
}

/// The chunks of a stream that ended well, without its `[DONE]`.
fn chunks(reply: &Reply) -> Vec<Value> {
    let mut events = reply.events();
    assert_eq!(events.pop(), Some(None), "the stream must end with [DONE]");
    events
        .into_iter()
        .map(|event| event.expect("one [DONE] only"))
        .collect()
}

#[tokio::test]
async fn a_stream() {
    let app = app_of(Parrot::default());
    let reply = chat(&app, ask("hello you", json!({"stream": true}))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let chunks = chunks(&reply);
    let (id, created) = (&chunks[0]["id"], &chunks[0]["created"]);
    for chunk in &chunks {
        assert_eq!((&chunk["id"], &chunk["created"]), (id, created));
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "parrot");
        assert!(chunk.get("usage").is_none(), "not asked for");
    }
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"]).collect();
    let expected = [
        choice(json!({"role": "assistant", "content": ""}), json!(null)),
        choice(json!({"content": "hello "}), json!(null)),
        choice(json!({"content": "you"}), json!(null)),
        choice(json!({}), json!("stop")),
    ];
    assert_eq!(choices, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_with_usage() {
    let app = app_of(Parrot::default());
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let chunks = chunks(&chat(&app, ask("a b", options)).await);
    let (last, others) = chunks.split_last().unwrap();
    for chunk in others {
        assert_eq!(chunk.get("usage"), Some(&Value::Null));
        assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
    }
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 4);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
}

#[tokio::test]
async fn log_probabilities() {
    let app = app_of(Parrot::default());
    let options = json!({"logprobs": true, "top_logprobs": 2});
    let body = chat(&app, ask("one two", options.clone())).await.json();
    let logprobs = &body["choices"][0]["logprobs"];
    let content = logprobs["content"].as_array().unwrap();
    let text: String = content
        .iter()
        .map(|token| token["token"].as_str().unwrap())
        .collect();
    assert_eq!(text, "one two");
    let first = json!({"token": "one ", "logprob": -0.5, "bytes": [111, 110, 101, 32],
    "top_logprobs": [
        {"token": "one ", "logprob": -0.5, "bytes": [111, 110, 101, 32]},
        {"token": "other1", "logprob": -9999.0, "bytes": [111, 116, 104, 101, 114, 49]},
    ]});
    assert_eq!(content[0], first);
    assert_eq!(logprobs["refusal"], Value::Null);

    let mut options = options;
    options["stream"] = json!(true);
    let chunks = chunks(&chat(&app, ask("one two", options)).await);
    assert_eq!(
        chunks[1]["choices"][0]["logprobs"]["content"],
        json!([first])
    );
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["logprobs"],
        Value::Null
    );
}

#[tokio::test]
async fn stop_texts_and_limits() {
    let app = app_of(Parrot::default());
    let finish = |body: Value| {
        let choice = &body["choices"][0];
        (
            choice["message"]["content"].clone(),
            choice["finish_reason"].clone(),
        )
    };
    let body = chat(&app, ask("a b c", json!({"stop": "b"}))).await.json();
    assert_eq!(finish(body), (json!("a "), json!("stop")));
    let body = chat(&app, ask("a b c", json!({"stop": ["x", "c"]})))
        .await
        .json();
    assert_eq!(finish(body), (json!("a b "), json!("stop")));
    let body = chat(&app, ask("a b c", json!({"max_tokens": 2})))
        .await
        .json();
    assert_eq!(finish(body), (json!("a b "), json!("length")));
    let both = json!({"max_tokens": 2, "max_completion_tokens": 1});
    assert_eq!(
        finish(chat(&app, ask("a b c", both)).await.json()).0,
        json!("a ")
    );
}

#[tokio::test]
async fn the_servers_own_limit_holds() {
    let mut config = AppConfig::default();
    config.limits.max_tokens = Some(3);
    let app = app_with(
        vec![
            Parrot {
                endless: true,
                ..Parrot::default()
            }
            .share(),
        ],
        config,
    );
    let body = chat(&app, ask("x ", json!({"max_tokens": 1000})))
        .await
        .json();
    assert_eq!(body["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn options_reach_the_engine() {
    let parrot = Parrot::default().share();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let options = json!({"temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125,
        "repetition_penalty": 1.5, "seed": 42, "max_tokens": 9, "stop": ["z"],
        "logprobs": true, "top_logprobs": 4});
    chat(&app, ask("x", options)).await;
    let job = parrot.job.lock().unwrap().take().unwrap();
    let sampling = &job.sampling;
    assert_eq!(
        (sampling.temperature, sampling.top_p),
        (Some(0.5), Some(0.25))
    );
    assert_eq!((sampling.top_k, sampling.min_p), (Some(7), Some(0.125)));
    assert_eq!(
        (sampling.repetition_penalty, sampling.seed),
        (Some(1.5), Some(42))
    );
    assert_eq!((job.max_tokens, job.top_logprobs), (Some(9), 4));
    assert_eq!(job.stop, ["z"]);

    chat(&app, ask("x", json!({}))).await;
    let first = parrot.job.lock().unwrap().take().unwrap().sampling.seed;
    chat(&app, ask("x", json!({}))).await;
    let second = parrot.job.lock().unwrap().take().unwrap().sampling.seed;
    assert_ne!(first, second, "without a seed, each answer has its own");
}

#[tokio::test]
async fn a_whole_conversation_reaches_the_engine() {
    let parrot = Parrot::default().share();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let parts = json!([{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]);
    let body = json!({"model": "parrot", "messages": [
        {"role": "developer", "content": "a"},
        {"role": "assistant", "content": null},
        {"role": "user", "content": parts},
    ]});
    assert_eq!(chat(&app, body).await.status, 200);
    let job = parrot.job.lock().unwrap().take().unwrap();
    let Prompt::Chat(messages) = job.prompt else {
        panic!("a conversation")
    };
    let said: Vec<_> = messages
        .iter()
        .map(|m| (m.role.as_str(), m.content.as_str()))
        .collect();
    assert_eq!(said, [("system", "a"), ("assistant", ""), ("user", "c\nd")]);
}

#[tokio::test]
async fn a_failure_before_the_first_token_is_a_status() {
    let reply = chat(
        &app_of(Parrot {
            fail_at: Some(0),
            ..Parrot::default()
        }),
        ask("a", json!({})),
    )
    .await;
    reply.is_error(500, "server_error", None, Some("generation_failed"));
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_an_event_without_done() {
    let app = app_of(Parrot {
        fail_at: Some(2),
        ..Parrot::default()
    });
    let reply = chat(&app, ask("a b c", json!({"stream": true}))).await;
    assert_eq!(reply.status, 200);
    let events = reply.events();
    assert_eq!(events.len(), 4, "role, two tokens, the error: {events:?}");
    let error = &events[3].as_ref().unwrap()["error"];
    assert_eq!(error["code"], "generation_failed");
    assert_eq!(error["type"], "server_error");
}

#[tokio::test]
async fn models_are_listed() {
    let small = Parrot {
        id: "small".into(),
        context: 7,
        ..Parrot::default()
    };
    let app = app_with(
        vec![Parrot::default().share(), small.share()],
        AppConfig::default(),
    );
    let list = get(&app, "/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let small = json!({"id": "small", "object": "model", "created": 1_700_000_000,
        "owned_by": "sprat", "max_model_len": 7, "status": "loaded"});
    assert_eq!(list["data"][1], small);
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert_eq!(get(&app, "/v1/models/small").await.json(), small);
    let missing = get(&app, "/v1/models/none").await;
    missing.is_error(
        404,
        "invalid_request_error",
        Some("model"),
        Some("model_not_found"),
    );
}
