//! Models that come and go: within a memory budget, when nobody asks them, and when the operator says so.

use std::path::Path;
use std::time::Duration;

use crate::common::Wire;
use crate::large::large;
use crate::running::{Running, ask, character, golden, metric, overwrite, pack, text};
use futures::future::join_all;
use serde_json::{Value, json};
use sprat_service::{ApiKey, EchoOptions, ServeConfig, ServiceError};
use tempfile::TempDir;

const LLAMA: &str = "llama-gqa-tied";
const QWEN: &str = "qwen3-qknorm-tied";

fn config(packs: &[&TempDir]) -> ServeConfig {
    let models = packs.iter().map(|pack| pack.path().to_path_buf().into());
    ServeConfig {
        models: models.collect(),
        ..ServeConfig::default()
    }
}

/// A server of these packs with memory for `count` of the largest.
async fn room_for(count: u64, packs: &[&TempDir]) -> Running {
    let mut bytes = 0;
    for pack in packs {
        bytes = bytes.max(bytes_of(pack).await);
    }
    let config = ServeConfig {
        memory_bytes: Some(count * bytes),
        ..config(packs)
    };
    Running::start_as(config).await.unwrap()
}

/// What a model takes by itself.
async fn bytes_of(pack: &TempDir) -> u64 {
    let server = Running::start(&[pack]).await.unwrap();
    let bytes = metric(&server, "sprat_memory_bytes").await;
    server.stop().await;
    bytes as u64
}

/// The answer that transformers gave to a golden model's prompt.
async fn answers_well(server: &Running, id: &str, name: &str) {
    let golden = golden(name);
    let (prompt, expected) = (text(&golden["prompt"]), text(&golden["greedy"]));
    let count = golden["greedy"].as_array().unwrap().len();
    let asked = ask(id, &prompt, json!({"max_tokens": count}));
    let (head, body) = server.chat(asked).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    assert_eq!(body["choices"][0]["message"]["content"], json!(expected));
}

async fn status(server: &Running, id: &str) -> String {
    let reply = Wire::get(server.address, &format!("/v1/models/{id}")).await;
    let card: Value = serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap();
    card["status"].as_str().unwrap().to_owned()
}

async fn statuses<const N: usize>(server: &Running, ids: [&str; N]) -> [String; N] {
    let all = join_all(ids.map(|id| status(server, id))).await;
    all.try_into().unwrap()
}

/// `POST /v1/models/ID/DO`: the status line, and what it says.
pub(crate) async fn tell(server: &Running, id: &str, what: &str) -> (String, Value) {
    server
        .post(&format!("/v1/models/{id}/{what}"), &json!({}))
        .await
}

fn unloads(id: &str, reason: &str) -> String {
    format!("sprat_model_unloads_total{{model_name=\"{id}\",reason=\"{reason}\"}}")
}

fn loads(id: &str) -> String {
    format!("sprat_model_loads_total{{model_name=\"{id}\"}}")
}

#[tokio::test]
async fn two_models_in_the_memory_of_one() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), pack(QWEN, "b", |_| {}));
    let server = room_for(1, &[&a, &b]).await;
    // The first ones that fit are there from the start.
    assert_eq!(statuses(&server, ["a", "b"]).await, ["loaded", "unloaded"]);
    let ready = Wire::get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    for _ in 0..3 {
        answers_well(&server, "b", QWEN).await;
        assert_eq!(statuses(&server, ["a", "b"]).await, ["unloaded", "loaded"]);
        answers_well(&server, "a", LLAMA).await;
        assert_eq!(statuses(&server, ["a", "b"]).await, ["loaded", "unloaded"]);
        let budget = metric(&server, "sprat_memory_budget_bytes").await;
        let used = metric(&server, "sprat_memory_bytes").await;
        assert!(0.0 < used && used <= budget, "{used} {budget}");
    }
    assert_eq!(metric(&server, &loads("a")).await, 4.0);
    assert_eq!(metric(&server, &loads("b")).await, 3.0);
    for id in ["a", "b"] {
        assert_eq!(metric(&server, &unloads(id, "memory")).await, 3.0);
        assert_eq!(metric(&server, &unloads(id, "idle")).await, 0.0);
    }
    server.stop().await;
}

/// What needs no answer waits for its model too.
#[tokio::test]
async fn tokens_and_embeddings_of_a_model_that_is_not_there() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), pack(QWEN, "b", |_| {}));
    let server = room_for(1, &[&a, &b]).await;
    let prompt = text(&golden(QWEN)["prompt"]);
    let body = json!({"model": "b", "prompt": prompt});
    let (head, tokens) = server.post("/tokenize", &body).await;
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(tokens["tokens"], golden(QWEN)["prompt"]);
    assert_eq!(tokens["max_model_len"], 128);
    answers_well(&server, "a", LLAMA).await;
    let body = json!({"model": "b", "input": prompt});
    let (head, _) = server.post("/v1/embeddings", &body).await;
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(statuses(&server, ["a", "b"]).await, ["unloaded", "loaded"]);
    server.stop().await;
}

