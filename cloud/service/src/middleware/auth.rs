//! The optional API key.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{ApiError, AppState, ServiceError};

/// A key, kept as its hash: what is not there cannot be logged, and hashes have one length, so
/// that comparing them takes one time.
#[derive(Clone)]
pub(crate) struct ApiKey {
    hash: [u8; 32],
}

impl ApiKey {
    pub(crate) fn new(key: &str) -> Result<Self, ServiceError> {
        if key.is_empty() || key.trim() != key || HeaderValue::from_str(key).is_err() {
            return Err(ServiceError::BadApiKey);
        }
        Ok(Self {
            hash: Sha256::digest(key.as_bytes()).into(),
        })
    }

    fn matches(&self, header: &HeaderValue) -> bool {
        let Some((scheme, key)) = header.as_bytes().split_at_checked(7) else {
            return false;
        };
        let hash: [u8; 32] = Sha256::digest(key).into();
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(hash.ct_eq(&self.hash))
    }
}

/// Lets only requests with the key pass, if one is set.
pub(crate) async fn require_key(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(key) = &state.inner.api_key {
        let header = request.headers().get(AUTHORIZATION);
        if !header.is_some_and(|header| key.matches(header)) {
            return Err(ApiError::Unauthorized);
        }
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_matches() {
        let key = ApiKey::new("sk-Abc").unwrap();
        let matches = |header: &'static str| key.matches(&HeaderValue::from_static(header));
        assert!(matches("Bearer sk-Abc"));
        assert!(matches("bearer sk-Abc"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer sk-abc",
            "Bearer sk-Ab",
            "sk-Abc",
        ] {
            assert!(!matches(wrong), "{wrong}");
        }
        for bad in ["", " ", "a ", "line\nbreak"] {
            assert!(ApiKey::new(bad).is_err(), "{bad:?}");
        }
    }
}
