//! `sprat serve`

mod models;
mod settings;
mod telemetry;

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::ArgMatches;
use sprat_service::ServeConfig;

pub(crate) use settings::Args;
use settings::Settings;

pub(crate) fn run(args: Args, matches: &ArgMatches) -> Result<()> {
    let print = args.print_config;
    let settings = Settings::gather(args, matches)?;
    if print {
        let mut out = std::io::stdout();
        write!(out, "{}", settings.written())?;
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the server's threads")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<()> {
    let tracer = telemetry::begin(settings.log_format, settings.otlp_endpoint.as_deref())?;
    let mut config = settings.config()?;
    if tracer.is_some() {
        config.on_request = Some(telemetry::adopt);
    }
    let (names, has_page) = (names(&config), config.web.is_some());
    let served = sprat_service::serve(config, move |address| {
        // Nobody reading it is no failure.
        let _ = greet(address, &names, has_page);
    });
    let served = served.await;
    if let Some(tracer) = tracer {
        // The last spans; a collector that is gone must not keep the server.
        let ended = tokio::task::spawn_blocking(move || tracer.shutdown());
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
    Ok(served?)
}

fn names(config: &ServeConfig) -> String {
    let models = config.models.iter().map(|model| match &model.id {
        Some(id) => id.clone(),
        None => {
            let name = model.path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
    });
    let echo = config.echo.iter().map(|echo| echo.id.clone());
    models.chain(echo).collect::<Vec<_>>().join(", ")
}

fn greet(address: SocketAddr, names: &str, has_page: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "models  {names}")?;
    writeln!(out, "api     http://{address}/v1")?;
    if has_page {
        writeln!(out, "page    http://{address}")?;
    }
    out.flush()
}
