//! An engine that does what a test says.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite uses its own part of this"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sprat_service::*;
use tokio::sync::{Semaphore, watch};

/// What a job does next.
#[derive(Clone, Debug)]
pub enum Act {
    Say(&'static str, f32),
    /// A gate's word: how likely it is right, and whether it is lost.
    Judge(f32, bool),
    Route(f64, u32),
    /// Nothing, until the test opens the gate.
    Wait,
    /// Nothing, until it is cancelled.
    Hang,
    Finish(Finish),
    Fail(EngineError),
}

pub use Act::{Fail, Hang, Say, Wait};

pub const STOP: Act = Act::Finish(Finish::Stop);

/// Each job does the next script, and the last one again when there are no more.
pub struct Scripted {
    pub id: &'static str,
    pub judges: bool,
    pub price: Price,
    scripts: Vec<Vec<Act>>,
    pub jobs: Mutex<Vec<Job>>,
    pub gate: Arc<Semaphore>,
    /// Jobs that were cancelled.
    pub cancelled: watch::Sender<usize>,
    /// Jobs that came to a wait, or hang.
    pub waiting: watch::Sender<usize>,
}

impl Scripted {
    pub fn new(id: &'static str, script: Vec<Act>) -> Arc<Self> {
        Self::many(id, vec![script])
    }

    pub fn many(id: &'static str, scripts: Vec<Vec<Act>>) -> Arc<Self> {
        Self::made(id, scripts, |_| {})
    }

    /// One that is not like others.
    pub fn made(
        id: &'static str,
        scripts: Vec<Vec<Act>>,
        change: impl FnOnce(&mut Self),
    ) -> Arc<Self> {
        let mut made = Self {
            id,
            judges: false,
            price: Price::default(),
            scripts,
            jobs: Mutex::default(),
            gate: Arc::new(Semaphore::new(0)),
            cancelled: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
        };
        change(&mut made);
        Arc::new(made)
    }

    pub fn asked(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    pub async fn wait_cancelled(&self, times: usize) {
        reaches(&self.cancelled, times).await;
    }

    pub async fn wait_waiting(&self, times: usize) {
        reaches(&self.waiting, times).await;
    }
}

/// The limit is there only so that a bug fails instead of hanging.
async fn reaches(count: &watch::Sender<usize>, times: usize) {
    let mut count = count.subscribe();
    let reached = count.wait_for(|count| *count >= times);
    let reached = tokio::time::timeout(Duration::from_secs(60), reached).await;
    reached.expect("it does not happen").unwrap();
}

impl Engine for Scripted {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            text_id: None,
            id: self.id.to_owned(),
            device: "script".to_owned(),
            context: Some(100),
            created: 1_700_000_000,
            fingerprint: None,
            state: EngineState::Ready,
        }
    }

    fn judges(&self) -> bool {
        self.judges
    }

    fn price(&self) -> Price {
        self.price
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let number = {
            let mut jobs = self.jobs.lock().unwrap();
            jobs.push(job);
            jobs.len() - 1
        };
        let script = self.scripts[number.min(self.scripts.len() - 1)].clone();
        let (gate, waiting) = (Arc::clone(&self.gate), self.waiting.clone());
        let (cancelled, id) = (self.cancelled.clone(), self.id);
        let (sink, handle) = channel();
        // The length of the id tells apart whose prompt was counted.
        let prompt_tokens = self.id.len();
        tokio::spawn(async move {
            sink.send(Event::Started {
                prompt_tokens,
                cached_tokens: 0,
            });
            for act in script {
                let event = match act {
                    Say(text, logprob) => Event::Token(Token {
                        text: text.to_owned(),
                        logprob,
                        ..Token::default()
                    }),
                    Act::Judge(right, lost) => Event::Judged(Judgement { right, lost }),
                    Act::Route(cost, tries) => Event::Route(Route {
                        target: id.to_owned(),
                        rule: Rule::Upstream,
                        confidence: None,
                        weighed: None,
                        votes: None,
                        cost_usd: Some(cost),
                        tries,
                    }),
                    Act::Finish(finish) => Event::Finished(finish),
                    Fail(error) => return sink.fail(error),
                    Wait | Hang => {
                        waiting.send_modify(|waiting| *waiting += 1);
                        let open = async {
                            match act {
                                Wait => gate.acquire().await.unwrap().forget(),
                                _ => std::future::pending().await,
                            }
                        };
                        tokio::select! {
                            biased;
                            () = sink.closed() => {
                                cancelled.send_modify(|cancelled| *cancelled += 1);
                                return;
                            }
                            () = open => continue,
                        }
                    }
                };
                if !sink.send(event) {
                    cancelled.send_modify(|cancelled| *cancelled += 1);
                    return;
                }
            }
        });
        Ok(handle)
    }
}

/// An answer as it came.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    pub tokens: usize,
    pub started: Option<usize>,
    pub counts: Option<Counts>,
    pub route: Option<Route>,
    pub ended: Option<Result<Finish, EngineError>>,
}

impl Answer {
    pub fn rule(&self) -> Rule {
        self.route.as_ref().unwrap().rule
    }

    pub fn target(&self) -> &str {
        &self.route.as_ref().unwrap().target
    }
}

/// Reads a job to its end, and checks the order of its events.
pub async fn read(handle: &mut JobHandle) -> Answer {
    let mut answer = Answer::default();
    loop {
        match handle.next().await.map(|stamped| stamped.event) {
            Ok(Event::Started { prompt_tokens, .. }) => {
                assert_eq!(
                    answer.started.replace(prompt_tokens),
                    None,
                    "it starts once"
                );
            }
            Ok(Event::Token(token)) => {
                assert!(answer.started.is_some() && answer.route.is_none());
                answer.text += &token.text;
                answer.tokens += 1;
            }
            Ok(Event::Judged(_)) => panic!("nobody asked for it"),
            Ok(Event::Counted(counts)) => answer.counts = Some(counts),
            Ok(Event::Route(route)) => assert_eq!(answer.route.replace(route), None),
            Ok(Event::Finished(finish)) => {
                assert!(answer.started.is_some());
                answer.ended = Some(Ok(finish));
                return answer;
            }
            Err(error) => {
                answer.ended = Some(Err(error));
                return answer;
            }
        }
    }
}
