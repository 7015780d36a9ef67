//! The answer: a whole completion, or the chunks of a stream.

use serde::{Deserialize, Serialize};

use crate::{ErrorBody, Role, lenient};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop text appeared.
    Stop,
    /// The token limit or the end of the context was reached.
    Length,
    /// The model calls a tool.
    ToolCalls,
    /// A filter cut the answer; other servers only.
    ContentFilter,
    /// Something that OpenAI does not define.
    #[serde(other)]
    Other,
}

/// Tokens counted for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Tokens of the prompt, markup included.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub prompt_tokens: u32,
    /// Tokens generated.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub completion_tokens: u32,
    /// The sum of both.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub total_tokens: u32,
    /// What part of the prompt was cheap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
    /// What part of the answer was not shown; other servers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionTokensDetails>,
}

impl Usage {
    /// Counts of a request of which `cached` prompt tokens were still in the cache.
    pub fn new(prompt: u32, cached: u32, completion: u32) -> Self {
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt.saturating_add(completion),
            prompt_tokens_details: Some(PromptTokensDetails {
                cached_tokens: cached,
            }),
            completion_tokens_details: None,
        }
    }
}

/// Detail of [`Usage::prompt_tokens`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct PromptTokensDetails {
    /// Prompt tokens that were not computed again.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub cached_tokens: u32,
}

/// Detail of [`Usage::completion_tokens`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct CompletionTokensDetails {
    /// Tokens the model spent on thinking.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub reasoning_tokens: u32,
}

/// Log-probabilities of the tokens of an answer or of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Logprobs {
    /// One entry per token; `null` reads as none.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub content: Vec<TokenLogprob>,
    /// Tokens of a refusal: always `null` here.
    #[serde(default)]
    pub refusal: Option<Vec<TokenLogprob>>,
}

/// A generated token and the likeliest tokens in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TokenLogprob {
    /// The token's text; U+FFFD stands for bytes that are not UTF-8 on their own.
    pub token: String,
    /// Natural logarithm of its probability; written as -9999 where that is not finite.
    #[serde(serialize_with = "lenient::finite_logprob")]
    pub logprob: f32,
    /// The token's bytes, by which characters split over tokens can be put together again.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this position, best first.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// One of the likeliest tokens at a position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TopLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability; written as -9999 where that is not finite.
    #[serde(serialize_with = "lenient::finite_logprob")]
    pub logprob: f32,
    /// The token's bytes.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}

/// The message of a [`Choice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Answer {
    /// Always the assistant.
    pub role: Role,
    /// The text; `null` beside a refusal or a tool call.
    #[serde(default)]
    pub content: Option<String>,
    /// Why the model refused: always `null` here.
    #[serde(default)]
    pub refusal: Option<String>,
    /// What the model calls.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<crate::ToolCall>,
}

/// One answer of a completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Choice {
    /// Number of the answer, from 0.
    #[serde(default)]
    pub index: u32,
    /// The answer.
    pub message: Answer,
    /// Log-probabilities, if asked for.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// The whole answer to a request that did not ask for a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Completion {
    /// Id of this answer, `chatcmpl-...`.
    #[serde(default)]
    pub id: String,
    /// Always [`Completion::OBJECT`].
    #[serde(default)]
    pub object: String,
    /// When the request was accepted, in seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Id of the model that answered.
    #[serde(default)]
    pub model: String,
    /// What exactly answered (weights and program), if the server says.
    #[serde(default)]
    pub system_fingerprint: Option<String>,
    /// The answers; this server gives one.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub choices: Vec<Choice>,
    /// Token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What became of the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_continue: Option<crate::Continued>,
    /// Who answered, where several could; of several answers, the first.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_route: Option<crate::RouteRecord>,
}

impl Completion {
    /// What stands in `object`.
    pub const OBJECT: &'static str = "chat.completion";
}

/// What a chunk adds to the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Delta {
    /// The role, in the first chunk only.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::known_role"
    )]
    pub role: Option<Role>,
    /// More text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What the model calls.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<crate::ToolCallDelta>,
}

/// One answer's part of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ChunkChoice {
    /// Number of the answer, from 0.
    #[serde(default)]
    pub index: u32,
    /// What is new; empty in the chunk that carries the finish reason.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub delta: Delta,
    /// Log-probabilities of the new tokens, if asked for.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
    /// Set in the last chunk of this answer.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// One event of a stream.
///
/// `choices` is required when reading, though it may be `null` or empty, so that an error object
/// in the stream is not taken for an empty chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct Chunk {
    /// Id of the answer, the same in all its chunks.
    #[serde(default)]
    pub id: String,
    /// Always [`Chunk::OBJECT`].
    #[serde(default)]
    pub object: String,
    /// When the request was accepted, in seconds since 1970; the same in all chunks.
    #[serde(default)]
    pub created: u64,
    /// Id of the model that answers.
    #[serde(default)]
    pub model: String,
    /// What exactly answers (weights and program), if the server says.
    #[serde(default)]
    pub system_fingerprint: Option<String>,
    /// What is new, per answer; empty in the usage chunk.
    #[serde(deserialize_with = "lenient::null_as_default")]
    pub choices: Vec<ChunkChoice>,
    /// `None`: the field is absent, usage was not asked for. `Some(None)`: `null`, usage comes
    /// in a later chunk. `Some(Some(_))`: the counts.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::present"
    )]
    pub usage: Option<Option<Usage>>,
    /// What became of the request's, in the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_continue: Option<crate::Continued>,
    /// Who answered, where several could; beside the finish reason.
    #[cfg(feature = "server")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_route: Option<crate::RouteRecord>,
}

impl Chunk {
    /// What stands in `object`.
    pub const OBJECT: &'static str = "chat.completion.chunk";

    /// The new text of the first answer, or nothing.
    pub fn text(&self) -> &str {
        self.choices
            .first()
            .and_then(|choice| choice.delta.content.as_deref())
            .unwrap_or("")
    }

    /// Why the first answer ended, once it did.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.choices.first().and_then(|choice| choice.finish_reason)
    }

    /// The counts, in the chunk that has them.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref().and_then(Option::as_ref)
    }
}

/// What the data of one event is: a chunk, or the error that ends the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum StreamLine {
    /// The server failed in mid-answer; no `[DONE]` follows.
    Error(ErrorBody),
    /// More of the answer.
    Chunk(Chunk),
}
