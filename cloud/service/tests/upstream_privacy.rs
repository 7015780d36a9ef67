//! What people write, what other servers say of it, and keys are in no log and no error.
//!
//! Alone in its file, as `privacy.rs` is, and for its reason.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/log.rs"]
mod log;
#[path = "common/upstream.rs"]
mod upstream;

use std::sync::Arc;

use common::{ask, chat, get};
use log::Log;
use serde_json::json;
use sprat_service::*;
use upstream::*;

#[tokio::test]
async fn what_is_written_is_not_logged() {
    const CANARY: &str = "CANARY-7f3a";
    let (log, _guard) = Log::begin();

    let says = |status| {
        let body =
            json!({"error": {"message": CANARY, "type": CANARY, "code": CANARY, "param": CANARY}});
        response(
            status,
            &format!("X-Canary: {CANARY}\r\n"),
            &body.to_string(),
        )
    };
    let error = event(&json!({"error": {"message": CANARY, "code": CANARY}}));
    let fake = Fake::start(vec![
        says(500),
        says(400),
        says(401),
        response(400, "", CANARY),
        vec![head(), text("Hi"), error],
        vec![
            head(),
            text("Hi"),
            Step::Send(format!("data: {CANARY}\n\n").into_bytes()),
        ],
        vec![head(), text("Hi")],
        vec![Step::Send(CANARY.as_bytes().to_vec())],
        answer(),
    ])
    .await;
    let options = UpstreamOptions {
        max_tries: 1,
        breaker_failures: 100,
        ..fake.options()
    };
    let engine = fake.engine(options);
    let engines = vec![engine as Arc<dyn Engine>];
    let app = app(AppState::new(engines, AppConfig::default()).unwrap());
    let mut errors = String::new();
    for _ in 0..8 {
        let reply = chat(&app, ask(CANARY, json!({"model": "far", "stream": true}))).await;
        assert!(reply.text().contains("\"error\""), "{}", reply.text());
        errors += reply.text();
    }
    let good = chat(&app, ask(CANARY, json!({"model": "far"}))).await;
    assert_eq!(good.status, 200);
    errors += get(&app, "/metrics").await.text();
    drop(_guard);

    let sent = fake.requests();
    assert!(
        sent.iter().all(|got| got.body.to_string().contains(CANARY)),
        "it was sent"
    );
    let log = log.text();
    assert!(log.contains("upstream failed"), "{log}");
    for secret in [CANARY, KEY, "SECRET"] {
        assert!(!errors.contains(secret), "{errors}");
        assert!(!log.contains(secret), "{log}");
    }
}
