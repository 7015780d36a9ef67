//! `sprat`: the one binary for operators and model builders.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod commands;
mod device;
mod folder;
mod hub;
mod interrupt;
mod memory;
mod quant;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A runtime for small language models: on the device, in the cloud, and between.
#[derive(Parser)]
#[command(name = "sprat", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the chat page and an OpenAI-compatible API
    Serve(commands::serve::Args),
    /// Ask a model one question in the terminal
    Ask(commands::ask::Args),
    /// List the families of models that run, one model_type per line
    Families,
    /// Print the logits after some tokens, as JSON
    Logits(commands::inspect::LogitsArgs),
    /// Print the prompt that a model's chat template makes of messages
    Render(commands::inspect::RenderArgs),
    /// Print the token ids of a text, as JSON
    Tokenize(commands::inspect::TokenizeArgs),
    /// Make a pack of a model folder: what pages load and the server serves
    Pack(commands::pack::Args),
    /// Train a model by a recipe
    Train(commands::train::Args),
    /// Merge models by a mergekit-style recipe
    Merge(commands::merge::Args),
    /// Find the best merge of models by asking what each can do
    Evolve(commands::evolve::Args),
    /// Measure models (accuracy per skill, perplexity), or a router
    Eval(commands::eval::Args),
    /// Fit a pack's gate: how sure the model must be for its answer to stand
    Calibrate(commands::calibrate::Args),
    /// Measure speed and memory of a model on this machine
    Bench(commands::bench::Args),
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Where each option comes from.
    let own = matches.subcommand().map_or(&matches, |(_, own)| own);
    let result = match cli.command {
        Command::Serve(args) => commands::serve::run(args, own),
        Command::Ask(args) => commands::ask::run(&args),
        Command::Families => commands::inspect::families(),
        Command::Logits(args) => commands::inspect::logits(&args),
        Command::Render(args) => commands::inspect::render(&args),
        Command::Tokenize(args) => commands::inspect::tokenize(&args),
        Command::Pack(args) => commands::pack::run(&args),
        Command::Train(args) => commands::train::run(args),
        Command::Merge(args) => commands::merge::run(&args),
        Command::Evolve(args) => commands::evolve::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has had enough: that is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with what caused it, each said once: many name their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter()
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let cause = missing().to_string();
        let error = anyhow::Error::from(missing()).context("reading a.json");
        assert_eq!(told(&error), format!("reading a.json: {cause}"));
        let path = "a.json".into();
        let named = sprat_lab::Error::Io {
            action: "read",
            path,
            source: missing(),
        };
        let said = told(&anyhow::Error::from(named));
        assert_eq!(said, format!("could not read a.json: {cause}"));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
