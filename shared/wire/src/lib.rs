//! What the page and the server say to each other.
//!
//! The shapes are OpenAI's chat completions API, so that any OpenAI client can talk to the server
//! and the page can talk to any OpenAI-compatible server. They are lenient in what they read
//! (content as a string or as text parts, unknown fields, `null` where a list was promised) and
//! strict in what they write. The one shape of our own is the [`Receipt`], which says who
//! answered and why.
//!
//! This crate knows no transport, no clock and, but for the feature `server`, no JSON library: parse with the one you
//! have.
//!
//! ```
//! use sprat_wire::{Event, SseDecoder, StreamLine};
//!
//! let mut decoder = SseDecoder::default();
//! let events = decoder.push(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n").unwrap();
//! let Event::Data(json) = &events[0] else { panic!("expected data") };
//! match serde_json::from_str(json).unwrap() {
//!     StreamLine::Chunk(chunk) => assert_eq!(chunk.text(), "Hi"),
//!     StreamLine::Error(body) => panic!("the server failed: {}", body.error.message),
//! }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chat;
mod completion;
mod continuation;
mod error;
mod lenient;
mod models;
mod receipt;
#[cfg(feature = "server")]
mod route;
#[cfg(feature = "server")]
mod schema;
mod sse;
#[cfg(feature = "server")]
mod text;
#[cfg(feature = "server")]
mod tools;

pub use chat::{ChatRequest, Message, Role, StreamOptions};
pub use completion::{
    Answer, Choice, Chunk, ChunkChoice, Completion, CompletionTokensDetails, Delta, FinishReason,
    Logprobs, PromptTokensDetails, StreamLine, TokenLogprob, TopLogprob, Usage,
};
pub use continuation::{Continuation, Continued};
pub use error::{ErrorBody, ErrorDetail, code, kind};
pub use models::{ModelCard, ModelList, ModelStatus};
pub use receipt::{Bound, Receipt, Source};
#[cfg(feature = "server")]
pub use route::{RouteRecord, Votes, Weighed};
pub use sse::{DEFAULT_EVENT_LIMIT, Event, SseDecoder, SseError};
#[cfg(feature = "server")]
pub use text::{
    DetokenizeRequest, Detokenized, Embedding, EmbeddingList, EmbeddingValues, EmbeddingsRequest,
    EmbeddingsUsage, EncodingFormat, TextChoice, TextCompletion, TextInput, TextLogprobs,
    TextRequest, TokenizeRequest, Tokens,
};
#[cfg(feature = "server")]
pub use tools::{
    CalledFunction, Function, JsonSchema, NamedFunction, NamedTool, ResponseFormat,
    ResponseFormatType, Tool, ToolCall, ToolCallDelta, ToolChoice, ToolChoiceMode, ToolType,
};
