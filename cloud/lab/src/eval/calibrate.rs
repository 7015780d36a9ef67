//! Fitting a pack's gate.

use std::fs;
use std::path::{Path, PathBuf};

use sprat_model::{Device, MANIFEST, Manifest, copy_pack};
use sprat_route::gate::{self, FitOptions, Gate, Split, least_kept, split};

use super::divisions::{Divisions, divide};
use super::questions::{Question, fingerprint};
use super::{ask, load};
use crate::train::Show;
use crate::{Error, Result};

/// What to fit a gate of, and where to.
pub struct CalibrateOptions {
    /// The pack that is asked.
    pub model: PathBuf,
    /// Where the pack with its gate goes; the same as `model` to put the gate into that.
    pub out: PathBuf,
    /// The bound, and how confidence is fitted. Hashes of model and data are filled in.
    pub fit: FitOptions,
    /// How many other divisions of the data to try the bound and the calibrations on.
    pub divisions: u64,
    /// Answers of each of those, drawn anew; all of them, if none is given.
    pub sample: Option<usize>,
    /// Longest answer in tokens.
    pub max_tokens: usize,
    /// Where to run the model.
    pub device: Device,
    /// How to report progress.
    pub show: Show,
}

/// A fitted gate, with the answers that it was fitted on.
pub struct Calibrated {
    /// The bound in other divisions, if it was asked for.
    pub divisions: Option<Divisions>,
    /// The gate, as stored.
    pub gate: Gate,
    /// For each question, whether its answer was right.
    pub right: Vec<bool>,
}

/// Asks the pack every question greedily, fits a gate to how sure it was and whether it was right,
/// and stores the gate in the manifest of `options.out`. Nothing is written if anything fails.
///
/// # Errors
/// [`Error::TooFewQuestions`] before anything is asked; [`Error::OneSided`] and [`Error::Gate`]
/// where the answers give nothing to fit; [`Error::Exists`] where `out` is there and is no pack; [`Error::Model`] and [`Error::Io`] where the pack cannot be read, asked or written.
pub fn calibrate(questions: &[Question], options: &CalibrateOptions) -> Result<Calibrated> {
    let mut manifest = manifest(&options.model)?;
    let in_place = same(&options.model, &options.out);
    if options.out.exists() && !in_place && !options.out.join(MANIFEST).exists() {
        return Err(Error::Exists {
            path: options.out.clone(),
        });
    }
    enough(questions, &options.fit)?;
    let ask = |model: &_, i: usize| questions[i].ask(model, options.max_tokens);
    let (count, device) = (questions.len(), &options.device);
    let replies = ask::ask_each(&options.model, count, device, options.show, ask)?;
    let judged = questions.iter().zip(&replies);
    let right: Vec<bool> = judged
        .map(|(question, reply)| reply.ended && question.is_right(&reply.text))
        .collect();
    if let Some(&first) = right.first()
        && right.iter().all(|right| *right == first)
    {
        return Err(Error::OneSided {
            n: right.len(),
            right: first,
        });
    }
    let asked = questions.iter().zip(&replies).zip(&right);
    let examples: Vec<gate::Example> = asked
        .map(|((question, reply), &correct)| {
            gate::Example::new(&reply.signals, correct, question.hash())
        })
        .collect();
    let divisions = match options.divisions {
        0 => None,
        n => Some(divide(&examples, &options.fit, n, options.sample)?),
    };
    let fit = FitOptions {
        data_sha256: Some(fingerprint(questions)),
        model: Some(manifest.fingerprint()),
        ..options.fit.clone()
    };
    let gate = gate::fit(&examples, &fit).map_err(|source| Error::Gate { source })?;
    let json = serde_json::to_value(&gate);
    manifest.calibration = Some(json.map_err(|e| Error::format(&options.out, e.to_string()))?);
    let written = match in_place {
        true => manifest.save(&options.model),
        false => copy_pack(&options.model, &options.out, &manifest),
    };
    written.map_err(Error::model("store the gate"))?;
    // What was written must load.
    load::card(&options.out)?;
    Ok(Calibrated {
        gate,
        right,
        divisions,
    })
}

fn manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    Manifest::from_json(&bytes).map_err(Error::model("read the manifest"))
}

/// Whether both names are of one folder.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

/// Whether the part that chooses the threshold could show the bound, if all of it were right.
fn enough(questions: &[Question], fit: &FitOptions) -> Result<()> {
    let out_of_range = |value: f64| value.is_nan() || value <= 0.0 || value >= 1.0;
    if out_of_range(fit.alpha) || out_of_range(fit.delta) {
        // Fitting says so, in its own words.
        return Ok(());
    }
    let in_part = |question: &&Question| split(question.hash()) == Split::Calibrate;
    let least = least_kept(fit.alpha, fit.delta);
    if questions.iter().filter(in_part).count() >= least {
        return Ok(());
    }
    Err(Error::TooFewQuestions {
        found: questions.len(),
        // A fifth of the questions is in that part.
        needed: 5 * least,
        alpha: fit.alpha,
        delta: fit.delta,
    })
}
