//! Evaluation: what models know, how sure they are, and what that is worth.
//!
//! Every model answers the same questions that no training run has seen ([`crate::skills`]),
//! greedily and through the same code as on a device. The table gives accuracy with 95 % Wilson
//! intervals, and perplexity on validation text. [`calibrate`] turns the models' own signals into
//! the gate that decides when to hand over.

mod ask;
mod calibrate;
mod compare;
mod divisions;
pub(crate) mod load;
mod questions;
pub mod router;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use sprat_model::Device;
use sprat_route::metrics::{Interval, wilson};

use crate::dataset::{self, Dataset, Mixture};
use crate::skills::{self, Skill};
use crate::train::{Recipe, Show, Workers};
use crate::{Error, Result, tokenizer};

pub use ask::{Answer, bar as progress_bar};
pub(crate) use ask::{answer, prompt};
pub use calibrate::{CalibrateOptions, Calibrated, calibrate};
pub use compare::{Comparison, compare};
pub use divisions::{Calibration, Divisions};
pub use questions::{Question, builtin_questions, read_questions};

/// Rows and tokens per row of a validation batch, and how many batches.
const VALIDATION: (usize, usize, usize) = (16, 128, 16);

/// The mixture whose validation side gives the perplexity, unless another is given.
const DEFAULT_RECIPE: &str = include_str!("../../recipes/base.toml");

/// Which models to ask, and what.
pub struct EvalOptions {
    /// Model folders: packs, or checkpoints of a run.
    pub models: Vec<PathBuf>,
    /// Where corpora are; without it their skills and validation texts are left out.
    pub data_root: Option<PathBuf>,
    /// The skills to ask about.
    pub skills: Vec<Skill>,
    /// Questions per skill.
    pub questions: usize,
    /// Draws the questions.
    pub seed: u64,
    /// Longest answer in tokens.
    pub max_tokens: usize,
    /// The mixture for perplexity; None takes that of the base recipe.
    pub validation: Option<Mixture>,
    /// A file that gets every question and answer as a line of JSON.
    pub details: Option<PathBuf>,
    /// Where to run the models.
    pub device: Device,
    /// How to report progress.
    pub show: Show,
}

impl EvalOptions {
    /// All skills, [`skills::QUESTIONS`] questions each.
    pub fn new(models: Vec<PathBuf>, device: Device) -> Self {
        Self {
            models,
            data_root: None,
            skills: Skill::ALL.to_vec(),
            questions: skills::QUESTIONS,
            seed: 1,
            max_tokens: 96,
            validation: None,
            details: None,
            device,
            show: Show::Auto,
        }
    }
}

/// One model's right answers of one skill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SkillResult {
    /// The skill's name.
    pub skill: &'static str,
    /// Questions asked.
    pub n: usize,
    /// Answered right.
    pub right: usize,
    /// 95 % Wilson interval of the accuracy: its lower end, 0 to 1.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl SkillResult {
    /// So many right of so many asked; none if nothing was asked.
    pub fn new(skill: Skill, n: usize, right: usize) -> Option<Self> {
        let Interval { low, high } = wilson(right as u64, n as u64, 0.95).ok()?;
        Some(Self {
            skill: skill.name(),
            n,
            right,
            low,
            high,
        })
    }

    /// Share of right answers, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.n.max(1) as f64
    }
}

/// One model's figures.
#[derive(Clone, Debug, Serialize)]
pub struct ModelResult {
    /// The pack's name, or the folder's.
    pub name: String,
    /// Weights.
    pub parameters: u64,
    /// Size of the folder's files that a device would load, in bytes.
    pub bytes: u64,
    /// Per skill, in the order asked.
    pub skills: Vec<SkillResult>,
    /// exp of the mean loss on validation tokens that count, with how many there were.
    pub perplexity: Option<(f64, usize)>,
    /// Seconds the questions took.
    pub seconds: f64,
    /// Tokens generated.
    pub tokens: usize,
}

/// The figures of all models; displays as a Markdown table.
#[derive(Clone, Debug, Serialize)]
pub struct EvalReport {
    /// In the order given.
    pub models: Vec<ModelResult>,
    /// Skills that could not be asked, with the reason.
    pub skipped: Vec<String>,
}

