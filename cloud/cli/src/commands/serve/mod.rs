//! `sprat serve`

mod models;
mod settings;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::ArgMatches;
use sprat_service::ServeConfig;
use tracing_subscriber::EnvFilter;

pub(crate) use settings::Args;
use settings::{LogFormat, Settings};

pub(crate) fn run(args: Args, matches: &ArgMatches) -> Result<()> {
    let print = args.print_config;
    let settings = Settings::gather(args, matches)?;
    if print {
        let mut out = std::io::stdout();
        write!(out, "{}", settings.written())?;
        return Ok(());
    }
    log(settings.log_format);
    let config = settings.config()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the server's threads")?;
    let (names, has_page) = (names(&config), config.web.is_some());
    runtime.block_on(sprat_service::serve(config, move |address| {
        // Nobody reading it is no failure.
        let _ = greet(address, &names, has_page);
    }))?;
    Ok(())
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colors = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colors);
    let log = log.with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
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
