//! What an operator has set: in a file, by environment variables, by options, the later ones over the earlier ones.

use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::{Deserialize, Serialize};
use sprat_service::{
    ApiKey, CascadeOptions, Device, EchoOptions, ServeConfig, UpstreamOptions, VoteOptions,
};

use super::models;
use crate::device::DeviceName;

/// The one key that needs no file. Never an option: options are seen by everybody on the machine.
const API_KEY: &str = "SPRAT_API_KEY";
const DEFAULT_WEB: &str = "web/dist";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A TOML file of settings, named as the options below with _ for -; environment variables and options win over it
    #[arg(long, env = "SPRAT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all settings and where each comes from, and end
    #[arg(long)]
    pub(super) print_config: bool,
    /// Address to listen on; 0.0.0.0 lets other machines in [default: 127.0.0.1]
    #[arg(long, env = "SPRAT_HOST", value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port to listen on; 0 picks a free one [default: 8787]
    #[arg(long, env = "PORT", value_name = "N")]
    port: Option<u16>,
    /// What the models run on [default: cpu]
    #[arg(long, env = "SPRAT_DEVICE", value_enum)]
    device: Option<DeviceName>,
    /// What answers: models, or an echo of what was said last, without any model [default: local]
    #[arg(long, env = "SPRAT_ENGINE", value_enum)]
    engine: Option<EngineName>,
    #[command(flatten)]
    echo: EchoArgs,
    /// A model to serve: a pack, a Hugging Face folder, a .gguf file, a model of the hub, or a folder
    /// of packs; NAME= before it is its id in the API; may be repeated
    /// [default: web/models and cloud/models]
    #[arg(
        long = "model",
        alias = "models",
        id = "models",
        env = "SPRAT_MODELS",
        value_delimiter = ',',
        value_name = "[NAME=]DIR"
    )]
    models: Option<Vec<String>>,
    /// Folder of the chat page [default: web/dist, when it is there]
    #[arg(long, env = "SPRAT_WEB", value_name = "DIR")]
    web: Option<PathBuf>,
    /// A file of API keys, one per line, of which every request to /v1 must carry one as `Authorization: Bearer KEY`; a
    /// single key can be had without a file, in the environment variable SPRAT_API_KEY
    #[arg(long, env = "SPRAT_API_KEYS_FILE", value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
    /// An origin whose pages may call /v1, such as <https://example.org>; may be repeated
    #[arg(
        long = "cors-origin",
        id = "cors_origins",
        env = "SPRAT_CORS_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    cors_origins: Option<Vec<String>>,
    /// Answers that may be written or wait at once; the next is answered 429 [default: 128]
    #[arg(long, env = "SPRAT_MAX_REQUESTS", value_name = "N")]
    max_requests: Option<usize>,
    /// How logs are written: lines for people, or JSON objects [default: text]
    #[arg(long, env = "SPRAT_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// A collector of traces, by OTLP over HTTP, such as <http://127.0.0.1:4318>
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Most tokens any answer may have
    #[arg(long, env = "SPRAT_MAX_TOKENS", value_name = "N")]
    max_tokens: Option<usize>,
    /// Most bytes of a request [default: 1048576]
    #[arg(long, env = "SPRAT_MAX_BODY_BYTES", value_name = "N")]
    max_body_bytes: Option<usize>,
    /// Seconds that an answer may take, waiting included [default: 600]
    #[arg(long, env = "SPRAT_ANSWER_SECONDS", value_name = "S")]
    answer_seconds: Option<u64>,
    /// Seconds that answers in progress have when the server is told to stop [default: 30]
    #[arg(long, env = "SPRAT_DRAIN_SECONDS", value_name = "S")]
    drain_seconds: Option<u64>,
    /// Megabytes for the keys and values of each model's texts; what does not fit is computed again [default: 512]
    #[arg(long, env = "SPRAT_CACHE_MB", value_name = "MB")]
    cache_mb: Option<u64>,
    /// Megabytes for the weights, keys and values of all models together; a model that is not loaded is loaded when it is
    /// asked, and those that were asked longest ago make way [default: no limit, all models are loaded]
    #[arg(long, env = "SPRAT_MEMORY_MB", value_name = "MB")]
    memory_mb: Option<u64>,
    /// Seconds after which a model that nobody asks is unloaded [default: never]
    #[arg(long, env = "SPRAT_IDLE_SECONDS", value_name = "S")]
    idle_seconds: Option<u64>,
}

