//! `sprat bench page`: the same in a page of headless Chromium, by a script of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The pack to measure
    #[arg(default_value = "web/models/sprat-tiny")]
    pack: PathBuf,
    /// What the page runs it on
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "webgpu", "auto"])]
    device: String,
    /// Threads of its CPU
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// Prompt tokens, about
    #[arg(long, default_value_t = 128, value_name = "N")]
    prompt: usize,
    /// Tokens to generate
    #[arg(long, default_value_t = 64, value_name = "N")]
    tokens: usize,
    /// Repetitions after one untimed warm-up
    #[arg(long, default_value_t = 5, value_name = "N")]
    repeat: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

const SCRIPT: &str = "tests/browser/bench.js";

pub(crate) fn run(args: &Args) -> Result<()> {
    if !Path::new(SCRIPT).exists() || !Path::new("tests/browser/node_modules").exists() {
        bail!(
            "this runs in a checkout of Sprat, after `cargo xtask build` and \
             `npm ci --prefix tests/browser`"
        );
    }
    let mut node = Command::new("node");
    node.arg(SCRIPT)
        .arg(&args.pack)
        .args(["--device", &args.device]);
    for (name, value) in [
        ("--threads", args.threads),
        ("--prompt", args.prompt),
        ("--tokens", args.tokens),
        ("--repeat", args.repeat),
    ] {
        node.arg(name).arg(value.to_string());
    }
    if args.json {
        node.arg("--json");
    }
    // The page is served by this very program.
    node.env("SPRAT_BIN", std::env::current_exe()?);
    let status = node.status().context("cannot start node")?;
    if !status.success() {
        bail!("the page could not be measured");
    }
    Ok(())
}
