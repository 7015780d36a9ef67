use std::cell::Cell;
use std::collections::VecDeque;

use pollster::block_on;
use sprat_route::privacy::Offer;
use sprat_wire::{FinishReason, Role, Usage};

use super::*;

/// A model that says what the test tells it to.
pub(super) struct Script {
    state: ModelState,
    failure: Option<Error>,
    tokens: Vec<Result<(&'static str, f32), Error>>,
    too_long: bool,
    gate: Option<Gate>,
    runs: Cell<u32>,
}

impl Script {
    /// Says these words with this probability each.
    pub(super) fn says(words: &[&'static str], probability: f32) -> Self {
        Self {
            state: ModelState::Ready,
            failure: None,
            tokens: words.iter().map(|word| Ok((*word, probability))).collect(),
            too_long: false,
            gate: Some(gate()),
            runs: Cell::new(0),
        }
    }

    /// Fails behind the last word.
    pub(super) fn break_off(&mut self, error: Error) {
        self.tokens.push(Err(error));
    }
}

pub(super) struct Words {
    left: VecDeque<Result<(&'static str, f32), Error>>,
    said: u32,
}

impl Run for Words {
    fn finish(&self) -> Option<FinishReason> {
        self.left.is_empty().then_some(FinishReason::Stop)
    }

    async fn next(&mut self) -> Option<Result<Step, Error>> {
        let next = self.left.pop_front()?;
        self.said += 1;
        Some(next.map(|(text, probability)| Step {
            id: 100 + self.said,
            text: text.to_owned(),
            signal: TokenSignal {
                logprob: probability.ln(),
                margin: 2.0 * probability - 1.0,
                entropy: -probability.ln(),
            },
            prompt: (5, 2),
        }))
    }
}

impl Local for Script {
    type Run = Words;

    async fn settled(&self, _briefly: bool) -> Result<ModelState, Error> {
        Ok(self.state)
    }
    fn failure(&self) -> Option<Error> {
        self.failure.clone()
    }
    fn names(&self) -> (String, String) {
        ("sprat-test".into(), "CPU".into())
    }
    fn text_id(&self) -> Option<String> {
        Some("same".into())
    }
    fn gate(&self) -> Option<Gate> {
        self.gate.clone()
    }
    fn prompt(&self, _messages: &[Message]) -> Result<Vec<u32>, Error> {
        if self.too_long {
            return Err(Error::ContextTooLong {
                prompt: 9,
                context: 8,
            });
        }
        Ok(vec![1, 2, 3, 4, 5])
    }
    fn run(&self, _prompt: Vec<u32>, _choice: &Choice) -> Words {
        self.runs.set(self.runs.get() + 1);
        Words {
            left: self.tokens.clone().into(),
            said: 0,
        }
    }
}

/// What a cloud does with one request: refuse it, or say bits of an answer until it breaks off.
pub(super) type Act = Result<Vec<Result<Bit, Error>>, Error>;

/// A cloud that does what the test tells it to, one entry per request.
pub(super) struct Sky {
    acts: RefCell<VecDeque<Act>>,
    requests: RefCell<Vec<String>>,
    /// What the person answers when asked.
    yes: bool,
    /// What the person was shown.
    shown: RefCell<Vec<String>>,
}

impl Sky {
    pub(super) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            acts: RefCell::new(acts.into_iter().collect()),
            requests: RefCell::default(),
            yes: false,
            shown: RefCell::default(),
        }
    }

    /// The person agrees.
    fn agreed(mut self) -> Self {
        self.yes = true;
        self
    }

    fn shown(&self) -> Vec<String> {
        self.shown.borrow().clone()
    }

    pub(super) fn says(text: &str) -> Self {
        Self::new([Ok(said(text))])
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.borrow().clone()
    }
}

pub(super) fn said(text: &str) -> Vec<Result<Bit, Error>> {
    vec![
        Ok(Bit::Model("sprat-small".into())),
        Ok(Bit::Text(text.into())),
        Ok(Bit::Finished(FinishReason::Length)),
        Ok(Bit::Usage(Usage::new(10, 0, 4))),
    ]
}

pub(super) struct Bits(VecDeque<Result<Bit, Error>>);

impl Reply for Bits {
    async fn next(&mut self) -> Option<Result<Bit, Error>> {
        self.0.pop_front()
    }
}

impl Cloud for Sky {
    type Reply = Bits;

