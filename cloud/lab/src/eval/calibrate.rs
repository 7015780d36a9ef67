//! Fitting a pack's gate.

use std::path::Path;

use sprat_model::{MANIFEST, Manifest};
use sprat_route::gate::{self, FitOptions, Gate};

use super::{EvalOptions, ask, load};
use crate::skills;
use crate::{Error, Result};

/// Asks the pack in `folder` the questions of `options`, fits a gate to how sure it was and
/// whether it was right, and stores the gate in the pack's `sprat.json`.
///
/// `options.models` is not read. The questions are drawn with another seed than [`super::run`]
/// draws its own with, so that the table of a calibrated model is not about the same questions.
///
/// # Errors
/// [`Error::Gate`] when the answers give nothing to fit (all right, all wrong, too few), and as
/// [`super::run`].
pub fn calibrate(folder: &Path, fit: &FitOptions, options: &EvalOptions) -> Result<Gate> {
    let path = folder.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let mut manifest = Manifest::from_json(&bytes).map_err(Error::model("read the manifest"))?;
    let mut questions = Vec::new();
    for &skill in &options.skills {
        let seed = options.seed ^ 0x5eed;
        match skills::questions(skill, options.questions, seed, options.data_root.as_deref()) {
            Ok(found) => questions.extend(found),
            Err(Error::NeedsData { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let answers = ask::ask(folder, &questions, options)?;
    let examples: Vec<gate::Example> = questions
        .iter()
        .zip(&answers)
        .map(|(question, answer)| gate::Example {
            features: answer.signals.features(),
            correct: answer.right,
            hash: gate::question_hash(question.messages.last().map_or("", |(_, text)| text)),
        })
        .collect();
    let mut fit = fit.clone();
    if fit.data.is_empty() {
        let skills: Vec<_> = options.skills.iter().map(|skill| skill.name()).collect();
        let (n, seed) = (options.questions, options.seed);
        fit.data = format!(
            "{n} held-out questions each of {}; seed {seed}",
            skills.join(", ")
        );
    }
    let gate = gate::fit(&examples, &fit).map_err(|source| Error::Gate { source })?;
    let json = serde_json::to_value(&gate).map_err(|e| Error::format(&path, e.to_string()))?;
    manifest.calibration = Some(json);
    manifest
        .save(folder)
        .map_err(Error::model("store the gate"))?;
    // What was written must load.
    load::card(folder)?;
    Ok(gate)
}
