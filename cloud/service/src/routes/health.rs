//! Is it alive, can it work, what has it done.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::{ApiError, AppState};

/// `GET /healthz`: the process answers. Says nothing of the models, so that a slow load does not
/// get the process killed.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: every model can answer, and the server is not shutting down; else 503.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    state.inner.ready()?;
    Ok(Json(json!({"status": "ready"})))
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, state.inner.metrics.render(&state.inner.engines))
}
