//! Answers that a device has begun and the server goes on with.

use crate::common::{Wire, events};
use crate::running::Running;
use serde_json::{Value, json};
use sprat_model::{Device, MANIFEST, Manifest, Message, Model, Options, Storage};
use sprat_service::ServeConfig;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/sprat-tiny");
const QUESTION: &str = "Tell me about your day.";

/// What the shipped model answers by itself: ids and texts.
fn answer() -> Vec<(u32, String)> {
    let mut quiet = |_| {};
    let device = Device::flex();
    let model = Model::open(SHIPPED.as_ref(), Storage::F32, &device, &mut quiet);
    let model = pollster::block_on(model).unwrap();
    let question = Message {
        role: "user".to_owned(),
        content: QUESTION.to_owned(),
    };
    let prompt = model.prompt(&[question]).unwrap();
    let mut session = model.session();
    let mut generation = session
        .generate(&model, &prompt, Options::default())
        .unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = pollster::block_on(generation.next()) {
        let token = token.unwrap();
        tokens.push((token.id, token.text));
    }
    tokens
}

fn text_id() -> String {
    let manifest = std::fs::read(std::path::Path::new(SHIPPED).join(MANIFEST)).unwrap();
    Manifest::from_json(&manifest).unwrap().text_id()
}

fn body(fields: Value) -> Value {
    let mut body = json!({"model": "sprat-tiny", "temperature": 0,
        "messages": [{"role": "user", "content": QUESTION}]});
    let all = body.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    body
}

async fn server() -> Running {
    Running::start_as(ServeConfig {
        models: vec![std::path::PathBuf::from(SHIPPED).into()],
        ..ServeConfig::default()
    })
    .await
    .unwrap()
}

/// Wherever it changes hands, no token is lost or comes twice, whole and in a stream.
#[tokio::test]
async fn the_two_parts_are_the_whole() {
    let tokens = tokio::task::spawn_blocking(answer).await.unwrap();
    let whole: String = tokens.iter().map(|(_, text)| text.as_str()).collect();
    let server = server().await;
    for cut in [1, tokens.len() / 2, tokens.len() - 1, tokens.len()] {
        let (begun, rest) = tokens.split_at(cut);
        let ids: Vec<u32> = begun.iter().map(|(id, _)| *id).collect();
        let begun: String = begun.iter().map(|(_, text)| text.as_str()).collect();
        let continued = json!({"tokens": ids, "text_id": text_id()});
        let (head, answer) = server.chat(body(json!({"x_continue": continued}))).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {answer}");
        let message = &answer["choices"][0]["message"]["content"];
        assert_eq!(begun.clone() + message.as_str().unwrap(), whole);
        assert_eq!(answer["x_continue"], json!({"tokens": cut}));
        assert_eq!(answer["usage"]["completion_tokens"], rest.len());
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");

        let options = json!({"x_continue": continued, "stream": true});
        let reply = Wire::post(server.address, &body(options))
            .await
            .rest()
            .await;
        let chunks = events(reply.split_once("\r\n\r\n").unwrap().1.as_bytes());
        let chunks: Vec<Value> = chunks.into_iter().flatten().collect();
        assert_eq!(chunks[0]["x_continue"], json!({"tokens": cut}));
        assert!(
            chunks[1..]
                .iter()
                .all(|chunk| chunk.get("x_continue").is_none())
        );
        let said = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        assert_eq!(begun + &said.collect::<String>(), whole);
    }
}

/// A model of another text begins anew, and says so before its first word.
#[tokio::test]
async fn what_cannot_be_trusted_is_begun_anew() {
    let tokens = tokio::task::spawn_blocking(answer).await.unwrap();
    let whole: String = tokens.iter().map(|(_, text)| text.as_str()).collect();
    let server = server().await;
    let continued = json!({"tokens": [5, 6, 7], "text_id": "another"});
    let (_, answer) = server.chat(body(json!({"x_continue": continued}))).await;
    assert_eq!(answer["choices"][0]["message"]["content"], json!(whole));
    assert_eq!(answer["x_continue"]["tokens"], 0);
    let reason = answer["x_continue"]["reason"].as_str().unwrap();
    assert!(reason.contains("tokenizer"), "{reason}");
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let server = server().await;
    let id = text_id();
    for (fields, problem) in [
        (
            json!({"x_continue": {"tokens": [], "text_id": id}}),
            "must have tokens",
        ),
        (
            json!({"n": 2, "x_continue": {"tokens": [5], "text_id": id}}),
            "n must be 1",
        ),
        (
            json!({"response_format": {"type": "json_object"},
                "x_continue": {"tokens": [5], "text_id": id}}),
            "response_format",
        ),
        (
            json!({"x_continue": {"tokens": [999_999], "text_id": id}}),
            "999999",
        ),
        (
            json!({"x_continue": {"tokens": [-1], "text_id": id}}),
            "x_continue.tokens",
        ),
        (json!({"x_continue": {"tokens": [5]}}), "x_continue"),
        (
            json!({"x_continue": {"tokens": [5], "text_id": id, "more": 1}}),
            "x_continue.more",
        ),
        (
            json!({"x_continue": {"tokens": vec![5; 70_000], "text_id": id}}),
            "too many",
        ),
    ] {
        let (head, answer) = server.chat(body(fields)).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head} {answer}");
        assert!(answer.to_string().contains(problem), "{answer}");
    }
    // An answer that does not fit any more.
    let long = json!({"x_continue": {"tokens": vec![5; 300], "text_id": id}});
    let (head, answer) = server.chat(body(long)).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(answer["error"]["code"], "context_length_exceeded");
}
