//! OpenAI's error body, and the words that stand in it.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::lenient;

/// Values of [`ErrorDetail::kind`].
pub mod kind {
    /// The request is wrong; sending it again will not help.
    pub const INVALID_REQUEST: &str = "invalid_request_error";
    /// Too many requests; try again later.
    pub const RATE_LIMIT: &str = "rate_limit_error";
    /// The server failed or is not ready.
    pub const SERVER: &str = "server_error";
}

/// Values of [`ErrorDetail::code`] that clients may rely on.
pub mod code {
    /// No or a wrong API key.
    pub const INVALID_API_KEY: &str = "invalid_api_key";
    /// No model of that id is served here.
    pub const MODEL_NOT_FOUND: &str = "model_not_found";
    /// The prompt does not fit the model's context.
    pub const CONTEXT_LENGTH_EXCEEDED: &str = "context_length_exceeded";
    /// The queue is full.
    pub const RATE_LIMIT_EXCEEDED: &str = "rate_limit_exceeded";
    /// The request was flagged private, and private text must not leave the device.
    pub const PRIVATE_NOT_ACCEPTED: &str = "private_not_accepted";
    /// A model is still loading, failed to load, or the server is shutting down.
    pub const NOT_READY: &str = "not_ready";
    /// The model cannot be unloaded while it is in use.
    pub const MODEL_IN_USE: &str = "model_in_use";
    /// The body is larger than the server reads.
    pub const BODY_TOO_LARGE: &str = "request_too_large";
    /// The answer took longer than the server allows.
    pub const TIMEOUT: &str = "timeout";
    /// Generation failed in mid-answer.
    pub const GENERATION_FAILED: &str = "generation_failed";
    /// Another server, which should have answered, did not.
    pub const UPSTREAM_FAILED: &str = "upstream_failed";
    /// What may be spent on other servers is spent.
    pub const BUDGET_SPENT: &str = "budget_spent";
}

/// The body of every response that is not a success, and the last event of a stream that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// What went wrong. Reads a bare string too, as some servers send it.
    #[serde(deserialize_with = "detail_or_text")]
    pub error: ErrorDetail,
}

impl ErrorBody {
    /// A body of `kind` (see [`kind`]) that says `message`.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetail {
                message: message.into(),
                kind: kind.to_owned(),
                param: None,
                code: None,
            },
        }
    }

    /// Names the request field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }

    /// Adds a code for programs (see [`code`]).
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.error.code = Some(code.into());
        self
    }
}

/// The error itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct ErrorDetail {
    /// For people: what was being done, what is wrong, what to do.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub message: String,
    /// The class of error, see [`kind`].
    #[serde(
        default,
        rename = "type",
        deserialize_with = "lenient::null_as_default"
    )]
    pub kind: String,
    /// The request field at fault.
    #[serde(default)]
    pub param: Option<String>,
    /// For programs, see [`code`]. A number reads as its digits.
    #[serde(default, deserialize_with = "lenient::code")]
    pub code: Option<String>,
}

fn detail_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorDetail, D::Error> {
    struct DetailOrText;

    impl<'de> Visitor<'de> for DetailOrText {
        type Value = ErrorDetail;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an error object or a text")
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok(ErrorDetail {
                message: value.to_owned(),
                ..ErrorDetail::default()
            })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            ErrorDetail::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(DetailOrText)
}
