//! Over time: clients that go away, servers that stop, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::*;
use serde_json::json;
use sprat_service::{AppConfig, app};
use tokio::sync::Semaphore;

fn gated() -> (Arc<Parrot>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let parrot = Parrot {
        gate: Some(gate.clone()),
        endless: true,
        ..Parrot::default()
    };
    (parrot.share(), gate)
}

/// A client that asks and does not read is cut off, and its place is free.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let parrot = Parrot {
        endless: true,
        ..Parrot::default()
    };
    let parrot = parrot.share();
    let mut config = AppConfig::default();
    config.limits.requests = 1;
    config.limits.read_timeout = Duration::from_millis(50);
    let state = state_with(vec![parrot.clone()], config);
    let address = listen(app(state.clone())).await;
    let long = "x".repeat(10_000);
    let lazy = Wire::post(address, &ask(&long, json!({"stream": true}))).await;
    parrot.wait_ended(1).await;
    state.drained().await;
    let reply = Wire::post(address, &ask("x", json!({"max_tokens": 1}))).await;
    assert!(reply.rest().await.starts_with("HTTP/1.1 200 "));
    drop(lazy);
}

/// An answer that takes too long ends with an error: a status before its first byte, an event after it.
#[tokio::test]
async fn an_answer_that_takes_longer_than_any_may() {
    for stream in [false, true] {
        let gate = Arc::new(Semaphore::new(1));
        let parrot = Parrot {
            gate: Some(gate),
            ..Parrot::default()
        };
        let mut config = AppConfig::default();
        config.limits.answer_timeout = Duration::from_millis(500);
        let app = app_with(vec![parrot.share()], config);
        let reply = chat(&app, ask("a b c", json!({"stream": stream}))).await;
        if stream {
            let events = reply.events();
            let last = events.last().unwrap().as_ref().unwrap();
            assert_eq!(last["error"]["code"], "timeout", "{last}");
        } else {
            reply.is_error(504, "server_error", None, Some("timeout"));
        }
    }
}

#[tokio::test]
async fn generation_stops_when_a_streaming_client_goes_away() {
    let (parrot, gate) = gated();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let mut wire = Wire::post(
        listen(app.clone()).await,
        &ask("tok ", json!({"stream": true})),
    )
    .await;
    gate.add_permits(3);
    wire.until("\"content\":\"tok \"", 3).await;
    drop(wire);
    parrot.wait_ended(1).await;
    gate.add_permits(100);
    assert_eq!(parrot.made.load(Ordering::SeqCst), 3);
    let metrics = get(&app, "/metrics").await;
    assert!(
        metrics
            .text()
            .contains("sprat_request_cancelled_total{model_name=\"parrot\"} 1")
    );
    assert!(
        metrics
            .text()
            .contains("sprat_num_requests_running{model_name=\"parrot\"} 0")
    );
}

#[tokio::test]
async fn generation_stops_when_a_waiting_client_goes_away() {
    let (parrot, gate) = gated();
    let app = app_with(vec![parrot.clone()], AppConfig::default());
    let wire = Wire::post(listen(app).await, &ask("tok ", json!({}))).await;
    gate.add_permits(2);
    while parrot.made.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    drop(wire);
    parrot.wait_ended(1).await;
    gate.add_permits(100);
    assert_eq!(parrot.made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_comments() {
    let (parrot, _gate) = gated();
    let config = AppConfig {
        keep_alive: Duration::from_millis(5),
        ..AppConfig::default()
    };
    let address = listen(app_with(vec![parrot], config)).await;
    let mut wire = Wire::post(address, &ask("x", json!({"stream": true}))).await;
    wire.until("\n:", 2).await;
}

#[tokio::test]
async fn answers_in_progress_finish_while_the_server_drains() {
    let (parrot, gate) = gated();
    let state = state_with(vec![parrot], AppConfig::default());
    let address = listen(app(state.clone())).await;
    let body = ask("x ", json!({"stream": true, "max_tokens": 2}));
    let mut wire = Wire::post(address, &body).await;
    wire.until("assistant", 1).await;
    state.drain();
    assert!(
        Wire::get(address, "/readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    let refused = Wire::post(address, &body).await.rest().await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("not_ready"),
        "{refused}"
    );
    gate.add_permits(2);
    assert!(wire.rest().await.contains("[DONE]"));
    state.drained().await;
}

#[tokio::test]
async fn answers_that_take_too_long_end_with_an_error() {
    let (parrot, _gate) = gated();
    let state = state_with(vec![parrot.clone()], AppConfig::default());
    let address = listen(app(state.clone())).await;
    let mut stream = Wire::post(address, &ask("x", json!({"stream": true}))).await;
    stream.until("assistant", 1).await;
    state.drain();
    state.cancel();
    let all = stream.rest().await;
    assert!(
        all.contains("\"code\":\"not_ready\"") && !all.contains("[DONE]"),
        "{all}"
    );
    parrot.wait_ended(1).await;
    state.drained().await;
}

#[tokio::test]
async fn figures() {
    let app = app_of(Parrot::default());
    chat(&app, ask("a b c", json!({}))).await;
    chat(&app, ask("a b c", json!({"max_tokens": 1, "stream": true}))).await;
    chat(&app, ask("a", json!({"n": 0}))).await;
    get(&app, "/v1/x").await;
    let metrics = get(&app, "/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let expected = [
        "sprat_http_requests_total{route=\"/v1/chat/completions\",method=\"POST\",status=\"200\"} 2",
        "sprat_http_requests_total{route=\"/v1/chat/completions\",method=\"POST\",status=\"400\"} 1",
        "sprat_http_requests_total{route=\"/v1/{*rest}\",method=\"GET\",status=\"404\"} 1",
        "sprat_request_success_total{model_name=\"parrot\",finished_reason=\"stop\"} 1",
        "sprat_request_success_total{model_name=\"parrot\",finished_reason=\"length\"} 1",
        "sprat_prompt_tokens_total{model_name=\"parrot\"} 6",
        "sprat_generation_tokens_total{model_name=\"parrot\"} 4",
        "sprat_prefix_cache_hits_total{model_name=\"parrot\"} 2",
        "sprat_time_to_first_token_seconds_count{model_name=\"parrot\"} 2",
        "sprat_inter_token_latency_seconds_count{model_name=\"parrot\"} 2",
        "sprat_num_requests_waiting{model_name=\"parrot\"} 0",
    ];
    for line in expected {
        assert!(
            metrics.text().lines().any(|l| l == line),
            "{line} not in\n{}",
            metrics.text()
        );
    }
}
