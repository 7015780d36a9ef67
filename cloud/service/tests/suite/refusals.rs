//! Bad input and bad moments: each has its own status, code and parameter.

use std::sync::Arc;
use std::time::Duration;

use crate::common::*;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use sprat_service::{ApiKey, AppConfig, EngineState};
use tokio::sync::Semaphore;

const BAD: &str = "invalid_request_error";

#[tokio::test]
async fn bad_requests_name_what_is_wrong() {
    let app = app_of(Parrot::default());
    for body in ["not json", "", "{\"model\": \"parrot\"", "\u{0}"] {
        send(&app, post(body)).await.is_error(400, BAD, None, None);
    }
    let wrong = [
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (
            json!({"messages": [{"role": "robot", "content": "x"}]}),
            "messages[0].role",
        ),
        (json!({"max_tokens": -1}), "max_tokens"),
        (
            json!({"max_completion_tokens": -1}),
            "max_completion_tokens",
        ),
        (json!({"max_tokens": "many"}), "max_tokens"),
        (json!({"n": 17}), "n"),
        (json!({"store": true}), "store"),
        (json!({"logit_bias": {"five": 1}}), "logit_bias"),
        (json!({"temperature": 3}), "temperature"),
        (
            json!({"top_logprobs": 21, "logprobs": true}),
            "top_logprobs",
        ),
        (
            json!({"stream_options": {"include_usage": true}}),
            "stream_options",
        ),
    ];
    for (fields, param) in wrong {
        chat(&app, ask("x", fields))
            .await
            .is_error(400, BAD, Some(param), None);
    }
    let no_model = json!({"messages": [{"role": "user", "content": "x"}]});
    chat(&app, no_model)
        .await
        .is_error(400, BAD, Some("model"), None);
    let unknown = chat(&app, ask("x", json!({"model": "gpt-9"}))).await;
    unknown.is_error(404, BAD, Some("model"), Some("model_not_found"));
}

