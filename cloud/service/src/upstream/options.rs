//! What an operator says of another server, and what is right in it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use crate::ServiceError;

/// An API key: it can be sent, but not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Another server's model. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamOptions {
    /// The model's id in our API.
    pub id: String,
    /// Where its API is, such as `https://api.example.org/v1`.
    pub base_url: String,
    /// What it calls the model.
    pub model: String,
    /// The environment variable that holds its key; without one, no key is sent.
    pub key_env: Option<String>,
    /// Allow `http://` to this machine and to private networks, where nobody listens.
    pub allow_http: bool,
    /// Send the limit on tokens as `max_completion_tokens`: OpenAI's newer models take only that, others only `max_tokens`.
    pub max_completion_tokens: bool,
    /// Tokens of its context, to tell clients.
    pub context: Option<usize>,
    /// How long a connection may take.
    pub connect_timeout_seconds: f64,
    /// How long it may take to begin its answer.
    pub first_byte_timeout_seconds: f64,
    /// How long it may then be silent.
    pub event_timeout_seconds: f64,
    /// How long an answer may take, all tries together.
    pub total_timeout_seconds: f64,
    /// How often it is asked for one answer.
    pub max_tries: u32,
    /// The longest pause before the second try; it doubles from try to try.
    pub backoff_seconds: f64,
    /// The longest pause before any try, also where the server asks for a longer one.
    pub max_backoff_seconds: f64,
    /// After so many failures in a row it is not asked any more.
    pub breaker_failures: u32,
    /// For how long not.
    pub breaker_seconds: f64,
    /// US dollars for a million tokens of prompts.
    pub prompt_usd_per_million: f64,
    /// US dollars for a million tokens of answers.
    pub completion_usd_per_million: f64,
    /// What may be spent before this process ends. Answers in progress when it is spent go on, so that it can be exceeded by
    /// what `max_concurrent` answers cost.
    pub budget_usd: Option<f64>,
    /// Answers at once.
    pub max_concurrent: usize,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            id: String::new(),
            base_url: String::new(),
            model: String::new(),
            key_env: None,
            allow_http: false,
            max_completion_tokens: false,
            context: None,
            connect_timeout_seconds: 10.0,
            first_byte_timeout_seconds: 60.0,
            event_timeout_seconds: 60.0,
            total_timeout_seconds: 600.0,
            max_tries: 3,
            backoff_seconds: 0.5,
            max_backoff_seconds: 10.0,
            breaker_failures: 5,
            breaker_seconds: 30.0,
            prompt_usd_per_million: 0.0,
            completion_usd_per_million: 0.0,
            budget_usd: None,
            max_concurrent: 64,
        }
    }
}

/// Where a server is: checked.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Scheme, host and path, without a slash at the end.
    base: String,
    /// Its name, for people.
    pub(super) host: String,
}

impl Address {
    /// The address of a route below it.
    pub(super) fn route(&self, path: &str) -> Result<Uri, &'static str> {
        format!("{}{path}", self.base)
            .parse()
            .map_err(|_| "base_url is not an address")
    }
}

impl UpstreamOptions {
    /// What to call and with what.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] for an address that is not one or not safe.
    pub(super) fn address(&self) -> Result<Address, ServiceError> {
        address(&self.base_url, self.allow_http).map_err(|problem| self.wrong(problem))
    }

    /// Checks all numbers and names.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] that names the first wrong option.
    pub(super) fn check(&self) -> Result<(), ServiceError> {
        for (name, text) in [("id", &self.id), ("model", &self.model)] {
            if text.is_empty() {
                return Err(self.wrong(format!("{name} must not be empty")));
            }
        }
        for (name, seconds) in [
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            (
                "first_byte_timeout_seconds",
                self.first_byte_timeout_seconds,
            ),
            ("event_timeout_seconds", self.event_timeout_seconds),
            ("total_timeout_seconds", self.total_timeout_seconds),
            ("backoff_seconds", self.backoff_seconds),
            ("max_backoff_seconds", self.max_backoff_seconds),
            ("breaker_seconds", self.breaker_seconds),
        ] {
            // A year is surely a mistake, and longer ones overflow clocks.
            if !(0.0..=31_536_000.0).contains(&seconds) {
                return Err(self.wrong(format!("{name} must be from 0 to 31536000")));
            }
        }
        for (name, dollars) in [
            ("prompt_usd_per_million", self.prompt_usd_per_million),
            (
                "completion_usd_per_million",
                self.completion_usd_per_million,
            ),
            ("budget_usd", self.budget_usd.unwrap_or(0.0)),
        ] {
            if !dollars.is_finite() || dollars < 0.0 {
                return Err(self.wrong(format!("{name} must be a number from 0")));
            }
        }
        if self.budget_usd.is_some() && !self.is_priced() {
            let problem = "budget_usd needs prices: set prompt_usd_per_million and \
                           completion_usd_per_million";
            return Err(self.wrong(problem));
        }
        for (name, count) in [
            ("max_tries", self.max_tries as usize),
            ("breaker_failures", self.breaker_failures as usize),
            ("max_concurrent", self.max_concurrent),
        ] {
            if count == 0 {
                return Err(self.wrong(format!("{name} must be at least 1")));
            }
        }
        Ok(())
    }

