//! Several API keys, each with limits of its own.

use crate::common::*;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use sprat_service::{ApiKey, AppConfig};

fn app() -> Router {
    let key = |name: &str| ApiKey::new(name, &format!("sk-{name}")).unwrap();
    let (mut few, mut short) = (key("few"), key("short"));
    few.requests_per_minute = Some(2);
    short.requests_per_minute = Some(1000);
    short.tokens_per_minute = Some(10);
    let config = AppConfig {
        api_keys: vec![key("free"), few, short],
        ..AppConfig::default()
    };
    app_with(vec![Parrot::default().share()], config)
}

async fn say(app: &Router, key: &str, text: &str) -> Reply {
    let mut request = post(ask(text, json!({})).to_string());
    let value = format!("Bearer sk-{key}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    send(app, request).await
}

const LIMIT: &str = "rate_limit_error";

#[tokio::test]
async fn each_key_has_its_own_limits() {
    let app = app();
    for key in ["", "fre", "freee", "other"] {
        let reply = say(&app, key, "x").await;
        reply.is_error(401, "invalid_request_error", None, Some("invalid_api_key"));
        assert!(reply.header("x-ratelimit-limit-requests").is_none());
    }
    for _ in 0..5 {
        let reply = say(&app, "free", "x").await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("x-ratelimit-limit-requests").is_none());
    }
    for remaining in ["1", "0"] {
        let reply = say(&app, "few", "x").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(
            reply.header("x-ratelimit-remaining-requests"),
            Some(remaining)
        );
        assert!(reply.header("x-ratelimit-limit-tokens").is_none());
    }
    let refused = say(&app, "few", "x").await;
    refused.is_error(429, LIMIT, None, Some("rate_limit_exceeded"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    // Looking costs nothing, and others go on.
    let look = Request::get("/v1/models").header(header::AUTHORIZATION, "Bearer sk-few");
    let look = send(&app, look.body(Body::empty()).unwrap()).await;
    assert_eq!(look.status, 200);
    assert_eq!(say(&app, "free", "x").await.status, 200);
    let metrics = get(&app, "/metrics").await;
    assert!(
        metrics
            .text()
            .contains("sprat_key_limited_total{key=\"few\"} 1")
    );
}

#[tokio::test]
async fn tokens_read_and_written_are_counted() {
    let app = app();
    let first = say(&app, "short", "a b c").await;
    assert_eq!(first.status, 200);
    // Three read and three written.
    assert_eq!(first.header("x-ratelimit-limit-tokens"), Some("10"));
    assert_eq!(first.header("x-ratelimit-remaining-tokens"), Some("4"));
    // Who has some left may ask for more than that, and waits for it afterwards.
    assert_eq!(say(&app, "short", "a b c d e f").await.status, 200);
    let refused = say(&app, "short", "a").await;
    refused.is_error(429, LIMIT, None, Some("rate_limit_exceeded"));
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), Some("0"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((40..=60).contains(&wait), "{wait}");
}
