//! Request ids, the access log and the counts by route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span};

use crate::AppState;
use crate::metrics::method_name;

/// The header that names a request, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What nginx writes for a client that did not wait for the response; it never leaves the house.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Names the request, counts it, logs one line about it, and sends its name back.
///
/// Logs and labels say the route's pattern, not the path: a path is text from outside.
pub(crate) async fn observe(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned()
        .or_else(|| HeaderValue::from_str(&state.inner.new_id("req-")).ok())
        .unwrap_or(HeaderValue::from_static("req"));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "page".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        key = tracing::field::Empty,
        http.request.method = method_name(request.method()),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        otel.kind = "server",
    );
    if let Some(on_request) = state.inner.on_request {
        on_request(request.headers(), &span);
    }
    let method = request.method().clone();
    let mut entry = Entry {
        state,
        route,
        method,
        began: Instant::now(),
        status: None,
        span: span.clone(),
    };
    let mut response = next.run(request).instrument(span).await;
    entry.status = Some(response.status());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// An id from outside is repeated in headers and logs, so it must be short and dull.
fn is_plain(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    let dull = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=64).contains(&id.len()) && id.iter().all(dull)
}

/// Writes its line when dropped, so that a request is counted also if its client goes away.
struct Entry {
    state: AppState,
    route: String,
    method: Method,
    began: Instant,
    status: Option<StatusCode>,
    span: Span,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let status = self.status.unwrap_or(CLIENT_GONE);
        let took = self.began.elapsed();
        self.state
            .inner
            .metrics
            .response(&self.route, &self.method, status, took);
        let (method, route) = (self.method.as_str(), self.route.as_str());
        let (status, ms) = (status.as_u16(), took.as_millis() as u64);
        self.span.record("http.response.status_code", status);
        let _inside = self.span.enter();
        if status >= 500 {
            tracing::warn!(method, route, status, ms, "response");
        } else {
            tracing::info!(method, route, status, ms, "response");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_outside_are_checked() {
        let plain = |id: &str| is_plain(&HeaderValue::from_str(id).unwrap());
        assert!(plain("req-1_a.B"));
        assert!(!plain("") && !plain("a b") && !plain("{x}") && !plain(&"a".repeat(65)));
    }
}
