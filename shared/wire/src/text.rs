//! The older API: `POST /v1/completions`, which continues a text. And what goes with raw text: embeddings, tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FinishReason, StreamOptions, Usage, lenient};

/// One text or several, or their token ids.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a string, a list of strings, token ids, or a list of lists of these"
)]
pub enum TextInput {
    /// One text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// One text's tokens.
    Tokens(Vec<u32>),
    /// Several texts' tokens.
    TokenLists(Vec<Vec<u32>>),
}

/// Shows how many only: what a person writes must not reach a log by accident.
impl std::fmt::Debug for TextInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, count) = match self {
            Self::Text(_) => ("texts", 1),
            Self::Texts(texts) => ("texts", texts.len()),
            Self::Tokens(_) => ("token lists", 1),
            Self::TokenLists(lists) => ("token lists", lists.len()),
        };
        write!(f, "TextInput({count} {what})")
    }
}

impl Default for TextInput {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A request to continue texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, transform = crate::schema::text)]
pub struct TextRequest {
    /// Id of the model.
    pub model: String,
    /// What to continue; each text gets `n` answers.
    pub prompt: TextInput,
    /// Answer as server-sent events.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
    /// Options that only matter for a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens to generate; 16 without it, as OpenAI has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<i64>,
    /// Sampling temperature, 0 to 2; 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f32>,
    /// Nucleus sampling: the smallest set of tokens with this much probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000001, max = 1))]
    pub top_p: Option<f32>,
    /// Sample from the `top_k` likeliest tokens; 0 or -1 means from all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 4294967295u32))]
    pub top_k: Option<i64>,
    /// Drop tokens below this fraction of the likeliest token's probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub min_p: Option<f32>,
    /// Divide the logits of tokens already seen by this; 1 changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 10))]
    pub repetition_penalty: Option<f32>,
    /// Taken off a token's logit for each time that the answer has it, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub frequency_penalty: Option<f32>,
    /// Taken off the logits of tokens that the answer has, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2, max = 2))]
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these token ids, -100 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::schema::Bias>")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Seed of the sampler: the same seed gives the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer; they are not part of it. Reads one string or a list.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::one_or_many"
    )]
    #[schemars(with = "crate::schema::Stop")]
    pub stop: Vec<String>,
    /// How many answers to each text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub n: Option<i64>,
    /// Report each token's log-probability, and those of so many likeliest tokens, 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub logprobs: Option<i64>,
    /// Repeat the text before its continuation.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    #[schemars(with = "Option<bool>")]
    pub echo: bool,
    /// Who asks, as the client calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Log-probabilities of a text's tokens, in four lists of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TextLogprobs {
    /// The tokens' texts.
    pub tokens: Vec<String>,
    /// Natural logarithms of their probabilities.
    pub token_logprobs: Vec<f32>,
    /// The likeliest tokens at each place and their logarithms.
    pub top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where each token begins, in characters of the text.
    pub text_offset: Vec<u32>,
}

/// One continuation, or what a chunk adds to one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TextChoice {
    /// Number of the continuation, from 0: those of the first text come first.
    pub index: u32,
    /// The text, or more of it.
    pub text: String,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Why it ended, once it did.
    pub finish_reason: Option<FinishReason>,
}

/// The whole answer, or a chunk of a stream: the older API has one shape for both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TextCompletion {
    /// Id of this answer, `cmpl-...`.
    pub id: String,
    /// Always [`TextCompletion::OBJECT`].
    pub object: String,
    /// When the request was accepted, in seconds since 1970.
    pub created: u64,
    /// Id of the model that answered.
    pub model: String,
    /// What exactly answered.
    pub system_fingerprint: Option<String>,
    /// The continuations; empty in the usage chunk.
    pub choices: Vec<TextChoice>,
    /// As in [`crate::Chunk::usage`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::present"
    )]
    pub usage: Option<Option<Usage>>,
    /// Who answered, where several could; in a stream, beside the finish reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_route: Option<crate::RouteRecord>,
}

impl TextCompletion {
    /// What stands in `object`.
    pub const OBJECT: &'static str = "text_completion";
}

/// How numbers of an embedding are written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Their bytes, little-endian f32, as base64.
    Base64,
}

/// A request for embeddings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EmbeddingsRequest {
    /// Id of the model.
    pub model: String,
    /// The texts.
    pub input: TextInput,
    /// How numbers are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<EncodingFormat>,
    /// Who asks, as the client calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// An embedding's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum EmbeddingValues {
    /// As they are.
    Floats(Vec<f32>),
    /// As base64.
    Base64(String),
}

/// One text's embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Embedding {
    /// Always `embedding`.
    pub object: String,
    /// Number of the text, from 0.
    pub index: u32,
    /// The mean of the last layer's normed states over the text's tokens, scaled to length 1.
    pub embedding: EmbeddingValues,
}

/// The answer to an [`EmbeddingsRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EmbeddingList {
    /// Always `list`.
    pub object: String,
    /// One embedding per text.
    pub data: Vec<Embedding>,
    /// Id of the model.
    pub model: String,
    /// Token counts.
    pub usage: EmbeddingsUsage,
}

/// Tokens counted for embeddings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EmbeddingsUsage {
    /// Tokens of all texts.
    pub prompt_tokens: u32,
    /// The same.
    pub total_tokens: u32,
}

/// A request for a text's or a conversation's tokens (vLLM's `/tokenize`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, transform = crate::schema::tokenize)]
pub struct TokenizeRequest {
    /// Id of the model.
    pub model: String,
    /// A text by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Or a conversation, as the model's template writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub messages: Option<Vec<crate::Message>>,
}

/// The answer to a [`TokenizeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tokens {
    /// How many.
    pub count: u32,
    /// Tokens that fit the model.
    pub max_model_len: u32,
    /// Their ids.
    pub tokens: Vec<u32>,
}

/// A request for the text of tokens (vLLM's `/detokenize`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DetokenizeRequest {
    /// Id of the model.
    pub model: String,
    /// Token ids.
    #[schemars(inner(range(min = 0, max = 4294967295u32)))]
    pub tokens: Vec<u32>,
}

/// The answer to a [`DetokenizeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Detokenized {
    /// The text, special tokens left out.
    pub prompt: String,
}
