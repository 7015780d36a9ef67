//! A cascade: when the small model's answer stands, and what happens when it does not.

use std::sync::Arc;

use crate::scripted::*;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use sprat_service::*;
use sprat_wire::{Message, Role};
use tower::ServiceExt;

const SURE: f32 = -0.1;
const UNSURE: f32 = -3.0;

fn options() -> CascadeOptions {
    CascadeOptions {
        id: "both".into(),
        early_tokens: 3,
        early_min_logprob: -1.0,
        min_logprob: -0.5,
        ..CascadeOptions::default()
    }
}

fn cascade(engines: &[&Arc<Scripted>]) -> Cascade {
    let engines = engines.iter().map(|&e| Arc::clone(e) as Arc<dyn Engine>);
    Cascade::new(options(), engines.collect()).unwrap()
}

fn job() -> Job {
    Job {
        prompt: Prompt::Chat(vec![Message::new(Role::User, "hello")]),
        ..Job::default()
    }
}

async fn answer(cascade: &Cascade) -> Answer {
    read(&mut cascade.start(job()).unwrap()).await
}

#[track_caller]
fn is(answer: &Answer, text: &str, target: &str, rule: Rule) {
    assert_eq!(answer.text, text, "{answer:?}");
    assert_eq!(answer.ended, Some(Ok(Finish::Stop)), "{answer:?}");
    assert_eq!((answer.target(), answer.rule()), (target, rule));
}

#[tokio::test]
async fn a_sure_answer_is_kept() {
    let small = Scripted::new("s", vec![Say("a", SURE), Say("b", SURE), STOP]);
    let large = Scripted::new("large", vec![Say("x", SURE), STOP]);
    let answer = answer(&cascade(&[&small, &large])).await;
    is(&answer, "ab", "s", Rule::CascadeKept);
    let route = answer.route.unwrap();
    assert!((route.confidence.unwrap() - SURE.exp()).abs() < 1e-6);
    assert_eq!((route.tries, route.cost_usd), (1, None));
    assert_eq!((answer.started, answer.counts), (Some(1), None));
    assert_eq!(large.asked(), 0);
    assert!(
        small.jobs.lock().unwrap()[0].logprobs,
        "it is judged by them"
    );
}

#[tokio::test]
async fn a_sure_beginning_is_kept_and_passes_as_it_is_made() {
    // What comes after the decision is not judged any more.
    let script = vec![
        Say("a", SURE),
        Say("b", SURE),
        Say("c", SURE),
        Wait,
        Say("d", UNSURE),
        STOP,
    ];
    let small = Scripted::new("small", script);
    let large = Scripted::new("large", vec![Say("x", SURE), STOP]);
    let cascade = cascade(&[&small, &large]);
    let mut handle = cascade.start(job()).unwrap();
    let mut text = String::new();
    while text != "abc" {
        if let Event::Token(token) = handle.next().await.unwrap().event {
            text += &token.text;
        }
    }
    small.wait_waiting(1).await;
    small.gate.add_permits(1);
    let mut route = None;
    loop {
        match handle.next().await.unwrap().event {
            Event::Token(token) => text += &token.text,
            Event::Route(found) => route = Some(found),
            Event::Finished(finish) => break assert_eq!(finish, Finish::Stop),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&*text, route.unwrap().rule), ("abcd", Rule::CascadeEarly));
    assert_eq!(large.asked(), 0);
}

#[tokio::test]
async fn nothing_passes_before_the_decision() {
    let small = Scripted::new("small", vec![Say("a", SURE), Say("b", SURE), Wait, STOP]);
    let large = Scripted::new("large", vec![Say("x", SURE), STOP]);
    let cascade = cascade(&[&small, &large]);
    let mut handle = cascade.start(job()).unwrap();
    assert!(matches!(
        handle.next().await.unwrap().event,
        Event::Started { .. }
    ));
    small.wait_waiting(1).await;
    // Let the cascade read what there is.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(futures::FutureExt::now_or_never(handle.next()).is_none());
    small.gate.add_permits(1);
    assert_eq!(read_rest(&mut handle).await, "ab");
}

