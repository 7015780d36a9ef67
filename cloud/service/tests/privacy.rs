//! What people write is in no log, no metric and no error.
//!
//! Alone in its file: tracing remembers for the whole process which messages anybody wants to
//! see, and tests beside it that listen to none would disturb that.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/log.rs"]
mod log;

use common::*;
use log::Log;
use serde_json::json;
use sprat_service::AppConfig;

/// Whatever happens to a request, its text is in no log, no metric and no error.
#[tokio::test]
async fn what_is_written_is_not_logged() {
    const CANARY: &str = "CANARY-7f3a";
    let (log, _guard) = Log::begin();

    let good = Parrot::default().share();
    let bad = Parrot {
        id: "bad".into(),
        fail_at: Some(1),
        ..Parrot::default()
    };
    let app = app_with(vec![good, bad.share()], AppConfig::default());
    let mut errors = String::new();
    for stream in [false, true] {
        let answer = chat(&app, ask(CANARY, json!({"stream": stream}))).await;
        assert!(
            answer.text().contains(CANARY),
            "the answer itself repeats it"
        );
    }
    let text = format!("{CANARY} {CANARY}");
    let refused = [
        ask(&text, json!({"model": "bad"})),
        ask(&format!("{CANARY} ").repeat(200), json!({})),
        ask(CANARY, json!({"model": CANARY})),
        ask(CANARY, json!({"messages": CANARY})),
        ask(
            CANARY,
            json!({"messages": [{"role": CANARY, "content": CANARY}]}),
        ),
        ask(CANARY, json!({"stop": [CANARY.repeat(100)]})),
        ask(CANARY, json!({"temperature": CANARY})),
    ];
    for body in refused {
        let reply = chat(&app, body).await;
        assert!(!reply.status.is_success());
        errors.push_str(reply.text());
    }
    errors.push_str(send(&app, post(format!("{{{CANARY}"))).await.text());
    errors.push_str(get(&app, &format!("/v1/{CANARY}?q={CANARY}")).await.text());
    errors.push_str(get(&app, &format!("/v1/models/{CANARY}")).await.text());
    errors.push_str(get(&app, "/metrics").await.text());
    // Over a socket too, with the server's own logging.
    let address = listen(app).await;
    Wire::post(address, &ask(CANARY, json!({"stream": true})))
        .await
        .rest()
        .await;
    drop(_guard);

    assert!(!errors.contains(CANARY), "{errors}");
    let log = log.text();
    assert!(
        log.contains("status=200") && log.contains("answer failed"),
        "{log}"
    );
    assert!(!log.contains(CANARY), "{log}");
}