#[tokio::test]
async fn the_one_that_was_asked_longest_ago_makes_way() {
    let packs = ["a", "b", "c"].map(|id| pack(LLAMA, id, |_| {}));
    let server = room_for(2, &[&packs[0], &packs[1], &packs[2]]).await;
    let there = || statuses(&server, ["a", "b", "c"]);
    assert_eq!(there().await, ["loaded", "loaded", "unloaded"]);
    answers_well(&server, "b", LLAMA).await;
    answers_well(&server, "a", LLAMA).await;
    answers_well(&server, "c", LLAMA).await;
    assert_eq!(there().await, ["loaded", "unloaded", "loaded"]);
    answers_well(&server, "a", LLAMA).await;
    answers_well(&server, "b", LLAMA).await;
    assert_eq!(there().await, ["loaded", "loaded", "unloaded"]);
    server.stop().await;
}

/// A long answer of the large model as a stream that has begun.
async fn begin(server: &Running, id: &str) -> Wire {
    let options = json!({"max_tokens": 200, "n": 4, "temperature": 1, "seed": 1, "stream": true});
    let mut stream = Wire::post(server.address, &ask(id, &character(9), options)).await;
    stream.until("\"content\":", 8).await;
    stream
}

#[tokio::test]
async fn a_model_with_answers_in_progress_stays() {
    let (a, b) = (large("a"), large("b"));
    let server = room_for(1, &[&a, &b]).await;
    let stream = begin(&server, "a").await;
    let (head, error) = tell(&server, "a", "unload").await;
    assert!(head.starts_with("HTTP/1.1 409 "), "{head}");
    assert_eq!(error["error"]["code"], "model_in_use");
    let other = server.chat(ask("b", &character(9), json!({"max_tokens": 2})));
    let ((head, body), all) = tokio::join!(other, stream.rest());
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    // All four answers went on to their ends.
    assert_eq!(all.matches("\"finish_reason\":\"").count(), 4);
    assert!(all.contains("data: [DONE]"));
    assert_eq!(statuses(&server, ["a", "b"]).await, ["unloaded", "loaded"]);
    assert_eq!(metric(&server, &loads("a")).await, 1.0);
    server.stop().await;
}

/// Clients that ask one model all the time don't keep another one out.
#[tokio::test]
async fn each_model_has_its_turn() {
    let (a, b) = (large("a"), pack(QWEN, "b", |_| {}));
    let mut config = ServeConfig {
        memory_bytes: Some(bytes_of(&a).await),
        ..config(&[&a, &b])
    };
    // Without turns it would be waited for to no end.
    config.limits.answer_timeout = Duration::from_secs(30);
    let server = Running::start_as(config).await.unwrap();
    // Of different lengths, so that they don't end together: there is always one in progress.
    let incessant = [61, 83, 107].map(async |tokens| {
        loop {
            let options = json!({"max_tokens": tokens, "temperature": 1});
            server.chat(ask("a", &character(9), options)).await;
        }
    });
    let _begun = begin(&server, "a").await;
    tokio::select! {
        _ = join_all(incessant) => {}
        () = answers_well(&server, "b", QWEN) => {}
    }
    server.stop().await;
}

#[tokio::test]
async fn many_requests_for_two_models_in_the_memory_of_one() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), pack(QWEN, "b", |_| {}));
    let server = room_for(1, &[&a, &b]).await;
    let asked = |i: usize| {
        let (id, name) = [("a", LLAMA), ("b", QWEN)][i % 2];
        let golden = golden(name);
        let ids = golden["prompt"].as_array().unwrap();
        let prompt = text(&json!(ids[..1 + i % ids.len()].to_vec()));
        let options = json!({"max_tokens": 3 + i, "seed": i, "temperature": 0.8});
        ask(id, &prompt, options)
    };
    let both = Running::start(&[&a, &b]).await.unwrap();
    let mut expected = Vec::new();
    for i in 0..32 {
        expected.push(both.chat(asked(i)).await.1["choices"].clone());
    }
    both.stop().await;
    let all = (0..32).map(|i| server.chat(asked(i)));
    for (i, (head, body)) in join_all(all).await.into_iter().enumerate() {
        assert!(head.starts_with("HTTP/1.1 200 "), "{i}: {head} {body}");
        assert_eq!(body["choices"], expected[i], "{i}");
    }
    // A load is for as many as wait by then; one for each would be 32.
    let count = metric(&server, &loads("a")).await + metric(&server, &loads("b")).await;
    assert!((2.0..20.0).contains(&count), "{count}");
    server.stop().await;
}