    fn model(&self) -> &str {
        "sprat-small"
    }
    fn address(&self) -> &str {
        "https://cloud.example/v1"
    }
    async fn agrees(&self, offer: &Offer<Message>, _stop: &[String]) -> bool {
        let turns = offer.turns().iter().map(|turn| turn.content.as_str());
        let turns: Vec<&str> = turns.collect();
        let shown = format!("{} to {}", turns.join("|"), offer.to());
        self.shown.borrow_mut().push(shown);
        self.yes
    }
    fn price(&self) -> (f64, f64) {
        (1e6, 0.0)
    }
    fn is_offline(&self) -> bool {
        false
    }
    async fn pause(&self) {}
    async fn send(&self, request: &Outgoing) -> Result<Bits, Error> {
        self.requests.borrow_mut().push(request.as_str().to_owned());
        let act = self.acts.borrow_mut().pop_front();
        act.unwrap_or_else(|| Err(Error::CloudUnreachable("no network".into())))
            .map(|bits| Bits(bits.into()))
    }
}

/// A gate fitted on answers whose tokens were likely when right and unlikely when wrong.
fn gate() -> Gate {
    use sprat_route::gate::{Example, FitOptions, fit, question_hash};
    let examples: Vec<Example> = (0u16..600)
        .map(|i| {
            let correct = i % 2 == 0;
            let probability = if correct { 0.97 } else { 0.35 } + f32::from(i % 7) * 0.004;
            let signals: Signals = (0..6)
                .map(|_| TokenSignal {
                    logprob: probability.ln(),
                    margin: 2.0 * probability - 1.0,
                    entropy: -probability.ln(),
                })
                .collect();
            Example::new(&signals, correct, question_hash(&format!("question {i}")))
        })
        .collect();
    fit(&examples, &FitOptions::default()).unwrap()
}

/// What came of a question: its events, how it ended, and the text so far.
pub(super) struct Outcome {
    events: Vec<Event>,
    result: Result<(), Error>,
    partial: String,
}

impl Outcome {
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn failed(&self) -> bool {
        self.result.is_err()
    }

    pub(super) fn end(&self) -> (&str, &Receipt) {
        match self.events.last() {
            Some(Event::End { text, receipt }) => (text, receipt),
            other => panic!("no end but {other:?} and {:?}", self.result),
        }
    }

    fn sources(&self) -> Vec<Source> {
        let starts = self.events.iter().filter_map(|event| match event {
            Event::Start { source } => Some(*source),
            _ => None,
        });
        starts.collect()
    }

    fn code(&self) -> &'static str {
        self.result.as_ref().unwrap_err().code()
    }
}

pub(super) fn ask(
    question: &str,
    mode: Mode,
    level: impl Into<Level>,
    local: &Script,
    cloud: Option<&Sky>,
) -> Outcome {
    let messages = vec![Message::new(Role::User, question)];
    let level = level.into();
    let ask = Ask {
        messages: messages.clone(),
        mode,
        level,
        choice: Choice::default(),
    };
    let clock = Cell::new(0.0);
    let now = || {
        clock.set(clock.get() + 1.0);
        clock.get()
    };
    let events = RefCell::new(Vec::new());
    let tally = RefCell::new(Tally::new(0.0));
    let turn = Turn {
        policy: Policy::builtin(),
        local,
        cloud,
        now: &now,
        emit: &|event| events.borrow_mut().push(event),
        tally: &tally,
    };
    let result = block_on(turn.answer(&ask, &Thread::new(messages, level)));
    let (partial, _) = tally.borrow_mut().close(now());
    Outcome {
        events: events.take(),
        result,
        partial,
    }
}

pub(super) const SURE: f32 = 0.98;
pub(super) const UNSURE: f32 = 0.35;

#[test]
fn arithmetic_needs_no_model() {
    let model = Script::says(&["no"], SURE);
    let outcome = ask("What is 17 * 23?", Mode::Auto, true, &model, None);
    let (text, receipt) = outcome.end();
    assert_eq!(
        (text, receipt.source, receipt.rule.as_str()),
        ("391", Source::Exact, "exact")
    );
    assert_eq!(model.runs.get(), 0);
}

