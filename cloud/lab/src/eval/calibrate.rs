//! Fitting a pack's gate.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sprat_model::{Device, MANIFEST, Manifest, copy_pack};
use sprat_route::gate::{self, FitOptions, Gate, Split, least_kept, split};

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
    /// How many other divisions of the data to try the bound on.
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

/// How the bound fares when the same answers are divided into parts in other ways.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divisions {
    /// Divisions tried.
    pub n: u64,
    /// Those in which no threshold passed.
    pub kept_nothing: u64,
    /// Those in which more than alpha of the answers kept of the test part were wrong. That part
    /// is finite, so this happens by chance too, and oftener than the bound fails.
    pub exceeded: u64,
    /// Answers of each division, where they were drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// Of divisions of drawn answers, those in which more than alpha of the kept of all other answers were wrong: these are
    /// many, and so near to the risk itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exceeded_outside: Option<u64>,
    /// Answers of all test parts that were kept, as a share of them.
    pub coverage: f64,
    /// Wrong ones among those kept, over all test parts; none if nothing was kept.
    pub risk: Option<f64>,
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
    let divisions = divide(&examples, options)?;
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

fn divide(examples: &[gate::Example], options: &CalibrateOptions) -> Result<Option<Divisions>> {
    if options.divisions == 0 {
        return Ok(None);
    }
    let (alpha, sample) = (options.fit.alpha, options.sample);
    let (mut kept_nothing, mut exceeded, mut outside) = (0, 0, 0);
    let (mut kept, mut errors, mut asked) = (0, 0, 0);
    for seed in 0..options.divisions {
        let mut divided: Vec<_> = examples.iter().map(|e| e.in_division(seed)).collect();
        let mut others = Vec::new();
        if let Some(size) = sample.filter(|size| *size < divided.len()) {
            // Hashes of another seed, so that who is drawn says nothing of the part.
            divided.sort_by_cached_key(|e| e.in_division(seed).hash);
            others = divided.split_off(size);
        }
        let gate = gate::fit(&divided, &options.fit).map_err(|source| Error::Gate { source })?;
        let test = gate.fitted_on().test;
        kept_nothing += u64::from(gate.keeps_nothing());
        exceeded += u64::from(test.errors as f64 > alpha * test.kept as f64);
        outside += u64::from(is_exceeded(&gate, &others, alpha));
        kept += test.kept;
        errors += test.errors;
        asked += test.n;
    }
    Ok(Some(Divisions {
        n: options.divisions,
        kept_nothing,
        exceeded,
        sample,
        exceeded_outside: sample.map(|_| outside),
        coverage: kept as f64 / asked.max(1) as f64,
        risk: (kept > 0).then(|| errors as f64 / kept as f64),
    }))
}

/// Whether more than alpha of the answers that a gate keeps are wrong.
fn is_exceeded(gate: &Gate, answers: &[gate::Example], alpha: f64) -> bool {
    let kept = answers
        .iter()
        .filter(|e| gate.keeps(gate.confidence_of(&e.features)));
    let (kept, errors) = kept.fold((0_u64, 0_u64), |(kept, errors), example| {
        (kept + 1, errors + u64::from(!example.correct))
    });
    errors as f64 > alpha * kept as f64
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
