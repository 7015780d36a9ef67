//! Answers as they go out: collected, or as server-sent events.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use sprat_wire::{FinishReason, RouteRecord, Usage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tracing::Instrument;

use super::flight::Flights;
use crate::{ApiError, AppState, EngineError, EngineInfo, Event, Finish, Token};

/// What stands in every part of an answer.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: Option<String>,
}

impl Head {
    /// That of a new answer, whose id begins with `prefix`.
    pub(super) fn new(state: &AppState, info: &EngineInfo, prefix: &str) -> Self {
        // A clock before 1970 is no reason to refuse an answer.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: state.inner.new_id(prefix),
            created: now.as_secs(),
            model: info.id.clone(),
            fingerprint: info.fingerprint.clone(),
        }
    }
}

/// How one of OpenAI's APIs writes what engines report.
pub(super) trait Format: Send + 'static {
    /// An event of a stream.
    type Chunk: Serialize + Send;
    /// The answer at once.
    type Whole: Serialize;

    /// What opens answer number `index`, if anything does.
    fn first(&mut self, index: usize) -> Option<Self::Chunk>;

    /// The chunk of one token, or none if there is nothing to say about it.
    fn token(&mut self, index: usize, token: Token) -> Option<Self::Chunk>;

    /// The end of an answer, what was held back till then, and who gave it.
    fn last(
        &mut self,
        index: usize,
        finish: Finish,
        route: Option<RouteRecord>,
    ) -> Vec<Self::Chunk>;

    /// Token counts, behind all answers, if they were asked for.
    fn usage(&mut self, usage: Usage) -> Option<Self::Chunk>;

    /// All answers at once.
    fn whole(self, answers: Vec<Collected>, usage: Usage) -> Self::Whole;
}

/// A whole answer.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) tokens: Vec<Token>,
    pub(super) finish: Option<Finish>,
    pub(super) route: Option<RouteRecord>,
}

/// Waits for the whole answers.
pub(super) async fn collect<F: Format>(
    format: F,
    mut flights: Flights,
) -> Result<F::Whole, EngineError> {
    let mut answers: Vec<Collected> = Vec::new();
    answers.resize_with(flights.len(), Collected::default);
    while let Some((index, event)) = flights.next().await {
        match event? {
            Event::Started { .. } | Event::Judged(_) | Event::Counted(_) => {}
            Event::Token(token) => answers[index].tokens.push(token),
            Event::Route(route) => answers[index].route = Some(route.into()),
            Event::Finished(finish) => answers[index].finish = Some(finish),
        }
    }
    Ok(format.whole(answers, flights.usage()))
}

/// Events that a client may be behind before its stream waits for it.
const BEHIND: usize = 256;

/// Sends the answers as they are made. Silence longer than the keep-alive pause is filled with comments.
///
/// A task of its own takes them from the engine, so that a client that does not read is noticed: after the read timeout its
/// answers end and their places are free. When the client goes away, so does the task.
pub(super) fn stream<F: Format>(state: &AppState, format: F, flights: Flights) -> Response {
    let (events, written) = mpsc::channel(BEHIND);
    let writer = Writer {
        format,
        flights,
        routes: HashMap::new(),
        events,
        patience: state.inner.limits.read_timeout,
    };
    tokio::spawn(writer.run().in_current_span());
    let written = stream::unfold(written, |mut written| async move {
        written.recv().await.map(|event| (event, written))
    });
    let keep_alive = KeepAlive::new().interval(state.inner.keep_alive);
    let mut response = Sse::new(written).keep_alive(keep_alive).into_response();
    // nginx would hold the chunks back until its buffer is full.
    let buffering = HeaderName::from_static("x-accel-buffering");
    response
        .headers_mut()
        .insert(buffering, HeaderValue::from_static("no"));
    response
}

type Written = Result<SseEvent, axum::Error>;

/// Turns engine events into stream events.
struct Writer<F> {
    format: F,
    flights: Flights,
    /// Of the answers that have not ended.
    routes: HashMap<usize, RouteRecord>,
    events: mpsc::Sender<Written>,
    /// How long the client may leave events unread.
    patience: Duration,
}

/// The client is gone or does not read.
struct Gone;

impl<F: Format> Writer<F> {
    async fn run(mut self) {
        // Dropping the flights is all there is to do about a client that is gone.
        let _ = self.write().await;
    }

    async fn write(&mut self) -> Result<(), Gone> {
        for index in 0..self.flights.len() {
            if let Some(chunk) = self.format.first(index) {
                self.send(event(chunk)).await?;
            }
        }
        while let Some((index, happened)) = self.next().await? {
            let chunks = match happened {
                Ok(Event::Started { .. } | Event::Judged(_) | Event::Counted(_)) => vec![],
                Ok(Event::Route(route)) => {
                    self.routes.insert(index, route.into());
                    vec![]
                }
                Ok(Event::Token(token)) => self.format.token(index, token).into_iter().collect(),
                Ok(Event::Finished(finish)) => {
                    let route = self.routes.remove(&index);
                    self.format.last(index, finish, route)
                }
                // The status is long sent, so the error comes as an event, and no `[DONE]` follows: a client must not
                // take half an answer for a whole one.
                Err(error) => return self.send(event(ApiError::from(error).body())).await,
            };
            for chunk in chunks {
                self.send(event(chunk)).await?;
            }
        }
        if let Some(chunk) = self.format.usage(self.flights.usage()) {
            self.send(event(chunk)).await?;
        }
        self.send(Ok(SseEvent::default().data("[DONE]"))).await
    }

    async fn next(&mut self) -> Result<Option<(usize, Result<Event, EngineError>)>, Gone> {
        tokio::select! {
            biased;
            () = self.events.closed() => Err(Gone),
            next = self.flights.next() => Ok(next),
        }
    }

    async fn send(&mut self, event: Written) -> Result<(), Gone> {
        match self.events.send_timeout(event, self.patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(Gone),
            Err(SendTimeoutError::Timeout(_)) => {
                tracing::warn!("stream cut: the client does not read");
                Err(Gone)
            }
        }
    }
}

fn event(chunk: impl Serialize) -> Result<SseEvent, axum::Error> {
    SseEvent::default().json_data(chunk)
}

/// OpenAI's word for it.
pub(super) fn finish_reason(finish: Finish) -> FinishReason {
    match finish {
        Finish::Stop => FinishReason::Stop,
        Finish::Length => FinishReason::Length,
        Finish::ContentFilter => FinishReason::ContentFilter,
    }
}

/// Whether a token has a log-probability of its own in the answer: the end token is no part of it, unless it released
/// text that was held back. One that the engine does not know is left out.
pub(super) fn is_reported(token: &Token) -> bool {
    let is_silent = token.end && token.text.is_empty();
    !is_silent && !token.logprob.is_nan()
}
