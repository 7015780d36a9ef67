//! A cascade that asks another engine when its answer is expected to be worth more than it costs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::running::{Running, ask};
use crate::scripted::*;
use serde_json::json;
use sprat_model::{DirSource, Message as Said, Model, Options};
use sprat_route::gate::Gate;
use sprat_route::signals::{Signals, TokenSignal};
use sprat_service::*;
use sprat_wire::{Message, Role};

/// What a right answer is worth.
const RIGHT_USD: f64 = 0.01;

/// An engine whose gate says of its answer `text` that it is right with this probability.
fn small(id: &'static str, text: &'static str, right: f32) -> Arc<Scripted> {
    gated(id, vec![Say(text, -0.1), Act::Judge(right, false), STOP])
}

fn gated(id: &'static str, script: Vec<Act>) -> Arc<Scripted> {
    Scripted::made(id, vec![script], |made| made.judges = true)
}

/// Another server, whose answer costs so much.
fn server(id: &'static str, script: Vec<Act>, usd: f64) -> Arc<Scripted> {
    Scripted::made(id, vec![script], |made| {
        made.price.completion_usd_per_million = usd * 1e6 / 100.0;
    })
}

fn says(text: &'static str) -> Vec<Act> {
    vec![Say(text, f32::NAN), STOP]
}

fn expected(saves: f64, keeps: f64) -> Expected {
    Expected {
        saves,
        keeps,
        cost_usd: 0.0,
    }
}

fn cascade(engines: &[&Arc<Scripted>], expect: &[(&str, Expected)]) -> Cascade {
    let options = CascadeOptions {
        id: "all".into(),
        right_usd: Some(RIGHT_USD),
        expected: BTreeMap::from_iter(expect.iter().map(|(id, e)| ((*id).to_owned(), *e))),
        answer_tokens: 100,
        ..CascadeOptions::default()
    };
    let engines = engines.iter().map(|&e| Arc::clone(e) as Arc<dyn Engine>);
    Cascade::new(options, engines.collect()).unwrap()
}

async fn answer(cascade: &Cascade) -> Answer {
    let job = Job {
        prompt: Prompt::Chat(vec![Message::new(Role::User, "hello")]),
        ..Job::default()
    };
    read(&mut cascade.start(job).unwrap()).await
}

#[track_caller]
fn is(answer: &Answer, text: &str, target: &str, rule: Rule) {
    assert_eq!(answer.text, text, "{answer:?}");
    assert_eq!(answer.ended, Some(Ok(Finish::Stop)), "{answer:?}");
    assert_eq!((answer.target(), answer.rule()), (target, rule));
}

#[tokio::test]
async fn it_is_asked_when_the_gain_is_worth_the_cost() {
    let large = || server("large", says("x"), 0.004);
    // The gain is .8 - .85 p, and worth .008 - .0085 p dollars: as much as it costs at p = .47.
    let expect = [("large", expected(0.8, 0.95))];
    let unsure = answer(&cascade(&[&small("small", "a", 0.4), &large()], &expect)).await;
    is(&unsure, "x", "large", Rule::CascadeNext);
    let route = unsure.route.unwrap();
    assert!((route.confidence.unwrap() - 0.4).abs() < 1e-6);
    let weighed = route.weighed.unwrap();
    assert_eq!(weighed.target, "large");
    assert!((weighed.gain - 0.46).abs() < 1e-6 && (weighed.cost_usd - 0.004).abs() < 1e-9);

    let (first, other) = (small("small", "a", 0.5), large());
    let sure = answer(&cascade(&[&first, &other], &expect)).await;
    is(&sure, "a", "small", Rule::CascadeKept);
    let route = sure.route.unwrap();
    assert_eq!((route.tries, other.asked()), (1, 0));
    assert!(route.weighed.unwrap().gain < 0.4);
    assert!(first.jobs.lock().unwrap()[0].judge);
    // The same answer, where the other server is cheaper.
    let cheap = server("large", says("x"), 0.001);
    let asked = answer(&cascade(&[&small("small", "a", 0.5), &cheap], &expect)).await;
    is(&asked, "x", "large", Rule::CascadeNext);
}

