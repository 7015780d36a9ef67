//! What other servers do to us.

use super::*;

fn status(status: u16, code: Option<&str>) -> UpstreamError {
    UpstreamError::Status {
        status,
        code: code.map(str::to_owned),
        retry_after: None,
    }
}

/// The last event of a stream is an error of that code, so that nobody takes the answer for a whole one.
#[track_caller]
fn breaks_off(reply: &Reply, code: &str) {
    assert_eq!(reply.status, 200);
    let events = reply.events();
    let last = events.last().unwrap().as_ref().expect("no [DONE]");
    assert_eq!(last["error"]["code"], code, "{}", reply.text());
}

#[tokio::test]
async fn too_many_requests_are_sent_again_later() {
    let busy = response(
        429,
        "Retry-After: 3600\r\n",
        r#"{"error":{"code":"slow_down"}}"#,
    );
    let fake = Fake::start(vec![busy.clone(), answer()]).await;
    let options = UpstreamOptions {
        // What a server asks for is honoured within reason.
        max_backoff_seconds: 0.01,
        ..fake.options()
    };
    let body = chat(
        &app_of(fake.engine(options.clone())),
        say("hello", json!({})),
    )
    .await
    .json();
    assert_eq!(body["x_route"]["tries"], 2, "{body}");

    let fake = Fake::start(vec![busy]).await;
    let options = UpstreamOptions {
        base_url: fake.options().base_url,
        max_tries: 1,
        ..options
    };
    let reply = chat(&app_of(fake.engine(options)), say("hello", json!({}))).await;
    reply.is_error(429, "rate_limit_error", None, Some("rate_limit_exceeded"));
    assert_eq!(reply.header("retry-after"), Some("3600"));
}

