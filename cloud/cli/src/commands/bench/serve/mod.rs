//! `sprat bench serve`: many requests to a chat server at once, and how fast it answers them.

mod answer;
mod arrivals;
mod client;
mod overhead;
mod report;
mod scale;
mod svg;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use sprat_wire::{ChatRequest, Message, Role, StreamOptions};

use super::machine::Machine;
use crate::device::DeviceName;
pub(crate) use answer::Failure;
use answer::Outcome;
use arrivals::{Prompts, closed_loop, open_loop, poisson};
pub(crate) use client::Client;
use report::{Level, LevelReport, Load, Report, ServerReport};

/// Each stream is a thread of this program.
const MAX_STREAMS: usize = 256;
/// Streams that are measured where nothing is said.
const STREAMS: [usize; 4] = [1, 4, 16, 64];
/// Requests of each stream, and at each rate, where nothing is said.
const REQUESTS: [usize; 2] = [4, 64];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An OpenAI-compatible server, with or without /v1
    #[arg(long, default_value = "http://127.0.0.1:8787")]
    url: String,
    /// The model's id [default: the first that the server lists]
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// What to call the server [default: its host and port]
    #[arg(long)]
    name: Option<String>,
    /// Closed loop: numbers of streams, each of which sends a request when its last one is answered
    /// [default: 1,4,16,64]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = streams)]
    streams: Vec<usize>,
    /// Open loop instead: requests per second, at random moments (Poisson), answered or not
    #[arg(long, value_name = "R,..", value_delimiter = ',', value_parser = rate,
          conflicts_with = "streams")]
    rate: Vec<f64>,
    /// Requests of each stream, or at each rate [default: 4 of a stream, 64 at a rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: Option<u32>,
    /// Random words of every prompt, most of which are one token each
    #[arg(long, default_value_t = 24, value_name = "WORDS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    prompt_tokens_ish: u32,
    /// Most tokens of an answer; many end before
    #[arg(long, default_value_t = 100, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Words before these with which all prompts begin alike; the warm-up's does too
    #[arg(long, default_value_t = 0, value_name = "WORDS",
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    shared_prefix: u32,
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// The same seed makes the same prompts, which a server that was asked them before may remember
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Environment variable with the server's API key
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    #[command(flatten)]
    compare: CompareArgs,
    /// Instead: what the HTTP server adds to a model's own times, by an echo that it starts in this process. --streams
    /// and --requests count
    #[arg(long, conflicts_with_all = ["url", "model", "name", "rate", "compare", "svg", "api_key_env"])]
    overhead: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the results into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// A second server to measure.
#[derive(clap::Args)]
struct CompareArgs {
    /// Another server that gets the same load, level by level in turn
    #[arg(long, value_name = "URL")]
    compare: Option<String>,
    /// The other server's model [default: the first that it lists]
    #[arg(long, value_name = "ID", requires = "compare")]
    compare_model: Option<String>,
    /// What to call the other server [default: its host and port]
    #[arg(long, value_name = "NAME", requires = "compare")]
    compare_name: Option<String>,
    /// Environment variable with the other server's API key
    #[arg(long, value_name = "NAME", requires = "compare")]
    compare_api_key_env: Option<String>,
}

