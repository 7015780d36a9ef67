//! What answers: the trait, and the channel between an engine and a request.
//!
//! An engine takes a [`Job`] and writes [`Event`]s into a [`JobSink`]; the request reads them from
//! the [`JobHandle`]. Dropping the handle is how a job is cancelled: the sink then reports
//! [`JobSink::is_closed`], which an engine asks between tokens.

use std::future::ready;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{CallFormat, EngineLoad, Job, Prompt, Route, UpstreamError, UpstreamLoad, Weights};

/// One model that can answer.
pub trait Engine: Send + Sync + 'static {
    /// What it is and whether it can answer now. Must be cheap: every request asks.
    fn info(&self) -> EngineInfo;

    /// Queues a job. Returns at once; the first event says whether the prompt was accepted.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if the engine's own queue is full, [`EngineError::Loading`] or
    /// [`EngineError::Failed`] if it cannot answer at all.
    fn start(&self, job: Job) -> Result<JobHandle, EngineError>;

    /// The tokens of a prompt.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] by an engine without a vocabulary, and as [`Engine::start`].
    fn tokenize(&self, prompt: Prompt) -> BoxFuture<'static, Result<Vec<u32>, EngineError>> {
        let _ = prompt;
        Box::pin(ready(Err(EngineError::Unsupported { what: "tokens" })))
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// As [`Engine::tokenize`].
    fn detokenize(&self, tokens: Vec<u32>) -> BoxFuture<'static, Result<String, EngineError>> {
        let _ = tokens;
        Box::pin(ready(Err(EngineError::Unsupported { what: "tokens" })))
    }

    /// The mean of the last layer's states over a text's tokens, scaled to length 1.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] by an engine that has no states, and as [`Engine::start`].
    fn embed(&self, prompt: Prompt) -> BoxFuture<'static, Result<Embedded, EngineError>> {
        let _ = prompt;
        Box::pin(ready(Err(EngineError::Unsupported { what: "embeddings" })))
    }

    /// How its model calls tools; none if it cannot, or is not loaded.
    fn calls(&self) -> Option<CallFormat> {
        None
    }

    /// How full its memory is, for metrics. Must be cheap.
    fn load(&self) -> EngineLoad {
        EngineLoad::default()
    }

    /// Where its weights are; none by an engine that has none of its own. Must be cheap.
    fn weights(&self) -> Option<Weights> {
        None
    }

    /// Completes when its weights are in memory.
    ///
    /// # Errors
    /// [`EngineError::NotLoaded`] if they can't be had, [`EngineError::Unsupported`] by an engine that has none, and as
    /// [`Engine::start`].
    fn load_weights(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        Box::pin(ready(Err(EngineError::Unsupported { what: "weights" })))
    }

    /// Gives the memory of its weights back. What asks it next waits until they are loaded again.
    ///
    /// # Errors
    /// [`EngineError::InUse`] while it has something to do, [`EngineError::Unsupported`] by an engine that has none.
    fn unload_weights(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        Box::pin(ready(Err(EngineError::Unsupported { what: "weights" })))
    }

    /// Whether it says how likely an answer is right, where [`Job::judge`] asks for it. Must be cheap.
    fn judges(&self) -> bool {
        false
    }

    /// What its tokens cost. Must be cheap.
    fn price(&self) -> Price {
        Price::default()
    }

    /// What asking another server came to, for metrics; none by an engine that asks none. Must be cheap.
    fn upstream(&self) -> Option<UpstreamLoad> {
        None
    }
}

/// What an engine is.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// The model's id in the API.
    pub id: String,
    /// What it runs on, in words.
    pub device: String,
    /// Tokens of context, prompt and answer together, where that is known.
    pub context: Option<usize>,
    /// When it was made available, in seconds since 1970.
    pub created: u64,
    /// Names the exact weights; goes out as `system_fingerprint`.
    pub fingerprint: Option<String>,
    /// Names its tokenizer and chat template, where that is known: another machine's answer can be gone on with if it has
    /// the same.
    pub text_id: Option<String>,
    /// Whether it can answer.
    pub state: EngineState,
}

/// Whether an engine can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// Not yet.
    Loading,
    /// Yes; a model that is not in memory is loaded then.
    Ready,
    /// Not any more, and why.
    Failed(String),
}

/// What tokens cost: nothing, on a machine of one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// US dollars for a million tokens of prompts.
    pub prompt_usd_per_million: f64,
    /// US dollars for a million tokens of answers.
    pub completion_usd_per_million: f64,
}

impl Price {
    /// Of so many tokens, in US dollars.
    pub fn of(&self, prompt: usize, completion: usize) -> f64 {
        (prompt as f64 * self.prompt_usd_per_million
            + completion as f64 * self.completion_usd_per_million)
            / 1e6
    }
}

/// A text as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// As many as the model's states are wide.
    pub values: Vec<f32>,
    /// Tokens of the text.
    pub tokens: usize,
}

/// How long a model that could not be loaded is left alone: a load takes time from all others.
pub(crate) const LOAD_REST: Duration = Duration::from_secs(10);

/// What [`EngineError::Unsupported`] says of an engine that cannot keep to a [`Constraint`](crate::Constraint).
pub(crate) const STRUCTURED: &str = "structured answers";
/// What it says of one that cannot call tools.
pub(crate) const TOOLS: &str = "calls of tools";

/// What happens to a job, in order: `Started`, then `Token`s, between and behind which there may be `Judged`, then `Counted`
/// and `Route` at most once each, then `Finished`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt was accepted.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Those of them that need no computing.
        cached_tokens: usize,
    },
    /// One more token.
    Token(Token),
    /// What to think of the answer as far as it has come, by an engine that [`judges`](Engine::judges).
    Judged(Judgement),
    /// How many tokens there were, by an engine that learns it only now: counts instead of what was reported so far.
    Counted(Counts),
    /// Who answered, by an engine that has others answer.
    Route(Route),
    /// The answer is complete.
    Finished(Finish),
}

