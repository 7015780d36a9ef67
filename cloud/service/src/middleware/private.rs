//! A second lock on the promise that private text stays on the device.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

use crate::{ApiError, AppState};

const HEADER: &str = "x-sprat-private";

/// Refuses requests flagged private before a byte of their body is read. The page never sends
/// one; should a bug make it, the text is refused here and the bug shows in a metric.
pub(crate) async fn refuse_private(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_private(request.headers()) {
        state.inner.metrics.private.increment(1);
        return Err(ApiError::Private);
    }
    Ok(next.run(request).await)
}

/// Anything but a clear no counts as private: in doubt the lock stays shut.
fn is_private(headers: &HeaderMap) -> bool {
    headers
        .get_all(HEADER)
        .iter()
        .any(|value| !matches!(value.as_bytes(), b"false" | b"0" | b"no"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn doubt_means_private() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_static(value));
            }
            is_private(&headers)
        };
        assert!(!with(&[]) && !with(&["false"]) && !with(&["0"]));
        assert!(with(&["true"]) && with(&["1"]) && with(&["maybe"]) && with(&[""]));
        assert!(with(&["false", "true"]));
    }
}