#[test]
fn a_sure_answer_stays_on_the_device() {
    let model = Script::says(&["Hel", "lo", " you", ".", "", ""], SURE);
    let sky = Sky::says("never");
    let outcome = ask("Hi there", Mode::Auto, false, &model, Some(&sky));
    let (text, receipt) = outcome.end();
    assert_eq!(
        (text, receipt.source, receipt.rule.as_str()),
        ("Hello you.", Source::Device, "sure")
    );
    assert!(receipt.confidence >= receipt.threshold);
    assert_eq!(receipt.finish_reason, Some(FinishReason::Stop));
    let bound = receipt.bound.unwrap();
    assert_eq!((bound.alpha, bound.delta), (0.05, 0.05));
    assert!(bound.n > 60 && bound.coverage > 0.0);
    assert_eq!(
        (
            receipt.prompt_tokens,
            receipt.cached_tokens,
            receipt.completion_tokens
        ),
        (5, 2, 6)
    );
    assert_eq!(
        (receipt.bytes_sent, receipt.model.as_deref()),
        (0, Some("sprat-test"))
    );
    assert!(sky.requests.borrow().is_empty());
}

#[test]
fn an_unsure_answer_is_taken_over() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    let sky = Sky::says("Certainly");
    let outcome = ask("Why?", Mode::Auto, false, &model, Some(&sky));
    let (text, receipt) = outcome.end();
    assert_eq!((text, receipt.source), ("Certainly", Source::Cloud));
    assert_eq!(receipt.bytes_sent, sky.requests.borrow()[0].len() as u64);
    assert!((receipt.cost_usd - 10.0).abs() < 1e-9);
    assert_eq!((receipt.prompt_tokens, receipt.completion_tokens), (10, 4));
    assert_eq!(receipt.finish_reason, Some(FinishReason::Length));
    assert!(receipt.device_ms > 0.0 && receipt.cloud_ms > 0.0);
    assert!(outcome.events.iter().any(|event| matches!(
        event,
        Event::Handover {
            from: Source::Device,
            to: Source::Cloud,
            ..
        }
    )));
}

#[test]
fn a_hopeless_answer_is_taken_over_before_its_end() {
    let model = Script::says(&["x"; 50], 0.05);
    let outcome = ask(
        "Why?",
        Mode::Auto,
        false,
        &model,
        Some(&Sky::says("Because")),
    );
    assert_eq!(outcome.end().1.rule, "early-unsure");
    let shown = outcome.events.iter().filter(|e| {
        matches!(
            e,
            Event::Delta {
                source: Source::Device,
                ..
            }
        )
    });
    assert!(shown.count() < 20);
}

#[test]
fn when_the_takeover_fails_the_device_goes_on_and_its_answer_stands() {
    let model = Script::says(&["x"; 50], 0.05);
    let sky = Sky::new([]);
    let outcome = ask("Why?", Mode::Auto, false, &model, Some(&sky));
    let (text, receipt) = outcome.end();
    assert_eq!(
        (text, receipt.source),
        ("x".repeat(50).as_str(), Source::Device)
    );
    assert_eq!(receipt.rule, "unsure-cloud-unreachable");
    assert_eq!(sky.requests.borrow().len(), 2);
    assert_eq!(outcome.sources().last(), Some(&Source::Device));
    assert_eq!(model.runs.get(), 1);
}

#[test]
fn a_cloud_that_breaks_off_is_an_error_with_what_came() {
    let broken = vec![
        Ok(Bit::Text("Cert".into())),
        Err(Error::CloudInterrupted("gone".into())),
    ];
    let model = Script::says(&["Per", "haps"], UNSURE);
    let outcome = ask(
        "Why?",
        Mode::Auto,
        false,
        &model,
        Some(&Sky::new([Ok(broken)])),
    );
    assert_eq!(
        (outcome.code(), outcome.partial.as_str()),
        ("cloud_interrupted", "Cert")
    );
}

#[test]
fn in_mode_cloud_a_break_keeps_what_came() {
    let broken = vec![
        Ok(Bit::Text("Cert".into())),
        Err(Error::CloudInterrupted("gone".into())),
    ];
    let model = Script::says(&[], SURE);
    let outcome = ask(
        "Why?",
        Mode::Cloud,
        false,
        &model,
        Some(&Sky::new([Ok(broken)])),
    );
    assert_eq!(
        (outcome.code(), outcome.partial.as_str()),
        ("cloud_interrupted", "Cert")
    );
}

