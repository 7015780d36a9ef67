//! The request: what a client asks of `POST /v1/chat/completions`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lenient;

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation; OpenAI's newer name `developer` reads as this.
    #[serde(alias = "developer")]
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What the model called.
    #[cfg(feature = "server")]
    Tool,
}

impl Role {
    /// The role as it stands in JSON and in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            #[cfg(feature = "server")]
            Role::Tool => "tool",
        }
    }

    /// The role of that name, or `None` for one that is not known here; `tool` is with the feature `server`.
    pub fn from_name(name: &str) -> Option<Role> {
        match name {
            "system" | "developer" => Some(Role::System),
            "user" => Some(Role::User),
            "assistant" => Some(Role::Assistant),
            #[cfg(feature = "server")]
            "tool" => Some(Role::Tool),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One turn of a conversation.
///
/// Reads content as a string, `null` (empty) or a list of text parts (joined by line breaks);
/// writes a string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "server", schemars(deny_unknown_fields))]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(deserialize_with = "lenient::content")]
    #[cfg_attr(feature = "server", schemars(with = "crate::schema::Content"))]
    pub content: String,
    /// What the model calls in this message.
    #[cfg(feature = "server")]
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::null_as_default"
    )]
    pub tool_calls: Vec<crate::ToolCall>,
    /// Which call this is the result of.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Read and forgotten: clients send answers back as they got them.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing)]
    pub refusal: Option<String>,
}

impl Message {
    /// A message of `role` that says `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            #[cfg(feature = "server")]
            tool_calls: Vec::new(),
            #[cfg(feature = "server")]
            tool_call_id: None,
            #[cfg(feature = "server")]
            refusal: None,
        }
    }
}

/// Shows the role and the length only: what a person writes must not reach a log by accident.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {} bytes)", self.role, self.content.len())
    }
}

/// `stream_options` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "server", schemars(deny_unknown_fields))]
pub struct StreamOptions {
    /// Send one more chunk at the end, without choices, that carries the usage.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    #[cfg_attr(feature = "server", schemars(with = "Option<bool>"))]
    pub include_usage: bool,
}

/// A chat completion request. What it does with fields that it has not is the reader's affair: serde skips them, and the
/// server refuses them. Those that a page never sends come with the feature `server`.
///
/// Counts are signed so that a negative one reaches the validator, which can name it.
/// `top_k`, `min_p` and `repetition_penalty` are the extensions that vLLM and llama.cpp share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "server",
    schemars(deny_unknown_fields, transform = crate::schema::chat)
)]
pub struct ChatRequest {
    /// Id of the model, as `GET /v1/models` lists it.
    pub model: String,
    /// The conversation, oldest message first.
    #[cfg_attr(feature = "server", schemars(length(min = 1)))]
    pub messages: Vec<Message>,
    /// Answer as server-sent events, chunk by chunk.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    #[cfg_attr(feature = "server", schemars(with = "Option<bool>"))]
    pub stream: bool,
    /// Options that only matter for a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens to generate (the older name; see [`ChatRequest::token_limit`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 1)))]
    pub max_tokens: Option<i64>,
    /// The most tokens to generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 1)))]
    pub max_completion_tokens: Option<i64>,
    /// Sampling temperature, 0 to 2; 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 0, max = 2)))]
    pub temperature: Option<f32>,
    /// Nucleus sampling: the smallest set of tokens with this much probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 0.000001, max = 1)))]
    pub top_p: Option<f32>,
    /// Sample from the `top_k` likeliest tokens; 0 or -1 means from all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = -1, max = 4294967295u32)))]
    pub top_k: Option<i64>,
    /// Drop tokens below this fraction of the likeliest token's probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 0, max = 1)))]
    pub min_p: Option<f32>,
    /// Divide the logits of tokens already seen by this; 1 changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 0.1, max = 10)))]
    pub repetition_penalty: Option<f32>,
    /// Seed of the sampler: the same seed gives the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer; they are not part of it. Reads one string or a list.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::one_or_many"
    )]
    #[cfg_attr(feature = "server", schemars(with = "crate::schema::Stop"))]
    pub stop: Vec<String>,
    /// How many answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 1, max = 16)))]
    pub n: Option<i64>,
    /// Report each token's log-probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// How many likeliest tokens to report at each position, 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = 0, max = 20)))]
    pub top_logprobs: Option<i64>,
    /// The beginning of the answer, if another machine has written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_continue: Option<crate::Continuation>,
    /// Taken off a token's logit for each time that the answer has it, -2 to 2.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = -2, max = 2)))]
    pub frequency_penalty: Option<f32>,
    /// Taken off the logits of tokens that the answer has, -2 to 2.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(range(min = -2, max = 2)))]
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these token ids, -100 to 100.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(with = "Option<crate::schema::Bias>"))]
    pub logit_bias: Option<std::collections::BTreeMap<String, f32>>,
    /// Who asks, as the client calls them: answers of one user don't hold up those of others.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the answer must be.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<crate::ResponseFormat>,
    /// What the model may call.
    #[cfg(feature = "server")]
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::null_as_default"
    )]
    pub tools: Vec<crate::Tool>,
    /// Whether it may, or must.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<crate::ToolChoice>,
    /// Whether it may call several at once.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
}

impl ChatRequest {
    /// A request for `model` to continue `messages`, everything else as the server defaults.
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self {
            model: model.into(),
            messages,
            ..Self::default()
        }
    }

    /// The limit on generated tokens and the name of the field it came from:
    /// `max_completion_tokens` if given, else the older `max_tokens`.
    pub fn token_limit(&self) -> Option<(i64, &'static str)> {
        self.max_completion_tokens
            .map(|n| (n, "max_completion_tokens"))
            .or(self.max_tokens.map(|n| (n, "max_tokens")))
    }

    /// Whether a stream should end with a usage chunk.
    pub fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage)
    }
}
