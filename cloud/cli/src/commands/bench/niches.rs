//! `sprat bench niches`: M2N2 on its paper's benchmark.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sprat_lab::evolve::{Digits, mann_whitney};

use super::Common;
use super::machine::Machine;
use crate::device::DeviceName;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Pictures of digits, 64 pixels and the digit a line: tests/goldens/evolve/make_niches.py writes them
    digits: PathBuf,
    /// Children of each run
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    children: usize,
    /// Runs, each with a seed of its own
    #[arg(long, default_value_t = 10, value_name = "N")]
    runs: u64,
    /// What the original came to, to compare with: tests/goldens/evolve/niches.json
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What the original script came to.
#[derive(Deserialize)]
struct Reference {
    children: usize,
    evaluations_per_second: f64,
    test: Vec<f64>,
}

#[derive(Serialize)]
struct Results {
    runs: u64,
    children: usize,
    evaluations_per_second: f64,
    /// Accuracy on pictures not evolved on, of each run.
    test: Vec<f64>,
    mean: f64,
    reference: Option<Compared>,
}

#[derive(Serialize)]
struct Compared {
    mean: f64,
    /// Of Mann and Whitney's test.
    p: f64,
    /// How many times as many evaluations a second.
    speed: f64,
}

pub(super) fn run(args: &Args) -> Result<()> {
    args.common.start()?;
    let machine = Machine::read(DeviceName::Cpu)?;
    let digits = Digits::read(&args.digits, &DeviceName::Cpu.open()?)?;
    let reference = args.reference.as_deref().map(|path| {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let reference: Reference = serde_json::from_str(&text)
            .with_context(|| format!("cannot use {}", path.display()))?;
        anyhow::ensure!(
            reference.children == args.children,
            "the reference is of {} children a run, not {}",
            reference.children,
            args.children
        );
        Ok(reference)
    });
    let reference = reference.transpose()?;
    let began = Instant::now();
    let all = digits.evolve_all(args.children, args.runs)?;
    let test: Vec<f64> = all.iter().map(|accuracy| accuracy.test).collect();
    let seconds = began.elapsed().as_secs_f64();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let rate = args.runs as f64 * args.children as f64 / seconds;
    let results = Results {
        runs: args.runs,
        children: args.children,
        evaluations_per_second: rate,
        mean: mean(&test),
        reference: reference.map(|reference| Compared {
            mean: mean(&reference.test),
            p: mann_whitney(&test, &reference.test),
            speed: rate / reference.evaluations_per_second,
        }),
        test,
    };
    let mut table = format!(
        "{} runs of {} children: {rate:.0} evaluations/s, test accuracy {:.1} %",
        results.runs,
        results.children,
        100.0 * results.mean
    );
    if let Some(Compared { mean, p, speed }) = &results.reference {
        table += &format!(
            "\nthe original: test accuracy {:.1} %; Mann-Whitney p {p:.2}; {speed:.1} times its evaluations a second",
            100.0 * mean
        );
    }
    args.common.print(&machine, &results, table)
}