/// A pack that is damaged while the server runs.
#[tokio::test]
async fn a_model_that_cannot_be_loaded() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), pack(QWEN, "b", |_| {}));
    let server = room_for(1, &[&a, &b]).await;
    let weights = b.path().join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    overwrite(b.path(), "model.norm.weight", 1.0);

    let asked = || ask("b", &character(9), json!({"max_tokens": 2}));
    let is_refused = |(head, body): (String, Value)| {
        assert!(head.starts_with("HTTP/1.1 503 "), "{head} {body}");
        assert!(head.contains("retry-after: 10"), "{head}");
        assert_eq!(body["error"]["code"], "not_ready");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("SHA-256") && message.contains("model.safetensors"));
    };
    for reply in join_all([server.chat(asked()), server.chat(asked())]).await {
        is_refused(reply);
    }
    assert_eq!(status(&server, "b").await, "failed");
    answers_well(&server, "a", LLAMA).await;
    let ready = Wire::get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    // It is not tried again at once, unless the operator says so.
    is_refused(server.chat(asked()).await);
    assert_eq!(status(&server, "a").await, "loaded");
    is_refused(tell(&server, "b", "load").await);
    assert_eq!(status(&server, "a").await, "unloaded");

    std::fs::write(&weights, whole).unwrap();
    let (head, card) = tell(&server, "b", "load").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {card}");
    assert_eq!(card["status"], "loaded");
    answers_well(&server, "b", QWEN).await;
    // A model whose files are gone is found out before another one makes way.
    std::fs::remove_file(a.path().join("sprat.json")).unwrap();
    std::fs::remove_file(a.path().join("config.json")).unwrap();
    let (head, _) = tell(&server, "a", "load").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(statuses(&server, ["a", "b"]).await, ["failed", "loaded"]);
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_nobody_asks_is_unloaded() {
    let a = pack(LLAMA, "a", |_| {});
    let server = Running::start_as(ServeConfig {
        idle: Some(Duration::from_millis(30)),
        ..config(&[&a])
    });
    let server = server.await.unwrap();
    for round in 1..=2 {
        answers_well(&server, "a", LLAMA).await;
        while status(&server, "a").await != "unloaded" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(metric(&server, &unloads("a", "idle")).await >= f64::from(round));
        assert_eq!(metric(&server, "sprat_memory_bytes").await, 0.0);
    }
    let ready = Wire::get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    server.stop().await;
}

/// By the operator's word, with and without a bound of the memory.
#[tokio::test]
async fn models_are_loaded_and_unloaded_when_told() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), pack(QWEN, "b", |_| {}));
    let server = Running::start_as(ServeConfig {
        echo: Some(EchoOptions::default()),
        ..config(&[&a, &b])
    });
    let server = server.await.unwrap();
    let all = metric(&server, "sprat_memory_bytes").await;
    for _ in 0..2 {
        let (head, card) = tell(&server, "a", "unload").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {card}");
        assert_eq!(card["status"], "unloaded");
        // Known before it is loaded again.
        assert_eq!(card["max_model_len"], 128);
    }
    assert_eq!(metric(&server, &unloads("a", "asked")).await, 1.0);
    let rest = metric(&server, "sprat_memory_bytes").await;
    assert!(0.0 < rest && rest < all, "{rest} {all}");
    for _ in 0..2 {
        let (head, card) = tell(&server, "a", "load").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {card}");
        assert_eq!(card["status"], "loaded");
    }
    assert_eq!(metric(&server, &loads("a")).await, 2.0);
    assert_eq!(metric(&server, "sprat_memory_bytes").await, all);
    answers_well(&server, "a", LLAMA).await;
    for what in ["load", "unload"] {
        let (head, error) = tell(&server, "none", what).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        assert_eq!(error["error"]["code"], "model_not_found");
        let (head, error) = tell(&server, "echo", what).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head} {error}");
        assert_eq!(error["error"]["param"], "id");
    }
    assert_eq!(status(&server, "echo").await, "loaded");
    server.stop().await;
}

#[tokio::test]
async fn who_has_no_key_unloads_nothing() {
    let a = pack(LLAMA, "a", |_| {});
    let server = Running::start_as(ServeConfig {
        api_keys: vec![ApiKey::new("k", "sk-key").unwrap()],
        ..config(&[&a])
    });
    let server = server.await.unwrap();
    for what in ["load", "unload"] {
        let (head, error) = tell(&server, "a", what).await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head} {error}");
    }
    assert_eq!(metric(&server, &unloads("a", "asked")).await, 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_never_fits_is_said_at_the_start() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), large("b"));
    let needed = bytes_of(&b).await;
    let start = |budget| {
        Running::start_as(ServeConfig {
            memory_bytes: Some(budget),
            ..config(&[&a, &b])
        })
    };
    let error = start(needed - 1).await.map(drop).unwrap_err();
    let ServiceError::TooLarge { id, bytes, budget } = &error else {
        panic!("{error}");
    };
    // What is known before is what it takes then.
    assert_eq!((id.as_str(), *bytes, *budget), ("b", needed, needed - 1));
    let said = error.to_string();
    assert!(
        said.contains("--memory-mb") && said.contains("--cache-mb"),
        "{said}"
    );
    start(needed).await.unwrap().stop().await;
}