#[tokio::test]
async fn the_one_that_is_worth_most_is_asked_whichever_place_it_has() {
    let middle = server("middle", says("m"), 0.0);
    let large = server("large", says("x"), 0.001);
    let expect = [
        ("middle", expected(0.1, 0.99)),
        ("large", expected(0.9, 1.0)),
    ];
    let best = answer(&cascade(
        &[&small("small", "a", 0.2), &middle, &large],
        &expect,
    ))
    .await;
    is(&best, "x", "large", Rule::CascadeNext);
    assert_eq!(middle.asked(), 0);
    // Nearly sure: what the large one adds is not worth its cost any more, and the middle one costs nothing.
    let (middle, large) = (
        server("middle", says("m"), 0.0),
        server("large", says("x"), 0.001),
    );
    let cheap = answer(&cascade(
        &[&small("small", "a", 0.9), &middle, &large],
        &expect,
    ))
    .await;
    is(&cheap, "m", "middle", Rule::CascadeNext);
    assert_eq!(large.asked(), 0);
}

#[tokio::test]
async fn a_lost_beginning_is_handed_over_at_once() {
    let script = vec![Say("a", -3.0), Act::Judge(0.05, true), Hang];
    let lost = gated("small", script.clone());
    let expect = [("large", expected(0.8, 0.95))];
    let handed = answer(&cascade(
        &[&lost, &server("large", says("x"), 0.001)],
        &expect,
    ))
    .await;
    is(&handed, "x", "large", Rule::CascadeNext);
    lost.wait_cancelled(1).await;
    // Not where nobody is worth it: then a lost answer is still one.
    let goes_on = vec![
        Say("a", -3.0),
        Act::Judge(0.05, true),
        Say("b", -3.0),
        Act::Judge(0.1, false),
        STOP,
    ];
    let dear = server("large", says("x"), 1.0);
    let kept = answer(&cascade(&[&gated("small", goes_on), &dear], &expect)).await;
    is(&kept, "ab", "small", Rule::CascadeKept);
    assert_eq!(dear.asked(), 0);
}

#[tokio::test]
async fn of_two_answers_that_were_judged_the_better_one_is_given() {
    let expect = [("second", expected(0.6, 0.9))];
    let worse = answer(&cascade(
        &[&small("first", "a", 0.5), &small("second", "b", 0.3)],
        &expect,
    ))
    .await;
    is(&worse, "a", "first", Rule::CascadeKept);
    assert_eq!(worse.route.unwrap().tries, 2);
    let better = answer(&cascade(
        &[&small("first", "a", 0.5), &small("second", "b", 0.7)],
        &expect,
    ))
    .await;
    is(&better, "b", "second", Rule::CascadeNext);
}

#[tokio::test]
async fn failures_are_passed_over_and_an_unsure_answer_is_better_than_none() {
    let broken = || server("broken", vec![Fail(UpstreamError::Unreachable.into())], 0.0);
    let expect = [
        ("broken", expected(0.9, 1.0)),
        ("large", expected(0.8, 0.9)),
    ];
    let large = server("large", says("x"), 0.001);
    let next = answer(&cascade(
        &[&small("small", "a", 0.1), &broken(), &large],
        &expect,
    ))
    .await;
    is(&next, "x", "large", Rule::CascadeNext);
    assert_eq!(next.route.unwrap().tries, 3);

    let kept = answer(&cascade(
        &[&small("small", "a", 0.1), &broken()],
        &expect[..1],
    ))
    .await;
    is(&kept, "a", "small", Rule::CascadeFallback);

    // Without any answer, one that costs more than it is worth is asked too.
    let dead = gated("small", vec![Fail(EngineError::NotANumber)]);
    let dear = server("large", says("x"), 5.0);
    let any = answer(&cascade(&[&dead, &dear], &expect[1..])).await;
    is(&any, "x", "large", Rule::CascadeNext);

    let none = answer(&cascade(&[&dead, &broken()], &expect[..1])).await;
    assert_eq!(none.ended, Some(Err(UpstreamError::Unreachable.into())));
}

#[tokio::test]
async fn an_answer_that_nobody_judges_passes_as_it_is_made() {
    // Both servers have no gate. Behind the second one nothing is worth its cost, so that it is not held back.
    let script = vec![Say("x", f32::NAN), Wait, Say("y", f32::NAN), STOP];
    let large = server("large", script, 0.001);
    let dear = server("dear", says("z"), 1.0);
    let expect = [
        ("large", expected(0.8, 0.95)),
        ("dear", expected(0.9, 0.95)),
    ];
    let cascade = cascade(&[&small("small", "a", 0.1), &large, &dear], &expect);
    let mut handle = cascade.start(Job::default()).unwrap();
    let mut text = String::new();
    while text != "x" {
        if let Event::Token(token) = handle.next().await.unwrap().event {
            text += &token.text;
        }
    }
    large.gate.add_permits(1);
    while !matches!(handle.next().await.unwrap().event, Event::Finished(_)) {}
    assert_eq!(dear.asked(), 0);
    let job = &large.jobs.lock().unwrap()[0];
    assert!(!job.logprobs && !job.judge);
}

