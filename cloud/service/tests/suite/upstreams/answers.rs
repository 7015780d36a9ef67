//! What clients get, and what it costs.

use super::*;

#[tokio::test]
async fn a_whole_answer_and_a_stream_in_broken_pieces() {
    let mut pieces = vec![];
    for step in answer() {
        match step {
            Step::Send(bytes) => pieces.extend(bytes.chunks(5).map(|b| Step::Send(b.to_vec()))),
            other => pieces.push(other),
        }
    }
    let fake = Fake::start(vec![pieces]).await;
    let app = app_of(fake.engine(UpstreamOptions {
        prompt_usd_per_million: 1.0,
        completion_usd_per_million: 2.0,
        ..fake.options()
    }));
    let whole = chat(
        &app,
        say("hello", json!({"temperature": 0.5, "max_tokens": 7})),
    )
    .await;
    let body = whole.json();
    assert_eq!(body["choices"][0]["message"]["content"], "Hi you", "{body}");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 9);
    assert_eq!(body["usage"]["completion_tokens"], 2);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
    let cost = body["x_route"]["cost_usd"].as_f64().unwrap();
    assert!((cost - 13e-6).abs() < 1e-12, "{cost}");
    let mut route = body["x_route"].clone();
    route.as_object_mut().unwrap().remove("cost_usd");
    let expected = json!({"target": "far", "rule": "upstream", "tries": 1});
    assert_eq!(route, expected);

    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let stream = chat(&app, say("hello", options)).await;
    let events = stream.events();
    assert_eq!(events.last(), Some(&None));
    let chunks: Vec<&Value> = events.iter().flatten().collect();
    let content = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(content.collect::<String>(), "Hi you");
    let routes: Vec<_> = chunks
        .iter()
        .filter(|chunk| chunk.get("x_route").is_some())
        .collect();
    assert_eq!(routes.len(), 1, "beside the finish reason only");
    assert_eq!(routes[0]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 11);

    let sent = &fake.requests()[0];
    assert!(
        sent.head
            .starts_with("POST /v1/chat/completions HTTP/1.1\r\n")
    );
    assert_eq!(sent.body["model"], "theirs");
    assert_eq!(sent.body["messages"][0]["content"], "hello");
    assert_eq!(sent.body["stream_options"]["include_usage"], true);
    assert_eq!(
        (&sent.body["temperature"], &sent.body["max_tokens"]),
        (&json!(0.5), &json!(7))
    );
    assert!(sent.body.get("logprobs").is_none());
    let head = sent.head.to_lowercase();
    assert_eq!(head.matches("authorization: bearer").count(), 1);

    let metrics = get(&app, "/metrics").await;
    for line in [
        "sprat_router_decisions_total{target=\"far\",rule=\"upstream\"} 2",
        "sprat_upstream_tries_total{model_name=\"far\"} 2",
        "sprat_upstream_failures_total{model_name=\"far\"} 0",
        "sprat_prompt_tokens_total{model_name=\"far\"} 18",
        "sprat_generation_tokens_total{model_name=\"far\"} 4",
    ] {
        assert!(
            metrics.text().lines().any(|l| l == line),
            "{line}\n{}",
            metrics.text()
        );
    }
    let cost = metrics
        .text()
        .lines()
        .find(|l| l.starts_with("sprat_upstream_cost_usd_total{"));
    let cost: f64 = cost.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((cost - 26e-6).abs() < 1e-12, "{cost}");
}

