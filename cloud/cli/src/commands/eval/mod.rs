//! `sprat eval`

mod live;
mod router;

use std::path::PathBuf;

use anyhow::Result;
use sprat_lab::eval::{self, EvalOptions};
use sprat_lab::skills::Skill;

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
    let report = eval::run(&options)?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

pub(crate) fn skill(name: &str) -> Result<Skill> {
    Skill::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Skill::ALL.iter().map(|skill| skill.name()).collect();
        anyhow::anyhow!(
            "no skill is called {name:?}; there are {}",
            known.join(", ")
        )
    })
}
