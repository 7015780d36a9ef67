//! The engine's events as OpenAI's answers: one completion, or a stream of chunks.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use sprat_wire::{
    Answer, ChatRequest, Choice, Chunk, ChunkChoice, Completion, Delta, FinishReason, Logprobs,
    Role, TokenLogprob, TopLogprob, Usage,
};

use super::run::Flight;
use crate::{ApiError, AppState, EngineError, EngineInfo, Event, Finish, Token};

/// What stands in every part of one answer.
pub(super) struct Reply {
    id: String,
    created: u64,
    model: String,
    fingerprint: Option<String>,
    include_usage: bool,
    logprobs: bool,
}

impl Reply {
    pub(super) fn new(state: &AppState, info: &EngineInfo, request: &ChatRequest) -> Self {
        // A clock before 1970 is no reason to refuse an answer.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: state.inner.new_id("chatcmpl-"),
            created: now.as_secs(),
            model: info.id.clone(),
            fingerprint: info.fingerprint.clone(),
            include_usage: request.include_usage(),
            logprobs: request.logprobs == Some(true),
        }
    }

    /// A chunk with one choice.
    fn chunk(&self, choice: ChunkChoice) -> Chunk {
        Chunk {
            id: self.id.clone(),
            object: Chunk::OBJECT.to_owned(),
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices: vec![choice],
            usage: self.include_usage.then_some(None),
        }
    }

    /// The chunk of one token, or none if there is nothing to say about it.
    fn token_chunk(&self, token: Token) -> Option<Chunk> {
        let logprobs = self.logprob(&token).map(|entry| Logprobs {
            content: vec![entry],
            refusal: None,
        });
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        let delta = Delta {
            role: None,
            content: Some(token.text),
        };
        Some(self.chunk(ChunkChoice {
            delta,
            logprobs,
            ..ChunkChoice::default()
        }))
    }

    /// The token's log-probabilities, if they were asked for. The end token is no part of the
    /// answer, so it has none, unless it released text that was held back.
    fn logprob(&self, token: &Token) -> Option<TokenLogprob> {
        (self.logprobs && !(token.end && token.text.is_empty())).then(|| token_logprob(token))
    }

    fn first_chunk(&self) -> Chunk {
        let delta = Delta {
            role: Some(Role::Assistant),
            content: Some(String::new()),
        };
        self.chunk(ChunkChoice {
            delta,
            ..ChunkChoice::default()
        })
    }

    fn last_chunk(&self, finish: Finish) -> Chunk {
        let finish_reason = Some(finish_reason(finish));
        self.chunk(ChunkChoice {
            finish_reason,
            ..ChunkChoice::default()
        })
    }

    fn usage_chunk(&self, usage: Usage) -> Chunk {
        let mut chunk = self.chunk(ChunkChoice::default());
        chunk.choices.clear();
        chunk.usage = Some(Some(usage));
        chunk
    }
}

/// Waits for the whole answer.
pub(super) async fn collect(reply: Reply, mut flight: Flight) -> Result<Completion, EngineError> {
    let mut text = String::new();
    let mut content = Vec::new();
    let finish = loop {
        match flight.next().await? {
            Event::Started { .. } => {}
            Event::Token(token) => {
                text.push_str(&token.text);
                content.extend(reply.logprob(&token));
            }
            Event::Finished(finish) => break finish,
        }
    };
    Ok(Completion {
        id: reply.id,
        object: Completion::OBJECT.to_owned(),
        created: reply.created,
        model: reply.model,
        system_fingerprint: reply.fingerprint,
        choices: vec![Choice {
            index: 0,
            message: Answer {
                role: Role::Assistant,
                content: Some(text),
                refusal: None,
            },
            logprobs: reply.logprobs.then_some(Logprobs {
                content,
                refusal: None,
            }),
            finish_reason: Some(finish_reason(finish)),
        }],
        usage: Some(usage(&flight)),
    })
}

/// Sends the answer as it is made. Silence longer than `keep_alive` is filled with comments.
pub(super) fn stream(reply: Reply, flight: Flight, keep_alive: Duration) -> Response {
    let writer = Writer::new(reply, flight);
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
struct Writer {
    reply: Reply,
    flight: Option<Flight>,
    ready: VecDeque<Result<SseEvent, axum::Error>>,
}

impl Writer {
    fn new(reply: Reply, flight: Flight) -> Self {
        let mut writer = Self {
            reply,
            flight: Some(flight),
            ready: VecDeque::new(),
        };
        writer.push(writer.reply.first_chunk());
        writer
    }

    fn push(&mut self, chunk: Chunk) {
        self.ready.push_back(SseEvent::default().json_data(chunk));
    }

    async fn next(&mut self) -> Option<Result<SseEvent, axum::Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.flight.as_mut()?.next().await {
                Ok(Event::Started { .. }) => {}
                Ok(Event::Token(token)) => {
                    if let Some(chunk) = self.reply.token_chunk(token) {
                        self.push(chunk);
                    }
                }
                Ok(Event::Finished(finish)) => self.finish(finish),
                Err(error) => self.fail(error),
            }
        }
    }

    fn finish(&mut self, finish: Finish) {
        self.push(self.reply.last_chunk(finish));
        if let Some(flight) = self.flight.take()
            && self.reply.include_usage
        {
            self.push(self.reply.usage_chunk(usage(&flight)));
        }
        self.ready.push_back(Ok(SseEvent::default().data("[DONE]")));
    }

    /// The status is long sent, so the error comes as an event, and no `[DONE]` follows: a
    /// client must not take half an answer for a whole one.
    fn fail(&mut self, error: EngineError) {
        self.flight = None;
        let body = ApiError::from(error).body();
        self.ready.push_back(SseEvent::default().json_data(body));
    }
}

fn usage(flight: &Flight) -> Usage {
    Usage::new(
        flight.prompt_tokens,
        flight.cached_tokens,
        flight.completion_tokens,
    )
}

fn finish_reason(finish: Finish) -> FinishReason {
    match finish {
        Finish::Stop => FinishReason::Stop,
        Finish::Length => FinishReason::Length,
    }
}

fn token_logprob(token: &Token) -> TokenLogprob {
    let top = token.top.iter().map(|other| TopLogprob {
        token: other.text.clone(),
        logprob: other.logprob,
        bytes: Some(other.text.clone().into_bytes()),
    });
    TokenLogprob {
        token: token.text.clone(),
        logprob: token.logprob,
        bytes: Some(token.text.clone().into_bytes()),
        top_logprobs: top.collect(),
    }
}
