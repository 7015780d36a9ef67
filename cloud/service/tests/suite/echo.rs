//! The whole server without a model: a thousand streams at once, half of whose readers leave.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{ask, chat, events, get, post};
use axum::Router;
use futures::StreamExt;
use serde_json::{Value, json};
use sprat_service::{AppConfig, AppState, Echo, EchoOptions, Engine, Limits, app};
use tower::ServiceExt;

fn echo(options: EchoOptions, requests: usize) -> Router {
    let engines = vec![Arc::new(Echo::new(options)) as Arc<dyn Engine>];
    let limits = Limits {
        requests,
        ..Limits::default()
    };
    let config = AppConfig {
        limits,
        ..AppConfig::default()
    };
    app(AppState::new(engines, config).unwrap())
}

fn say(text: &str, more: Value) -> Value {
    let mut body = ask(text, more);
    body["model"] = json!("echo");
    body
}

/// What a metric stands at, over all labels.
async fn metric(app: &Router, name: &str) -> f64 {
    let reply = get(app, "/metrics").await;
    let lines = reply.text().lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_are_kept_apart_and_leave_nothing_behind() {
    let options = EchoOptions {
        pause: Duration::from_millis(2),
        tokens: Some(20),
        ..EchoOptions::default()
    };
    let app = echo(options, 2000);
    let stream = |i: usize| {
        let app = app.clone();
        async move {
            let text = format!("a{i} b{i} c{i}");
            let request = post(say(&text, json!({"stream": true})).to_string());
            let response = app.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let mut body = response.into_body().into_data_stream();
            let mut bytes = Vec::new();
            let mut pieces = 0;
            while let Some(piece) = body.next().await {
                bytes.extend(piece.unwrap());
                pieces += 1;
                if i.is_multiple_of(2) && pieces > i % 17 {
                    return;
                }
            }
            let mut chunks = events(&bytes);
            assert_eq!(chunks.pop(), Some(None), "the stream has an end");
            let id = chunks[0].as_ref().unwrap()["id"].clone();
            let mut said = String::new();
            for chunk in chunks.iter().flatten() {
                assert_eq!(chunk["id"], id);
                let content = &chunk["choices"][0]["delta"]["content"];
                said += content.as_str().unwrap_or_default();
            }
            let words: Vec<&str> = text.split(' ').cycle().take(20).collect();
            assert_eq!(said, words.join(" "));
        }
    };
    futures::future::join_all((0..1000).map(|i| tokio::spawn(stream(i))))
        .await
        .into_iter()
        .for_each(|ended| ended.unwrap());
    // That somebody left is noticed by the stream's own task, a moment later.
    let settled = async {
        for name in ["sprat_num_requests_running", "sprat_num_requests_waiting"] {
            while metric(&app, name).await != 0.0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(60), settled).await;
    settled.expect("places stay taken");
    // And goes on as before.
    let reply = chat(&app, say("still here", json!({"max_tokens": 2}))).await;
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        "still here"
    );
}

#[tokio::test]
async fn failures_come_when_they_are_ordered() {
    let options = EchoOptions {
        fail_every: 2,
        fail_after: 1,
        ..EchoOptions::default()
    };
    let app = echo(options, 32);
    let good = chat(&app, say("one two", json!({}))).await;
    assert_eq!(good.json()["choices"][0]["message"]["content"], "one two");
    let bad = chat(&app, say("one two", json!({}))).await;
    bad.is_error(500, "server_error", None, Some("generation_failed"));
    assert!(
        chat(&app, say("one two", json!({"stream": true})))
            .await
            .text()
            .ends_with("[DONE]\n\n")
    );
    let broken = chat(&app, say("one two", json!({"stream": true}))).await;
    assert_eq!(broken.status, 200);
    assert!(broken.text().contains("\"content\":\"one\""));
    assert!(broken.text().contains("generation_failed") && !broken.text().contains("[DONE]"));
}
