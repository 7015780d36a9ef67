//! What an operator can choose.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderMap;

use crate::{ApiKey, CascadeOptions, EchoOptions, UpstreamOptions, VoteOptions};

/// What models run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor; always there.
    #[default]
    Cpu,
    /// A graphics card by Vulkan, Metal or DirectX (cargo feature `wgpu`).
    Wgpu,
    /// An NVIDIA card by CUDA (cargo feature `cuda`).
    Cuda,
}

impl Device {
    /// All devices, in the order of their names' usefulness in a help text.
    pub const ALL: [Device; 3] = [Device::Cpu, Device::Wgpu, Device::Cuda];

    /// The name on the command line; also the cargo feature's, but for the processor.
    pub fn as_str(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Wgpu => "wgpu",
            Device::Cuda => "cuda",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|device| device.as_str() == name)
            .ok_or_else(|| format!("no device is called {name:?}; choose cpu, wgpu or cuda"))
    }
}

/// A model to serve, and what clients call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// Its id in the API; without one, a pack's own name, or the name of the folder or file.
    pub id: Option<String>,
    /// A pack, a Hugging Face folder, or a GGUF file.
    pub path: PathBuf,
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self { id: None, path }
    }
}

/// What one request may ask for, and how many may ask at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes; a larger one is answered 413.
    pub body_bytes: usize,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// Requests that may be running or waiting at once; the next is answered 429.
    pub requests: usize,
    /// How long an answer may take, from its request to its end.
    pub answer_timeout: Duration,
    /// How long a client may leave a stream unread.
    pub read_timeout: Duration,
    /// The most tokens that any answer may have, whatever the request says.
    pub max_tokens: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(30),
            requests: 128,
            answer_timeout: Duration::from_secs(600),
            read_timeout: Duration::from_secs(30),
            max_tokens: None,
        }
    }
}

/// What makes a request's span part of somebody else's trace.
pub type OnRequest = fn(&HeaderMap, &tracing::Span);

/// Everything [`crate::serve`] needs.
#[derive(Clone)]
pub struct ServeConfig {
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// What models run on.
    pub device: Device,
    /// The models.
    pub models: Vec<ModelSource>,
    /// Memory for the keys and values of each model's texts. What does not fit is computed again.
    pub cache_bytes: u64,
    /// Memory for all models' weights, keys and values together. With a bound, models are loaded when they are asked, and those
    /// that were asked longest ago make way.
    pub memory_bytes: Option<u64>,
    /// How long a model stays in memory that nobody asks; without, for ever.
    pub idle: Option<Duration>,
    /// An engine without a model, beside them.
    pub echo: Option<EchoOptions>,
    /// Other servers' models.
    pub upstreams: Vec<UpstreamOptions>,
    /// Models that are asked one after the other.
    pub cascades: Vec<CascadeOptions>,
    /// Models that are all asked.
    pub votes: Vec<VoteOptions>,
    /// The folder of the chat page, if it is to be served.
    pub web: Option<PathBuf>,
    /// If there are some, requests to `/v1` must carry one as `Authorization: Bearer <key>`.
    pub api_keys: Vec<ApiKey>,
    /// Origins (`https://example.org`) whose pages may call `/v1`; `*` means any.
    pub cors_origins: Vec<String>,
    /// Origins that the served page may connect to besides this server.
    pub connect_origins: Vec<String>,
    /// Limits per request.
    pub limits: Limits,
    /// Pause after which a silent stream gets a comment, so that proxies keep it open.
    pub keep_alive: Duration,
    /// Called with each request's headers and its span, before anything is done.
    pub on_request: Option<OnRequest>,
    /// How long answers in progress may go on after the server was told to stop.
    pub drain: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787),
            device: Device::default(),
            models: Vec::new(),
            cache_bytes: 512 << 20,
            memory_bytes: None,
            idle: None,
            echo: None,
            upstreams: Vec::new(),
            cascades: Vec::new(),
            votes: Vec::new(),
            web: None,
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            connect_origins: Vec::new(),
            limits: Limits::default(),
            keep_alive: Duration::from_secs(10),
            on_request: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// Leaves out the API key.
impl fmt::Debug for ServeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeConfig")
            .field("address", &self.address)
            .field("device", &self.device)
            .field("models", &self.models)
            .field("cache_bytes", &self.cache_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .field("idle", &self.idle)
            .field("echo", &self.echo)
            .field("upstreams", &self.upstreams)
            .field("cascades", &self.cascades)
            .field("votes", &self.votes)
            .field("web", &self.web)
            .field("api_keys", &self.api_keys)
            .field("cors_origins", &self.cors_origins)
            .field("connect_origins", &self.connect_origins)
            .field("limits", &self.limits)
            .field("keep_alive", &self.keep_alive)
            .field("drain", &self.drain)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in Device::ALL {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert!(
            "gpu"
                .parse::<Device>()
                .unwrap_err()
                .contains("cpu, wgpu or cuda")
        );
    }

    #[test]
    fn debug_output_hides_the_key() {
        let config = ServeConfig {
            api_keys: vec![ApiKey::new("a", "SECRET").unwrap()],
            ..ServeConfig::default()
        };
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}
