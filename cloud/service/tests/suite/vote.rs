//! A vote: who wins, when it is over, and when there is none.

use std::sync::Arc;

use crate::scripted::*;
use sprat_service::*;
use sprat_wire::{Message, Role, Votes};

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn says(text: &'static str, logprob: f32) -> Vec<Act> {
    vec![Say(text, logprob), STOP]
}

/// A vote of one engine for each script.
fn members(scripts: Vec<Vec<Act>>) -> Vec<Arc<Scripted>> {
    let scripts = scripts.into_iter().zip(IDS);
    scripts
        .map(|(script, id)| Scripted::new(id, script))
        .collect()
}

fn vote_with(options: VoteOptions, members: &[Arc<Scripted>]) -> Vote {
    let engines = members.iter().map(|m| Arc::clone(m) as Arc<dyn Engine>);
    let options = VoteOptions {
        id: "all".into(),
        ..options
    };
    Vote::new(options, engines.collect()).unwrap()
}

fn vote(members: &[Arc<Scripted>]) -> Vote {
    vote_with(VoteOptions::default(), members)
}

fn job() -> Job {
    Job {
        prompt: Prompt::Chat(vec![Message::new(Role::User, "hello")]),
        max_tokens: Some(16),
        ..Job::default()
    }
}

async fn answer(vote: &Vote) -> Answer {
    read(&mut vote.start(job()).unwrap()).await
}

#[track_caller]
fn is(answer: &Answer, text: &str, target: &str, votes: Option<(u32, u32)>) {
    assert_eq!(&*answer.text, text, "{answer:?}");
    let route = answer.route.as_ref().unwrap();
    let rule = votes.map_or(Rule::VoteOff, |_| Rule::Vote);
    assert_eq!((answer.target(), route.rule), (target, rule));
    let votes = votes.map(|(leader, total)| Votes { leader, total });
    assert_eq!(route.votes, votes);
}

#[tokio::test]
async fn the_majority_wins() {
    let members = members(vec![
        says("Rome", -0.1),
        says("Paris", -1.0),
        says(" paris.\n", -2.0),
    ]);
    let won = answer(&vote(&members)).await;
    is(&won, "Paris", "b", Some((2, 3)));
    assert_eq!(won.ended, Some(Ok(Finish::Stop)));
    let route = won.route.unwrap();
    assert!((route.confidence.unwrap() - (-1f32).exp()).abs() < 1e-6);
    assert_eq!((route.tries, route.cost_usd), (3, None));
}

#[tokio::test]
async fn numbers_are_compared_as_numbers() {
    let scripts = vec![
        says("999", -0.1),
        says("1,000", -1.0),
        says("1000", -1.0),
        says("1000.0", -1.0),
    ];
    let won = answer(&vote(&members(scripts))).await;
    is(&won, "1,000", "b", Some((3, 4)));
}

#[tokio::test]
async fn the_others_are_cancelled_as_soon_as_the_leader_cannot_be_caught() {
    let yes = || says("yes", -1.0);
    let members = members(vec![yes(), vec![Hang], yes(), yes(), vec![Hang]]);
    let won = answer(&vote(&members)).await;
    is(&won, "yes", "a", Some((3, 3)));
    members[1].wait_cancelled(1).await;
    members[4].wait_cancelled(1).await;
}

#[tokio::test]
async fn a_leader_that_can_be_caught_waits() {
    let last = vec![Wait, Say("no", -0.1), STOP];
    let members = members(vec![
        says("yes", -1.0),
        says("yes", -1.0),
        says("no", -0.1),
        last,
    ]);
    let vote = vote(&members);
    let mut handle = vote.start(job()).unwrap();
    members[3].wait_waiting(1).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(futures::FutureExt::now_or_never(handle.next()).is_none());
    members[3].gate.add_permits(1);
    // A tie goes to those who are surer.
    is(&read(&mut handle).await, "no", "c", Some((2, 4)));
}

#[tokio::test]
async fn ties_go_to_the_surer_and_then_to_the_first() {
    let scripts = vec![says("yes", -1.0), says("no", -0.5)];
    is(
        &answer(&vote(&members(scripts))).await,
        "no",
        "b",
        Some((1, 2)),
    );
    let scripts = vec![says("yes", -0.5), says("no", -0.5)];
    is(
        &answer(&vote(&members(scripts))).await,
        "yes",
        "a",
        Some((1, 2)),
    );
    // The mean counts, not the surest of them.
    let scripts = vec![
        says("yes", -0.1),
        says("yes", -3.0),
        says("no", -1.0),
        says("no", -1.0),
    ];
    is(
        &answer(&vote(&members(scripts))).await,
        "no",
        "c",
        Some((2, 4)),
    );
    let scripts = vec![says("yes", f32::NAN), says("no", -9.0)];
    is(
        &answer(&vote(&members(scripts))).await,
        "no",
        "b",
        Some((1, 2)),
    );
}