#[tokio::test]
async fn the_body_must_be_json_by_its_type() {
    let app = app_of(Parrot::default());
    let body = ask("x", json!({})).to_string();
    let request = Request::post("/v1/chat/completions").header(header::CONTENT_TYPE, "text/plain");
    send(&app, request.body(Body::from(body)).unwrap())
        .await
        .is_error(415, BAD, None, None);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context() {
    let app = app_of(Parrot::default());
    for stream in [false, true] {
        let reply = chat(&app, ask(&"word ".repeat(101), json!({"stream": stream}))).await;
        reply.is_error(400, BAD, Some("messages"), Some("context_length_exceeded"));
    }
}

#[tokio::test]
async fn a_ten_megabyte_prompt() {
    let app = app_of(Parrot::default());
    let body = ask(&"x".repeat(10 << 20), json!({}));
    chat(&app, body.clone())
        .await
        .is_error(413, BAD, None, Some("request_too_large"));
    // Over a socket the client must get the answer, not a broken pipe, though it writes it all.
    let reply = Wire::post(listen(app).await, &body).await.rest().await;
    assert!(
        reply.starts_with("HTTP/1.1 413 ") && reply.contains("request_too_large"),
        "{reply}"
    );
}

#[tokio::test]
async fn a_client_that_asks_first_is_spared_the_sending() {
    let mut wire = Wire::open(listen(app_of(Parrot::default())).await).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\
                Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n";
    wire.write(head.as_bytes()).await;
    wire.until("HTTP/1.1 413 ", 1).await;
}

#[tokio::test]
async fn a_body_that_never_ends() {
    let mut config = AppConfig::default();
    config.limits.body_timeout = Duration::from_millis(20);
    let app = app_with(vec![Parrot::default().share()], config);
    let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    send(&app, post(body)).await.is_error(408, BAD, None, None);
    let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]);
    send(&app, post(Body::from_stream(broken)))
        .await
        .is_error(400, BAD, None, None);
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let app = app_of(Parrot::default());
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/chat/completions/x",
        "/nothing",
    ] {
        get(&app, path).await.is_error(404, BAD, None, None);
    }
    let wrong = [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
    ];
    for (method, path, allow) in wrong {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let reply = send(&app, request).await;
        reply.is_error(405, BAD, None, None);
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn private_requests_are_refused_unread() {
    let parrot = Parrot::default().share();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let mut request = post(Body::from_stream(futures::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >()));
    request
        .headers_mut()
        .insert("x-sprat-private", "true".parse().unwrap());
    send(&app, request)
        .await
        .is_error(400, BAD, None, Some("private_not_accepted"));
    assert!(parrot.job.lock().unwrap().is_none());
    assert!(
        get(&app, "/metrics")
            .await
            .text()
            .contains("sprat_private_refused_total 1")
    );

    let mut request = post(ask("x", json!({})).to_string());
    request
        .headers_mut()
        .insert("x-sprat-private", "false".parse().unwrap());
    assert_eq!(send(&app, request).await.status, 200);
}

#[tokio::test]
async fn the_key_is_asked_for_where_one_is_set() {
    let config = AppConfig {
        api_keys: vec![ApiKey::new("a", "sk-right").unwrap()],
        ..AppConfig::default()
    };
    let app = app_with(vec![Parrot::default().share()], config);
    for key in [
        None,
        Some("Bearer sk-wrong"),
        Some("Bearer sk-righ"),
        Some("sk-right"),
    ] {
        let mut request = post(ask("x", json!({})).to_string());
        if let Some(key) = key {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, key.parse().unwrap());
        }
        let reply = send(&app, request).await;
        reply.is_error(401, BAD, None, Some("invalid_api_key"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let mut request = post(ask("x", json!({})).to_string());
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, "Bearer sk-right".parse().unwrap());
    assert_eq!(send(&app, request).await.status, 200);
    get(&app, "/v1/models")
        .await
        .is_error(401, BAD, None, Some("invalid_api_key"));
    for open in [
        "/health",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ] {
        assert_eq!(get(&app, open).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn a_full_queue() {
    let gate = Arc::new(Semaphore::new(0));
    let parrot = Parrot {
        gate: Some(gate.clone()),
        ..Parrot::default()
    }
    .share();
    let mut config = AppConfig::default();
    config.limits.requests = 2;
    let app = app_with(vec![parrot.clone()], config);
    let address = listen(app.clone()).await;
    let mut waiting = vec![];
    for _ in 0..2 {
        let mut wire = Wire::post(address, &ask("a", json!({"stream": true}))).await;
        wire.until("assistant", 1).await;
        waiting.push(wire);
    }
    let refused = chat(&app, ask("a", json!({}))).await;
    refused.is_error(429, "rate_limit_error", None, Some("rate_limit_exceeded"));
    assert!(
        refused
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    let metrics = get(&app, "/metrics").await;
    assert!(
        metrics
            .text()
            .contains("sprat_admission_rejections_total 1")
    );
    assert!(
        metrics
            .text()
            .contains("sprat_num_requests_running{model_name=\"parrot\"} 2")
    );

    gate.add_permits(2);
    for wire in waiting {
        assert!(wire.rest().await.contains("[DONE]"));
    }
    parrot.wait_ended(2).await;
    gate.add_permits(1);
    assert_eq!(
        chat(&app, ask("a", json!({}))).await.status,
        200,
        "places are free again"
    );
}

#[tokio::test]
async fn an_engine_with_a_full_queue_of_its_own() {
    let app = app_of(Parrot {
        busy: true,
        ..Parrot::default()
    });
    let refused = chat(&app, ask("a", json!({}))).await;
    refused.is_error(429, "rate_limit_error", None, Some("rate_limit_exceeded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn not_ready_yet_or_any_more() {
    let parrot = Parrot::default().share();
    let state = state_with(vec![parrot.clone()], AppConfig::default());
    let app = sprat_service::app(state.clone());
    let is = |reply: &Reply| reply.is_error(503, "server_error", None, Some("not_ready"));

    *parrot.state.lock().unwrap() = EngineState::Loading;
    is(&get(&app, "/readyz").await);
    let reply = chat(&app, ask("a", json!({}))).await;
    is(&reply);
    assert_eq!(reply.header("retry-after"), Some("1"));

    *parrot.state.lock().unwrap() = EngineState::Failed("device lost".into());
    let reply = get(&app, "/readyz").await;
    is(&reply);
    assert!(reply.text().contains("device lost"));
    is(&chat(&app, ask("a", json!({}))).await);

    *parrot.state.lock().unwrap() = EngineState::Ready;
    assert_eq!(
        get(&app, "/readyz").await.json(),
        json!({"status": "ready"})
    );
    state.drain();
    is(&get(&app, "/readyz").await);
    is(&chat(&app, ask("a", json!({}))).await);
    assert_eq!(get(&app, "/healthz").await.json(), json!({"status": "ok"}));
}