#[tokio::test]
async fn failures_are_tried_three_times_and_refusals_once() {
    for (code, tries) in [
        (500, 3),
        (502, 3),
        (503, 3),
        (504, 3),
        (408, 3),
        (400, 1),
        (401, 1),
        (302, 1),
    ] {
        let headers = "Location: http://127.0.0.1:1/\r\n";
        let failure = response(
            code,
            headers,
            r#"{"error":{"message":"Ann","type":"some_type"}}"#,
        );
        let fake = Fake::start(vec![failure]).await;
        let engine = fake.engine(fake.options());
        assert_eq!(error_of(&engine).await, status(code, Some("some_type")));
        assert_eq!(fake.requests().len(), tries, "{code}");
        let load = engine.upstream().unwrap();
        assert_eq!((load.tries, load.failures), (tries as u64, tries as u64));
    }
    let fake = Fake::start(vec![response(
        400,
        "",
        r#"{"error":{"code":"context_length_exceeded"}}"#,
    )])
    .await;
    let reply = chat(
        &app_of(fake.engine(fake.options())),
        say("hello", json!({})),
    )
    .await;
    reply.is_error(
        400,
        "invalid_request_error",
        Some("messages"),
        Some("upstream_failed"),
    );
    assert!(reply.text().contains("context_length_exceeded"));
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    // Nobody else gets the port, and nobody listens on it.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let options = UpstreamOptions {
        id: "far".into(),
        base_url: format!("http://{address}/v1"),
        model: "theirs".into(),
        allow_http: true,
        backoff_seconds: 0.001,
        ..UpstreamOptions::default()
    };
    let engine = Arc::new(Upstream::new(options).unwrap());
    let reply = chat(&app_of(engine.clone()), say("hello", json!({}))).await;
    reply.is_error(502, "server_error", None, Some("upstream_failed"));
    assert_eq!(engine.upstream().unwrap().tries, 3);
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time() {
    // It listens, but never answers a TLS greeting.
    let fake = Fake::start(vec![answer()]).await;
    let engine = fake.engine(UpstreamOptions {
        base_url: format!("https://{}/v1", fake.address),
        connect_timeout_seconds: 0.05,
        ..fake.options()
    });
    assert_eq!(error_of(&engine).await, UpstreamError::Unreachable);
    assert_eq!(engine.upstream().unwrap().tries, 3);
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn silence_before_and_in_an_answer_ends() {
    let fake = Fake::start(vec![vec![Step::Hang]]).await;
    let options = UpstreamOptions {
        // By then the request must have arrived.
        first_byte_timeout_seconds: 1.0,
        ..fake.options()
    };
    let reply = chat(&app_of(fake.engine(options)), say("hello", json!({}))).await;
    reply.is_error(504, "server_error", None, Some("upstream_failed"));
    fake.wait_left(1).await;
    assert_eq!(fake.requests().len(), 1, "it may have begun to answer");

    let options = UpstreamOptions {
        first_byte_timeout_seconds: 0.05,
        ..fake.options()
    };
    let headers_only = Fake::start(vec![vec![head(), Step::Hang]]).await;
    let options = UpstreamOptions {
        base_url: headers_only.options().base_url,
        ..options
    };
    let error = error_of(&headers_only.engine(options)).await;
    assert_eq!(error, UpstreamError::TimedOut(Wait::FirstByte));

    let fake = Fake::start(vec![vec![head(), text("Hi"), Step::Hang]]).await;
    let options = UpstreamOptions {
        event_timeout_seconds: 0.05,
        ..fake.options()
    };
    let app = app_of(fake.engine(options));
    let reply = chat(&app, say("hello", json!({"stream": true}))).await;
    breaks_off(&reply, "upstream_failed");
    assert!(reply.text().contains("\"Hi\""));
    fake.wait_left(1).await;

    let options = UpstreamOptions {
        total_timeout_seconds: 0.05,
        ..fake.options()
    };
    let error = error_of(&fake.engine(options)).await;
    assert_eq!(error, UpstreamError::TimedOut(Wait::Whole));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let cut = |bytes: String| vec![chunked(), Step::Send(bytes.into_bytes())];
    let Step::Send(chunk) = piece(chunk) else {
        unreachable!()
    };
    let chunk = String::from_utf8(chunk).unwrap();
    let error = json!({"error": {"message": "Ann", "code": "overloaded"}});
    for (broken, expected) in [
        // The stream ends, but the answer does not.
        (vec![head(), text("Hi")], UpstreamError::Broken),
        (cut(format!("{chunk}0\r\n\r\n")), UpstreamError::Broken),
        // The server is killed between two chunks, and in one.
        (cut(chunk.clone()), UpstreamError::Broken),
        (
            cut(format!("{chunk}ff\r\ndata: {{\"cho")),
            UpstreamError::Broken,
        ),
        (
            vec![head(), text("Hi"), event(&error), done()],
            UpstreamError::Reported {
                code: Some("overloaded".into()),
            },
        ),
        (
            vec![head(), text("Hi"), Step::Send(b"data: {]\n\n".to_vec())],
            UpstreamError::NotAStream,
        ),
    ] {
        let fake = Fake::start(vec![broken]).await;
        let engine = fake.engine(fake.options());
        let (said, ended) = read(engine.start(job())).await;
        assert_eq!((&*said, ended), ("Hi", Err(expected.into())));
        let reply = chat(&app_of(engine), say("hello", json!({"stream": true}))).await;
        breaks_off(&reply, "upstream_failed");
        assert_eq!(
            fake.requests().len(),
            2,
            "nothing is tried again after a token"
        );
    }
    // Before the first token it is a status.
    let fake = Fake::start(vec![
        vec![head(), event(&error)],
        vec![head()],
        response(200, "", "{}"),
    ])
    .await;
    let app = app_of(fake.engine(fake.options()));
    for _ in 0..3 {
        let reply = chat(&app, say("hello", json!({"stream": true}))).await;
        reply.is_error(502, "server_error", None, Some("upstream_failed"));
    }
    // Only the counts are missing: that is no reason to fail.
    let complete = vec![chunked(), Step::Send(chunk.into_bytes())];
    let last = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let complete = [complete, vec![piece(last)]].concat();
    let fake = Fake::start(vec![complete]).await;
    let (said, ended) = read(fake.engine(fake.options()).start(job())).await;
    assert_eq!((&*said, ended), ("Hi", Ok(Finish::Stop)));
}

#[tokio::test]
async fn a_breaker_opens_and_one_request_finds_out_when_to_close_it() {
    let fake = Fake::start(vec![response(500, "", "")]).await;
    let options = UpstreamOptions {
        max_tries: 1,
        breaker_failures: 2,
        breaker_seconds: 3600.0,
        ..fake.options()
    };
    let engine = fake.engine(options.clone());
    for _ in 0..2 {
        assert_eq!(error_of(&engine).await, status(500, None));
    }
    let refused = engine.start(job()).map(|_| ()).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::Upstream(UpstreamError::Resting { .. })
    ));
    let reply = chat(&app_of(engine), say("hello", json!({}))).await;
    reply.is_error(503, "server_error", None, Some("not_ready"));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(fake.requests().len(), 2, "it is left alone");

    // Without a pause the next one finds out, and only that one.
    let failure = response(500, "", "");
    let slow = [vec![Step::Wait], answer()].concat();
    let fake = Fake::start(vec![failure.clone(), failure, slow, answer()]).await;
    let engine = fake.engine(UpstreamOptions {
        base_url: fake.options().base_url,
        breaker_seconds: 0.0,
        ..options
    });
    for _ in 0..2 {
        assert_eq!(error_of(&engine).await, status(500, None));
    }
    let probe = engine.start(job());
    assert!(matches!(
        error_of(&engine).await,
        UpstreamError::Resting { .. }
    ));
    fake.gate.add_permits(1);
    assert!(read(probe).await.1.is_ok());
    assert!(read(engine.start(job())).await.1.is_ok());
}

#[tokio::test]
async fn a_breaker_that_opens_between_tries_ends_them() {
    let fake = Fake::start(vec![response(500, "", "")]).await;
    let engine = fake.engine(UpstreamOptions {
        breaker_failures: 2,
        breaker_seconds: 3600.0,
        ..fake.options()
    });
    assert_eq!(error_of(&engine).await, status(500, None));
    assert_eq!(fake.requests().len(), 2);
}