#[tokio::test]
async fn a_text_completion_and_its_log_probabilities() {
    let part = json!({"choices": [{"index": 0, "text": " a time", "logprobs": {
        "tokens": [" a", " time"], "token_logprobs": [-0.25, -0.5],
        "top_logprobs": [{" a": -0.25, " the": -2.0}, {" time": -0.5}],
    }}]});
    let last = json!({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]});
    let fake = Fake::start(vec![vec![head(), event(&part), event(&last), done()]]).await;
    let app = app_of(fake.engine(fake.options()));
    let body = json!({"model": "far", "prompt": "Once upon", "logprobs": 1});
    let reply = send(&app, post_to("/v1/completions", body.to_string())).await;
    let body = reply.json();
    assert_eq!(body["choices"][0]["text"], " a time", "{body}");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(
        body["choices"][0]["logprobs"]["token_logprobs"],
        json!([-0.25, -0.5])
    );
    assert_eq!(body["x_route"]["rule"], "upstream");
    // Without counts of the server's, chunks are counted.
    assert_eq!(body["usage"]["completion_tokens"], 2);
    let sent = &fake.requests()[0];
    assert!(sent.head.starts_with("POST /v1/completions "));
    assert_eq!(
        (&sent.body["prompt"], &sent.body["logprobs"]),
        (&json!("Once upon"), &json!(1))
    );

    let tokens = json!({"model": "far", "prompt": [1, 2]});
    let refused = send(&app, post_to("/v1/completions", tokens.to_string())).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn log_probabilities_come_only_if_the_server_has_them() {
    let with = vec![head(), likely("Hi", -0.5), finish("stop"), done()];
    let fake = Fake::start(vec![with, answer()]).await;
    let app = app_of(fake.engine(fake.options()));
    let asked = || say("hello", json!({"logprobs": true}));
    let body = chat(&app, asked()).await.json();
    assert_eq!(
        body["choices"][0]["logprobs"]["content"][0]["logprob"],
        -0.5
    );
    let body = chat(&app, asked()).await.json();
    assert_eq!(
        body["choices"][0]["logprobs"]["content"],
        json!([]),
        "none are made up"
    );
    assert_eq!(fake.requests()[0].body["logprobs"], true);
}

#[tokio::test]
async fn a_filtered_answer_says_so() {
    let fake = Fake::start(vec![vec![
        head(),
        text("Hi"),
        finish("content_filter"),
        done(),
    ]])
    .await;
    let body = chat(
        &app_of(fake.engine(fake.options())),
        say("hello", json!({})),
    )
    .await
    .json();
    assert_eq!(body["choices"][0]["finish_reason"], "content_filter");
}

#[tokio::test]
async fn the_server_learns_when_our_client_leaves() {
    let fake = Fake::start(vec![vec![head(), text("Hi"), Step::Hang], vec![Step::Hang]]).await;
    let engine = fake.engine(UpstreamOptions {
        completion_usd_per_million: 1e6,
        ..fake.options()
    });
    let address = listen(app_of(engine.clone())).await;
    let mut wire = Wire::post(address, &say("hello", json!({"stream": true}))).await;
    wire.until("\"Hi\"", 1).await;
    drop(wire);
    fake.wait_left(1).await;
    assert_eq!(
        engine.upstream().unwrap().cost_usd,
        1.0,
        "what was begun is charged"
    );
    let wire = Wire::post(address, &say("hello", json!({}))).await;
    fake.wait_waiting(2).await;
    drop(wire);
    fake.wait_left(2).await;
    assert_eq!(fake.requests().len(), 2);
}

#[tokio::test]
async fn a_spent_budget_refuses() {
    let fake = Fake::start(vec![answer()]).await;
    let engine = fake.engine(UpstreamOptions {
        prompt_usd_per_million: 1e6,
        completion_usd_per_million: 1e6,
        budget_usd: Some(20.0),
        ..fake.options()
    });
    // 11 dollars each: the second one begins within the budget.
    for _ in 0..2 {
        assert!(read(engine.start(job())).await.1.is_ok());
    }
    assert_eq!(error_of(&engine).await, UpstreamError::BudgetSpent);
    let reply = chat(&app_of(engine.clone()), say("hello", json!({}))).await;
    reply.is_error(503, "server_error", None, Some("budget_spent"));
    assert_eq!(fake.requests().len(), 2);
    assert_eq!(engine.upstream().unwrap().cost_usd, 22.0);
}