/// What answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EngineName {
    /// Models on this machine
    #[default]
    Local,
    /// What was said last, word by word
    Echo,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// For `--engine echo`.
#[derive(clap::Args)]
struct EchoArgs {
    /// Milliseconds before an echo's first token
    #[arg(long, value_name = "MS")]
    echo_first: Option<u64>,
    /// Milliseconds between an echo's tokens
    #[arg(long, value_name = "MS")]
    echo_pause: Option<u64>,
    /// Tokens of every echo: words are repeated, or cut off
    #[arg(long, value_name = "N")]
    echo_tokens: Option<usize>,
    /// Let every Nth echo fail
    #[arg(long, value_name = "N")]
    echo_fail_every: Option<usize>,
    /// Tokens of an echo that fails
    #[arg(long, value_name = "N")]
    echo_fail_after: Option<usize>,
}

/// The file's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    host: Option<IpAddr>,
    port: Option<u16>,
    device: Option<DeviceName>,
    engine: Option<EngineName>,
    models: Option<Vec<String>>,
    web: Option<PathBuf>,
    api_keys_file: Option<PathBuf>,
    cors_origins: Option<Vec<String>>,
    log_format: Option<LogFormat>,
    otlp_endpoint: Option<String>,
    max_requests: Option<usize>,
    max_tokens: Option<usize>,
    max_body_bytes: Option<usize>,
    answer_seconds: Option<u64>,
    drain_seconds: Option<u64>,
    cache_mb: Option<u64>,
    memory_mb: Option<u64>,
    idle_seconds: Option<u64>,
    echo_first: Option<u64>,
    echo_pause: Option<u64>,
    echo_tokens: Option<usize>,
    echo_fail_every: Option<usize>,
    echo_fail_after: Option<usize>,
    #[serde(default)]
    upstreams: Vec<UpstreamOptions>,
    #[serde(default)]
    cascades: Vec<CascadeOptions>,
    #[serde(default)]
    votes: Vec<VoteOptions>,
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the settings in {}", path.display()))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            // The error's own text has the line itself, where somebody may have put a key.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            let (path, what) = (path.display(), error.message());
            anyhow::anyhow!("settings in {path}, line {line}: {what}")
        })
    }
}

/// All settings, and where each comes from.
pub(super) struct Settings {
    host: IpAddr,
    port: u16,
    device: DeviceName,
    engine: EngineName,
    models: Vec<String>,
    web: Option<PathBuf>,
    api_keys_file: Option<PathBuf>,
    cors_origins: Vec<String>,
    pub(super) log_format: LogFormat,
    pub(super) otlp_endpoint: Option<String>,
    max_requests: usize,
    max_tokens: Option<usize>,
    max_body_bytes: usize,
    answer_seconds: u64,
    drain_seconds: u64,
    cache_mb: u64,
    memory_mb: Option<u64>,
    idle_seconds: Option<u64>,
    echo: EchoOptions,
    upstreams: Vec<UpstreamOptions>,
    cascades: Vec<CascadeOptions>,
    votes: Vec<VoteOptions>,
    lines: Lines,
}

