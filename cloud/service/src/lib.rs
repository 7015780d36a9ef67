//! Sprat's server: an OpenAI-compatible API and the chat page, on one port.
//!
//! ```text
//! axum ─▶ observe (request id, access log, metrics) ─▶ CORS ─▶ security headers
//!    /v1/chat/completions ─▶ private lock ─▶ API key ─▶ parse ─▶ validate ─▶ convert ─▶ admission ─▶ Engine
//!    /v1/models, /healthz, /readyz, /metrics, and the page for everything else
//! ```
//!
//! An [`Engine`] is one model that answers. [`app`] makes a router of engines, which tests call
//! without a socket; [`serve`] loads packs onto a device (and unloads them, where memory is bounded) and runs that router until it is told
//! to stop. What people write is never logged, counted or repeated in an error.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod calls;
mod config;
mod echo;
mod engine;
mod engines;
mod error;
mod grammar;
mod job;
mod keys;
mod load;
mod local;
mod metrics;
mod middleware;
mod route;
mod routes;
mod serve;
mod state;
mod upstream;

pub use calls::CallFormat;
pub use config::{Device, Limits, ModelSource, OnRequest, ServeConfig};
pub use echo::{Echo, EchoOptions};
pub use engine::{
    Alternative, Counts, Embedded, Engine, EngineError, EngineInfo, EngineState, Event, Finish,
    JobHandle, JobSink, Judgement, Price, Stamped, Token, channel,
};
pub use engines::{Cascade, CascadeOptions, Expected, Vote, VoteOptions, normalize};
pub use error::{ApiError, ServiceError};
pub use job::{Begun, Constraint, Job, Prompt, Sampling};
pub use keys::ApiKey;
pub use load::{EngineLoad, Unloads, UpstreamLoad, Weights};
pub use route::{Route, Rule, Weighed};
pub use routes::app;
pub use serve::{serve, serve_until};
pub use state::{AppConfig, AppState};
pub use upstream::{Secret, Upstream, UpstreamError, UpstreamOptions, Wait};