#[tokio::test]
async fn places_are_limited_and_come_back() {
    let fake = Fake::start(vec![[vec![Step::Wait], answer()].concat(), answer()]).await;
    let engine = fake.engine(UpstreamOptions {
        max_concurrent: 1,
        ..fake.options()
    });
    let first = engine.start(job());
    let second = engine.start(job()).map(|_| ()).unwrap_err();
    assert_eq!(second, EngineError::Busy);
    fake.gate.add_permits(1);
    assert!(read(first).await.1.is_ok());
    while engine.start(job()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_key_is_in_the_header_and_nowhere_else() {
    let fake = Fake::start(vec![answer()]).await;
    let options = UpstreamOptions {
        key_env: Some("SPRAT_TEST_NO_SUCH_VARIABLE".into()),
        ..fake.options()
    };
    let missing = Upstream::new(options.clone()).map(|_| ()).unwrap_err();
    assert!(missing.to_string().contains("SPRAT_TEST_NO_SUCH_VARIABLE"));
    let engine = fake.engine(options.clone());
    assert!(read(engine.start(job())).await.1.is_ok());
    let sent = &fake.requests()[0];
    assert!(sent.head.contains(KEY) && !sent.body.to_string().contains(KEY));
    assert!(!format!("{options:?} {:?} {:?}", Secret::new(KEY), engine.info()).contains(KEY));
    assert_eq!(engine.info().device, "upstream 127.0.0.1");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let said =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    let whole = [
        piece(said),
        piece("data: [DONE]\n\n"),
        Step::Send(b"0\r\n\r\n".to_vec()),
    ];
    let fake = Fake::start(vec![[&[chunked()], &whole[..]].concat()]).await;
    let engine = fake.engine(fake.options());
    // A connection is free a moment after the answer's end, so not always in time for the next one.
    for _ in 0..100 {
        assert_eq!(
            read(engine.start(job())).await,
            ("Hi".into(), Ok(Finish::Stop))
        );
    }
    assert!(*fake.connections.borrow() < 100);
}

#[tokio::test]
async fn a_server_is_made_of_all_of_them() {
    let fake = Fake::start(vec![answer()]).await;
    let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
    let config = ServeConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        echo: Some(EchoOptions::default()),
        upstreams: vec![fake.options()],
        cascades: vec![CascadeOptions {
            id: "both".into(),
            engines: ids(&["far", "majority"]),
            ..CascadeOptions::default()
        }],
        votes: vec![VoteOptions {
            id: "majority".into(),
            engines: ids(&["echo"]),
            samples: 3,
            ..VoteOptions::default()
        }],
        ..ServeConfig::default()
    };
    let (ready, address) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve_until(
        config.clone(),
        move |address| ready.send(address).unwrap(),
        async move { stopped.await.unwrap() },
    ));
    let address = address.await.unwrap();
    let models = Wire::get(address, "/v1/models").await;
    for id in ["echo", "far", "both", "majority"] {
        assert!(models.contains(&format!("\"id\":\"{id}\"")), "{models}");
    }
    // The other server does not say how sure it is, so the vote decides.
    let mut body = ask("four words are said", json!({"max_tokens": 8}));
    body["model"] = json!("both");
    let reply = Wire::post(address, &body).await.rest().await;
    assert!(reply.contains("four words are said"), "{reply}");
    assert!(reply.contains("\"rule\":\"cascade_next\"") && reply.contains("\"target\":\"echo\""));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();

    let wrong = ServeConfig {
        votes: vec![],
        ..config
    };
    let error = serve_until(wrong, |_| panic!("it must not start"), async {}).await;
    assert!(
        matches!(error, Err(ServiceError::UnknownEngine { engine, .. }) if engine == "majority")
    );
}
