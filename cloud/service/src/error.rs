//! Every way in which a request or the server can fail.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sprat_wire::{ErrorBody, code, kind};
use thiserror::Error;

use crate::engine::{LOAD_REST, STRUCTURED, TOOLS};
use crate::{Device, EngineError, UpstreamError};

/// Why a request was not answered. The one place where failures become a status and OpenAI's
/// error body. No variant carries what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The body is not JSON.
    #[error("the request body is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
    },
    /// The body's type is not JSON. Insisting on it also keeps other sites' pages from sending
    /// requests that skip the browser's cross-origin check.
    #[error("send the request body as JSON, with the header Content-Type: application/json")]
    NotJsonType,
    /// A field is wrong.
    #[error("{param}: {problem}")]
    Invalid {
        /// The field, as a path such as `messages[0].role`.
        param: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The body was not sent in time.
    #[error("the request body did not arrive within {} seconds", .0.as_secs())]
    BodyTimeout(Duration),
    /// The connection broke while the body was read.
    #[error("the request body could not be read to its end")]
    BodyBroken,
    /// The body is too large.
    #[error("the request body is larger than {limit} bytes; shorten the conversation")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request is flagged private.
    #[error(
        "this conversation is marked private, and private text must stay on the device; \
         nothing was read or stored"
    )]
    Private,
    /// No or a wrong API key.
    #[error("a valid API key is needed: send it as \"Authorization: Bearer <key>\"")]
    Unauthorized,
    /// The key's limit is used up.
    #[error("the limit of this API key is used up; try again in {} s", .retry_after.as_secs_f64().ceil())]
    KeyLimit {
        /// When to try again.
        retry_after: Duration,
    },
    /// No such model.
    #[error("no such model is served here; GET /v1/models lists those that are")]
    ModelNotFound,
    /// No such route.
    #[error("there is nothing at this address; see POST /v1/chat/completions and GET /v1/models")]
    RouteNotFound,
    /// The route exists, the method does not.
    #[error("this address does not take that method; see the Allow header")]
    MethodNotAllowed,
    /// Too many requests are running or waiting.
    #[error("too many requests are waiting; try again in {} s", .retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The engine cannot take what a field holds.
    #[error("{error}")]
    Prompt {
        /// Why not, or another failure of the engine.
        error: EngineError,
        /// The field.
        param: &'static str,
    },
    /// The engine cannot answer, or failed to.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A bug.
    #[error("the server made a mistake; please report it with the x-request-id of this response")]
    Internal,
}

