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
    train: Vec<f64>,
}

#[derive(Serialize)]
struct Results {
    runs: u64,
    children: usize,
    evaluations_per_second: f64,
    /// Accuracy on pictures not evolved on, of each run.
    test: Vec<f64>,
    /// On those evolved on.
    train: Vec<f64>,
    means: Means,
    reference: Option<Compared>,
}

#[derive(Serialize)]
struct Means {
    test: f64,
    train: f64,
}

#[derive(Serialize)]
struct Compared {
    means: Means,
    /// Of Mann and Whitney's test, on pictures not evolved on.
    p_test: f64,
    /// On those evolved on.
    p_train: f64,
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
    let seconds = began.elapsed().as_secs_f64();
    let test: Vec<f64> = all.iter().map(|accuracy| accuracy.test).collect();
    let train: Vec<f64> = all.iter().map(|accuracy| accuracy.train).collect();
    let rate = args.runs as f64 * args.children as f64 / seconds;
    let results = Results {
        runs: args.runs,
        children: args.children,
        evaluations_per_second: rate,
        means: Means::of(&test, &train),
        reference: reference.map(|reference| Compared {
            means: Means::of(&reference.test, &reference.train),
            p_test: mann_whitney(&test, &reference.test),
            p_train: mann_whitney(&train, &reference.train),
            speed: rate / reference.evaluations_per_second,
        }),
        test,
        train,
    };
    let mut table = format!(
        "{} runs of {} children: {rate:.0} evaluations/s, accuracy {}",
        results.runs, results.children, results.means
    );
    if let Some(reference) = &results.reference {
        table += &format!(
            "\nthe original: accuracy {}; {:.1} times its evaluations a second\n\
             Mann-Whitney p {:.2} on unseen pictures, {:.2} on those evolved on",
            reference.means, reference.speed, reference.p_test, reference.p_train
        );
    }
    args.common.print(&machine, &results, table)
}

impl Means {
    fn of(test: &[f64], train: &[f64]) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        Self {
            test: mean(test),
            train: mean(train),
        }
    }
}

impl std::fmt::Display for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [test, train] = [self.test, self.train].map(|part| 100.0 * part);
        write!(f, "{test:.1} % ({train:.1} % on those evolved on)")
    }
}