/// Asks every model.
///
/// # Errors
/// [`Error::Model`] and [`Error::Io`] for a folder that is no model; [`Error::NeedsData`] never: a
/// skill without data is skipped and named.
pub fn run(options: &EvalOptions) -> Result<EvalReport> {
    let mut skipped = Vec::new();
    let mut questions = Vec::new();
    for &skill in &options.skills {
        let root = options.data_root.as_deref();
        match skills::questions(skill, options.questions, options.seed, root) {
            Ok(found) => questions.extend(found),
            Err(error @ Error::NeedsData { .. }) => skipped.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let mut details = options
        .details
        .as_deref()
        .map(ask::Details::create)
        .transpose()?;
    let mut validation = Validation::new(options)?;
    let mut models = Vec::new();
    for folder in &options.models {
        let began = Instant::now();
        let answers = ask::ask(folder, &questions, options)?;
        let seconds = began.elapsed().as_secs_f64();
        let card = load::card(folder)?;
        if let Some(details) = &mut details {
            details.write(&card.name, &questions, &answers)?;
        }
        models.push(ModelResult {
            perplexity: validation.perplexity(folder)?,
            skills: by_skill(&options.skills, &answers),
            tokens: answers.iter().map(|answer| answer.signals.len()).sum(),
            name: card.name,
            parameters: card.parameters,
            bytes: card.bytes,
            seconds,
        });
    }
    Ok(EvalReport { models, skipped })
}

fn by_skill(skills: &[Skill], answers: &[Answer]) -> Vec<SkillResult> {
    let results = skills.iter().filter_map(|&skill| {
        let of_skill = answers.iter().filter(|answer| answer.skill == skill);
        let (n, right) = of_skill.fold((0, 0), |(n, right), answer| {
            (n + 1, right + usize::from(answer.right))
        });
        SkillResult::new(skill, n, right)
    });
    results.collect()
}

/// Validation text for perplexity, tokenized once for all models that share a tokenizer.
struct Validation<'a> {
    options: &'a EvalOptions,
    mixture: Mixture,
    /// The tokenizer's file and the data it gave.
    prepared: Option<(Vec<u8>, Dataset)>,
}

impl<'a> Validation<'a> {
    fn new(options: &'a EvalOptions) -> Result<Self> {
        let default = || toml::from_str::<Recipe>(DEFAULT_RECIPE).map(|recipe| recipe.data);
        let mixture = match &options.validation {
            Some(mixture) => mixture.clone(),
            None => default().map_err(|e| Error::recipe("data", e.to_string()))?,
        };
        Ok(Self {
            options,
            mixture,
            prepared: None,
        })
    }

    /// Perplexity over tokens that count, and how many did; None without validation text.
    fn perplexity(&mut self, folder: &Path) -> Result<Option<(f64, usize)>> {
        let (config, decoder) = crate::train::load_model(folder, &self.options.device)?;
        let seed = self.options.seed;
        let (rows, time, count) = VALIDATION;
        let time = time.min(config.max_position_embeddings);
        let dataset = self.dataset(folder)?;
        let Ok(batches) = dataset.validation_batches(rows, time, seed) else {
            return Ok(None);
        };
        let workers = Workers::new(&self.options.device, rows.div_ceil(2), time)?;
        let (mut sum, mut tokens) = (0.0, 0);
        for i in 0..count {
            let (loss, n) = workers.loss(&decoder, &batches.get(i));
            sum += loss;
            tokens += n;
        }
        Ok((tokens > 0).then(|| ((sum / tokens as f64).exp(), tokens)))
    }

    fn dataset(&mut self, folder: &Path) -> Result<Dataset> {
        let path = folder.join("tokenizer.json");
        let file = std::fs::read(&path).map_err(Error::io("read", &path))?;
        if let Some((_, dataset)) = self.prepared.as_ref().filter(|(of, _)| *of == file) {
            return Ok(dataset.clone());
        }
        let tokenizer = tokenizer::load(&path)?;
        let root = self.options.data_root.as_deref();
        let dataset = dataset::prepare(&self.mixture, root, &tokenizer, self.options.seed)?;
        self.prepared = Some((file, dataset.clone()));
        Ok(dataset)
    }
}
