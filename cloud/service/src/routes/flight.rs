//! Answers in the making: their places in the house, their engine's events, their figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat_wire::Usage;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing::field::Empty;

use crate::admission::Permit;
use crate::keys::Client;
use crate::metrics::{Decisions, ModelMetrics};
use crate::{
    ApiError, AppState, Counts, Engine, EngineError, EngineInfo, EngineState, Event, Finish, Job,
    JobHandle,
};

/// The answers to one request: `n` to each prompt, one prompt after the other.
pub(super) struct Flights {
    flights: Vec<Flight>,
    n: usize,
}

impl Flights {
    /// Finds places for all and hands the jobs to the engine.
    pub(super) fn start(
        state: &AppState,
        engine: &dyn Engine,
        info: &EngineInfo,
        jobs: Vec<Job>,
        n: usize,
        client: Option<&Arc<Client>>,
    ) -> Result<Self, ApiError> {
        let start = |job| Flight::start(state, engine, info, job, client.cloned());
        let flights = jobs.into_iter().map(start);
        let flights = flights.collect::<Result<Vec<_>, _>>();
        let flights = flights.inspect_err(|error| {
            if matches!(
                error,
                ApiError::Overloaded { .. } | ApiError::Engine(EngineError::Busy)
            ) {
                state.inner.metrics.rejected.increment(1);
            }
        })?;
        Ok(Self { flights, n })
    }

    /// Waits until the engine accepts all prompts.
    pub(super) async fn accepted(&mut self) -> Result<(), EngineError> {
        for flight in &mut self.flights {
            flight.accepted().await?;
        }
        Ok(())
    }

    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// The next event of any answer, and which one's; none when all have ended.
    pub(super) async fn next(&mut self) -> Option<(usize, Result<Event, EngineError>)> {
        let flying = self.flights.iter_mut().enumerate();
        let flying = flying.filter(|(_, flight)| flight.phase != Phase::Ended);
        // Nothing is lost of those that are not first: an event is taken by whoever reports it.
        let next = flying.map(|(i, flight)| Box::pin(async move { (i, flight.next().await) }));
        let next: Vec<_> = next.collect();
        match next.is_empty() {
            true => None,
            false => Some(futures::future::select_all(next).await.0),
        }
    }

    /// Tokens of all of them; a prompt counts once.
    pub(super) fn usage(&self) -> Usage {
        let prompts = self.flights.iter().step_by(self.n.max(1));
        let (prompt, cached) = prompts.fold((0u32, 0u32), |(prompt, cached), flight| {
            (
                prompt.saturating_add(flight.prompt_tokens),
                cached.saturating_add(flight.cached_tokens),
            )
        });
        let completion = self.flights.iter().map(|flight| flight.completion_tokens);
        Usage::new(prompt, cached, completion.fold(0, u32::saturating_add))
    }
}

/// An answer in the making. Dropping it cancels the job, frees the place and settles the figures,
/// so a client that goes away is handled by going out of scope.
struct Flight {
    handle: JobHandle,
    cancel: CancellationToken,
    metrics: ModelMetrics,
    decisions: Decisions,
    began: Instant,
    /// How long it may take.
    limit: Duration,
    last_token: Option<Instant>,
    phase: Phase,
    /// Part of the request's: what traces say of the answer.
    span: Span,
    client: Option<Arc<Client>>,
    /// Tokens of the prompt.
    prompt_tokens: u32,
    /// Those of them that needed no computing.
    cached_tokens: u32,
    /// Tokens generated so far.
    completion_tokens: u32,
    _permit: Permit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Ended,
}

impl Flight {
    /// Finds a place and hands the job to the engine.
    fn start(
        state: &AppState,
        engine: &dyn Engine,
        info: &EngineInfo,
        job: Job,
        client: Option<Arc<Client>>,
    ) -> Result<Self, ApiError> {
        if state.inner.is_draining() {
            return Err(EngineError::ShuttingDown.into());
        }
        match &info.state {
            EngineState::Ready => {}
            EngineState::Loading => return Err(EngineError::Loading.into()),
            EngineState::Failed(reason) => {
                return Err(EngineError::Failed {
                    reason: reason.clone(),
                }
                .into());
            }
        }
        let permit = state.inner.admission.enter()?;
        let handle = engine.start(job)?;
        let metrics = state.inner.metrics.model(&info.id);
        metrics.waiting.increment(1.0);
        Ok(Self {
            handle,
            cancel: state.inner.cancel.clone(),
            metrics,
            decisions: state.inner.metrics.decisions(),
            began: Instant::now(),
            limit: state.inner.limits.answer_timeout,
            last_token: None,
            phase: Phase::Waiting,
            span: tracing::info_span!(
                "answer",
                gen_ai.request.model = info.id,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
                cached_tokens = Empty,
                first_token_ms = Empty,
                finish = Empty,
            ),
            client,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            _permit: permit,
        })
    }