impl Settings {
    /// Options and variables over the file's settings over the defaults.
    pub(super) fn gather(args: Args, matches: &ArgMatches) -> Result<Self> {
        let file = args.config.as_deref().map(File::read).transpose()?;
        let file = file.unwrap_or_default();
        let default = ServeConfig::default();
        let mut from = Lines {
            matches: matches.clone(),
            file: args.config.clone(),
            text: String::new(),
        };
        let web = Some(PathBuf::from(DEFAULT_WEB)).filter(|path| path.is_dir());
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let limits = &default.limits;
        let answer_seconds = limits.answer_timeout.as_secs();
        let ms = |time: Duration| time.as_millis() as u64;
        let none = EchoOptions::default();
        let echo = args.echo;
        let settings = Self {
            host: from.pick("host", args.host, file.host, local),
            port: from.pick("port", args.port, file.port, default.address.port()),
            device: from.pick("device", args.device, file.device, DeviceName::default()),
            engine: from.pick("engine", args.engine, file.engine, EngineName::default()),
            models: from.pick("models", args.models, file.models, vec![]),
            web: from.maybe("web", args.web, file.web, web),
            api_keys_file: from.maybe(
                "api_keys_file",
                args.api_keys_file,
                file.api_keys_file,
                None,
            ),
            cors_origins: from.pick("cors_origins", args.cors_origins, file.cors_origins, vec![]),
            log_format: from.pick(
                "log_format",
                args.log_format,
                file.log_format,
                LogFormat::default(),
            ),
            otlp_endpoint: from.maybe(
                "otlp_endpoint",
                args.otlp_endpoint,
                file.otlp_endpoint,
                None,
            ),
            max_requests: from.pick(
                "max_requests",
                args.max_requests,
                file.max_requests,
                limits.requests,
            ),
            max_tokens: from.maybe("max_tokens", args.max_tokens, file.max_tokens, None),
            max_body_bytes: from.pick(
                "max_body_bytes",
                args.max_body_bytes,
                file.max_body_bytes,
                limits.body_bytes,
            ),
            answer_seconds: from.pick(
                "answer_seconds",
                args.answer_seconds,
                file.answer_seconds,
                answer_seconds,
            ),
            drain_seconds: from.pick(
                "drain_seconds",
                args.drain_seconds,
                file.drain_seconds,
                default.drain.as_secs(),
            ),
            cache_mb: from.pick(
                "cache_mb",
                args.cache_mb,
                file.cache_mb,
                default.cache_bytes >> 20,
            ),
            memory_mb: from.maybe("memory_mb", args.memory_mb, file.memory_mb, None),
            idle_seconds: from.maybe("idle_seconds", args.idle_seconds, file.idle_seconds, None),
            echo: EchoOptions {
                first: Duration::from_millis(from.pick(
                    "echo_first",
                    echo.echo_first,
                    file.echo_first,
                    ms(none.first),
                )),
                pause: Duration::from_millis(from.pick(
                    "echo_pause",
                    echo.echo_pause,
                    file.echo_pause,
                    ms(none.pause),
                )),
                tokens: from.maybe(
                    "echo_tokens",
                    echo.echo_tokens,
                    file.echo_tokens,
                    none.tokens,
                ),
                fail_every: from.pick(
                    "echo_fail_every",
                    echo.echo_fail_every,
                    file.echo_fail_every,
                    none.fail_every,
                ),
                fail_after: from.pick(
                    "echo_fail_after",
                    echo.echo_fail_after,
                    file.echo_fail_after,
                    none.fail_after,
                ),
                ..none
            },
            upstreams: from.list("upstreams", file.upstreams),
            cascades: from.list("cascades", file.cascades),
            votes: from.list("votes", file.votes),
            lines: from,
        };
        Ok(settings)
    }

    /// As a file of settings, which says in comments where each comes from. No key is in it.
    pub(super) fn written(&self) -> String {
        let key = match std::env::var_os(API_KEY) {
            Some(_) => "is set, and not shown",
            None => "is not set",
        };
        format!(
            "{}# the environment variable {API_KEY} {key}\n",
            self.lines.text
        )
    }

