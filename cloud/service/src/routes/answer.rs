//! Answers as they go out: collected, or as server-sent events.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use sprat_wire::{FinishReason, Usage};

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
    type Chunk: Serialize;
    /// The answer at once.
    type Whole: Serialize;

    /// What opens answer number `index`, if anything does.
    fn first(&mut self, index: usize) -> Option<Self::Chunk>;

    /// The chunk of one token, or none if there is nothing to say about it.
    fn token(&mut self, index: usize, token: Token) -> Option<Self::Chunk>;

    /// The end of an answer, and what was held back till then.
    fn last(&mut self, index: usize, finish: Finish) -> Vec<Self::Chunk>;

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
            Event::Started { .. } => {}
            Event::Token(token) => answers[index].tokens.push(token),
            Event::Finished(finish) => answers[index].finish = Some(finish),
        }
    }
    Ok(format.whole(answers, flights.usage()))
}

/// Sends the answers as they are made. Silence longer than `keep_alive` is filled with comments.
pub(super) fn stream<F: Format>(format: F, flights: Flights, keep_alive: Duration) -> Response {
    let writer = Writer::new(format, flights);
    let events = stream::unfold(writer, |mut writer| async move {
        writer.next().await.map(|event| (event, writer))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(keep_alive))
        .into_response();
    // nginx would hold the chunks back until its buffer is full.
    let buffering = HeaderName::from_static("x-accel-buffering");
    response
        .headers_mut()
        .insert(buffering, HeaderValue::from_static("no"));
    response
}

/// Turns engine events into stream events, pulled by the client's reading.
struct Writer<F> {
    format: F,
    flights: Option<Flights>,
    ready: VecDeque<Result<SseEvent, axum::Error>>,
}

impl<F: Format> Writer<F> {
    fn new(mut format: F, flights: Flights) -> Self {
        let first = (0..flights.len()).filter_map(|index| format.first(index));
        let ready = first.map(event).collect();
        Self {
            format,
            flights: Some(flights),
            ready,
        }
    }

    async fn next(&mut self) -> Option<Result<SseEvent, axum::Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let chunks = match self.flights.as_mut()?.next().await {
                Some((_, Ok(Event::Started { .. }))) => vec![],
                Some((index, Ok(Event::Token(token)))) => {
                    self.format.token(index, token).into_iter().collect()
                }
                Some((index, Ok(Event::Finished(finish)))) => self.format.last(index, finish),
                Some((_, Err(error))) => {
                    self.fail(error);
                    vec![]
                }
                None => {
                    self.end();
                    vec![]
                }
            };
            self.ready.extend(chunks.into_iter().map(event));
        }
    }

    fn end(&mut self) {
        let usage = self.flights.take().map(|flights| flights.usage());
        let usage = usage.and_then(|usage| self.format.usage(usage));
        self.ready.extend(usage.map(event));
        self.ready.push_back(Ok(SseEvent::default().data("[DONE]")));
    }

    /// The status is long sent, so the error comes as an event, and no `[DONE]` follows: a
    /// client must not take half an answer for a whole one.
    fn fail(&mut self, error: EngineError) {
        self.flights = None;
        let body = ApiError::from(error).body();
        self.ready.push_back(event(body));
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
    }
}

/// Whether a token has a log-probability of its own in the answer: the end token is no part of it, unless it released
/// text that was held back.
pub(super) fn is_reported(token: &Token) -> bool {
    !(token.end && token.text.is_empty())
}
