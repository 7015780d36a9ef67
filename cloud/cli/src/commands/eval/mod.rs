//! `sprat eval`

mod router;

use std::path::PathBuf;

use anyhow::{Result, bail};
use sprat_lab::eval::{self, EvalOptions};
use sprat_lab::skills::Skill;
use sprat_route::gate::FitOptions;

use crate::device::DeviceName;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    models: Models,
}

#[derive(clap::Subcommand)]
enum What {
    /// Measure a router: what its calls buy, at which cost, and how good its confidence is
    Router(router::Args),
}

#[derive(clap::Args)]
struct Models {
    /// Packs or training runs to compare
    #[arg(default_value = "web/models/sprat-tiny")]
    models: Vec<PathBuf>,
    /// Questions per skill
    #[arg(long, default_value_t = 300, value_name = "N")]
    questions: usize,
    /// Only these skills; may be repeated
    #[arg(long = "skill", value_name = "NAME")]
    skills: Vec<String>,
    /// Draws the questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of text data, for skills and perplexity that need it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write every question and answer here, a JSON object a line
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Fit the gate on fresh questions and store it in the (one) pack
    #[arg(long)]
    calibrate: bool,
    /// With --calibrate: largest share of wrong answers among those kept
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    alpha: f64,
    /// With --calibrate: largest chance that the bound does not hold
    #[arg(long, default_value_t = 0.05, value_name = "CHANCE")]
    delta: f64,
    /// What the models run on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.what {
        Some(What::Router(args)) => router::run(&args),
        None => models(args.models),
    }
}

fn models(args: Models) -> Result<()> {
    let models = args
        .models
        .iter()
        .map(|model| crate::folder::resolve(model));
    let models = models.collect::<Result<Vec<_>>>()?;
    let mut options = EvalOptions::new(models, args.device.open()?);
    options.questions = args.questions;
    options.seed = args.seed;
    options.data_root = args.data;
    options.details = args.details;
    if !args.skills.is_empty() {
        options.skills = args
            .skills
            .iter()
            .map(|name| skill(name))
            .collect::<Result<_>>()?;
    }
    if args.calibrate {
        let [pack] = options.models.as_slice() else {
            bail!("--calibrate takes one pack, not {}", options.models.len())
        };
        let fit = FitOptions {
            alpha: args.alpha,
            delta: args.delta,
            ..FitOptions::default()
        };
        let gate = eval::calibrate(&pack.clone(), &fit, &options)?;
        println!("{}", serde_json::to_string_pretty(gate.fitted_on())?);
        return Ok(());
    }
    let report = eval::run(&options)?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

fn skill(name: &str) -> Result<Skill> {
    Skill::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Skill::ALL.iter().map(|skill| skill.name()).collect();
        anyhow::anyhow!(
            "no skill is called {name:?}; there are {}",
            known.join(", ")
        )
    })
}