    /// What the service is told.
    pub(super) fn config(self) -> Result<ServeConfig> {
        let echo = (self.engine == EngineName::Echo).then_some(self.echo);
        let mut config = ServeConfig {
            address: SocketAddr::new(self.host, self.port),
            device: match self.device {
                DeviceName::Cpu => Device::Cpu,
                DeviceName::Wgpu => Device::Wgpu,
                DeviceName::Cuda => Device::Cuda,
            },
            models: models::find(&self.models, echo.is_some() || !self.upstreams.is_empty())?,
            upstreams: self.upstreams,
            cascades: self.cascades,
            votes: self.votes,
            cache_bytes: bytes(self.cache_mb),
            memory_bytes: self.memory_mb.map(bytes),
            idle: self.idle_seconds.map(Duration::from_secs),
            echo,
            web: self.web,
            api_keys: api_keys(self.api_keys_file.as_deref())?,
            cors_origins: self.cors_origins,
            drain: Duration::from_secs(self.drain_seconds),
            ..ServeConfig::default()
        };
        config.limits.requests = self.max_requests;
        config.limits.max_tokens = self.max_tokens;
        config.limits.body_bytes = self.max_body_bytes;
        config.limits.answer_timeout = Duration::from_secs(self.answer_seconds);
        Ok(config)
    }
}

/// Of so many megabytes.
fn bytes(megabytes: u64) -> u64 {
    megabytes.saturating_mul(1 << 20)
}

/// The keys of the file and of the environment.
fn api_keys(file: Option<&Path>) -> Result<Vec<ApiKey>> {
    let mut keys = file.map(ApiKey::read_file).transpose()?.unwrap_or_default();
    match std::env::var(API_KEY) {
        Ok(key) => keys.push(ApiKey::new("environment", &key)?),
        Err(std::env::VarError::NotPresent) => {}
        Err(std::env::VarError::NotUnicode(_)) => bail!("{API_KEY} holds no text"),
    }
    Ok(keys)
}

/// What is printed of the settings.
struct Lines {
    matches: ArgMatches,
    file: Option<PathBuf>,
    text: String,
}

impl Lines {
    fn pick<T: Serialize>(&mut self, name: &str, arg: Option<T>, file: Option<T>, default: T) -> T {
        let source = self.source(name, arg.is_some(), file.is_some());
        let value = arg.or(file).unwrap_or(default);
        self.line(name, Some(&value), source);
        value
    }

    /// What only a file can hold.
    fn list<T: Serialize>(&mut self, name: &str, file: Vec<T>) -> Vec<T> {
        let source = self.source(name, false, !file.is_empty());
        self.line(name, Some(&file), source);
        file
    }

    /// A setting that there may be none of.
    fn maybe<T: Serialize>(
        &mut self,
        name: &str,
        arg: Option<T>,
        file: Option<T>,
        default: Option<T>,
    ) -> Option<T> {
        let source = self.source(name, arg.is_some(), file.is_some());
        let value = arg.or(file).or(default);
        self.line(name, value.as_ref(), source);
        value
    }

    fn source(&self, name: &str, by_arg: bool, by_file: bool) -> String {
        // Asking for an option that there is none of is a panic.
        let known = self.matches.try_get_raw(name).is_ok();
        match known.then(|| self.matches.value_source(name)).flatten() {
            Some(ValueSource::EnvVariable) if by_arg => "environment".to_owned(),
            _ if by_arg => "option".to_owned(),
            _ if by_file => match &self.file {
                Some(file) => file.display().to_string(),
                None => "file".to_owned(),
            },
            _ => "default".to_owned(),
        }
    }

    fn line<T: Serialize>(&mut self, name: &str, value: Option<&T>, source: impl Display) {
        let written = value.and_then(|value| {
            let mut written = String::new();
            let writer = toml::ser::ValueSerializer::new(&mut written);
            let done = value.serialize(writer).is_ok();
            done.then_some(written)
        });
        // Writing to a string does not fail.
        let _ = match written {
            Some(value) => writeln!(self.text, "{name} = {value} # {source}"),
            None => writeln!(self.text, "# {name} is not set # {source}"),
        };
    }
}
