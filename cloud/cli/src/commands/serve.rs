//! `sprat serve`

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sprat_service::{Device, EchoOptions, ModelSource, ServeConfig};
use tracing_subscriber::EnvFilter;

use crate::device::DeviceName;
use crate::folder;
use crate::hub::HubId;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port to listen on; 0 picks a free one
    #[arg(long, env = "PORT", default_value_t = 8787)]
    port: u16,
    /// Address to listen on; 0.0.0.0 lets other machines in
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// What the models run on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// What answers: models, or an echo of what was said last, without any model
    #[arg(long, value_enum, default_value_t)]
    engine: EngineName,
    #[command(flatten)]
    echo: EchoArgs,
    /// A model to serve: a pack, a Hugging Face folder, a .gguf file, a model of the hub, or a folder
    /// of packs; NAME= before it is its id in the API; may be repeated
    /// [default: web/models and cloud/models]
    #[arg(long = "model", alias = "models", value_name = "[NAME=]DIR")]
    models: Vec<String>,
    /// Folder of the chat page [default: web/dist, when it is there]
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
    /// Require this key as `Authorization: Bearer <key>` for /v1
    #[arg(
        long,
        env = "SPRAT_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    api_key: Option<String>,
    /// An origin whose pages may call /v1, such as <https://example.org>; may be repeated
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<String>,
    /// Requests that may run or wait at once; the next is answered 429
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_requests: usize,
    /// Megabytes for the keys and values of each model's texts; what does not fit is computed again
    #[arg(long, default_value_t = 512, value_name = "MB")]
    cache_mb: u64,
    /// Most tokens any answer may have
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
}

/// What answers.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    /// Models on this machine
    #[default]
    Local,
    /// What was said last, word by word
    Echo,
}

/// For `--engine echo`.
#[derive(clap::Args)]
struct EchoArgs {
    /// Milliseconds before an echo's first token
    #[arg(long, default_value_t = 0, value_name = "MS")]
    echo_first: u64,
    /// Milliseconds between an echo's tokens
    #[arg(long, default_value_t = 0, value_name = "MS")]
    echo_pause: u64,
    /// Tokens of every echo: words are repeated, or cut off
    #[arg(long, value_name = "N")]
    echo_tokens: Option<usize>,
    /// Let every Nth echo fail
    #[arg(long, default_value_t = 0, value_name = "N")]
    echo_fail_every: usize,
    /// Tokens of an echo that fails
    #[arg(long, default_value_t = 0, value_name = "N")]
    echo_fail_after: usize,
}

impl EchoArgs {
    fn options(&self) -> EchoOptions {
        EchoOptions {
            first: Duration::from_millis(self.echo_first),
            pause: Duration::from_millis(self.echo_pause),
            tokens: self.echo_tokens,
            fail_every: self.echo_fail_every,
            fail_after: self.echo_fail_after,
            ..EchoOptions::default()
        }
    }
}

/// Where packs are looked for when none is named.
const DEFAULT_MODELS: [&str; 2] = ["web/models", "cloud/models"];
const DEFAULT_WEB: &str = "web/dist";

pub(crate) fn run(args: Args) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colors = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colors);
    log.with_writer(std::io::stderr).init();

    let echo = (args.engine == EngineName::Echo).then(|| args.echo.options());
    let models = match args.models.is_empty() {
        true if echo.is_some() => Vec::new(),
        true => packs_in(
            DEFAULT_MODELS
                .iter()
                .map(Path::new)
                .filter(|path| path.is_dir()),
        )?,
        false => {
            let named = args.models.iter().map(|named| models(named));
            named.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    if models.is_empty() && echo.is_none() {
        bail!(
            "no pack found in {}; name a model with --model",
            match args.models.is_empty() {
                true => DEFAULT_MODELS.join(" or "),
                false => args.models.join(", "),
            }
        );
    }
    let web = args
        .web
        .or_else(|| Some(PathBuf::from(DEFAULT_WEB)).filter(|path| path.is_dir()));
    let mut config = ServeConfig {
        address: SocketAddr::new(args.host, args.port),
        device: match args.device {
            DeviceName::Cpu => Device::Cpu,
            DeviceName::Wgpu => Device::Wgpu,
            DeviceName::Cuda => Device::Cuda,
        },
        models,
        cache_bytes: args.cache_mb << 20,
        echo: echo.clone(),
        web: web.clone(),
        api_key: args.api_key,
        cors_origins: args.cors_origins,
        ..ServeConfig::default()
    };
    config.limits.requests = args.max_requests;
    config.limits.max_tokens = args.max_tokens;
    let names = config.models.iter().map(|model| match &model.id {
        Some(id) => id.clone(),
        None => {
            let name = model.path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
    });
    let names = names.chain(echo.map(|echo| echo.id));
    let names = names.collect::<Vec<_>>().join(", ");
    let runtime = tokio::runtime::Runtime::new().context("cannot start the server's threads")?;
    runtime.block_on(sprat_service::serve(config, move |address| {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "models  {names}");
        let _ = writeln!(out, "api     http://{address}/v1");
        if web.is_some() {
            let _ = writeln!(out, "page    http://{address}");
        }
        let _ = out.flush();
    }))?;
    Ok(())
}

/// The models that one `--model` means.
fn models(named: &str) -> Result<Vec<ModelSource>> {
    let (id, place) = match named.split_once('=') {
        Some((id, place)) if !id.is_empty() => (Some(id.to_owned()), place),
        _ => (None, named),
    };
    let path = Path::new(place);
    if id.is_none() && path.is_dir() && !is_model(path) {
        return packs_in([path].into_iter());
    }
    // The hub's folders are called by their commits.
    let hub = (!path.exists()).then(|| HubId::parse(place)).flatten();
    let id = id.or_else(|| Some(hub?.name().to_owned()));
    let path = folder::resolve(path)?;
    Ok(vec![ModelSource { id, path }])
}

fn is_pack(path: &Path) -> bool {
    path.join(sprat_model::MANIFEST).is_file()
}

fn is_model(path: &Path) -> bool {
    is_pack(path) || path.join("config.json").is_file()
}

/// The packs in some folders, by name.
fn packs_in<'a>(roots: impl Iterator<Item = &'a Path>) -> Result<Vec<ModelSource>> {
    let mut found = Vec::new();
    for root in roots {
        let entries = std::fs::read_dir(root)
            .with_context(|| format!("cannot look for packs in {}", root.display()))?;
        let inside = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut inside: Vec<PathBuf> = inside.filter(|path| is_pack(path)).collect();
        inside.sort();
        found.extend(inside.into_iter().map(ModelSource::from));
    }
    Ok(found)
}
