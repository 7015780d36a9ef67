//! `sprat calibrate`

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use sprat_lab::eval::{
    self, CalibrateOptions, Calibrated, Calibration, Question, builtin_questions, read_questions,
};
use sprat_lab::skills::Skill;
use sprat_lab::train::Show;
use sprat_route::gate::{CalibrationKind, FitOptions};

use crate::device::DeviceName;

/// What `--help` says of the questions and of the gate.
const FORMS: &str = "\
Questions, a JSON object a line: {\"question\": \"...\", \"answers\": [\"...\"]}. An answer that is a number is
compared with the last number of the reply, any other with the whole reply, without case and punctuation. Repeated
questions count once.

Of the questions three in five fit the confidence, one in five chooses the threshold, and one in five is only
measured; a hash of the question decides. Without a threshold that is shown to hold, the gate keeps nothing.
More: docs/router.md";

#[derive(clap::Args)]
#[command(after_long_help = FORMS)]
pub(crate) struct Args {
    /// The pack that is asked
    #[arg(long, default_value = "web/models/sprat-tiny", value_name = "PACK")]
    model: PathBuf,
    #[command(flatten)]
    questions: Source,
    /// Where the pack with its gate goes [default: into the model's own folder]
    #[arg(long, value_name = "PACK")]
    out: Option<PathBuf>,
    /// Largest share of wrong answers among those kept
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    alpha: f64,
    /// Largest chance that the bound does not hold
    #[arg(long, default_value_t = 0.05, value_name = "CHANCE")]
    delta: f64,
    /// Keep the bound also where it is counted, among the answers kept of the next N questions [default: of the risk alone]
    #[arg(long, value_name = "N")]
    next: Option<u64>,
    /// How the confidence becomes a probability [default: isotonic from 1500 answers to fit it on, else logistic]
    #[arg(long, value_enum)]
    calibration: Option<Kind>,
    /// Also try the bound and both calibrations on so many other divisions of the answers into parts
    #[arg(long, default_value_t = 0, value_name = "N")]
    divisions: u64,
    /// With --divisions: divide so many of the answers, drawn anew each time, and measure the risk on all others
    #[arg(long, value_name = "N", requires = "divisions")]
    sample: Option<usize>,
    /// Longest answer in tokens; a longer one counts as wrong
    #[arg(long, default_value_t = 96, value_name = "N")]
    max_tokens: usize,
    /// Print what the gate was fitted on, and its figures, as JSON
    #[arg(long)]
    json: bool,
    /// What the model runs on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
}

/// Where questions come from.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// Questions with answers; without, held-out ones of the skills that sprat's own models learn
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Without --data: questions per skill
    #[arg(long, default_value_t = 500, value_name = "N")]
    questions: usize,
    /// Without --data: only these skills; may be repeated
    #[arg(long = "skill", value_name = "NAME")]
    skills: Vec<String>,
    /// Without --data: draws the questions
    #[arg(long, default_value_t = 5)]
    seed: u64,
    /// Without --data: folder of text data, for skills that need it
    #[arg(long, value_name = "DIR")]
    corpora: Option<PathBuf>,
}

impl Source {
    /// The questions, and the data in words.
    pub(crate) fn read(&self) -> Result<(Vec<Question>, String)> {
        match &self.data {
            Some(path) => self.of_file(path),
            None => self.of_skills(),
        }
    }

