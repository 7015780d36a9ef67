//! The device's side of records: a pack that is asked and judged by its own gate.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use sprat_model::{Device, MANIFEST, Manifest};
use sprat_route::gate::{Gate, Split, split};

use super::super::ask;
use super::super::questions::{Question, fingerprint};
use crate::train::Show;
use crate::{Error, Result};

/// What the device said to one question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeAnswer {
    /// Whether it is right; an answer that was cut off is not.
    pub right: bool,
    /// The gate's confidence in it.
    pub confidence: f64,
    /// From the prompt's tokens to the end of the answer, on one core.
    pub seconds: f64,
    /// Tokens of the answer.
    pub tokens: usize,
    /// From the tokens' signals to the confidence.
    pub gate_seconds: f64,
}

/// What a gate adds to a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GateCost {
    /// From an answer's signals to its confidence, the median of all answers.
    pub nanoseconds: f64,
    /// Of the gate in the pack, as it is stored.
    pub bytes: usize,
}

impl GateCost {
    /// Of these answers; none without one.
    pub fn new(gate: &Gate, answers: &[EdgeAnswer]) -> Option<Self> {
        let mut seconds: Vec<f64> = answers.iter().map(|answer| answer.gate_seconds).collect();
        seconds.sort_by(f64::total_cmp);
        Some(Self {
            nanoseconds: 1e9 * seconds.get(seconds.len() / 2)?,
            bytes: gate.to_json().len(),
        })
    }
}

/// The gate in a pack, which must be that of its own model.
///
/// # Errors
/// [`Error::NoGate`] where there is none that can be used; [`Error::Io`] and [`Error::Model`] where
/// the manifest cannot be read.
pub fn gate(pack: &Path) -> Result<Gate> {
    let path = pack.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let manifest = Manifest::from_json(&bytes).map_err(Error::model("read the manifest"))?;
    let unusable = |problem: String| Error::NoGate {
        path: pack.to_path_buf(),
        problem,
    };
    let json = manifest.calibration.as_ref();
    let json = json.ok_or_else(|| unusable("it has none".to_owned()))?;
    let gate = Gate::from_json(json.to_string().as_bytes()).map_err(|e| unusable(e.to_string()))?;
    let own = gate.check_model(&manifest.fingerprint());
    own.map_err(|e| unusable(e.to_string()))?;
    Ok(gate)
}

/// The questions that the gate has not seen: where these are the ones it was fitted on, those of
/// its test part, else all.
pub fn unseen(questions: Vec<Question>, gate: &Gate) -> Vec<Question> {
    if gate.fitted_on().data_sha256.as_deref() != Some(fingerprint(&questions).as_str()) {
        return questions;
    }
    let of_test = |question: &Question| split(question.hash()) == Split::Test;
    questions.into_iter().filter(of_test).collect()
}

/// Asks the pack every question, greedily; answers in their order.
///
/// # Errors
/// [`Error::Model`] where the pack cannot be read or asked.
pub fn ask_edge(
    pack: &Path,
    gate: &Gate,
    questions: &[Question],
    max_tokens: usize,
    device: &Device,
    show: Show,
) -> Result<Vec<EdgeAnswer>> {
    ask::ask_each(pack, questions.len(), device, show, |model, i| {
        let reply = questions[i].ask(model, max_tokens)?;
        let began = Instant::now();
        let confidence = gate.confidence(&reply.signals);
        let gate_seconds = began.elapsed().as_secs_f64();
        Ok(EdgeAnswer {
            gate_seconds,
            right: reply.ended && questions[i].is_right(&reply.text),
            confidence: f64::from(confidence),
            seconds: reply.seconds,
            tokens: reply.signals.len(),
        })
    })
}