    /// Waits until the engine accepts the prompt.
    async fn accepted(&mut self) -> Result<(), EngineError> {
        match self.next().await? {
            Event::Started { .. } => Ok(()),
            // An engine that breaks its word.
            _ => Err(self.fail(EngineError::Generation)),
        }
    }

    /// The engine's next event.
    async fn next(&mut self) -> Result<Event, EngineError> {
        let stamped = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(EngineError::ShuttingDown),
            () = tokio::time::sleep_until((self.began + self.limit).into()) => {
                Err(EngineError::TookTooLong { limit: self.limit })
            }
            event = self.handle.next() => event,
        };
        let stamped = stamped.map_err(|error| self.fail(error))?;
        match &stamped.event {
            Event::Started {
                prompt_tokens,
                cached_tokens,
            } => {
                self.started(*prompt_tokens, *cached_tokens);
            }
            Event::Token(_) => self.token(stamped.at),
            Event::Judged(_) => {}
            Event::Counted(counts) => self.counted(counts),
            Event::Route(route) => self.decisions.routed(route),
            Event::Finished(finish) => self.finished(*finish),
        }
        Ok(stamped.event)
    }

    fn started(&mut self, prompt: usize, cached: usize) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Running;
            self.metrics.waiting.decrement(1.0);
            self.metrics.running.increment(1.0);
        }
        self.prompt_tokens = u32::try_from(prompt).unwrap_or(u32::MAX);
        self.charge(self.prompt_tokens);
        self.span.record("gen_ai.usage.input_tokens", prompt);
        self.span.record("cached_tokens", cached);
        self.cached_tokens = u32::try_from(cached).unwrap_or(u32::MAX);
        self.metrics.prompt_tokens.increment(prompt as u64);
        self.metrics.cache_queries.increment(prompt as u64);
        self.metrics.cache_hits.increment(cached as u64);
    }

    fn token(&mut self, at: Instant) {
        self.completion_tokens = self.completion_tokens.saturating_add(1);
        self.metrics.generated_tokens.increment(1);
        self.charge(1);
        match self.last_token.replace(at) {
            None => {
                let took = at.saturating_duration_since(self.began);
                self.metrics.first_token.record(took);
                self.span.record("first_token_ms", took.as_millis() as u64);
            }
            Some(last) => self
                .metrics
                .next_token
                .record(at.saturating_duration_since(last)),
        }
    }

    /// What was reported so far was a guess; figures only ever grow.
    fn counted(&mut self, counts: &Counts) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let more = |now: u32, before: u32| u64::from(now.saturating_sub(before));
        let (prompt, cached) = (count(counts.prompt), count(counts.cached));
        let completion = count(counts.completion);
        let prompt_more = more(prompt, self.prompt_tokens);
        self.metrics.prompt_tokens.increment(prompt_more);
        self.metrics.cache_queries.increment(prompt_more);
        let cached_more = more(cached, self.cached_tokens);
        self.metrics.cache_hits.increment(cached_more);
        let generated_more = more(completion, self.completion_tokens);
        self.metrics.generated_tokens.increment(generated_more);
        self.charge(u32::try_from(prompt_more + generated_more).unwrap_or(u32::MAX));
        (self.prompt_tokens, self.cached_tokens) = (prompt, cached);
        self.completion_tokens = completion;
        self.span.record("gen_ai.usage.input_tokens", prompt);
    }

    /// Counts tokens against the limit of whoever asked.
    fn charge(&self, tokens: u32) {
        if let Some(client) = &self.client {
            client.used(tokens, Instant::now());
        }
    }

    fn finished(&mut self, finish: Finish) {
        match finish {
            Finish::Stop => self.metrics.stopped.increment(1),
            Finish::Length => self.metrics.cut.increment(1),
            Finish::ContentFilter => self.metrics.filtered.increment(1),
        }
        self.metrics.whole.record(self.began.elapsed());
        self.land(match finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
        });
    }

    fn fail(&mut self, error: EngineError) -> EngineError {
        self.metrics.failed.increment(1);
        let tokens = self.completion_tokens;
        if error.is_the_requests() {
            tracing::info!(%error, "prompt refused");
        } else {
            tracing::warn!(%error, tokens, "answer failed");
        }
        self.land("error");
        error
    }

    fn land(&mut self, finish: &'static str) {
        let tokens = self.completion_tokens;
        self.span.record("gen_ai.usage.output_tokens", tokens);
        self.span.record("finish", finish);
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Waiting => self.metrics.waiting.decrement(1.0),
            Phase::Running => self.metrics.running.decrement(1.0),
            Phase::Ended => {}
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.phase != Phase::Ended {
            self.metrics.cancelled.increment(1);
            tracing::info!(
                tokens = self.completion_tokens,
                "answer cancelled: the client is gone"
            );
            self.land("cancelled");
        }
    }
}
