//! What an engine is asked: a text or conversation to continue, and how.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sprat_wire::{Message, Tool};

/// What is to be continued; never empty.
#[derive(Clone)]
pub enum Prompt {
    /// A conversation, oldest message first.
    Chat(Vec<Message>),
    /// A text as it is.
    Text(String),
    /// Its tokens.
    Tokens(Vec<u32>),
}

impl Default for Prompt {
    fn default() -> Self {
        Self::Chat(Vec::new())
    }
}

/// Shows what kind it is only: what a person writes must not reach a log by accident.
impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat(messages) => write!(f, "Chat({} messages)", messages.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
        }
    }
}

/// The beginning of an answer. Shows its length only, as [`Prompt`] does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Begun(pub Vec<u32>);

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Begun({} tokens)", self.0.len())
    }
}

/// One text or conversation to continue.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// What is to be continued.
    pub prompt: Prompt,
    /// Tokens that the answer begins with, which are not to be written again.
    pub begun: Begun,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The most tokens to generate; none means to the end of the context.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Whether somebody reads the tokens' log-probabilities. Engines that have them report them anyway.
    pub logprobs: bool,
    /// Whether somebody wants to know how likely the answer is right: [`Event::Judged`](crate::Event::Judged).
    pub judge: bool,
    /// How many likeliest tokens to report at each position.
    pub top_logprobs: usize,
    /// What the answer must be, if not anything. An engine that cannot promise it answers
    /// [`EngineError::Unsupported`](crate::EngineError::Unsupported).
    pub constraint: Option<Constraint>,
    /// What the model may call, as it is told.
    pub tools: Arc<[Tool]>,
    /// Whose it is: clients get their turns one by one.
    pub client: u64,
    /// Who may see what was computed for it: jobs of one scope share what they have in common in the cache. 0 for
    /// everybody without a key.
    pub scope: u64,
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that this schema describes.
    JsonSchema(Arc<Value>),
    /// A call of one of these tools, and nothing else.
    Calls {
        /// Those that may be called.
        tools: Arc<[Tool]>,
        /// Whether there may be several calls.
        several: bool,
    },
}

/// How to choose tokens; `None` leaves the choice to the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// 0 is all tokens.
    pub top_k: Option<usize>,
    /// Nucleus, above 0 and at most 1.
    pub top_p: Option<f32>,
    /// 0 to 1.
    pub min_p: Option<f32>,
    /// 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Taken off a token's logit for each time that the answer has it.
    pub frequency_penalty: Option<f32>,
    /// Taken off the logits of tokens that the answer has.
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these tokens.
    pub bias: Vec<(u32, f32)>,
    /// Seed of the sampler.
    pub seed: Option<u64>,
}