/// What a model's gate says of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Calibrated probability that the answer is right, 0 to 1; of a beginning, that the answer will be.
    pub right: f32,
    /// It is a beginning that is not worth going on with.
    pub lost: bool,
}

/// Tokens of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the prompt.
    pub prompt: usize,
    /// Those of them that needed no computing.
    pub cached: usize,
    /// Of the answer.
    pub completion: usize,
}

/// A generated token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Token {
    /// The text it releases; empty while a character or a stop text may be incomplete.
    pub text: String,
    /// Natural logarithm of its probability; not a number where the engine does not know it.
    pub logprob: f32,
    /// Whether it ends the answer; its text is then only what was held back.
    pub end: bool,
    /// The likeliest tokens in its place, best first.
    pub top: Vec<Alternative>,
}

/// A token that could have been chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// Its text.
    pub text: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// Why an answer is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text did.
    Stop,
    /// No more tokens were allowed, or the context is full.
    Length,
    /// Another server's filter cut it.
    ContentFilter,
}

/// Why a job failed. No variant carries what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model is still being loaded.
    #[error("the model is still loading; try again in a few seconds")]
    Loading,
    /// The engine cannot answer any more.
    #[error("the model's engine has failed ({reason}); restart the server, or unload the model")]
    Failed {
        /// What broke it.
        reason: String,
    },
    /// The model was not in memory and could not be loaded.
    #[error("the model could not be loaded ({reason}); others are not affected")]
    NotLoaded {
        /// What is wrong with it.
        reason: String,
    },
    /// The model is not to be unloaded now.
    #[error("the model is in use: {doing}; unload it when that has ended")]
    InUse {
        /// What it does.
        doing: &'static str,
    },
    /// The engine's queue is full.
    #[error("the model's queue is full; try again shortly")]
    Busy,
    /// The prompt leaves no room for an answer.
    #[error(
        "this model's context is {context} tokens, and the messages have {prompt}; \
         shorten the conversation"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the context.
        context: usize,
    },
    /// The chat template or the tokenizer refuses the messages.
    #[error("the model's chat template does not accept these messages; check the order of roles")]
    PromptRefused,
    /// A token that the model has not.
    #[error("there is no token {id}: this model has {vocabulary}, from 0")]
    UnknownToken {
        /// The first such token.
        id: u32,
        /// Tokens of the model.
        vocabulary: usize,
    },
    /// The engine cannot do that.
    #[error("this model gives no {what}; another one may")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// A schema that no answer can be made to keep to.
    #[error("the schema {problem}")]
    Schema {
        /// The field that has it.
        at: String,
        /// What is wrong with it, in the server's own words.
        problem: String,
    },
    /// The model computed something that is not a number.
    #[error("the model's output is not a number; its weights or its device are damaged")]
    NotANumber,
    /// Generation broke off.
    #[error("generating the answer failed; try again, and report it if it happens twice")]
    Generation,
    /// Another server, which should have answered, did not.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The answer took longer than any may.
    #[error("the answer took longer than {} s; ask for fewer tokens, or try again later", limit.as_secs())]
    TookTooLong {
        /// How long an answer may take.
        limit: Duration,
    },
    /// The server stops before the answer is complete.
    #[error("the server is shutting down; send the request again elsewhere or later")]
    ShuttingDown,
}

impl EngineError {
    /// Whether the request is at fault, so that sending it again cannot help.
    pub fn is_the_requests(&self) -> bool {
        match self {
            Self::PromptTooLong { .. }
            | Self::PromptRefused
            | Self::UnknownToken { .. }
            | Self::Unsupported { .. }
            | Self::Schema { .. } => true,
            Self::Upstream(error) => error.is_the_requests(),
            _ => false,
        }
    }
}

/// An event and when the engine reported it: latencies are measured where tokens are made, not
/// where a slow client reads them.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// When.
    pub at: Instant,
    /// What.
    pub event: Event,
}

/// The engine's end of a job.
#[derive(Debug)]
pub struct JobSink {
    sender: mpsc::UnboundedSender<(Instant, Result<Event, EngineError>)>,
}

/// The request's end of a job; dropping it cancels the job.
#[derive(Debug)]
pub struct JobHandle {
    receiver: mpsc::UnboundedReceiver<(Instant, Result<Event, EngineError>)>,
}

/// The two ends of a job.
///
/// The channel is unbounded so that a client that reads slowly never holds up the thread that
/// computes for all; what it can hold is bounded by the model's context.
pub fn channel() -> (JobSink, JobHandle) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (JobSink { sender }, JobHandle { receiver })
}

impl JobSink {
    /// Reports an event. `false` if nobody listens any more, so the job should end.
    pub fn send(&self, event: Event) -> bool {
        self.sender.send((Instant::now(), Ok(event))).is_ok()
    }

    /// Ends the job with an error.
    pub fn fail(self, error: EngineError) {
        // Nobody listening is no failure: the client went away.
        let _ = self.sender.send((Instant::now(), Err(error)));
    }

    /// Whether the request is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the request is gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl JobHandle {
    /// The next event. Must not be called again after `Finished` or an error.
    ///
    /// # Errors
    /// The engine's error, or [`EngineError::Generation`] if it vanished without a word.
    pub async fn next(&mut self) -> Result<Stamped, EngineError> {
        match self.receiver.recv().await {
            Some((at, Ok(event))) => Ok(Stamped { at, event }),
            Some((_, Err(error))) => Err(error),
            None => Err(EngineError::Generation),
        }
    }
}
