//! `sprat evolve`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sprat_lab::evolve::{self, EvolveOptions, Job, Measured, Report};
use sprat_lab::train::Show;

use crate::device::DeviceName;
use crate::{folder, interrupt};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job (TOML): parents, the recipes to try, how to search, what makes one better
    job: PathBuf,
    /// The run's folder: its history, and at the end report.html, result.json, recipe.yml and the model
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on with the run in DIR
    #[arg(long)]
    resume: bool,
    /// Draws points, masks and questions, instead of the job's seed
    #[arg(long)]
    seed: Option<u64>,
    /// What candidates run on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut job = Job::read(&args.job)?;
    job.seed = args.seed.unwrap_or(job.seed);
    let root = args.job.parent().unwrap_or(Path::new("."));
    let resolve = |path: &Path| {
        let beside = root.join(path);
        let path = if beside.exists() { &beside } else { path };
        folder::resolve(path).map_err(|e| sprat_lab::Error::Job {
            field: "models".to_owned(),
            problem: format!("has {}: {e:#}", path.display()),
        })
    };
    let again = format!(
        "sprat evolve {} --out {} --resume",
        args.job.display(),
        args.out.display()
    );
    let options = EvolveOptions {
        job,
        out: args.out.clone(),
        resume: args.resume,
        stop: interrupt::on_ctrl_c("stopping; the generation under way will be done again")?,
        device: args.device.open()?,
        show: Show::Auto,
        resolve: &resolve,
    };
    match evolve::run(options).with_context(|| format!("cannot evolve {}", args.job.display()))? {
        Some(report) => describe(&report, &args.out),
        None => println!("stopped; go on with: {again}"),
    }
    Ok(())
}

fn describe(report: &Report, out: &Path) {
    let percent = |x: f64| 100.0 * x;
    let width = report.models.iter().map(|m| m.name.chars().count()).max();
    let width = width.unwrap_or(0);
    for Measured {
        name,
        mean,
        low,
        high,
        ..
    } in &report.models
    {
        let [mean, low, high] = [*mean, *low, *high].map(percent);
        println!("{name:width$}  {mean:5.1} % ({low:.1} to {high:.1})");
    }
    for gain in [&report.gain].into_iter().chain(&report.rivals) {
        let [difference, low, high] = [gain.difference, gain.low, gain.high].map(percent);
        println!(
            "{} against {}: {difference:+.1} points ({low:+.1} to {high:+.1}), on held-out questions",
            report.name, gain.over,
        );
    }
    println!("{}", out.join("report.html").display());
}