    fn of_file(&self, path: &Path) -> Result<(Vec<Question>, String)> {
        if path.is_dir() {
            bail!(
                "--data {} is a folder; it takes a file of questions (--corpora takes the folder of text data)",
                path.display()
            );
        }
        let (questions, repeated) = read_questions(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let data = match repeated {
            0 => format!("{} questions of {name}", questions.len()),
            _ => format!(
                "{} questions of {name} ({repeated} repeated ones left out)",
                questions.len()
            ),
        };
        Ok((questions, data))
    }

    fn of_skills(&self) -> Result<(Vec<Question>, String)> {
        let skills = match self.skills.as_slice() {
            [] => Skill::ALL.to_vec(),
            names => {
                let skills = names.iter().map(|name| super::eval::skill(name));
                skills.collect::<Result<_>>()?
            }
        };
        // Other questions than `sprat eval` draws by the same seed: its table shall not be of those
        // that the gate was fitted on.
        let (n, seed) = (self.questions, self.seed ^ 0x5eed);
        let questions = builtin_questions(&skills, n, seed, self.corpora.as_deref())?;
        let asked = |skill: &&Skill| {
            questions
                .iter()
                .any(|q| q.group.as_deref() == Some(skill.name()))
        };
        let names: Vec<_> = skills.iter().filter(asked).map(|s| s.name()).collect();
        let data = format!(
            "up to {n} held-out questions each of {}; seed {}",
            names.join(", "),
            self.seed
        );
        Ok((questions, data))
    }
}

/// See [`CalibrationKind`].
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// The regression's probability as it is
    Logistic,
    /// A rising map over it; takes more questions
    Isotonic,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (questions, data) = args.questions.read()?;
    let options = CalibrateOptions {
        model: args.model.clone(),
        out: args.out.clone().unwrap_or_else(|| args.model.clone()),
        fit: FitOptions {
            alpha: args.alpha,
            delta: args.delta,
            next: args.next,
            calibration: args.calibration.map(|kind| match kind {
                Kind::Logistic => CalibrationKind::Logistic,
                Kind::Isotonic => CalibrationKind::Isotonic,
            }),
            data,
            ..FitOptions::default()
        },
        divisions: args.divisions,
        sample: args.sample,
        max_tokens: args.max_tokens,
        device: args.device.open()?,
        show: Show::Auto,
    };
    let calibrated = eval::calibrate(&questions, &options)?;
    let mut out = std::io::stdout();
    match args.json {
        true => {
            let mut fitted = serde_json::to_value(calibrated.gate.fitted_on())?;
            if let Some(divisions) = &calibrated.divisions {
                fitted["divisions"] = serde_json::to_value(divisions)?;
            }
            writeln!(out, "{}", serde_json::to_string_pretty(&fitted)?)?;
        }
        false => writeln!(out, "{}", words(&calibrated, &options.out))?,
    }
    Ok(())
}

/// What a person wants to know of it.
fn words(calibrated: &Calibrated, out: &Path) -> String {
    let fitted = calibrated.gate.fitted_on();
    let test = &fitted.test;
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let divisions = calibrated.divisions.as_ref().map_or(String::new(), |d| {
        format!(
            "In {} other divisions{} {} kept nothing, and in {} more than {:.1} % of the kept were wrong; over all \
             {:.1} % were kept, {} of them wrong.{}\n{}{}",
            d.n,
            d.sample.map_or(String::new(), |n| format!(" of {n} answers")),
            d.kept_nothing,
            d.exceeded,
            100.0 * fitted.alpha,
            100.0 * d.coverage,
            d.risk.map_or("-".to_owned(), |risk| format!("{:.1} %", 100.0 * risk)),
            d.exceeded_outside.map_or(String::new(), |n| format!(
                " On all answers outside of the division it was more in {n}."
            )),
            calibrations("test part", &d.test),
            calibrations("outside", &d.outside),
        )
    });
    format!(
        "{}\nOf {} answers {:.1} % are right. On {} that were used for nothing else: AUROC {}, ECE {}, \
         Brier {}; {} kept, {} of them wrong.\n{divisions}The gate is in {}.",
        fitted.note,
        fitted.n,
        100.0 * fitted.accuracy,
        test.n,
        figure(test.auroc),
        figure(test.ece),
        figure(test.brier),
        test.kept,
        test.errors,
        out.display(),
    )
}

/// How calibrated each kind of confidence was over divisions, as a Markdown table.
fn calibrations(part: &str, kinds: &[Calibration]) -> String {
    let Some(first) = kinds.first() else {
        return String::new();
    };
    let mut table = format!(
        "\n| {part}, {:.0} answers | ECE (95 % of divisions) | if calibrated | RMS without chance | Brier | NLL | AUROC |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
        first.n
    );
    for k in kinds {
        table += &format!(
            "| {} | {:.4} ({:.3}-{:.3}) | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} |\n",
            k.kind,
            k.ece,
            k.ece_interval.low,
            k.ece_interval.high,
            k.ece_if_calibrated,
            k.rmsce,
            k.brier,
            k.nll,
            k.auroc,
        );
    }
    table + "\n"
}
