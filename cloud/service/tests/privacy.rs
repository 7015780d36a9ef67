//! What people write is in no log, no metric and no error.
//!
//! Alone in its file: tracing remembers for the whole process which messages anybody wants to
//! see, and tests beside it that listen to none would disturb that.
#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::*;
use serde_json::json;
use sprat_service::AppConfig;
use tracing_subscriber::fmt::MakeWriter;

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Whatever happens to a request, its text is in no log, no metric and no error.
#[tokio::test]
async fn what_is_written_is_not_logged() {
    const CANARY: &str = "CANARY-7f3a";
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

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
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("status=200") && log.contains("answer failed"),
        "{log}"
    );
    assert!(!log.contains(CANARY), "{log}");
}