#[test]
fn a_busy_cloud_is_asked_again_and_its_refusal_told() {
    let busy = || {
        Err(Error::CloudRefused {
            status: 429,
            message: "queue is full".into(),
        })
    };
    let model = Script::says(&[], SURE);
    let sky = Sky::new([busy(), Ok(said("Now"))]);
    let outcome = ask("Why?", Mode::Cloud, false, &model, Some(&sky));
    assert_eq!(outcome.end().0, "Now");
    let outcome = ask(
        "Why?",
        Mode::Cloud,
        false,
        &model,
        Some(&Sky::new([busy(), busy()])),
    );
    assert!(
        outcome
            .result
            .unwrap_err()
            .to_string()
            .contains("queue is full")
    );
}

#[test]
fn private_never_leaves_whatever_the_mode_and_the_confidence() {
    for mode in [Mode::Auto, Mode::Cloud, Mode::Device] {
        for state in [ModelState::Ready, ModelState::Missing, ModelState::Failed] {
            for probability in [SURE, UNSURE, 0.05] {
                for too_long in [false, true] {
                    let mut model = Script::says(&["x"; 30], probability);
                    (model.state, model.too_long) = (state, too_long);
                    let sky = Sky::says("leaked");
                    let outcome = ask("My secret?", mode, true, &model, Some(&sky));
                    assert!(sky.requests.borrow().is_empty());
                    assert!(!outcome.sources().contains(&Source::Cloud));
                }
            }
        }
    }
}

#[test]
fn a_private_question_that_the_device_is_unsure_of_is_an_error_with_the_draft() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    let outcome = ask(
        "My secret?",
        Mode::Auto,
        true,
        &model,
        Some(&Sky::says("leaked")),
    );
    assert_eq!(
        (outcome.code(), outcome.partial.as_str()),
        ("private_unanswerable", "Perhaps")
    );
}

#[test]
fn device_mode_never_calls_and_keeps_its_answer() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    let sky = Sky::says("never");
    let outcome = ask("Why?", Mode::Device, false, &model, Some(&sky));
    assert_eq!(outcome.end().1.rule, "device-mode-unsure");
    assert!(sky.requests.borrow().is_empty());
}

#[test]
fn without_a_cloud_the_unsure_answer_stands_and_cloud_mode_is_an_error() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    assert_eq!(
        ask("Why?", Mode::Auto, false, &model, None).end().1.rule,
        "unsure-no-cloud"
    );
    assert_eq!(
        ask("Why?", Mode::Cloud, false, &model, None).code(),
        "cloud_disabled"
    );
}

#[test]
fn without_a_model_the_cloud_answers_or_the_reason_is_told() {
    let mut model = Script::says(&[], SURE);
    model.state = ModelState::Missing;
    let outcome = ask(
        "Why?",
        Mode::Auto,
        false,
        &model,
        Some(&Sky::says("Because")),
    );
    assert_eq!(
        (outcome.end().0, outcome.end().1.rule.as_str()),
        ("Because", "no-model")
    );
    assert_eq!(
        ask("Why?", Mode::Auto, false, &model, None).code(),
        "model_missing"
    );
    model.state = ModelState::Failed;
    model.failure = Some(Error::ModelCorrupt("chunk 3".into()));
    let outcome = ask("Why?", Mode::Device, false, &model, None);
    assert_eq!(outcome.code(), "model_corrupt");
}

#[test]
fn a_prompt_that_does_not_fit_goes_to_the_cloud_or_is_an_error() {
    let mut model = Script::says(&[], SURE);
    model.too_long = true;
    let outcome = ask(
        "Why?",
        Mode::Auto,
        false,
        &model,
        Some(&Sky::says("Because")),
    );
    assert_eq!(outcome.end().1.rule, "too-long");
    assert_eq!(
        ask("Why?", Mode::Device, false, &model, None).code(),
        "context_too_long"
    );
}

