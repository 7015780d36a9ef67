//! The whole server with real models: golden ones, whose answers transformers gave.

use crate::common::{Wire, events};
use crate::running::{Running, ask, character, golden, metric, overwrite, pack, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sprat_model::{KvCache, ModelConfig, PAGE};
use sprat_service::{ModelSource, ServeConfig, ServiceError, serve_until};
use tempfile::TempDir;

#[tokio::test]
async fn the_api_answers_what_transformers_answers() {
    let (llama, qwen) = ("llama-gqa-tied", "qwen3-qknorm-tied");
    let packs = [pack(llama, "a", |_| {}), pack(qwen, "b", |_| {})];
    let server = Running::start(&[&packs[0], &packs[1]]).await.unwrap();
    for (id, name) in [("a", llama), ("b", qwen)] {
        let golden = golden(name);
        let (prompt, expected) = (text(&golden["prompt"]), text(&golden["greedy"]));
        let count = golden["greedy"].as_array().unwrap().len();
        let (head, body) = server
            .chat(ask(id, &prompt, json!({"max_tokens": count})))
            .await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
        assert_eq!(body["choices"][0]["message"]["content"], json!(expected));
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["completion_tokens"], count);
        assert!(
            body["system_fingerprint"]
                .as_str()
                .unwrap()
                .starts_with("fp_")
        );

        // The same as a stream, of which the prompt's whole pages but the last token are still in the cache.
        let options = json!({"max_tokens": count, "stream": true, "logprobs": true,
            "top_logprobs": 2, "stream_options": {"include_usage": true}});
        let reply = Wire::post(server.address, &ask(id, &prompt, options))
            .await
            .rest()
            .await;
        // Chunked transfer puts sizes between events, where they are read as unknown fields.
        let mut chunks = events(reply.split_once("\r\n\r\n").unwrap().1.as_bytes());
        assert_eq!(chunks.pop(), Some(None));
        let usage = chunks.pop().flatten().unwrap()["usage"].clone();
        let prompt_tokens = golden["prompt"].as_array().unwrap().len();
        assert_eq!(
            usage["prompt_tokens_details"]["cached_tokens"],
            (prompt_tokens - 1) / PAGE * PAGE
        );
        let mut streamed = String::new();
        for (chunk, step) in chunks[1..=count]
            .iter()
            .zip(golden["steps"].as_array().unwrap())
        {
            let choice = &chunk.as_ref().unwrap()["choices"][0];
            streamed.push_str(choice["delta"]["content"].as_str().unwrap());
            let entry = &choice["logprobs"]["content"][0];
            let off = entry["logprob"].as_f64().unwrap() - step["logprob"].as_f64().unwrap();
            assert!(off.abs() < 1e-3, "{entry} {step}");
            assert_eq!(entry["top_logprobs"][0]["token"], entry["token"], "greedy");
        }
        assert_eq!(streamed, expected);
    }
    let models = Wire::get(server.address, "/v1/models").await;
    assert!(models.contains("\"id\":\"a\"") && models.contains("\"max_model_len\":128"));
    assert!(
        Wire::get(server.address, "/readyz")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    server.stop().await;
}

/// Requests that come and go while others are being answered get what they get alone; those that leave take nothing with
/// them.
#[tokio::test]
async fn many_are_answered_at_once_as_if_they_were_alone() {
    let pack = pack("llama-gqa-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let golden = golden("llama-gqa-tied");
    let ids = golden["prompt"].as_array().unwrap();
    let asked = |i: usize| {
        let prompt = text(&json!(ids[..1 + i % ids.len()].to_vec()));
        let temperature = if i.is_multiple_of(2) { 0.0 } else { 0.8 };
        let options = json!({"max_tokens": 3 + 5 * (i % 7), "seed": i, "temperature": temperature});
        ask("m", &prompt, options)
    };
    let mut alone = Vec::new();
    for i in 0..24 {
        alone.push(server.chat(asked(i)).await.1);
    }
    let started = (0..24).map(|i| {
        let server = &server;
        async move {
            if i % 6 == 5 {
                // Reads the head of a stream and leaves.
                let mut body = asked(i);
                body["stream"] = json!(true);
                drop(Wire::post(server.address, &body).await);
            }
            server.chat(asked(i)).await.1
        }
    });
    let together = futures::future::join_all(started).await;
    for (i, (together, alone)) in together.iter().zip(&alone).enumerate() {
        assert_eq!(together["choices"], alone["choices"], "request {i}");
        assert_eq!(
            together["usage"]["completion_tokens"],
            alone["usage"]["completion_tokens"]
        );
    }
    server.stop().await;
}

/// With memory for two long answers, eight take turns: some give theirs to older ones and go on later, and nobody notices.
#[tokio::test]
async fn answers_for_which_there_is_no_memory_wait_and_are_complete() {
    let pack = pack("llama-gqa-tied", "m", |_| {});
    let config = golden("llama-gqa-tied");
    let ids = config["prompt"].as_array().unwrap();
    let model = ModelConfig::from_json(&std::fs::read(pack.path().join("config.json")).unwrap());
    let model = model.unwrap();
    let one = KvCache::new(&model, &sprat_model::Device::flex()).bytes_per_token();
    let start = |positions: usize| {
        Running::start_as(ServeConfig {
            models: vec![pack.path().to_path_buf().into()],
            cache_bytes: (positions * one) as u64,
            ..ServeConfig::default()
        })
    };
    let asked = |i: usize| {
        let prompt = text(&json!(ids[i % 3..].to_vec()));
        let options = json!({"max_tokens": 100, "seed": i, "temperature": 0.8});
        ask("m", &prompt, options)
    };
    let roomy = start(4096).await.unwrap();
    let tight = start(256).await.unwrap();
    let answers = |server| {
        let all = (0..8).map(|i| {
            let server: &Running = server;
            async move { server.chat(asked(i)).await.1["choices"].clone() }
        });
        futures::future::join_all(all)
    };
    assert_eq!(answers(&tight).await, answers(&roomy).await);
    assert!(metric(&tight, "sprat_num_preemptions_total{").await > 0.0);
    assert_eq!(metric(&roomy, "sprat_num_preemptions_total{").await, 0.0);
    for server in [roomy, tight] {
        assert_eq!(metric(&server, "sprat_kv_cache_usage_perc{").await, 0.0);
        server.stop().await;
    }
}

/// Raw text, its tokens, and what the model makes of it.
#[tokio::test]
async fn texts_tokens_and_embeddings() {
    let pack = pack("qwen3-qknorm-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let golden = golden("qwen3-qknorm-tied");
    let (prompt, greedy) = (text(&golden["prompt"]), text(&golden["greedy"]));
    let count = golden["greedy"].as_array().unwrap().len();
    // The golden prompt as text and as tokens.
    for input in [json!(prompt), golden["prompt"].clone()] {
        let body = json!({"model": "m", "prompt": input, "max_tokens": count, "temperature": 0});
        let (_, answer) = server.post("/v1/completions", &body).await;
        assert_eq!(answer["choices"][0]["text"], json!(greedy), "{answer}");
    }
    let (_, tokens) = server
        .post("/tokenize", &json!({"model": "m", "prompt": prompt}))
        .await;
    assert_eq!(tokens["tokens"], golden["prompt"]);
    assert_eq!(tokens["max_model_len"], 128);
    let messages = json!([{"role": "user", "content": prompt}]);
    let (_, chat) = server
        .post("/tokenize", &json!({"model": "m", "messages": messages}))
        .await;
    assert_eq!(chat, tokens);
    let body = json!({"model": "m", "tokens": golden["prompt"]});
    let (_, back) = server.post("/detokenize", &body).await;
    assert_eq!(back["prompt"], json!(prompt));

    let body = json!({"model": "m", "input": [prompt, greedy, prompt]});
    let (_, list) = server.post("/v1/embeddings", &body).await;
    let vector = |i: usize| -> Vec<f64> {
        let values = list["data"][i]["embedding"].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert_eq!(vector(0), vector(2));
    assert!((dot(&vector(0), &vector(0)) - 1.0).abs() < 1e-5);
    assert!(dot(&vector(0), &vector(1)) < 0.999);
    assert_eq!(list["data"][2]["index"], 2);
    let all = 2 * golden["prompt"].as_array().unwrap().len() + count;
    assert_eq!(
        list["usage"],
        json!({"prompt_tokens": all, "total_tokens": all})
    );
    let body = json!({"model": "m", "input": prompt, "encoding_format": "base64"});
    let (_, packed) = server.post("/v1/embeddings", &body).await;
    let bytes = STANDARD
        .decode(packed["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let floats = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|four| f32::from_le_bytes(*four));
    let first: Vec<f32> = vector(0).iter().map(|value| *value as f32).collect();
    assert_eq!(floats.collect::<Vec<_>>(), first);

    // Ids that the model has not.
    for (path, body, param) in [
        (
            "/v1/completions",
            json!({"model": "m", "prompt": [1, 999_999]}),
            "prompt",
        ),
        (
            "/detokenize",
            json!({"model": "m", "tokens": [999_999]}),
            "tokens",
        ),
        (
            "/v1/completions",
            json!({"model": "m", "prompt": "a", "logit_bias": {"999999": 1}}),
            "prompt",
        ),
        (
            "/v1/embeddings",
            json!({"model": "m", "input": prompt.repeat(30)}),
            "input",
        ),
    ] {
        let (head, error) = server.post(path, &body).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head} {error}");
        assert_eq!(error["error"]["param"], param, "{error}");
    }
    server.stop().await;
}

/// A bias of 100 demands a token, and one of -100 forbids it.
#[tokio::test]
async fn biases_and_penalties_reach_the_model() {
    let pack = pack("llama-gqa-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let golden = golden("llama-gqa-tied");
    let prompt = text(&golden["prompt"]);
    let ids = golden["greedy"].as_array().unwrap();
    let greedy = text(&golden["greedy"]);
    let answer = |more: Value| {
        let (server, prompt) = (&server, &prompt);
        async move {
            let (_, body) = server.chat(ask("m", prompt, more)).await;
            body["choices"][0]["message"]["content"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    let wanted = character(77);
    let demanded = answer(json!({"max_tokens": 3, "logit_bias": {"77": 100}})).await;
    assert_eq!(demanded, wanted.repeat(3));
    let first = ids[0].to_string();
    let forbidden = answer(json!({"max_tokens": 1, "logit_bias": {first: -100}})).await;
    assert_ne!(forbidden, character(ids[0].as_u64().unwrap()));
    // With the highest penalty nothing is said twice that another token comes near.
    let distinct = |text: &str| text.chars().collect::<std::collections::HashSet<_>>().len();
    let options = json!({"max_tokens": ids.len(), "presence_penalty": 2, "frequency_penalty": 2});
    let varied = answer(options).await;
    assert!(distinct(&varied) > distinct(&greedy), "{varied} {greedy}");
    server.stop().await;
}

/// What was said in a conversation is not computed again in its next turn.
#[tokio::test]
async fn a_next_turn_begins_with_what_was_said() {
    let pack = pack("qwen3-qknorm-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let golden = golden("qwen3-qknorm-tied");
    let prompt = text(&golden["prompt"]);
    let body = ask("m", &prompt, json!({"max_tokens": 40}));
    let (_, first) = server.chat(body).await;
    let said = first["choices"][0]["message"]["content"].as_str().unwrap();
    // The golden models' template is what was said last, without anything around it.
    let again = ask(
        "m",
        &format!("{prompt}{said}{prompt}"),
        json!({"max_tokens": 1}),
    );
    let (_, second) = server.chat(again).await;
    let cached = &second["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert!(cached.as_u64().unwrap() >= 32, "{second}");
    let (queries, hits) = (
        metric(&server, "sprat_prefix_cache_queries_total{").await,
        metric(&server, "sprat_prefix_cache_hits_total{").await,
    );
    assert!(queries > hits && hits >= 32.0, "{queries} {hits}");
    server.stop().await;
}

#[tokio::test]
async fn seeds_stops_and_limits_reach_the_model() {
    let pack = pack("qwen3-qknorm-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let golden = golden("qwen3-qknorm-tied");
    let (prompt, greedy) = (text(&golden["prompt"]), text(&golden["greedy"]));

    let answer = |body: &Value| {
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let hot = |seed: u64| json!({"temperature": 1.5, "seed": seed, "max_tokens": 16});
    let first = answer(&server.chat(ask("m", &prompt, hot(1))).await.1);
    assert_eq!(
        answer(&server.chat(ask("m", &prompt, hot(1))).await.1),
        first
    );
    assert_ne!(
        answer(&server.chat(ask("m", &prompt, hot(2))).await.1),
        first
    );

    let third = greedy.chars().nth(2).unwrap().to_string();
    let (_, body) = server.chat(ask("m", &prompt, json!({"stop": third}))).await;
    assert_eq!(answer(&body), greedy.chars().take(2).collect::<String>());
    assert_eq!(body["choices"][0]["finish_reason"], "stop");

    let (head, body) = server
        .chat(ask("m", &character(5).repeat(128), json!({})))
        .await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(body["error"]["code"], "context_length_exceeded");
    // Without a limit the answer ends where the context does.
    let (_, body) = server
        .chat(ask("m", &character(5).repeat(120), json!({})))
        .await;
    assert!(
        body["usage"]["total_tokens"].as_u64().unwrap() <= 128,
        "{body}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_computes_nonsense_is_taken_out_of_service() {
    // Finite weights, so that it loads, but its logits overflow.
    let sick = pack("llama-gqa-tied", "sick", |folder| {
        overwrite(folder, "model.norm.weight", 3e38)
    });
    let well = pack("llama-gqa-tied", "well", |_| {});
    let server = Running::start(&[&sick, &well]).await.unwrap();
    let prompt = character(7);
    let (head, body) = server.chat(ask("sick", &prompt, json!({}))).await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert_eq!(body["error"]["code"], "generation_failed");
    let (head, body) = server.chat(ask("sick", &prompt, json!({}))).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head} {body}");
    assert!(
        Wire::get(server.address, "/readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    let (head, _) = server
        .chat(ask("well", &prompt, json!({"max_tokens": 2})))
        .await;
    assert!(
        head.starts_with("HTTP/1.1 200 "),
        "the other model still answers: {head}"
    );
    server.stop().await;
}

async fn refusal(pack: &TempDir) -> String {
    match Running::start(&[pack]).await.map(drop) {
        Err(error @ ServiceError::Model { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn damaged_packs_stop_the_server_and_are_named() {
    let altered = pack("llama-gqa-tied", "m", |_| {});
    overwrite(altered.path(), "model.norm.weight", 1.0);
    let error = refusal(&altered).await;
    assert!(
        error.contains("model.safetensors") && error.contains("SHA-256"),
        "{error}"
    );

    let short = pack("llama-gqa-tied", "m", |_| {});
    let file = std::fs::File::options()
        .write(true)
        .open(short.path().join("model.safetensors"));
    file.unwrap().set_len(1000).unwrap();
    assert!(
        refusal(&short)
            .await
            .contains("model.safetensors has 1000 bytes")
    );

    let missing = pack("llama-gqa-tied", "m", |_| {});
    std::fs::remove_file(missing.path().join("model.safetensors")).unwrap();
    assert!(
        refusal(&missing)
            .await
            .contains("model.safetensors is missing")
    );

    let nan = pack("llama-gqa-tied", "m", |folder| {
        overwrite(folder, "model.norm.weight", f32::NAN)
    });
    let error = refusal(&nan).await;
    assert!(
        error.contains("model.norm.weight") && error.contains("NaN"),
        "{error}"
    );

    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(&empty).await.contains("config.json"));
}

/// A folder as Hugging Face has it, under a name of the operator's.
#[tokio::test]
async fn a_folder_that_is_no_pack_is_served_as_it_is() {
    let folder = pack("llama-gqa-tied", "unused", |_| {});
    std::fs::remove_file(folder.path().join("sprat.json")).unwrap();
    let settings = json!({"bos_token": character(1), "eos_token": character(2)});
    let path = folder.path().join("tokenizer_config.json");
    std::fs::write(path, settings.to_string()).unwrap();
    let source = ModelSource {
        id: Some("mine".into()),
        path: folder.path().to_path_buf(),
    };
    let server = Running::start_with(vec![source]).await.unwrap();
    let golden = golden("llama-gqa-tied");
    let prompt = text(&golden["prompt"]);
    let (head, body) = server
        .chat(ask("mine", &prompt, json!({"max_tokens": 8})))
        .await;
    assert!(head.contains("200"), "{head} {body}");
    assert_eq!(body["usage"]["completion_tokens"], 8);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said_before_anything_is_loaded() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = ServeConfig {
        address: taken.local_addr().unwrap(),
        ..ServeConfig::default()
    };
    let error = serve_until(config, |_| {}, std::future::pending())
        .await
        .unwrap_err();
    assert!(matches!(error, ServiceError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("--port"));

    let twice = pack("llama-gqa-tied", "m", |_| {});
    let error = Running::start(&[&twice, &twice])
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, ServiceError::DuplicateModel { .. }),
        "{error}"
    );
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
#[tokio::test]
async fn devices_that_are_not_built_in_are_refused() {
    for device in [sprat_service::Device::Wgpu, sprat_service::Device::Cuda] {
        let address = "127.0.0.1:0".parse().unwrap();
        let config = ServeConfig {
            address,
            device,
            ..ServeConfig::default()
        };
        let error = serve_until(config, |_| {}, std::future::pending())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ServiceError::DeviceNotBuilt { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains(&format!("--features {device}")),
            "{error}"
        );
    }
}

/// Without models the server still serves the page and says what it has: nothing.
#[tokio::test]
async fn a_server_without_models() {
    let server = Running::start(&[]).await.unwrap();
    let (head, body) = server.chat(ask("m", "x", json!({}))).await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(body["error"]["code"], "model_not_found");
    server.stop().await;
}

/// The golden tokenizer has neither braces nor quotes.
#[tokio::test]
async fn a_model_that_cannot_write_json_is_not_asked_for_it() {
    let pack = pack("llama-gqa-tied", "m", |_| {});
    let server = Running::start(&[&pack]).await.unwrap();
    let object = json!({"response_format": {"type": "json_object"}});
    let (head, body) = server.chat(ask("m", &character(9), object)).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(body["error"]["param"], "response_format");
    server.stop().await;
}
