//! Headers for browsers: who may call, and what the page may load.

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::REQUEST_ID;
use crate::AppState;

/// Answers other origins' pages by the list in the configuration; by default there is none, and
/// only the page that this server serves can call it.
pub(crate) fn cors(state: &AppState) -> CorsLayer {
    let origins = &state.inner.cors;
    let allow = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    CorsLayer::new()
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            REQUEST_ID,
            HeaderName::from_static("x-sprat-private"),
        ])
        .expose_headers([REQUEST_ID, RETRY_AFTER])
}

/// The script of the worker that reads what people write, wherever the package lies.
const ENGINE: &str = "/sprat/worker.js";

/// That worker's policy: no connection of any kind, and no script but itself. One of our own address would do to tell
/// what was asked: `import("/x.js?...")`.
const SEALED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src 'none'",
);

/// The two that make a page cross-origin isolated, without which browsers share no memory between workers, so that its CPU
/// would have one thread. Whatever the page loads is its own, or answers to CORS.
const ISOLATED: [(HeaderName, HeaderValue); 2] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        HeaderValue::from_static("require-corp"),
    ),
];

/// Adds what keeps a page from loading or being loaded where it should not, and isolates it.
pub(crate) async fn security_headers(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let policy = match request.uri().path().ends_with(ENGINE) {
        true => SEALED,
        false => state.inner.content_policy.clone(),
    };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.extend(ISOLATED);
    response
}