/// A server that is told to stop while a model comes on demand: whoever waits for it is answered.
#[tokio::test]
async fn a_load_on_demand_is_part_of_an_answer_in_progress() {
    let (a, b) = (pack(LLAMA, "a", |_| {}), large("b"));
    let server = room_for(1, &[&a, &b]).await;
    assert_eq!(status(&server, "b").await, "unloaded");
    let reply = Wire::post(
        server.address,
        &ask("b", &character(9), json!({"max_tokens": 2})),
    )
    .await;
    // Until it is in the house, be it that it waits or that it is written.
    let inside = async || {
        let waiting = metric(&server, "sprat_num_requests_waiting{model_name=\"b\"}").await;
        let running = metric(&server, "sprat_num_requests_running{model_name=\"b\"}").await;
        let done = "sprat_request_success_total{model_name=\"b\",finished_reason=\"length\"}";
        waiting + running + metric(&server, done).await > 0.0
    };
    while !inside().await {}
    let (reply, ()) = tokio::join!(reply.rest(), server.stop());
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains("\"finish_reason\":\"length\""), "{reply}");
}

/// Who leaves before the model has come is not waited for, and the server stops all the same.
#[tokio::test]
async fn nobody_waits_for_a_model_any_more() {
    let (a, b) = (large("a"), large("b"));
    let server = room_for(1, &[&a, &b]).await;
    let stream = begin(&server, "a").await;
    let left = Wire::post(server.address, &ask("b", &character(9), json!({}))).await;
    drop(left);
    let all = stream.rest().await;
    assert!(all.contains("data: [DONE]"));
    answers_briefly(&server, "a").await;
    server.stop().await;
}

pub(crate) async fn answers_briefly(server: &Running, id: &str) -> Value {
    let asked = ask(id, &character(9).repeat(40), json!({"max_tokens": 20}));
    let (head, body) = server.chat(asked).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    body
}

#[tokio::test]
async fn what_texts_have_in_common_goes_with_the_model() {
    let a = pack(LLAMA, "a", |_| {});
    let server = Running::start(&[&a]).await.unwrap();
    let cached = |body: &Value| body["usage"]["prompt_tokens_details"]["cached_tokens"].clone();
    let first = answers_briefly(&server, "a").await;
    let second = answers_briefly(&server, "a").await;
    assert_eq!((cached(&first), cached(&second)), (json!(0), json!(32)));
    tell(&server, "a", "unload").await;
    let third = answers_briefly(&server, "a").await;
    assert_eq!(cached(&third), json!(0));
    assert_eq!(third["choices"], first["choices"]);
    server.stop().await;
}

/// What is broken stays out of service, until the operator has it loaded again.
#[tokio::test]
async fn a_broken_model_is_tried_again_when_told() {
    // Finite weights, so that it loads, but its logits overflow.
    let sick = pack(LLAMA, "sick", |folder| {
        overwrite(folder, "model.norm.weight", 3e38);
    });
    let server = Running::start_as(ServeConfig {
        idle: Some(Duration::ZERO),
        ..config(&[&sick])
    });
    let server = server.await.unwrap();
    for _ in 0..2 {
        let (head, _) = server.chat(ask("sick", &character(7), json!({}))).await;
        assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
        assert_eq!(status(&server, "sick").await, "failed");
        for reply in [
            server.chat(ask("sick", &character(7), json!({}))).await,
            tell(&server, "sick", "load").await,
        ] {
            assert!(reply.0.starts_with("HTTP/1.1 503 "), "{reply:?}");
        }
        let ready = Wire::get(server.address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
        let (head, card) = tell(&server, "sick", "unload").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {card}");
        assert_eq!(card["status"], "unloaded");
    }
    server.stop().await;
}

/// Tools are known of before the model is: what it can do with them is in its template.
#[tokio::test]
async fn a_model_that_is_not_there_is_asked_to_call() {
    let a = pack(LLAMA, "a", |folder: &Path| {
        let template = "{{ messages[-1].content }}{% if false %}{{ tools }}<tool_call>{% endif %}";
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
    });
    let server = Running::start_as(ServeConfig {
        idle: Some(Duration::ZERO),
        ..config(&[&a])
    });
    let server = server.await.unwrap();
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let options = json!({"max_tokens": 2, "tools": tools});
    let (head, body) = server.chat(ask("a", &character(9), options)).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    server.stop().await;
}