#[tokio::test]
async fn a_complete_answer_is_given_before_one_that_was_cut() {
    let cut = vec![Say("yes", -1.0), Act::Finish(Finish::Length)];
    let won = answer(&vote(&members(vec![cut, says("Yes.", -1.0)]))).await;
    is(&won, "Yes.", "b", Some((2, 2)));
}

#[tokio::test]
async fn members_that_fail_do_not_vote() {
    let fails = || vec![Say("no", -0.1), Fail(EngineError::NotANumber)];
    let costs = vec![Say("yes", -1.0), Act::Route(0.25, 2), STOP];
    let won = answer(&vote(&members(vec![fails(), costs, fails()]))).await;
    is(&won, "yes", "b", Some((1, 1)));
    let route = won.route.unwrap();
    assert_eq!((route.tries, route.cost_usd), (4, Some(0.25)));

    let all = vec![
        vec![Fail(EngineError::NotANumber)],
        vec![Fail(EngineError::Generation)],
    ];
    let none = answer(&vote(&members(all))).await;
    assert_eq!(none.ended, Some(Err(EngineError::NotANumber)));
    assert!(none.started.is_none());
}

#[tokio::test]
async fn a_long_answer_ends_the_vote() {
    let options = || VoteOptions {
        max_words: 3,
        ..VoteOptions::default()
    };
    let long = || vec![Say("a b", -1.0), Say(" c d", -1.0), STOP];
    let late = vec![Wait, Say("first", -1.0), STOP];
    let members = members(vec![late, long(), vec![Hang]]);
    let vote = vote_with(options(), &members);
    let mut handle = vote.start(job()).unwrap();
    members[0].wait_waiting(1).await;
    members[0].gate.add_permits(1);
    is(&read(&mut handle).await, "first", "a", None);
    members[2].wait_cancelled(1).await;
    // If the first one fails, the next one's.
    let scripts = vec![vec![Fail(EngineError::Generation)], long()];
    let members = self::members(scripts);
    let second = answer(&vote_with(options(), &members)).await;
    is(&second, "a b c d", "b", None);
}

#[tokio::test]
async fn a_request_for_a_long_answer_is_not_voted_on() {
    let members = members(vec![says("one", -1.0), says("two", -1.0)]);
    let vote = vote(&members);
    for max_tokens in [None, Some(65)] {
        let long = Job {
            max_tokens,
            ..job()
        };
        let answer = read(&mut vote.start(long).unwrap()).await;
        is(&answer, "one", "a", None);
    }
    assert_eq!(members[1].asked(), 0);
    is(&answer(&vote).await, "one", "a", Some((1, 2)));
    let failing = self::members(vec![vec![Fail(EngineError::NotANumber)], says("two", -1.0)]);
    let long = Job {
        max_tokens: None,
        ..job()
    };
    let second = read(&mut self::vote(&failing).start(long).unwrap()).await;
    is(&second, "two", "b", None);
}

#[tokio::test]
async fn one_engine_is_asked_with_other_seeds() {
    let scripts = vec![says("yes", -1.0), says("no", -1.0), says("no", -1.0)];
    let member = Scripted::many("a", scripts);
    let options = VoteOptions {
        samples: 3,
        ..VoteOptions::default()
    };
    let vote = vote_with(options, std::slice::from_ref(&member));
    for temperature in [Some(0.0), Some(0.3)] {
        let mut job = job();
        job.sampling.seed = Some(u64::MAX);
        job.sampling.temperature = temperature;
        let answer = read(&mut vote.start(job).unwrap()).await;
        assert_eq!(answer.text, "no");
    }
    let jobs = member.jobs.lock().unwrap();
    let asked: Vec<_> = jobs
        .iter()
        .map(|job| {
            (
                job.sampling.seed.unwrap(),
                job.sampling.temperature.unwrap(),
            )
        })
        .collect();
    let seeds = [u64::MAX, 0, 1];
    assert_eq!(asked[..3], seeds.map(|seed| (seed, 0.7)));
    assert_eq!(asked[3..], seeds.map(|seed| (seed, 0.3)));
    assert!(jobs.iter().all(|job| job.logprobs));
}

#[tokio::test]
async fn leaving_cancels_all() {
    let members = members(vec![vec![Hang], vec![Hang]]);
    let handle = vote(&members).start(job()).unwrap();
    members[0].wait_waiting(1).await;
    members[1].wait_waiting(1).await;
    drop(handle);
    members[0].wait_cancelled(1).await;
    members[1].wait_cancelled(1).await;
}

#[test]
fn wrong_options_are_told() {
    let one = || vec![Scripted::new("a", vec![STOP]) as Arc<dyn Engine>];
    let options = |samples, temperature| VoteOptions {
        id: "v".into(),
        samples,
        temperature,
        ..VoteOptions::default()
    };
    assert!(Vote::new(options(2, 0.7), one()).is_ok());
    for wrong in [
        options(1, 0.7),
        options(0, 0.7),
        options(65, 0.7),
        options(2, 0.0),
        options(2, f32::NAN),
    ] {
        assert!(Vote::new(wrong, one()).is_err());
    }
}
