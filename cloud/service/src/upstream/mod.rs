//! Another server as an engine: anything that speaks OpenAI's protocol.
//!
//! ```text
//! start ─▶ budget, places, breaker ─▶ send ──▶ status, first event ─▶ tokens ─▶ bill
//!                                      ▲  │ no connection, 408, 429, 500, 502, 503, 504
//!                                      └──┘
//! ```
//!
//! A request is sent again only while the server has certainly not begun to answer, and never after the first token: two
//! halves of two answers are none. What the server says of an error is not repeated, as it may hold what a person wrote.

mod breaker;
mod client;
mod error;
mod ledger;
mod options;
mod read;
mod request;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::{BodyDataStream, Bytes};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::{
    Counts, Engine, EngineError, EngineInfo, EngineState, Event, Finish, Job, JobHandle, JobSink,
    Price, Route, Rule, ServiceError, UpstreamLoad, channel,
};
use breaker::{Breaker, Pass};
use client::{Client, Failed};
use ledger::{Bill, Ledger};
use options::seconds;
use read::Reader;
use request::Api;

pub use error::{UpstreamError, Wait};
pub use options::{Secret, UpstreamOptions};

/// Another server's model.
pub struct Upstream {
    shared: Arc<Shared>,
    device: String,
    created: u64,
    places: Arc<Semaphore>,
}

/// What all answers need.
struct Shared {
    options: UpstreamOptions,
    client: Client,
    breaker: Arc<Breaker>,
    ledger: Arc<Ledger>,
    tries: AtomicU64,
    failures: AtomicU64,
}

impl Upstream {
    /// A server that is called when it is first needed, with the key from [`UpstreamOptions::key_env`].
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if an option is wrong or the key is missing.
    pub fn new(options: UpstreamOptions) -> Result<Self, ServiceError> {
        let key = options.key()?;
        Self::with_key(options, key)
    }

    /// As [`Upstream::new`], with a key from elsewhere.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if an option is wrong.
    pub fn with_key(options: UpstreamOptions, key: Option<Secret>) -> Result<Self, ServiceError> {
        options.check()?;
        let host = options.address()?.host;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let client = Client::new(&options, key.as_ref())?;
        Ok(Self {
            device: format!("upstream {host}"),
            created: now.unwrap_or_default().as_secs(),
            places: Arc::new(Semaphore::new(
                options.max_concurrent.min(Semaphore::MAX_PERMITS),
            )),
            shared: Arc::new(Shared {
                client,
                breaker: Breaker::new(options.breaker_failures, seconds(options.breaker_seconds)),
                ledger: Ledger::new(&options),
                tries: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                options,
            }),
        })
    }
}

impl Engine for Upstream {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            text_id: None,
            id: self.shared.options.id.clone(),
            device: self.device.clone(),
            context: self.shared.options.context,
            created: self.created,
            fingerprint: None,
            // A server that rests is no reason to take this one out of service: others may answer.
            state: EngineState::Ready,
        }
    }

    fn price(&self) -> Price {
        Price {
            prompt_usd_per_million: self.shared.options.prompt_usd_per_million,
            completion_usd_per_million: self.shared.options.completion_usd_per_million,
        }
    }

    fn start(&self, job: Job) -> Result<JobHandle, EngineError> {
        let api = request::api(&job.prompt)?;
        let body = request::body(&job, &self.shared.options)?;
        if self.shared.ledger.is_spent() {
            return Err(UpstreamError::BudgetSpent.into());
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| EngineError::Busy)?;
        let pass = self.shared.pass()?;
        let shared = Arc::clone(&self.shared);
        let (sink, handle) = channel();
        let answering = async move {
            let _place = place;
            let whole = seconds(shared.options.total_timeout_seconds);
            let answer = timeout(whole, shared.answer(&job, api, body, pass, &sink));
            // Leaving this drops the connection, which is how the other server learns of it.
            let answered = tokio::select! {
                answered = answer => answered,
                () = sink.closed() => return,
            };
            let late = || {
                shared.failures.fetch_add(1, Ordering::Relaxed);
                Err(UpstreamError::TimedOut(Wait::Whole))
            };
            if let Err(error) = answered.unwrap_or_else(|_| late()) {
                sink.fail(error.into());
            }
        };
        // In the request's span, so that logs have its id.
        tokio::spawn(answering.in_current_span());
        Ok(handle)
    }

    fn upstream(&self) -> Option<UpstreamLoad> {
        Some(UpstreamLoad {
            tries: self.shared.tries.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
            cost_usd: self.shared.ledger.spent(),
        })
    }
}

impl Shared {
    fn pass(&self) -> Result<Pass, UpstreamError> {
        let pass = self.breaker.enter(Instant::now());
        pass.map_err(|retry_after| UpstreamError::Resting { retry_after })
    }