#[test]
fn a_lost_gpu_is_a_handover_or_its_own_error_with_what_was_said() {
    let mut model = Script::says(&["Hel"], SURE);
    model.tokens.push(Err(Error::WebgpuLost("reset".into())));
    let outcome = ask("Why?", Mode::Auto, false, &model, Some(&Sky::says("Hello")));
    assert_eq!(
        (outcome.end().0, outcome.end().1.rule.as_str()),
        ("Hello", "device-lost")
    );
    let outcome = ask("Why?", Mode::Device, false, &model, None);
    assert_eq!(
        (outcome.code(), outcome.partial.as_str()),
        ("webgpu_lost", "Hel")
    );
}

#[test]
fn without_a_gate_every_answer_of_the_device_stands() {
    let mut model = Script::says(&["Per", "haps"], UNSURE);
    model.gate = None;
    let outcome = ask("Why?", Mode::Auto, false, &model, Some(&Sky::says("never")));
    assert_eq!(
        (outcome.end().1.rule.as_str(), outcome.end().1.confidence),
        ("no-gate", None)
    );
}

const PERSONAL: &str = "My name is Ada Example, what now?";

#[test]
fn whoever_is_asked_and_says_no_has_nothing_sent() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    for mode in [Mode::Auto, Mode::Device] {
        let sky = Sky::says("never");
        let outcome = ask(PERSONAL, mode, Level::Ask, &model, Some(&sky));
        let (text, receipt) = outcome.end();
        assert_eq!((text, receipt.source), ("Perhaps", Source::Device));
        assert_eq!(receipt.bytes_sent, 0);
        assert!(sky.requests().is_empty());
        // Device only never asks.
        assert_eq!(sky.shown().len(), usize::from(mode == Mode::Auto));
    }
    let sky = Sky::says("never");
    let outcome = ask(PERSONAL, Mode::Cloud, Level::Ask, &model, Some(&sky));
    assert_eq!(outcome.code(), "consent_refused");
    assert!(sky.requests().is_empty());
}

#[test]
fn whoever_says_yes_has_sent_what_was_shown_and_to_whom() {
    for (mode, probability) in [(Mode::Auto, UNSURE), (Mode::Cloud, SURE)] {
        let model = Script::says(&["Per", "haps"], probability);
        let sky = Sky::says("Certainly").agreed();
        let outcome = ask(PERSONAL, mode, Level::Ask, &model, Some(&sky));
        let (text, receipt) = outcome.end();
        assert_eq!((text, receipt.source), ("Certainly", Source::Cloud));
        let shown = format!("{PERSONAL} to https://cloud.example/v1");
        assert_eq!(sky.shown(), [shown]);
        assert_eq!(sky.requests().len(), 1);
        assert!(sky.requests()[0].contains(PERSONAL));
        assert!(!sky.requests()[0].contains("Perhaps"));
    }
}

#[test]
fn one_yes_is_enough_for_another_try_at_the_same_cloud() {
    let model = Script::says(&["Per", "haps"], UNSURE);
    let busy = Error::CloudUnreachable("busy".into());
    let sky = Sky::new([Err(busy), Ok(said("Certainly"))]).agreed();
    let outcome = ask(PERSONAL, Mode::Auto, Level::Ask, &model, Some(&sky));
    assert_eq!(outcome.end().0, "Certainly");
    assert_eq!((sky.shown().len(), sky.requests().len()), (1, 2));
}

#[test]
fn a_sure_answer_asks_nobody_anything() {
    let model = Script::says(&["Hel", "lo", " you", ".", "", ""], SURE);
    let sky = Sky::says("never").agreed();
    let outcome = ask(PERSONAL, Mode::Auto, Level::Ask, &model, Some(&sky));
    assert_eq!(outcome.end().1.source, Source::Device);
    assert!(sky.shown().is_empty());
}

#[test]
fn an_answer_that_was_begun_is_not_sent_to_whom_the_person_was_only_asked_about_the_question() {
    let mut model = Script::says(&["Per", "haps"], SURE);
    model.break_off(Error::WebgpuLost("gone".into()));
    let sky = Sky::says("Certainly").agreed();
    let outcome = ask(PERSONAL, Mode::Auto, Level::Ask, &model, Some(&sky));
    assert_eq!(outcome.end().0, "Certainly");
    assert!(!sky.requests()[0].contains("x_continue"));
}