fn streams(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(streams) if (1..=MAX_STREAMS).contains(&streams) => Ok(streams),
        _ => Err(format!("not a number from 1 to {MAX_STREAMS}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(rate) if (0.001..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("not a number from 0.001 to 10000".to_owned()),
    }
}

impl Args {
    fn levels(&self) -> Vec<Level> {
        if !self.rate.is_empty() {
            return self.rate.iter().map(|&rate| Level::Rate { rate }).collect();
        }
        let streams = match self.streams.as_slice() {
            [] => &STREAMS,
            streams => streams,
        };
        let levels = streams.iter().map(|&streams| Level::Streams { streams });
        levels.collect()
    }

    fn load(&self) -> Load {
        let requests = self.requests.map(|requests| requests as usize);
        Load {
            requests: requests.unwrap_or(REQUESTS[usize::from(!self.rate.is_empty())]),
            prompt_words: self.prompt_tokens_ish as usize,
            shared_prefix_words: self.shared_prefix as usize,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            seed: self.seed,
        }
    }

    /// The server, and the one that it is compared to.
    fn servers(&self) -> Result<Vec<Server>> {
        let mut servers = vec![Server::new(
            &self.url,
            self.model.as_deref(),
            self.name.as_deref(),
            self.api_key_env.as_deref(),
        )?];
        let other = &self.compare;
        if let Some(url) = &other.compare {
            servers.push(Server::new(
                url,
                other.compare_model.as_deref(),
                other.compare_name.as_deref(),
                other.compare_api_key_env.as_deref(),
            )?);
        }
        Ok(servers)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // Before minutes of measuring, not after.
    if let Some(folder) = args.svg.as_deref().and_then(Path::parent)
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        bail!("there is no folder {} for the drawing", folder.display());
    }
    if args.overhead {
        let machine = Machine::read(DeviceName::Cpu)?;
        let requests = args.requests.map(|requests| requests as usize);
        let report = overhead::measure(&args.streams, requests)?;
        return super::print(args.json, &machine, &report, report.to_string());
    }
    let load = args.load();
    let prompts = Prompts::new(load.seed, load.prompt_words, load.shared_prefix_words);
    let servers = args.servers()?;
    // It keeps all cores busy, so it must not run beside the load.
    let machine = Machine::read(DeviceName::Cpu)?;
    // Numbers of prompts: none is asked twice of a server.
    let mut next = 0;
    for server in &servers {
        server.warm_up(&load, &prompts.get(next))?;
    }
    next += 1;
    let mut reports: Vec<ServerReport> = servers.iter().map(Server::report).collect();
    for level in args.levels() {
        for (server, report) in servers.iter().zip(&mut reports) {
            report.push(server.measure(level, &load, &prompts, next));
        }
        next += match level {
            Level::Streams { streams } => (streams * load.requests) as u64,
            Level::Rate { .. } => load.requests as u64,
        };
    }
    let report = Report::new(load, reports);
    super::print(args.json, &machine, &report, report.to_string())?;
    match &args.svg {
        Some(path) => svg::write(&report, path),
        None => Ok(()),
    }
}

/// A server and its model.
struct Server {
    client: Client,
    name: String,
    model: String,
}

impl Server {
    fn new(
        url: &str,
        model: Option<&str>,
        name: Option<&str>,
        key_variable: Option<&str>,
    ) -> Result<Self> {
        let key = key_variable.map(|variable| {
            std::env::var(variable)
                .with_context(|| format!("cannot read the environment variable {variable}"))
        });
        let client = Client::new(url, key.transpose()?)?;
        let listed = client.models()?;
        let model = model.map(str::to_owned).or(listed.into_iter().next());
        let model = model.with_context(|| format!("{} lists no model", client.url()))?;
        let place = client.url().split_once("://").map(|(_, place)| place);
        let name = name.or(place).unwrap_or("server").to_owned();
        Ok(Self {
            client,
            name,
            model,
        })
    }

    fn report(&self) -> ServerReport {
        ServerReport::new(&self.name, self.client.url(), &self.model)
    }

    fn ask(&self, load: &Load, prompt: String, due: Instant) -> Outcome {
        let request = ChatRequest {
            stream: true,
            stream_options: Some(StreamOptions {
                include_usage: true,
            }),
            // The newer name is unknown to some servers.
            max_tokens: Some(load.max_tokens.into()),
            temperature: Some(load.temperature),
            seed: i64::try_from(load.seed).ok(),
            ..ChatRequest::new(&self.model, vec![Message::new(Role::User, prompt)])
        };
        match serde_json::to_vec(&request) {
            Ok(body) => self.client.ask(&body, due),
            Err(_) => Err(answer::Failure::NotSent),
        }
    }

    /// One request that is not counted, and that must be answered.
    fn warm_up(&self, load: &Load, prompt: &str) -> Result<()> {
        let outcome = self.ask(load, prompt.to_owned(), Instant::now());
        outcome.map(drop).map_err(|failure| {
            let (url, model) = (self.client.url(), &self.model);
            anyhow!("{url} does not answer as {model}: {failure}")
        })
    }

    /// Asks all requests of a level, whose prompts are numbered from `first`, and waits for all answers.
    fn measure(&self, level: Level, load: &Load, prompts: &Prompts, first: u64) -> LevelReport {
        let ask = |number: usize, due: Instant| {
            let prompt = prompts.get(first + number as u64);
            self.ask(load, prompt, due)
        };
        let arrivals = match level {
            Level::Streams { .. } => Vec::new(),
            Level::Rate { rate } => poisson(load.seed, rate, load.requests),
        };
        let start = Instant::now();
        let outcomes = match level {
            Level::Streams { streams } => closed_loop(streams, load.requests, ask),
            Level::Rate { .. } => open_loop(&arrivals, ask),
        };
        LevelReport::new(level, &arrivals, start.elapsed(), &outcomes)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("serve").chain(line.split_whitespace());
        Ok(Cli::try_parse_from(words)?.args)
    }

    #[test]
    fn loads_are_read() {
        let args = parse("").unwrap();
        let four = STREAMS.map(|streams| Level::Streams { streams });
        assert_eq!((args.levels(), args.load().requests), (four.to_vec(), 4));
        let args = parse("--streams 2,8 --requests 3").unwrap();
        let two = [2, 8].map(|streams| Level::Streams { streams });
        assert_eq!((args.levels(), args.load().requests), (two.to_vec(), 3));
        let args = parse("--rate 0.5,10").unwrap();
        let rates = [0.5, 10.0].map(|rate| Level::Rate { rate });
        assert_eq!((args.levels(), args.load().requests), (rates.to_vec(), 64));
    }

    #[test]
    fn loads_that_cannot_be_are_refused() {
        let wrong = [
            "--streams 0",
            "--streams 1,257",
            "--streams 1,,4",
            "--rate 0",
            "--rate -1",
            "--rate NaN",
            "--rate inf",
            "--streams 1 --rate 1",
            "--requests 0",
            "--prompt-tokens-ish 0",
            "--max-tokens 0",
            "--compare-name other",
            "--overhead --rate 1",
            "--overhead --url http://127.0.0.1:1",
        ];
        for line in wrong {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_is_named() {
        let args = parse("--api-key-env SPRAT_TEST_NO_SUCH_KEY").unwrap();
        let error = args.servers().err().unwrap();
        assert!(format!("{error:#}").contains("SPRAT_TEST_NO_SUCH_KEY"));
    }
}
