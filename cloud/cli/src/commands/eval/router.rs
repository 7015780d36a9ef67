//! `sprat eval router`

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sprat_lab::eval::router::{ReportOptions, labels, read_records, report, write_records};

/// What `--help` says of the records and of the report.
const FORMS: &str = "\
Records, a JSON object a line:
  id                   text or number, once each
  edge_correct         true, false, 1 or 0: whether the device's answer is right
  cloud_correct        the same of the cloud's
  confidence           the device's, 0 to 1; the least confident are sent first, equal ones together
  edge_cost            0 or more, in any unit
  cloud_cost           in the same unit
and, if they like:
  edge_seconds, cloud_seconds   for latency; used if every record has both
  length               of the question; used if every record has it
  group                kind of question or data set, for figures of each
Other fields are passed over.

Fields of --json (shares are 0 to 1; what is not defined is null, and `undefined` says why):
  n, edge_accuracy, cloud_accuracy, outcomes.{both,edge_only,cloud_only,neither,keeps,saves}
  apgr, apgr_10, cpt50, cpt80, cpt95, cpt100, auc_df, auc_df_over_random, aiq, peak_accuracy, peak_calls
  oracle_gap.{apgr,cpt50_ratio,cpt80_ratio,cpt95_ratio,cpt100_ratio}
  ece, ece_if_calibrated, rmsce, brier, nll, auroc, aurc, e_aurc, risk_at_20, risk_at_50, risk_at_80
  intervals.NAME.{low,high}     95 %, of the accuracies, apgr, cpt50, cpt80, cpt95, auc_df, auroc, brier, ece,
                                ece_if_calibrated
  cost, seconds                 .{always_edge,always_cloud,at_cpt50,at_cpt80,at_cpt95,at_cpt100}, means of a question
  at_threshold.{threshold,coverage,risk,accuracy,pgr,cost,seconds.{mean,p50,p95}}
  baselines.{always_edge,always_cloud}.{calls,accuracy,pgr,cost,seconds}
  baselines.{random,length,oracle,self_confidence}   the fields from apgr to peak_calls
  gate.{nanoseconds,bytes}, with --edge: the median from an answer's signals to its confidence, and its size in the pack
  groups[].{group,n,edge_accuracy,cloud_accuracy,auroc,ece,apgr,coverage,risk}
  curve[].{calls,accuracy,pgr,cost,seconds}, risk_coverage[].{threshold,coverage,risk},
  reliability[].{n,confidence,accuracy}, undefined.NAME

What each figure means: docs/router.md";

use super::live;

#[derive(clap::Args)]
#[command(after_long_help = FORMS)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct Args {
    /// Measure these records: a JSON object a line, see below
    #[arg(long, value_name = "FILE", group = "source")]
    records: Option<PathBuf>,
    /// Measure RouteLLM's published labels of one benchmark (its folder mmlu or gsm8k): oracle and random line
    #[arg(long, value_name = "DIR", group = "source")]
    routellm: Option<PathBuf>,
    #[command(flatten)]
    live: live::Sides,
    /// The confidence from which answers are kept, to report what it comes to [default with --edge: the gate's]
    #[arg(long, value_name = "T")]
    threshold: Option<f64>,
    /// Draws of the bootstrap for the 95 % intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Seeds the bootstrap
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    bootstrap_seed: u64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write the charts into this folder, an SVG file each
    #[arg(long, value_name = "DIR")]
    svg_dir: Option<PathBuf>,
    /// Write a page with the tables and charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the records that were measured; with --edge as they come, and a run that was stopped goes on from them
    #[arg(long, value_name = "FILE")]
    write_records: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(threshold) = args.threshold
        && !threshold.is_finite()
    {
        bail!("--threshold {threshold} is no number");
    }
    let (measured, title) = records(args)?;
    let options = ReportOptions {
        resamples: args.resamples,
        seed: args.bootstrap_seed,
        threshold: args.threshold.or(measured.threshold),
    };
    let mut report = report(&measured.records, &options)?;
    report.gate = measured.gate;
    if let Some(folder) = &args.svg_dir {
        let failed = || format!("cannot write to {}", folder.display());
        std::fs::create_dir_all(folder).with_context(failed)?;
        for (name, chart) in report.charts() {
            std::fs::write(folder.join(format!("{name}.svg")), chart).with_context(failed)?;
        }
    }
    if let Some(path) = &args.html {
        let failed = || format!("cannot write {}", path.display());
        std::fs::write(path, report.to_html(&title)).with_context(failed)?;
    }
    let mut out = std::io::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(())
}

/// What is measured, and its name.
fn records(args: &Args) -> Result<(live::Measured, String)> {
    let name = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if let Some(pack) = args.live.pack() {
        let measured = args.live.records(pack, args.write_records.as_deref())?;
        return Ok((measured, name(pack)));
    }
    let (records, title) = match (&args.records, &args.routellm) {
        (Some(path), _) => (read_records(path)?, name(path)),
        (None, Some(folder)) => (
            labels(folder)?,
            format!("RouteLLM's labels: {}", name(folder)),
        ),
        (None, None) => bail!("nothing to measure: give --records, --routellm or --edge"),
    };
    if let Some(path) = &args.write_records {
        write_records(path, &records)?;
    }
    let measured = live::Measured {
        records,
        threshold: None,
        gate: None,
    };
    Ok((measured, title))
}
