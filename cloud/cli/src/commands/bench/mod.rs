//! `sprat bench`: what this machine does with a model, and how near that is to what it could.

mod kernels;
mod machine;
mod model;
mod niches;
mod page;
pub(crate) mod serve;

use anyhow::{Context, Result};
use serde::Serialize;

use machine::Machine;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Products with one matrix: weights per second, and the share of memory's bandwidth
    Kernels(kernels::Args),
    /// Tokens per second after a prompt, one by one
    Decode(model::Args),
    /// Tokens per second of a prompt
    Prefill(model::Args),
    /// Time and memory until a model can answer
    Load(model::Args),
    /// M2N2's evaluations per second, and what it comes to, on its paper's digits
    Niches(niches::Args),
    /// A pack in a page of headless Chromium
    Page(page::Args),
    /// A chat server under load, ours or another: tokens per second, and how long they are waited for
    Serve(serve::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Kernels(args) => kernels::run(args),
        What::Decode(args) => model::decode(args),
        What::Prefill(args) => model::prefill(args),
        What::Load(args) => model::load(args),
        What::Niches(args) => niches::run(args),
        What::Page(args) => page::run(args),
        What::Serve(args) => serve::run(args),
    }
}

/// Options of all benchmarks.
#[derive(clap::Args)]
struct Common {
    /// Threads of the CPU [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Repetitions after one untimed warm-up
    #[arg(long, default_value_t = 5, value_name = "N")]
    repeat: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Sets the number of threads; to be called before anything computes.
    fn start(&self) -> Result<()> {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global()
                .context("cannot set the number of threads")?;
        }
        Ok(())
    }

    fn print<T: Serialize>(&self, machine: &Machine, results: &T, table: String) -> Result<()> {
        print(self.json, machine, results, table)
    }
}

/// Prints results with the machine that they were measured on.
fn print<T: Serialize>(json: bool, machine: &Machine, results: &T, table: String) -> Result<()> {
    match json {
        true => {
            let all = serde_json::json!({"machine": machine, "results": results});
            println!("{all:#}");
        }
        false => println!("{machine}\n\n{table}"),
    }
    Ok(())
}

/// The middle of several measurements, with their range.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Result<Self> {
        values.sort_by(f64::total_cmp);
        let median = *values
            .get(values.len() / 2)
            .context("nothing was measured")?;
        Ok(Self {
            median,
            min: values[0],
            max: values[values.len() - 1],
        })
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.min), f(self.max));
        Self {
            median: f(self.median),
            min: a.min(b),
            max: a.max(b),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 {
            2
        } else {
            usize::from(self.median < 100.0)
        };
        let Self { median, min, max } = self;
        write!(f, "{median:.digits$} [{min:.digits$} to {max:.digits$}]")
    }
}