impl ApiError {
    /// A wrong field.
    pub(crate) fn invalid(param: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            param: param.into(),
            problem: problem.into(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson { .. } | Self::Invalid { .. } | Self::BodyBroken | Self::Private => {
                StatusCode::BAD_REQUEST
            }
            Self::NotJsonType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ModelNotFound | Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded { .. } | Self::KeyLimit { .. } | Self::Engine(EngineError::Busy) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Prompt { error, .. } => Self::Engine(error.clone()).status(),
            Self::Engine(EngineError::Upstream(error)) => error.client_status(),
            Self::Engine(
                EngineError::PromptTooLong { .. }
                | EngineError::PromptRefused
                | EngineError::UnknownToken { .. }
                | EngineError::Unsupported { .. }
                | EngineError::Schema { .. },
            ) => StatusCode::BAD_REQUEST,
            Self::Engine(EngineError::InUse { .. }) => StatusCode::CONFLICT,
            Self::Engine(
                EngineError::Loading
                | EngineError::NotLoaded { .. }
                | EngineError::Failed { .. }
                | EngineError::ShuttingDown,
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Engine(EngineError::TookTooLong { .. }) => StatusCode::GATEWAY_TIMEOUT,
            Self::Engine(EngineError::NotANumber | EngineError::Generation) | Self::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// OpenAI's error body.
    pub fn body(&self) -> ErrorBody {
        let kind = match self.status() {
            StatusCode::TOO_MANY_REQUESTS => kind::RATE_LIMIT,
            status if status.is_client_error() => kind::INVALID_REQUEST,
            _ => kind::SERVER,
        };
        let mut body = ErrorBody::new(kind, self.to_string());
        body.error.param = self.param().map(str::to_owned);
        body.error.code = self.code().map(str::to_owned);
        body
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => Some(param),
            Self::ModelNotFound => Some("model"),
            Self::Prompt { error, param } if error.is_the_requests() => Some(param),
            Self::Engine(EngineError::UnknownToken { .. }) => Some("logit_bias"),
            Self::Engine(EngineError::Schema { at, .. }) => Some(at),
            Self::Engine(EngineError::Unsupported { what: STRUCTURED }) => Some("response_format"),
            Self::Engine(EngineError::Unsupported { what: TOOLS }) => Some("tools"),
            Self::Engine(error) if error.is_the_requests() => Some("messages"),
            _ => None,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Prompt { error, .. } => Self::Engine(error.clone()).code(),
            Self::Private => Some(code::PRIVATE_NOT_ACCEPTED),
            Self::Unauthorized => Some(code::INVALID_API_KEY),
            Self::ModelNotFound => Some(code::MODEL_NOT_FOUND),
            Self::BodyTooLarge { .. } => Some(code::BODY_TOO_LARGE),
            Self::Overloaded { .. } | Self::KeyLimit { .. } | Self::Engine(EngineError::Busy) => {
                Some(code::RATE_LIMIT_EXCEEDED)
            }
            Self::Engine(EngineError::Upstream(UpstreamError::BudgetSpent)) => {
                Some(code::BUDGET_SPENT)
            }
            Self::Engine(EngineError::Upstream(UpstreamError::Resting { .. })) => {
                Some(code::NOT_READY)
            }
            Self::Engine(EngineError::Upstream(error)) => Some(match error.client_status() {
                StatusCode::TOO_MANY_REQUESTS => code::RATE_LIMIT_EXCEEDED,
                _ => code::UPSTREAM_FAILED,
            }),
            Self::Engine(EngineError::TookTooLong { .. }) => Some(code::TIMEOUT),
            Self::Engine(EngineError::PromptTooLong { .. }) => Some(code::CONTEXT_LENGTH_EXCEEDED),
            Self::Engine(EngineError::InUse { .. }) => Some(code::MODEL_IN_USE),
            Self::Engine(
                EngineError::Loading
                | EngineError::NotLoaded { .. }
                | EngineError::Failed { .. }
                | EngineError::ShuttingDown,
            ) => Some(code::NOT_READY),
            Self::Engine(EngineError::NotANumber | EngineError::Generation) => {
                Some(code::GENERATION_FAILED)
            }
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => Some(*retry_after),
            // Rounded up: who comes at the time that was said gets in.
            Self::KeyLimit { retry_after } => {
                Some(Duration::from_secs(retry_after.as_secs_f64().ceil() as u64))
            }
            Self::Prompt { error, .. } => Self::Engine(error.clone()).retry_after(),
            Self::Engine(EngineError::Busy | EngineError::Loading) => Some(Duration::from_secs(1)),
            Self::Engine(EngineError::ShuttingDown) => Some(Duration::from_secs(5)),
            Self::Engine(EngineError::NotLoaded { .. }) => Some(LOAD_REST),
            Self::Engine(EngineError::Upstream(error)) => error.retry_after(),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self == Self::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Why the server did not start, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The port is taken or not allowed.
    #[error("listening on {address}: {source}; choose another with --port or --host")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The page is not there.
    #[error("serving the page: {} is missing; build it first, or leave the page out", path.display())]
    NoPage {
        /// The file that is missing.
        path: PathBuf,
    },
    /// An origin is not one.
    #[error("{origin:?} is not an origin; write it as https://example.org, without a path")]
    BadOrigin {
        /// What was given.
        origin: String,
    },
    /// The file of API keys cannot be used.
    #[error("API keys from {}: {reason}", path.display())]
    KeysFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        reason: String,
    },
    /// Two API keys are the same or have the same name.
    #[error("the API keys {:?} and {:?} are the same or have the same name", names[0], names[1])]
    DuplicateKey {
        /// Their names.
        names: [String; 2],
    },
    /// The API key cannot be sent in a header.
    #[error("the API key is empty or holds characters that a header cannot carry")]
    BadApiKey,
    /// The device is not in this build.
    #[error(
        "this build of sprat has no {device} support; \
         build it with `--features {device}`, or run with --device cpu"
    )]
    DeviceNotBuilt {
        /// Which.
        device: Device,
    },
    /// The device is not in this machine.
    #[error("no {device} device works on this machine ({reason}); run with --device cpu")]
    DeviceMissing {
        /// Which.
        device: Device,
        /// What was found instead.
        reason: String,
    },
    /// A model could not be loaded.
    #[error("loading the model in {}: {reason}", path.display())]
    Model {
        /// The pack's folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model does not fit into the memory that all may have.
    #[error(
        "the model {id:?} needs {} MB for its weights and its cache, and all models together may have {} (--memory-mb); \
         allow more, give texts less with --cache-mb, or leave the model out",
        megabytes(*bytes, true), megabytes(*budget, false)
    )]
    TooLarge {
        /// Which model.
        id: String,
        /// What it needs.
        bytes: u64,
        /// What there may be.
        budget: u64,
    },
    /// Two packs have one name.
    #[error("two model packs are called {id:?}; requests could not tell them apart")]
    DuplicateModel {
        /// The name.
        id: String,
    },
    /// An engine's options are wrong.
    #[error("the model {id:?}: {problem}")]
    Engine {
        /// The model's id.
        id: String,
        /// Which option, and what would be right.
        problem: String,
    },
    /// An engine names one that is not there.
    #[error("the model {id:?} names {engine:?}, and there is no such model here")]
    UnknownEngine {
        /// Which engine.
        id: String,
        /// What it names.
        engine: String,
    },
    /// Engines name each other in a circle.
    #[error("the model {id:?} names itself, or others that name it: a circle has no answer")]
    EngineCycle {
        /// One of them.
        id: String,
    },
    /// The system refused something that every server needs.
    #[error("running the server: {0}")]
    Io(#[from] io::Error),
}

/// Bytes in MiB, as options have them: what is needed is rounded up.
fn megabytes(bytes: u64, up: bool) -> u64 {
    match up {
        true => bytes.div_ceil(1 << 20),
        false => bytes >> 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per mapping: error, status, type, param, code, Retry-After.
    #[test]
    fn every_error_has_its_status_and_body() {
        let engine = |error: EngineError| ApiError::Engine(error);
        let failed = EngineError::Failed {
            reason: "device lost".into(),
        };
        let too_long = EngineError::PromptTooLong {
            prompt: 9,
            context: 8,
        };
        let (bad, limit, server) = (kind::INVALID_REQUEST, kind::RATE_LIMIT, kind::SERVER);
        let wait = Duration::from_secs(7);
        let table = [
            (
                ApiError::NotJson { line: 1, column: 2 },
                400,
                bad,
                None,
                None,
                None,
            ),
            (ApiError::NotJsonType, 415, bad, None, None, None),
            (
                ApiError::invalid("n", "must be 1"),
                400,
                bad,
                Some("n"),
                None,
                None,
            ),
            (ApiError::BodyTimeout(wait), 408, bad, None, None, None),
            (ApiError::BodyBroken, 400, bad, None, None, None),
            (
                ApiError::BodyTooLarge { limit: 1 },
                413,
                bad,
                None,
                Some("request_too_large"),
                None,
            ),
            (
                ApiError::Private,
                400,
                bad,
                None,
                Some("private_not_accepted"),
                None,
            ),
            (
                ApiError::Unauthorized,
                401,
                bad,
                None,
                Some("invalid_api_key"),
                None,
            ),
            (
                ApiError::ModelNotFound,
                404,
                bad,
                Some("model"),
                Some("model_not_found"),
                None,
            ),
            (ApiError::RouteNotFound, 404, bad, None, None, None),
            (ApiError::MethodNotAllowed, 405, bad, None, None, None),
            (
                ApiError::Overloaded { retry_after: wait },
                429,
                limit,
                None,
                Some("rate_limit_exceeded"),
                Some("7"),
            ),
            (
                ApiError::KeyLimit {
                    retry_after: Duration::from_millis(1500),
                },
                429,
                limit,
                None,
                Some("rate_limit_exceeded"),
                Some("2"),
            ),
            (
                engine(EngineError::Busy),
                429,
                limit,
                None,
                Some("rate_limit_exceeded"),
                Some("1"),
            ),
            (
                engine(too_long),
                400,
                bad,
                Some("messages"),
                Some("context_length_exceeded"),
                None,
            ),
            (
                engine(EngineError::PromptRefused),
                400,
                bad,
                Some("messages"),
                None,
                None,
            ),
            (
                engine(EngineError::Loading),
                503,
                server,
                None,
                Some("not_ready"),
                Some("1"),
            ),
            (engine(failed), 503, server, None, Some("not_ready"), None),
            (
                engine(EngineError::NotLoaded {
                    reason: "a file is missing".into(),
                }),
                503,
                server,
                None,
                Some("not_ready"),
                Some("10"),
            ),
            (
                engine(EngineError::InUse {
                    doing: "answers are in progress",
                }),
                409,
                bad,
                None,
                Some("model_in_use"),
                None,
            ),
            (
                engine(EngineError::ShuttingDown),
                503,
                server,
                None,
                Some("not_ready"),
                Some("5"),
            ),
            (
                engine(EngineError::TookTooLong { limit: wait }),
                504,
                server,
                None,
                Some("timeout"),
                None,
            ),
            (
                engine(EngineError::NotANumber),
                500,
                server,
                None,
                Some("generation_failed"),
                None,
            ),
            (
                engine(EngineError::Generation),
                500,
                server,
                None,
                Some("generation_failed"),
                None,
            ),
            (ApiError::Internal, 500, server, None, None, None),
        ];
        for (error, status, kind, param, code, retry_after) in table {
            let body = error.body().error;
            assert_eq!(error.status().as_u16(), status, "{error:?}");
            assert_eq!(body.kind, kind, "{error:?}");
            assert_eq!(body.param.as_deref(), param, "{error:?}");
            assert_eq!(body.code.as_deref(), code, "{error:?}");
            assert!(!body.message.is_empty());
            let response = error.clone().into_response();
            assert_eq!(response.status().as_u16(), status);
            let header = response
                .headers()
                .get(RETRY_AFTER)
                .map(|h| h.to_str().unwrap());
            assert_eq!(header, retry_after, "{error:?}");
            let asks = response.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(asks, status == 401);
        }
    }
}
