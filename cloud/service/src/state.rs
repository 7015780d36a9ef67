//! What all requests share.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::config::{Limits, OnRequest, ServeConfig};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::{ApiError, ApiKey, Engine, EngineInfo, EngineState, ServiceError};

/// What the application needs to know besides its engines.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// The folder of the chat page, if it is to be served.
    pub web: Option<PathBuf>,
    /// If there are some, requests to `/v1` must carry one.
    pub api_keys: Vec<ApiKey>,
    /// Origins whose pages may call `/v1`; `*` means any.
    pub cors_origins: Vec<String>,
    /// Origins that the served page may connect to besides this server.
    pub connect_origins: Vec<String>,
    /// Limits per request.
    pub limits: Limits,
    /// Pause after which a silent stream gets a comment.
    pub keep_alive: Duration,
    /// Called with each request's headers and its span.
    pub on_request: Option<OnRequest>,
    /// Memory that all models together may have, for metrics.
    pub memory_bytes: Option<u64>,
}

impl Default for AppConfig {
    fn default() -> Self {
        Self::from(&ServeConfig::default())
    }
}

impl From<&ServeConfig> for AppConfig {
    fn from(config: &ServeConfig) -> Self {
        Self {
            web: config.web.clone(),
            api_keys: config.api_keys.clone(),
            cors_origins: config.cors_origins.clone(),
            connect_origins: config.connect_origins.clone(),
            limits: config.limits.clone(),
            keep_alive: config.keep_alive,
            on_request: config.on_request,
            memory_bytes: config.memory_bytes,
        }
    }
}

/// What all requests share. Clones share it too.
#[derive(Clone)]
pub struct AppState {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engines: Vec<Arc<dyn Engine>>,
    pub(crate) limits: Limits,
    pub(crate) keep_alive: Duration,
    pub(crate) on_request: Option<OnRequest>,
    pub(crate) web: Option<PathBuf>,
    pub(crate) keys: Keys,
    pub(crate) cors: Vec<HeaderValue>,
    pub(crate) content_policy: HeaderValue,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: Metrics,
    /// Ends all answers that are still being written.
    pub(crate) cancel: CancellationToken,
    draining: AtomicBool,
    ids: Ids,
}

impl AppState {
    /// The state of an application that offers `engines`.
    ///
    /// # Errors
    /// [`ServiceError`] if the page's folder holds no page, an origin is not one, the API key
    /// cannot be sent, or two engines have one id.
    pub fn new(engines: Vec<Arc<dyn Engine>>, config: AppConfig) -> Result<Self, ServiceError> {
        let ids: Vec<String> = engines.iter().map(|engine| engine.info().id).collect();
        let mut seen = HashSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(ServiceError::DuplicateModel { id: id.clone() });
        }
        if let Some(index) = config.web.as_ref().map(|web| web.join("index.html"))
            && !index.is_file()
        {
            return Err(ServiceError::NoPage { path: index });
        }
        let connect = config
            .connect_origins
            .iter()
            .map(|o| origin(o))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                metrics: Metrics::new(ids.iter().map(String::as_str), config.memory_bytes),
                engines,
                admission: Admission::new(config.limits.requests),
                limits: config.limits,
                keep_alive: config.keep_alive,
                on_request: config.on_request,
                web: config.web,
                keys: Keys::new(config.api_keys)?,
                cors: config
                    .cors_origins
                    .iter()
                    .map(|o| origin(o))
                    .collect::<Result<_, _>>()?,
                content_policy: content_policy(connect)?,
                cancel: CancellationToken::new(),
                draining: AtomicBool::new(false),
                ids: Ids::new(),
            }),
        })
    }

    /// Refuses new work from now on; answers in progress go on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Waits until no answer is in progress.
    pub async fn drained(&self) {
        self.inner.admission.empty().await;
    }

    /// Ends every answer in progress with an error that says why.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }
}

impl Inner {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The engine that serves `model`.
    pub(crate) fn engine(&self, model: &str) -> Result<(&Arc<dyn Engine>, EngineInfo), ApiError> {
        self.engines
            .iter()
            .map(|engine| (engine, engine.info()))
            .find(|(_, info)| info.id == model)
            .ok_or(ApiError::ModelNotFound)
    }

    /// Whether every model can answer, if it must be loaded for it; else why not.
    pub(crate) fn ready(&self) -> Result<(), crate::EngineError> {
        if self.is_draining() {
            return Err(crate::EngineError::ShuttingDown);
        }
        let mut loading = false;
        for engine in &self.engines {
            match engine.info().state {
                EngineState::Ready => {}
                EngineState::Loading => loading = true,
                EngineState::Failed(reason) => return Err(crate::EngineError::Failed { reason }),
            }
        }
        if loading {
            Err(crate::EngineError::Loading)
        } else {
            Ok(())
        }
    }

    /// A new id for a request or an answer: `prefix` and 24 hexadecimal digits.
    pub(crate) fn new_id(&self, prefix: &str) -> String {
        self.ids.next(prefix)
    }

    /// A number that differs from request to request and from run to run.
    pub(crate) fn fresh_seed(&self) -> u64 {
        self.ids.seed()
    }
}

/// Ids that don't repeat, in this process or the next; they need not be secret.
struct Ids {
    process: RandomState,
    count: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        Self {
            process: RandomState::new(),
            count: AtomicU64::new(0),
        }
    }

    fn next(&self, prefix: &str) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:016x}{count:08x}", self.process.hash_one("id"))
    }

    fn seed(&self) -> u64 {
        self.process
            .hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// Checks that `text` is `*` or scheme, host and port without anything behind.
fn origin(text: &str) -> Result<HeaderValue, ServiceError> {
    let bad = || ServiceError::BadOrigin {
        origin: text.to_owned(),
    };
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:[]*".contains(&b))
    };
    if text != "*" && !host.is_some_and(is_host) {
        return Err(bad());
    }
    HeaderValue::from_str(text).map_err(|_| bad())
}

/// The page's Content-Security-Policy: its own files, WebAssembly, and calls to `connect`.
/// Neither scripts nor styles may stand in the HTML itself.
fn content_policy(connect: Vec<HeaderValue>) -> Result<HeaderValue, ServiceError> {
    let mut policy = String::from(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
         style-src 'self'; img-src 'self' data:; object-src 'none'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'self'; connect-src 'self'",
    );
    for origin in connect {
        policy.push(' ');
        policy.push_str(origin.to_str().unwrap_or_default());
    }
    HeaderValue::from_str(&policy).map_err(|_| ServiceError::BadOrigin { origin: policy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked() {
        for good in [
            "*",
            "https://example.org",
            "http://localhost:8787",
            "http://[::1]:80",
        ] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "https://",
            "https://a/b",
            "https://a b",
            "https://a; x",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids::new();
        assert_ne!(ids.next("a-"), ids.next("a-"));
        assert_ne!(ids.seed(), ids.seed());
        assert_eq!(ids.next("a-").len(), "a-".len() + 24);
    }
}