#[tokio::test]
async fn a_gate_that_is_silent_counts_as_unsure() {
    let silent = gated("small", vec![Say("a", -0.01), STOP]);
    let expect = [("large", expected(0.8, 0.95))];
    let asked = answer(&cascade(
        &[&silent, &server("large", says("x"), 0.001)],
        &expect,
    ))
    .await;
    is(&asked, "x", "large", Rule::CascadeNext);
    assert_eq!(asked.route.unwrap().confidence, None);
    // What is expected of it counts where its gate says nothing.
    let expect = [("small", expected(0.95, 0.95)), expect[0]];
    let kept = answer(&cascade(
        &[&silent, &server("large", says("x"), 0.001)],
        &expect,
    ))
    .await;
    is(&kept, "a", "small", Rule::CascadeKept);
}

/// With a real model: what the pack's gate says of an answer, the cascade goes by.
#[tokio::test]
async fn a_models_own_gate_decides() {
    let tiny = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../web/models/sprat-tiny");
    let cascade = |id: &str, saves: f64| CascadeOptions {
        id: id.into(),
        engines: vec!["sprat-tiny".into(), "echo".into()],
        right_usd: Some(RIGHT_USD),
        expected: BTreeMap::from([("echo".into(), expected(saves, saves))]),
        ..CascadeOptions::default()
    };
    let server = Running::start_as(ServeConfig {
        models: vec![tiny.clone().into()],
        echo: Some(EchoOptions::default()),
        cascades: vec![cascade("never", 0.0), cascade("always", 1.0)],
        ..ServeConfig::default()
    })
    .await
    .unwrap();
    let options = || json!({"temperature": 0, "max_tokens": 64});
    let (_, kept) = server
        .chat(ask("never", "What is 12 + 30?", options()))
        .await;
    let (sure, text) = judged_alone(&tiny, "What is 12 + 30?").await;
    assert_eq!(
        kept["choices"][0]["message"]["content"],
        json!(text),
        "{kept}"
    );
    assert_eq!(kept["x_route"]["rule"], "cascade_kept");
    let confidence = kept["x_route"]["confidence"].as_f64().unwrap();
    assert!(
        (confidence - f64::from(sure)).abs() < 1e-4,
        "{confidence} {sure}"
    );
    let (_, next) = server
        .chat(ask("always", "What is 12 + 30?", options()))
        .await;
    assert_eq!(next["x_route"]["target"], "echo", "{next}");
    let weighed = &next["x_route"]["weighed"];
    let gain = weighed["gain"].as_f64().unwrap();
    assert!((gain - (1.0 - confidence)).abs() < 1e-4, "{next}");
    server.stop().await;
}

/// The confidence that the pack's gate has in the model's greedy answer, and the answer.
async fn judged_alone(pack: &std::path::Path, question: &str) -> (f32, String) {
    let source = DirSource(pack.to_path_buf());
    let model = Model::load(&source, &sprat_model::Device::flex(), &mut |_| {})
        .await
        .unwrap();
    let said = Said {
        role: "user".into(),
        content: question.into(),
    };
    let prompt = model.prompt(&[said]).unwrap();
    let mut session = model.session();
    let options = Options {
        sampling: sprat_model::Sampling {
            temperature: 0.0,
            ..sprat_model::Sampling::default()
        },
        max_tokens: 64,
        ..Options::default()
    };
    let mut generation = session.generate(&model, &prompt, options).unwrap();
    let (mut text, mut signals) = (String::new(), Signals::new());
    while let Some(token) = generation.next().await {
        let token = token.unwrap();
        text += &token.text;
        signals.push(TokenSignal {
            logprob: token.logprob,
            margin: token.margin,
            entropy: token.entropy,
        });
    }
    let gate = model.manifest().calibration.as_ref().unwrap().to_string();
    let gate = Gate::from_json(gate.as_bytes()).unwrap();
    (gate.confidence(&signals), text)
}
