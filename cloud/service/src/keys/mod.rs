//! Who may ask, and how much: API keys and their limits.

mod bucket;
mod file;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::ServiceError;
use bucket::Bucket;

/// One API key and what it may do. Kept as the key's hash: what is not there cannot be logged, and hashes have one
/// length, so that comparing them takes one time.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What logs call whoever has it.
    pub name: String,
    hash: [u8; 32],
    /// Requests that it may begin in a minute; no limit without.
    pub requests_per_minute: Option<u32>,
    /// Tokens, read and written, that it may use in a minute; no limit without.
    pub tokens_per_minute: Option<u32>,
}

/// Leaves out the hash.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("requests_per_minute", &self.requests_per_minute)
            .field("tokens_per_minute", &self.tokens_per_minute)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A key without limits.
    ///
    /// # Errors
    /// [`ServiceError::BadApiKey`] if it is empty or cannot be sent in a header.
    pub fn new(name: &str, key: &str) -> Result<Self, ServiceError> {
        if key.is_empty() || key.trim() != key || HeaderValue::from_str(key).is_err() {
            return Err(ServiceError::BadApiKey);
        }
        Ok(Self::of_hash(name, Sha256::digest(key.as_bytes()).into()))
    }

    fn of_hash(name: &str, hash: [u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            hash,
            requests_per_minute: None,
            tokens_per_minute: None,
        }
    }
}

/// All keys of a server; none means that anybody may ask.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    clients: Vec<Arc<Client>>,
}

/// Whoever has a key.
#[derive(Debug)]
pub(crate) struct Client {
    key: ApiKey,
    /// Names it where a number is wanted; never 0, which is everybody without a key.
    pub(crate) id: u64,
    requests: Option<Mutex<Bucket>>,
    tokens: Option<Mutex<Bucket>>,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until all of it is there again.
    pub(crate) reset: Duration,
}

impl Keys {
    /// # Errors
    /// [`ServiceError::DuplicateKey`] if two are the same or have the same name.
    pub(crate) fn new(keys: Vec<ApiKey>) -> Result<Self, ServiceError> {
        for (i, key) in keys.iter().enumerate() {
            let same = |other: &&ApiKey| other.hash == key.hash || other.name == key.name;
            if let Some(other) = keys[..i].iter().find(same) {
                let names = [other.name.clone(), key.name.clone()];
                return Err(ServiceError::DuplicateKey { names });
            }
        }
        let now = Instant::now();
        let client = |key: ApiKey| {
            let bucket =
                |limit: Option<u32>| limit.map(|limit| Mutex::new(Bucket::new(limit, now)));
            let [a, b, c, d, e, f, g, h, ..] = key.hash;
            Arc::new(Client {
                id: u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1),
                requests: bucket(key.requests_per_minute),
                tokens: bucket(key.tokens_per_minute),
                key,
            })
        };
        Ok(Self {
            clients: keys.into_iter().map(client).collect(),
        })
    }

    /// Whether anybody may ask.
    pub(crate) fn is_open(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whose key this `Authorization` header has. Takes the same time for every header of its length: all keys are
    /// compared, and each to its end.
    pub(crate) fn client(&self, header: &HeaderValue) -> Option<Arc<Client>> {
        let (scheme, key) = header.as_bytes().split_at_checked(7)?;
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut found = u32::MAX;
        for (i, client) in (0u32..).zip(&self.clients) {
            let same: Choice = hash.ct_eq(&client.key.hash);
            found = u32::conditional_select(&found, &i, same);
        }
        let client = self.clients.get(found as usize)?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| Arc::clone(client))
    }
}

impl Client {
    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }

    /// Begins a request.
    ///
    /// # Errors
    /// How long until it may, if a limit is used up.
    pub(crate) fn begin(&self, now: Instant) -> Result<(), Duration> {
        // Tokens are counted when they are there, so what is left may be less than nothing.
        if let Some(tokens) = &self.tokens {
            lock(tokens).wait_for(1.0, now)?;
        }
        if let Some(requests) = &self.requests {
            lock(requests).take(1.0, now)?;
        }
        Ok(())
    }

    /// Counts tokens that were read or written.
    pub(crate) fn used(&self, tokens: u32, now: Instant) {
        if let Some(bucket) = &self.tokens {
            lock(bucket).charge(f64::from(tokens), now);
        }
    }

    /// What is left of the limits on requests and on tokens, where there are some.
    pub(crate) fn left(&self, now: Instant) -> [Option<Left>; 2] {
        [&self.requests, &self.tokens]
            .map(|bucket| bucket.as_ref().map(|bucket| lock(bucket).left(now)))
    }
}

fn lock(bucket: &Mutex<Bucket>) -> std::sync::MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_keys_match() {
        let keys = ["sk-Abc", "sk-other"];
        let keys = keys.map(|key| ApiKey::new(key, key).unwrap());
        let keys = Keys::new(keys.to_vec()).unwrap();
        let who = |header: &'static str| {
            let client = keys.client(&HeaderValue::from_static(header));
            client.map(|client| client.name().to_owned())
        };
        assert_eq!(who("Bearer sk-Abc").as_deref(), Some("sk-Abc"));
        assert_eq!(who("bearer sk-other").as_deref(), Some("sk-other"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer sk-abc",
            "Bearer sk-Ab",
            "Bearer sk-Abcd",
            "sk-Abc",
            "Basic sk-Abc",
        ] {
            assert_eq!(who(wrong), None, "{wrong}");
        }
        for bad in ["", " ", "a ", "line\nbreak"] {
            assert!(ApiKey::new("a", bad).is_err(), "{bad:?}");
        }
        assert!(
            Keys::default()
                .client(&HeaderValue::from_static("Bearer x"))
                .is_none()
        );
    }

    #[test]
    fn keys_are_not_the_same_and_not_shown() {
        let key = |name: &str, key: &str| ApiKey::new(name, key).unwrap();
        for (a, b) in [
            (key("a", "x"), key("b", "x")),
            (key("a", "x"), key("a", "y")),
        ] {
            assert!(Keys::new(vec![a, b]).is_err());
        }
        let shown = format!("{:?}", key("team", "SECRET"));
        assert!(shown.contains("team") && !shown.contains("SECRET") && !shown.contains("hash"));
    }

    #[test]
    fn limits_are_used_up_and_come_back() {
        let key = ApiKey {
            requests_per_minute: Some(2),
            tokens_per_minute: Some(60),
            ..ApiKey::new("a", "x").unwrap()
        };
        let keys = Keys::new(vec![key]).unwrap();
        let client = &keys.clients[0];
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(client.begin(now), Ok(()));
        client.used(100, now);
        // 41 tokens below one, at one a second.
        assert_eq!(client.begin(now), Err(Duration::from_secs(41)));
        let [requests, tokens] = client.left(now).map(Option::unwrap);
        assert_eq!((requests.limit, requests.remaining), (2, 1));
        assert_eq!(
            (tokens.remaining, tokens.reset),
            (0, Duration::from_secs(100))
        );
        assert_eq!(client.begin(after(41)), Ok(()));
        assert_eq!(client.begin(after(60)), Ok(()));
        let wait = client.begin(after(61)).unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(30),
            "{wait:?}"
        );
    }
}
