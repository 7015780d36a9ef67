//! The routes, and the layers around them.

mod answer;
mod body;
mod chat;
mod embeddings;
mod flight;
mod health;
mod models;
mod openapi;
mod page;
mod sampling;
mod text;
mod tokens;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::middleware::{cors, observe, refuse_private, require_key, security_headers};
use crate::{ApiError, AppState, EngineError};

/// The whole application.
///
/// ```
/// # use sprat_service::{AppConfig, AppState, ServiceError, app};
/// # fn main() -> Result<(), ServiceError> {
/// let engines = vec![];
/// let router = app(AppState::new(engines, AppConfig::default())?);
/// # Ok(())
/// # }
/// ```
pub fn app(state: AppState) -> Router {
    // Full paths instead of a nested router, so that a request's matched path is its whole one.
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/completions", post(text::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::one))
        .route("/v1/models/{id}/load", post(models::load))
        .route("/v1/models/{id}/unload", post(models::unload))
        .route("/v1", any(not_found))
        .route("/v1/", any(not_found))
        .route("/v1/{*rest}", any(not_found))
        .method_not_allowed_fallback(wrong_method)
        // The layer added last runs first: no key is asked for what is refused anyway.
        .layer(from_fn_with_state(state.clone(), require_key))
        .layer(from_fn_with_state(state.clone(), refuse_private))
        .layer(cors(&state));
    let mut router = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        // Where gateways ask by default.
        .route("/health", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::document))
        .method_not_allowed_fallback(wrong_method)
        .merge(v1);
    router = match &state.inner.web {
        Some(folder) => router.fallback_service(
            Router::new()
                .fallback_service(page::folder(folder))
                .layer(from_fn(page::cache)),
        ),
        None => router.fallback(not_found),
    };
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), security_headers))
        .layer(from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

/// Waits for an engine no longer than an answer may take, or the server lives.
async fn bounded<T>(
    state: &AppState,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let limit = state.inner.limits.answer_timeout;
    tokio::select! {
        biased;
        () = state.inner.cancel.cancelled() => Err(EngineError::ShuttingDown),
        () = tokio::time::sleep(limit) => Err(EngineError::TookTooLong { limit }),
        outcome = work => outcome,
    }
}

async fn not_found() -> ApiError {
    ApiError::RouteNotFound
}

async fn wrong_method() -> ApiError {
    ApiError::MethodNotAllowed
}

/// A panic is a bug, but the client gets an answer. The payload may hold anything, so it is not
/// logged here; the panic hook has printed where it happened.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    ApiError::Internal.into_response()
}