    /// The key from its environment variable.
    ///
    /// # Errors
    /// [`ServiceError::Engine`] if the variable is not there.
    pub(super) fn key(&self) -> Result<Option<Secret>, ServiceError> {
        let Some(name) = &self.key_env else {
            return Ok(None);
        };
        match std::env::var(name) {
            Ok(key) => Ok(Some(Secret(key))),
            Err(_) => Err(self.wrong(format!(
                "the environment variable {name:?} is not set; it should hold the key"
            ))),
        }
    }

    /// The header that carries a key.
    pub(super) fn authorization(&self, key: &Secret) -> Result<HeaderValue, ServiceError> {
        let problem = "the key is empty or holds characters that a header cannot carry";
        let key = key.0.trim();
        let value = HeaderValue::from_str(&format!("Bearer {key}"));
        let mut value = value.map_err(|_| self.wrong(problem))?;
        if key.is_empty() {
            return Err(self.wrong(problem));
        }
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn is_priced(&self) -> bool {
        self.prompt_usd_per_million > 0.0 || self.completion_usd_per_million > 0.0
    }

    pub(super) fn wrong(&self, problem: impl Into<String>) -> ServiceError {
        ServiceError::Engine {
            id: self.id.clone(),
            problem: problem.into(),
        }
    }
}

/// A number of seconds that [`UpstreamOptions::check`] has seen.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Reads an address. Its problems are told without it: it may hold a password.
fn address(text: &str, allow_http: bool) -> Result<Address, &'static str> {
    if text.contains('#') || text.contains('?') {
        return Err("base_url must have neither a query nor a fragment");
    }
    let uri: Uri = text.parse().map_err(|_| "base_url is not an address")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("base_url must begin with https://");
    };
    if authority.as_str().contains('@') {
        return Err("base_url must not hold a password; name the key's variable in key_env");
    }
    match scheme {
        "https" => {}
        "http" if !allow_http => {
            return Err("base_url must begin with https://, or set allow_http");
        }
        "http" if is_private(authority.host()) => {}
        "http" => return Err("base_url: http:// is for this machine and private networks only"),
        _ => return Err("base_url must begin with https://"),
    }
    Ok(Address {
        base: text.trim_end_matches('/').to_owned(),
        host: authority.host().to_owned(),
    })
}

/// Whether a host is this machine or one of a private network, as far as its name says.
fn is_private(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        // A name without a dot is one of the local network, as containers have.
        Err(_) => {
            !host.contains('.')
                || [".localhost", ".local", ".internal"]
                    .iter()
                    .any(|end| host.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["https://api.example.org/v1", "https://api.example.org/v1/"] {
            let address = address(good, false).unwrap();
            assert_eq!(address.host, "api.example.org");
            let route = address.route("/chat/completions").unwrap();
            assert_eq!(route, "https://api.example.org/v1/chat/completions");
        }
        for good in [
            "http://localhost:8000/v1",
            "http://127.0.0.1:1",
            "http://[::1]:1/v1",
            "http://10.1.2.3/v1",
            "http://vllm:8000/v1",
            "http://vllm.team.svc.cluster.local/v1",
        ] {
            assert!(address(good, true).is_ok(), "{good}");
            assert!(address(good, false).is_err(), "{good}");
        }
        for bad in [
            "",
            "api.example.org",
            "/v1",
            "ftp://localhost/v1",
            "http://example.org/v1",
            "http://8.8.8.8/v1",
            "https://ann:SECRET@example.org/v1",
            "https://SECRET@example.org/v1",
            "https://example.org/v1?key=SECRET",
            "https://example.org/v1#SECRET",
            "https://exa mple.org/v1",
        ] {
            let problem = address(bad, true).unwrap_err();
            assert!(!problem.contains("SECRET"), "{bad}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let key = Secret::new("SECRET");
        assert_eq!(format!("{key:?}"), "***");
        let options = UpstreamOptions::default();
        let header = options.authorization(&key).unwrap();
        assert!(!format!("{header:?}").contains("SECRET"));
        let wrong = options.authorization(&Secret::new("SEC\nRET")).unwrap_err();
        assert!(!format!("{wrong:?} {wrong}").contains("RET"));
        assert!(options.authorization(&Secret::new(" ")).is_err());
    }

    #[test]
    fn the_wrong_option_is_named() {
        type Change = fn(&mut UpstreamOptions);
        let wrong: [(&str, Change); 8] = [
            ("id", |o| o.id.clear()),
            ("model", |o| o.model.clear()),
            ("connect_timeout_seconds", |o| {
                o.connect_timeout_seconds = -1.0
            }),
            ("breaker_seconds", |o| o.breaker_seconds = f64::NAN),
            ("total_timeout_seconds", |o| o.total_timeout_seconds = 1e300),
            ("prompt_usd_per_million", |o| {
                o.prompt_usd_per_million = f64::INFINITY
            }),
            ("budget_usd", |o| o.budget_usd = Some(1.0)),
            ("max_tries", |o| o.max_tries = 0),
        ];
        let right = UpstreamOptions {
            id: "a".into(),
            model: "b".into(),
            ..UpstreamOptions::default()
        };
        assert!(right.check().is_ok());
        for (name, change) in wrong {
            let mut options = right.clone();
            change(&mut options);
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn options_are_read() {
        let json = r#"{"id": "a", "base_url": "https://b/v1", "model": "c", "event_timeout_seconds": 1.5}"#;
        let options: UpstreamOptions = serde_json::from_str(json).unwrap();
        assert_eq!(options.event_timeout_seconds, 1.5);
        assert_eq!(options.max_tries, 3);
        assert!(serde_json::from_str::<UpstreamOptions>(r#"{"key": "x"}"#).is_err());
    }
}
