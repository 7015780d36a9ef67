//! HTTP to another server: one try.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sprat_wire::ErrorBody;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, service_fn};

use super::options::{Secret, UpstreamOptions, seconds};
use super::read;
use super::request::Api;
use crate::{ServiceError, UpstreamError};

/// The longest error that is read, in bytes.
const ERROR_LIMIT: usize = 64 << 10;

/// How long an open connection waits for the next request: less than the 5 s after which common servers close it, so that
/// a request seldom meets one that is being closed.
const IDLE: Duration = Duration::from_secs(4);

/// Some providers turn away who has none.
const USER_AGENT_NAME: &str = concat!("sprat/", env!("CARGO_PKG_VERSION"));

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Speaks to one server. Follows no redirects and asks no proxy: what is sent goes where the operator said.
pub(super) struct Client {
    pool: Pool<Connector, Body>,
    chat: Uri,
    text: Uri,
    authorization: Option<HeaderValue>,
}

/// Why a try failed.
pub(super) struct Failed {
    pub(super) error: UpstreamError,
    /// Whether another try may help, and can do no harm: the server has certainly not begun to answer.
    pub(super) again: bool,
    /// Whether the server is at fault; it is not if it refuses a request.
    pub(super) fault: bool,
}

impl Failed {
    /// A failure after which nothing is tried again.
    pub(super) fn finally(error: UpstreamError) -> Self {
        Self {
            error,
            again: false,
            fault: true,
        }
    }
}

impl Client {
    pub(super) fn new(
        options: &UpstreamOptions,
        key: Option<&Secret>,
    ) -> Result<Self, ServiceError> {
        let address = options.address()?;
        let route = |path| {
            let route = address.route(path);
            route.map_err(|problem| options.wrong(problem))
        };
        let connector = connector(seconds(options.connect_timeout_seconds));
        let connector = connector.map_err(|_| options.wrong("TLS is not to be had"))?;
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Ok(Self {
            pool: pool.build(connector),
            chat: route("/chat/completions")?,
            text: route("/completions")?,
            authorization: key.map(|key| options.authorization(key)).transpose()?,
        })
    }

    /// Sends a request and waits for the head of a successful response.
    pub(super) async fn send(&self, api: Api, body: Bytes) -> Result<Body, Failed> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match api {
            Api::Chat => self.chat.clone(),
            Api::Text => self.text.clone(),
        };
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_NAME));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.pool.request(request).await.map_err(|error| Failed {
            error: match error.is_connect() {
                true => UpstreamError::Unreachable,
                false => UpstreamError::Broken,
            },
            again: error.is_connect(),
            fault: true,
        })?;
        let response = response.map(Body::new);
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            Err(refused(response).await)
        }
    }
}

/// Connects within `limit`, TLS included.
fn connector(limit: Duration) -> Result<Connector, rustls::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(BoxCloneSyncService::new(service_fn(move |uri: Uri| {
        // Always ready: it queues nothing.
        let connecting = tls.clone().call(uri);
        async move { timeout(limit, connecting).await? }
    })))
}

/// What a response that is no success means.
async fn refused(response: Response<Body>) -> Failed {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let body = axum::body::to_bytes(response.into_body(), ERROR_LIMIT).await;
    let body = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let code = body.as_ref().and_then(|body: &ErrorBody| read::code(body));
    Failed {
        error: UpstreamError::Status {
            status,
            code,
            retry_after,
        },
        again: matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
        fault: status == 408 || status >= 500,
    }
}

/// When to try again: in so many seconds, or at a time. That is the server's, and so is the one that its answer was made
/// at: what our own clock shows does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let again = text(RETRY_AFTER)?;
    if let Ok(seconds) = again.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(again).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after() {
        let read = |again: &str, now: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, again.parse().unwrap());
            if let Some(now) = now {
                headers.insert(DATE, now.parse().unwrap());
            }
            retry_after(&headers)
        };
        assert_eq!(read("7", None), Some(Duration::from_secs(7)));
        assert_eq!(read("soon", None), None);
        assert_eq!(read("-1", None), None);
        // Wherever the server's clock stands, and ours: years away, or an hour.
        for hour in [
            "Fri, 01 Jan 1971 10:00:",
            "Fri, 27 Nov 2026 10:00:",
            "Sun, 27 Nov 2050 11:00:",
        ] {
            let [early, late] = ["01", "10"].map(|second| format!("{hour}{second} GMT"));
            assert_eq!(read(&late, Some(&early)), Some(Duration::from_secs(9)));
            assert_eq!(read(&early, Some(&late)), Some(Duration::ZERO));
            assert_eq!(read(&late, None), None);
            assert_eq!(read(&late, Some("today")), None);
        }
    }
}
