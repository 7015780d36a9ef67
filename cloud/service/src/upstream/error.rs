//! How another server can fail us.

use std::time::Duration;

use axum::http::StatusCode;
use thiserror::Error;

/// Why another server gave no answer. Of what it says itself only the status and a code stand here: its messages may repeat
/// what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It failed too often, and is not asked now.
    #[error(
        "the server behind this model failed several times in a row; it is asked again in {} s",
        .retry_after.as_secs().max(1)
    )]
    Resting {
        /// When it is asked again.
        retry_after: Duration,
    },
    /// Its budget is spent.
    #[error("what may be spent on this model is spent; choose another one, or raise its budget")]
    BudgetSpent,
    /// No connection.
    #[error("the server behind this model cannot be reached; try again later")]
    Unreachable,
    /// A status that is no success.
    #[error(
        "the server behind this model refused the request (status {status}{}); {}",
        code_text(.code.as_deref()),
        advice(*.status)
    )]
    Status {
        /// The status.
        status: u16,
        /// Its code or type, if that looks like one.
        code: Option<String>,
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
    /// It took too long.
    #[error("the server behind this model took too long {0}; try again later")]
    TimedOut(Wait),
    /// The connection ended before the answer did.
    #[error("the answer of the server behind this model broke off; try again")]
    Broken,
    /// It reported an error in mid-answer.
    #[error(
        "the server behind this model failed in its answer{}; try again",
        code_text(.code.as_deref())
    )]
    Reported {
        /// Its code or type, if that looks like one.
        code: Option<String>,
    },
    /// What it sends is no stream of chunks.
    #[error("the server behind this model does not speak OpenAI's protocol; check its address")]
    NotAStream,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The beginning of the answer.
    FirstByte,
    /// The next part of it.
    NextEvent,
    /// All of it.
    Whole,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "to begin its answer",
            Self::NextEvent => "to go on with its answer",
            Self::Whole => "to complete its answer",
        })
    }
}

impl UpstreamError {
    /// Whether the request is at fault, so that sending it again cannot help.
    pub fn is_the_requests(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 400 | 413 | 422,
                ..
            }
        )
    }

    /// The status that our own client gets.
    pub(crate) fn client_status(&self) -> StatusCode {
        match self {
            Self::Resting { .. } | Self::BudgetSpent => StatusCode::SERVICE_UNAVAILABLE,
            Self::Status { status: 429, .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            error if error.is_the_requests() => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// When our own client may try again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resting { retry_after } => Some(*retry_after),
            Self::Status {
                status: 429,
                retry_after,
                ..
            } => Some(retry_after.unwrap_or(Duration::from_secs(1))),
            _ => None,
        }
    }
}

fn code_text(code: Option<&str>) -> String {
    code.map(|code| format!(", {code}")).unwrap_or_default()
}

fn advice(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "check its fields, and shorten the conversation",
        401..=403 => "the operator should check its key",
        404 => "the operator should check its address and the model's name",
        _ => "try again later",
    }
}

/// `text` if it looks like a name for programs; anything else may be what a person wrote.
pub(super) fn identifier(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    ((1..=40).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_repeated() {
        assert!(identifier("context_length_exceeded").is_some());
        for text in ["", "Ann lives here", "ANN", "ann.lee", "ä", &"x".repeat(41)] {
            assert_eq!(identifier(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_for_clients() {
        let status = |status| UpstreamError::Status {
            status,
            code: None,
            retry_after: None,
        };
        for (error, expected) in [
            (status(400), 400),
            (status(401), 502),
            (status(404), 502),
            (status(429), 429),
            (status(503), 502),
            (UpstreamError::BudgetSpent, 503),
            (UpstreamError::TimedOut(Wait::Whole), 504),
            (UpstreamError::Broken, 502),
        ] {
            assert_eq!(error.client_status().as_u16(), expected, "{error}");
        }
    }
}
