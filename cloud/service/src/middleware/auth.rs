//! API keys: who asks, whether they may, and what is left of their limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::keys::{Client, Left};
use crate::{ApiError, AppState};

/// Lets only requests with a key pass, if there are keys, and as many as the key's limits allow. What was asked with is in
/// the request's extensions from here on: `Arc<Client>`.
pub(crate) async fn require_key(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let keys = &state.inner.keys;
    if keys.is_open() {
        return Ok(next.run(request).await);
    }
    let header = request.headers().get(AUTHORIZATION);
    let client = header.and_then(|header| keys.client(header));
    let client = client.ok_or(ApiError::Unauthorized)?;
    tracing::Span::current().record("key", client.name());
    request.extensions_mut().insert(Arc::clone(&client));
    // Looking at the models is free.
    let counts = request.method() == Method::POST;
    let mut response = match counts.then(|| client.begin(Instant::now())) {
        Some(Err(retry_after)) => {
            state.inner.metrics.limited(client.name());
            ApiError::KeyLimit { retry_after }.into_response()
        }
        _ => next.run(request).await,
    };
    limits(&client, response.headers_mut());
    Ok(response)
}

/// OpenAI's headers. Tokens of an answer that is being written are not counted yet.
fn limits(client: &Client, headers: &mut HeaderMap) {
    let left = client.left(Instant::now());
    for (what, left) in ["requests", "tokens"].into_iter().zip(left) {
        let Some(Left {
            limit,
            remaining,
            reset,
        }) = left
        else {
            continue;
        };
        for (name, value) in [
            ("limit", limit.to_string()),
            ("remaining", remaining.to_string()),
            ("reset", duration(reset)),
        ] {
            let name = HeaderName::try_from(format!("x-ratelimit-{name}-{what}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// As OpenAI writes it: `1m0s`, `6.5s`, `20ms`.
fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    let (minutes, seconds) = (ms / 60_000, (ms % 60_000) as f64 / 1000.0);
    match (minutes, ms) {
        (0, 0..1000) => format!("{ms}ms"),
        (0, _) => format!("{seconds}s"),
        _ => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        let written = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [0, 20, 1000, 6500].map(written),
            ["0ms", "20ms", "1s", "6.5s"]
        );
        assert_eq!([60_000, 90_250].map(written), ["1m0s", "1m30.25s"]);
    }
}
