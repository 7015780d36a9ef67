//! `sprat train`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use sprat_lab::train::{self, Recipe, Report, Show, TrainOptions};

use crate::device::DeviceName;
use crate::interrupt;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The recipe (TOML): model, training, data
    #[arg(required_unless_present = "smoke")]
    recipe: Option<PathBuf>,
    /// Run folder [default: runs/<recipe's name>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of text data that the recipe's `corpus:` parts are read from
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Go on from the newest checkpoint
    #[arg(long)]
    resume: bool,
    /// Plan the schedule to end after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Begin with this model's weights instead of random ones
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// What to train on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Train a tiny model on generated data for some seconds, to see that everything works
    #[arg(long)]
    smoke: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let path = match (args.recipe, args.smoke) {
        (Some(path), false) => path,
        (None, true) => return smoke(args.out, args.device),
        _ => bail!("give either a recipe or --smoke"),
    };
    let recipe = Recipe::read(&path)?;
    let name = path.file_stem().context("the recipe needs a file name")?;
    let out = args.out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let mut options = TrainOptions::new(recipe, out, args.device.open()?);
    options.data_root = args.data;
    options.resume = args.resume;
    options.minutes = args.minutes;
    options.init = args
        .init
        .map(|folder| crate::folder::resolve(&folder))
        .transpose()?;
    options.stop = interrupt::on_ctrl_c("stopping with a checkpoint after this step")?;
    let report = train::run(options)?;
    describe(&report);
    Ok(())
}

fn smoke(out: Option<PathBuf>, device: DeviceName) -> Result<()> {
    let out = out.unwrap_or_else(|| PathBuf::from("runs/smoke"));
    let report = train::smoke(&out, &device.open()?, Show::Auto)?;
    describe(&report);
    println!("the loss fell, and a run stopped half-way and resumed gave the same losses");
    Ok(())
}

fn describe(report: &Report) {
    for skipped in &report.skipped {
        eprintln!("skipped: {skipped}");
    }
    let loss = report.validations.last();
    let loss = loss.map(|(_, loss)| format!(", validation loss {loss:.4}"));
    println!(
        "{}: {} parameters, {} steps, {} tokens in {:.0} s{}{}",
        report.checkpoint.display(),
        report.parameters,
        report.steps,
        report.tokens,
        report.seconds,
        loss.unwrap_or_default(),
        if report.finished {
            ""
        } else {
            "; not finished, go on with --resume"
        }
    );
}
