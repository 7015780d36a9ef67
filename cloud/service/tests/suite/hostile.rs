//! Input that no client means: broken JSON, huge numbers, deep nesting, bytes that are no text, heads without end. Whatever
//! comes, the answer is a status below 500 that repeats nothing of it, and the next request is answered.

use crate::common::*;
use axum::Router;
use proptest::prelude::*;
use serde_json::json;

const PATHS: [&str; 5] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
];

/// A body that a path can make something of, and what it must not repeat.
fn body(path: &str) -> String {
    let mut fields = match path {
        "/v1/chat/completions" => json!({
            "messages": [{"role": "user", "content": [{"type": "text", "text": "CANARY a b"}]}],
        }),
        "/v1/completions" => json!({"prompt": ["CANARY", "a"], "logprobs": 1}),
        "/v1/embeddings" => json!({"input": [[1, 2], [3]], "user": "CANARY"}),
        "/tokenize" => json!({"prompt": "CANARY"}),
        _ => json!({"tokens": [1, 2, 3]}),
    };
    if path.ends_with("/completions") {
        let sampling = json!({
            "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 5,
            "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "seed": -7, "n": 2,
            "stop": ["x", "CANARY"], "logit_bias": {"5": -1.5}, "user": "CANARY",
        });
        let all = fields.as_object_mut().unwrap();
        all.extend(sampling.as_object().unwrap().clone());
    }
    fields["model"] = json!("parrot");
    fields.to_string()
}

/// One change of a body.
#[derive(Clone, Debug)]
enum Change {
    Cut(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(prop::sample::Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = [
        "\"",
        "[",
        "{",
        "}",
        "]",
        ",",
        ":",
        "null",
        "true",
        "-",
        "1e999",
        "-1e999",
        "1e-999",
        "9".repeat(40).leak(),
        "0.1",
        "\\ud800",
        "\\u0000",
        "\\",
        "\u{feff}",
        "NaN",
        "Infinity",
        "[[[[",
        "{\"a\":",
        "\"n\":",
    ];
    let piece = prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
    let bytes = prop::collection::vec(any::<u8>(), 1..6);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 1usize..20).prop_map(|(at, count)| Change::Cut(at, count)),
        (index(), prop_oneof![piece, bytes]).prop_map(|(at, new)| Change::Insert(at, new)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
    ]
}

fn changed(body: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    for change in changes {
        let place = |at: &prop::sample::Index| at.index(bytes.len() + 1);
        match change {
            Change::Cut(at, count) => {
                let from = place(at);
                let to = (from + count).min(bytes.len());
                bytes.drain(from..to);
            }
            Change::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Replace(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
        }
    }
    bytes
}

async fn is_harmless(app: &Router, path: &str, body: Vec<u8>) -> Result<bool, TestCaseError> {
    let shown = String::from_utf8_lossy(&body).into_owned();
    let reply = send(app, post_to(path, body)).await;
    prop_assert!(
        reply.status.as_u16() < 500,
        "{path} {shown}: {}",
        reply.text()
    );
    if !reply.status.is_success() {
        let error = reply.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        prop_assert!(
            !error.is_empty() && !error.contains("CANARY"),
            "{path} {shown}: {error}"
        );
    }
    Ok(reply.status.is_success())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

#[test]
fn the_body_itself_is_fine() {
    run(async {
        let app = app_of(Parrot::default());
        for path in &PATHS[..2] {
            let body = body(path).into_bytes();
            assert!(is_harmless(&app, path, body).await.unwrap(), "{path}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_bodies_are_refused(
        path in prop::sample::select(PATHS.to_vec()), changes in prop::collection::vec(change(), 1..5)
    ) {
        run(async {
            let app = app_of(Parrot::default());
            is_harmless(&app, path, changed(&body(path), &changes)).await
        })?;
    }
}

#[test]
fn depth_and_size_are_bounded() {
    run(async {
        let app = app_of(Parrot::default());
        for path in PATHS {
            for body in [
                "[".repeat(200_000),
                "{\"a\":".repeat(100_000),
                format!(
                    "{{\"model\":\"parrot\",\"messages\":{}",
                    "[".repeat(100_000)
                ),
                format!("{{\"model\":\"{}\"}}", "x".repeat(900_000)),
                format!(
                    "{{\"model\":\"parrot\",\"stop\":[{}\"\"]}}",
                    "\"a\",".repeat(100_000)
                ),
                format!(
                    "{{\"model\":\"parrot\",\"prompt\":[{}1]}}",
                    "1,".repeat(200_000)
                ),
                format!("{{\"model\":\"parrot\",\"seed\":{}}}", "9".repeat(100_000)),
                format!(
                    "{{{}\"model\":\"parrot\"}}",
                    "\"model\":\"parrot\",".repeat(10_000)
                ),
            ] {
                assert!(
                    !is_harmless(&app, path, body.into_bytes()).await.unwrap(),
                    "{path}"
                );
            }
        }
    });
}

/// Heads that are too long or too many, and requests that are no HTTP, cost their connection and nothing else.
#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let address = listen(app_of(Parrot::default())).await;
    let many = "x-a: b\r\n".repeat(5000);
    let long = format!("x-a: {}\r\n", "b".repeat(2_000_000));
    for head in [
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{long}\r\n"),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1_000_000)),
        "GET /healthz HTTP/9.9\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"
            .to_owned(),
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
    ] {
        let shown: String = head.chars().take(60).collect();
        let reply = Wire::hostile(address, head.as_bytes()).await;
        assert!(!reply.starts_with("HTTP/1.1 2"), "{shown:?}: {reply}");
        assert!(!reply.starts_with("HTTP/1.1 5"), "{shown:?}: {reply}");
    }
    let alive = Wire::get(address, "/healthz").await;
    assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
}