    /// Tries until there is an answer, or no hope.
    async fn answer(
        &self,
        job: &Job,
        api: Api,
        body: Bytes,
        mut pass: Pass,
        sink: &JobSink,
    ) -> Result<(), UpstreamError> {
        let mut tries = 1;
        loop {
            self.tries.fetch_add(1, Ordering::Relaxed);
            let bill = || self.ledger.bill(&job.prompt);
            let tried = self.once(api, body.clone(), bill, tries, &mut pass, sink);
            let Failed {
                error,
                again,
                fault,
            } = match tried.await {
                Ok(()) => {
                    pass.succeeded();
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.failures.fetch_add(1, Ordering::Relaxed);
            let model = &*self.options.id;
            if fault {
                tracing::warn!(model, tries, %error, "upstream failed");
            } else {
                tracing::info!(model, tries, %error, "upstream refused");
            }
            match (fault, &error) {
                (true, _) => pass.failed(Instant::now()),
                // Too busy is neither sound nor broken.
                (false, UpstreamError::Status { status: 429, .. }) => drop(pass),
                (false, _) => pass.succeeded(),
            }
            if !again || tries >= self.options.max_tries {
                return Err(error);
            }
            sleep(self.pause(tries, &error)).await;
            // It may have failed others meanwhile; what it told us says more than that it rests.
            let Ok(next) = self.pass() else {
                return Err(error);
            };
            pass = next;
            tries += 1;
        }
    }

    /// How long to wait after so many tries: any time up to a limit that doubles, so that clients that failed together don't
    /// come back together; but not less than the server asks for, within reason.
    fn pause(&self, tries: u32, error: &UpstreamError) -> Duration {
        let most = seconds(self.options.max_backoff_seconds);
        let doubled = 2f64.powi(tries.min(32) as i32 - 1) * self.options.backoff_seconds;
        let limit = seconds(doubled.min(self.options.max_backoff_seconds));
        let asked = match error {
            UpstreamError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        limit.mul_f64(random()).max(asked).min(most)
    }

    /// One try.
    async fn once(
        &self,
        api: Api,
        body: Bytes,
        bill: impl FnOnce() -> Bill,
        tries: u32,
        pass: &mut Pass,
        sink: &JobSink,
    ) -> Result<(), Failed> {
        let first = seconds(self.options.first_byte_timeout_seconds);
        let late = |wait| Failed::finally(UpstreamError::TimedOut(wait));
        let began = Instant::now();
        let sent = timeout(first, self.client.send(api, body)).await;
        let response = sent.map_err(|_| late(Wait::FirstByte))??;
        let mut answer = Answer {
            frames: response.into_data_stream(),
            reader: Reader::new(api),
            bill: bill(),
            started: false,
            tokens: 0,
            sink,
        };
        let mut limit = first.saturating_sub(began.elapsed());
        let mut wait = Wait::FirstByte;
        let next = seconds(self.options.event_timeout_seconds);
        while !answer.reader.is_done() {
            match timeout(limit, answer.frames.next()).await {
                Ok(Some(Ok(bytes))) => answer.take(&bytes).map_err(Failed::finally)?,
                // Only the counts are missing, or nothing at all.
                _ if answer.reader.is_complete() => break,
                Ok(Some(Err(_))) => return Err(Failed::finally(UpstreamError::Broken)),
                Ok(None) => break,
                Err(_) => return Err(late(wait)),
            }
            if answer.started {
                pass.begun();
            }
            (limit, wait) = (next, Wait::NextEvent);
        }
        answer.end(&self.options, tries).map_err(Failed::finally)
    }
}

/// An answer that is being read.
struct Answer<'a> {
    frames: BodyDataStream,
    reader: Reader,
    bill: Bill,
    started: bool,
    /// Tokens passed on.
    tokens: usize,
    sink: &'a JobSink,
}

impl Answer<'_> {
    /// Passes on what has come.
    fn take(&mut self, bytes: &[u8]) -> Result<(), UpstreamError> {
        let mut tokens = Vec::new();
        let read = self.reader.push(bytes, &mut tokens);
        if self.reader.has_begun() {
            self.start();
        }
        self.tokens += tokens.len();
        for token in tokens {
            self.sink.send(Event::Token(token));
        }
        match self.reader.counts() {
            Some(counts) => self.bill.counts = counts,
            None => self.bill.counts.completion = self.tokens,
        }
        read
    }

    /// The first chunk means that the prompt was accepted. How many tokens it has comes at the end.
    fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            self.sink.send(Event::Started {
                prompt_tokens: 0,
                cached_tokens: 0,
            });
        }
    }

    /// Passes on the end and closes the bill.
    fn end(mut self, options: &UpstreamOptions, tries: u32) -> Result<(), UpstreamError> {
        let counts = self.reader.counts();
        if self.reader.is_complete() {
            self.start();
        }
        let finish = self.reader.end()?;
        let cost = self.bill.usd();
        drop(self.bill);
        report(
            self.sink,
            counts,
            finish,
            Route {
                target: options.id.clone(),
                rule: Rule::Upstream,
                confidence: None,
                weighed: None,
                votes: None,
                cost_usd: options.is_priced().then_some(cost),
                tries,
            },
        );
        // A response that is read to its end leaves a connection for the next request.
        tokio::spawn(timeout(Duration::from_secs(1), drain(self.frames)));
        Ok(())
    }
}

fn report(sink: &JobSink, counts: Option<Counts>, finish: Finish, route: Route) {
    if let Some(counts) = counts {
        sink.send(Event::Counted(counts));
    }
    sink.send(Event::Route(route));
    sink.send(Event::Finished(finish));
}

async fn drain(mut frames: BodyDataStream) {
    while let Some(Ok(_)) = frames.next().await {}
}

/// A number from 0 to 1; it need not be secret.
fn random() -> f64 {
    // The keys differ from call to call.
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