async fn read_rest(handle: &mut JobHandle) -> String {
    let mut text = String::new();
    loop {
        match handle.next().await.unwrap().event {
            Event::Token(token) => text += &token.text,
            Event::Finished(_) => return text,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_unsure_answer_is_handed_over() {
    let small = Scripted::new("s", vec![Say("a", SURE), Say("b", UNSURE), STOP]);
    let large = Scripted::new("large", vec![Say("x", UNSURE), Act::Route(0.5, 2), STOP]);
    let answer = answer(&cascade(&[&small, &large])).await;
    is(&answer, "x", "large", Rule::CascadeNext);
    let route = answer.route.unwrap();
    assert_eq!((route.tries, route.cost_usd), (3, Some(0.5)));
    let judged = ((SURE + UNSURE) / 2.0).exp();
    assert!((route.confidence.unwrap() - judged).abs() < 1e-6);
    // The counts are those of the answer that was given.
    let counts = Counts {
        prompt: 5,
        cached: 0,
        completion: 1,
    };
    assert_eq!((answer.started, answer.counts), (Some(1), Some(counts)));
    assert!(!large.jobs.lock().unwrap()[0].logprobs, "nobody judges it");
}

#[tokio::test]
async fn an_unsure_beginning_is_handed_over_and_cancelled_by_the_next_token() {
    let beginning = [Say("a", UNSURE), Say("b", UNSURE), Say("c", UNSURE)];
    let small = Scripted::new("small", [&beginning[..], &[Hang]].concat());
    let large = Scripted::new("large", vec![Wait, Say("x", UNSURE), Wait, STOP]);
    let cascade = cascade(&[&small, &large]);
    let mut handle = cascade.start(job()).unwrap();
    large.wait_waiting(1).await;
    assert_eq!(*small.cancelled.borrow(), 0, "it may still be needed");
    large.gate.add_permits(1);
    small.wait_cancelled(1).await;
    large.gate.add_permits(1);
    let answer = read(&mut handle).await;
    is(&answer, "x", "large", Rule::CascadeNext);
}

#[tokio::test]
async fn an_engine_that_does_not_say_how_sure_it_is_is_not() {
    let small = Scripted::new("small", vec![Say("a", f32::NAN), STOP]);
    let large = Scripted::new("large", vec![Say("x", f32::NAN), STOP]);
    let unknown = answer(&cascade(&[&small, &large])).await;
    is(&unknown, "x", "large", Rule::CascadeNext);
    assert_eq!(unknown.route.unwrap().confidence, None);
    let empty = Scripted::new("small", vec![STOP]);
    is(
        &answer(&cascade(&[&empty, &large])).await,
        "x",
        "large",
        Rule::CascadeNext,
    );
}

#[tokio::test]
async fn an_unsure_answer_is_better_than_none() {
    let failing = Scripted::new("large", vec![Fail(UpstreamError::Unreachable.into())]);
    let complete = Scripted::new("small", vec![Say("a", UNSURE), STOP]);
    let kept = answer(&cascade(&[&complete, &failing])).await;
    is(&kept, "a", "small", Rule::CascadeFallback);
    assert_eq!(kept.route.unwrap().tries, 2);

    // One that was handed over early goes on meanwhile.
    let beginning = [Say("a", UNSURE), Say("b", UNSURE), Say("c", UNSURE)];
    let goes_on = Scripted::new("small", [&beginning[..], &[Say("d", SURE), STOP]].concat());
    let kept = answer(&cascade(&[&goes_on, &failing])).await;
    is(&kept, "abcd", "small", Rule::CascadeFallback);

    let both = cascade(&[&failing, &failing]);
    let none = answer(&both).await;
    assert_eq!(none.ended, Some(Err(UpstreamError::Unreachable.into())));
}

#[tokio::test]
async fn a_failure_after_the_first_token_that_passed_is_one() {
    let small = Scripted::new("small", vec![Say("a", UNSURE), STOP]);
    let breaks = vec![Say("x", SURE), Fail(UpstreamError::Broken.into())];
    let large = Scripted::new("large", breaks);
    let broken = answer(&cascade(&[&small, &large])).await;
    assert_eq!(&*broken.text, "x");
    assert_eq!(broken.ended, Some(Err(UpstreamError::Broken.into())));
    assert!(broken.route.is_none());
}

#[tokio::test]
async fn engines_that_fail_before_the_decision_are_passed_over() {
    let first = Scripted::new("first", vec![Say("a", SURE), Fail(EngineError::NotANumber)]);
    let second = Scripted::new("second", vec![Say("b", SURE), STOP]);
    let third = Scripted::new("third", vec![Say("c", SURE), STOP]);
    let next = answer(&cascade(&[&first, &second, &third])).await;
    is(&next, "b", "second", Rule::CascadeNext);
    assert_eq!(third.asked(), 0);

    let unsure = Scripted::new("unsure", vec![Say("b", UNSURE), STOP]);
    let next = answer(&cascade(&[&unsure, &first, &third])).await;
    is(&next, "c", "third", Rule::CascadeNext);
    assert_eq!(next.route.unwrap().tries, 3);
}

#[tokio::test]
async fn leaving_cancels_whatever_runs() {
    let small = Scripted::new("small", vec![Say("a", SURE), Hang]);
    let large = Scripted::new("large", vec![Hang]);
    let handle = cascade(&[&small, &large]).start(job()).unwrap();
    small.wait_waiting(1).await;
    drop(handle);
    small.wait_cancelled(1).await;
    assert_eq!(large.asked(), 0);

    let unsure = Scripted::new("small", vec![Say("a", UNSURE), STOP]);
    let handle = cascade(&[&unsure, &large]).start(job()).unwrap();
    large.wait_waiting(1).await;
    drop(handle);
    large.wait_cancelled(1).await;
}

#[tokio::test]
async fn clients_and_metrics_learn_who_answered() {
    let small = Scripted::new("small", vec![Say("a", UNSURE), STOP]);
    let large = Scripted::new("large", vec![Say("x", SURE), STOP]);
    let both: Arc<dyn Engine> = Arc::new(cascade(&[&small, &large]));
    let engines: Vec<Arc<dyn Engine>> = vec![small, large, both];
    let app = app(AppState::new(engines, AppConfig::default()).unwrap());
    let send = |request: Request<Body>| {
        let app = app.clone();
        async move {
            let body = app.oneshot(request).await.unwrap().into_body();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        }
    };
    let ask = |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        let request = Request::post("/v1/chat/completions");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        request.body(Body::from(body.to_string())).unwrap()
    };
    let body: Value = serde_json::from_str(&send(ask("both")).await).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "x", "{body}");
    assert_eq!(body["x_route"]["target"], "large");
    assert_eq!(body["x_route"]["rule"], "cascade_next");
    let body: Value = serde_json::from_str(&send(ask("small")).await).unwrap();
    assert!(body.get("x_route").is_none(), "it answers itself");
    let metrics = send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let line = "sprat_router_decisions_total{target=\"large\",rule=\"cascade_next\"} 1";
    assert!(metrics.lines().any(|l| l == line), "{metrics}");
}
