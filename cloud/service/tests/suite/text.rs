//! Several answers to one request, and the older API, which continues texts.

use crate::common::*;
use axum::Router;
use serde_json::{Value, json};

const BAD: &str = "invalid_request_error";

async fn complete(app: &Router, prompt: Value, more: Value) -> Reply {
    let mut body = json!({"model": "parrot", "prompt": prompt});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    send(app, post_to("/v1/completions", body.to_string())).await
}

/// The texts of a stream's choices by their index, and how often each finished.
fn joined(reply: &Reply, text: impl Fn(&Value) -> Option<&str>) -> Vec<(String, usize)> {
    let mut events = reply.events();
    assert_eq!(events.pop(), Some(None), "the stream must end with [DONE]");
    let mut all: Vec<(String, usize)> = Vec::new();
    for chunk in events {
        for choice in chunk.unwrap()["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap() as usize;
            all.resize(all.len().max(index + 1), Default::default());
            all[index].0 += text(choice).unwrap_or_default();
            all[index].1 += usize::from(!choice["finish_reason"].is_null());
        }
    }
    all
}

#[tokio::test]
async fn several_answers_to_a_conversation() {
    let app = app_of(Parrot::default());
    let whole = chat(&app, ask("polly wants", json!({"n": 3}))).await.json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"]["content"], "polly wants");
        assert_eq!(choice["finish_reason"], "stop");
    }
    // The prompt counts once.
    let usage = json!({"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1}});
    assert_eq!(whole["usage"], usage);

    let options = json!({"n": 3, "stream": true, "stream_options": {"include_usage": true}});
    let reply = chat(&app, ask("polly wants", options)).await;
    let texts = joined(&reply, |choice| choice["delta"]["content"].as_str());
    assert_eq!(texts, vec![("polly wants".to_owned(), 1); 3]);
    let events = reply.events();
    let last = events[events.len() - 2].as_ref().unwrap();
    assert_eq!((&last["usage"], &last["choices"]), (&usage, &json!([])));
}

#[tokio::test]
async fn places_are_counted_by_answers() {
    let mut config = sprat_service::AppConfig::default();
    config.limits.requests = 2;
    let app = app_with(vec![Parrot::default().share()], config);
    assert_eq!(chat(&app, ask("x", json!({"n": 2}))).await.status, 200);
    let refused = chat(&app, ask("x", json!({"n": 3}))).await;
    refused.is_error(429, "rate_limit_error", None, Some("rate_limit_exceeded"));
    assert!(refused.headers.contains_key("retry-after"));
    // Nothing of the refused one is left.
    assert_eq!(chat(&app, ask("x", json!({"n": 2}))).await.status, 200);
}

#[tokio::test]
async fn a_text_is_continued() {
    let app = app_of(Parrot::default());
    let body = complete(&app, json!("a b c"), json!({"max_tokens": 2}))
        .await
        .json();
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(body["object"], "text_completion");
    let choice = json!({"index": 0, "text": "a b ", "logprobs": null, "finish_reason": "length"});
    assert_eq!(body["choices"], json!([choice]));
    assert_eq!(body["usage"]["total_tokens"], 5);

    let long = "x ".repeat(40);
    let body = complete(&app, json!(long), json!({})).await.json();
    assert_eq!(body["usage"]["completion_tokens"], 16, "OpenAI's default");
    let body = complete(&app, json!([5, 6, 7]), json!({})).await.json();
    assert_eq!(body["choices"][0]["text"], "tokens ");
    assert_eq!(body["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn several_texts_get_several_answers_each() {
    let app = app_of(Parrot::default());
    let more = json!({"n": 2, "echo": true});
    let body = complete(&app, json!(["a b", "c"]), more).await.json();
    let texts = body["choices"].as_array().unwrap();
    let texts: Vec<&str> = texts.iter().map(|c| c["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["a ba b", "a ba b", "cc", "cc"]);
    assert_eq!(body["usage"]["prompt_tokens"], 3);
    assert_eq!(body["usage"]["completion_tokens"], 6);

    let more = json!({"n": 2, "echo": true, "stream": true});
    let reply = complete(&app, json!(["a b", "c"]), more).await;
    let streamed = joined(&reply, |choice| choice["text"].as_str());
    let expected = texts.iter().map(|text| ((*text).to_owned(), 1));
    assert_eq!(streamed, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn log_probabilities_come_in_four_lists() {
    let app = app_of(Parrot::default());
    let body = complete(&app, json!("é b"), json!({"logprobs": 2}))
        .await
        .json();
    let logprobs = json!({"tokens": ["é ", "b"], "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"é ": -0.5, "other1": -9999.0}, {"b": -0.5, "other1": -9999.0}],
        "text_offset": [0, 2]});
    assert_eq!(body["choices"][0]["logprobs"], logprobs);
}

#[tokio::test]
async fn bad_requests_name_what_is_wrong() {
    let app = app_of(Parrot {
        context: 4,
        ..Parrot::default()
    });
    for (prompt, more, param) in [
        (json!(""), json!({}), "prompt"),
        (json!([]), json!({}), "prompt"),
        (json!(["a", ""]), json!({}), "prompt"),
        (json!(5), json!({}), "prompt"),
        (json!("a"), json!({"n": 0}), "n"),
        (json!(vec!["a"; 33]), json!({"n": 2}), "n"),
        (json!("a"), json!({"suffix": "b"}), "suffix"),
        (json!("a"), json!({"best_of": 2}), "best_of"),
        (json!("a"), json!({"logprobs": 21}), "logprobs"),
        (json!("a"), json!({"logprobs": 1, "echo": true}), "logprobs"),
        (json!([1]), json!({"echo": true}), "echo"),
    ] {
        let reply = complete(&app, prompt, more).await;
        reply.is_error(400, BAD, Some(param), None);
    }
    let long = complete(&app, json!("a b c d"), json!({})).await;
    long.is_error(400, BAD, Some("prompt"), Some("context_length_exceeded"));
    // What an engine can't do is the request's fault: another model may.
    for (path, body, param) in [
        (
            "/v1/embeddings",
            json!({"model": "parrot", "input": "a"}),
            "input",
        ),
        (
            "/tokenize",
            json!({"model": "parrot", "prompt": "a"}),
            "prompt",
        ),
        (
            "/detokenize",
            json!({"model": "parrot", "tokens": [1]}),
            "tokens",
        ),
    ] {
        let reply = send(&app, post_to(path, body.to_string())).await;
        reply.is_error(400, BAD, Some(param), None);
    }
}
