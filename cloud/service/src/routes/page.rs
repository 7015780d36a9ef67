//! The chat page: files from a folder.

use std::path::Path;

use axum::extract::Request;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

/// Serves the files below `folder`, compressed where a `.br` or `.gz` twin lies beside them.
///
/// Nothing is compressed on the way out: that would hide a file's length, which the page's
/// progress bar needs.
pub(super) fn folder(folder: &Path) -> ServeDir {
    ServeDir::new(folder)
        .precompressed_br()
        .precompressed_gzip()
}

/// Has browsers ask each time whether a file has changed. The names carry no version, so a copy
/// that is used unasked could mix two builds; asking costs one 304.
pub(super) async fn cache(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        response = (StatusCode::NOT_FOUND, "404: there is no such file here\n").into_response();
    }
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
