//! The bound and the confidence when the same answers are divided into parts in other ways. The
//! model is asked once; only the gate is fitted anew.

use serde::Serialize;
use sprat_route::gate::{self, CalibrationKind, Example, FitOptions, Gate, Split, split};
use sprat_route::metrics::{self, ECE_BINS, Interval};

use crate::{Error, Result};

/// Draws of outcomes for the ECE of a calibrated confidence: few, as there are many divisions.
const DRAWS: usize = 20;

/// The kinds that are compared, by the names of the command line.
const KINDS: [(&str, CalibrationKind); 2] = [
    ("logistic", CalibrationKind::Logistic),
    ("isotonic", CalibrationKind::Isotonic),
];

/// How the gate fares over many divisions.
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
    /// The confidence, calibrated in each way, on the test parts with both right and wrong answers ...
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<Calibration>,
    /// ... and on all answers outside of the division, where they were drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<Calibration>,
}

/// One way to calibrate: means over divisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Its name, as `--calibration` takes it.
    pub kind: &'static str,
    /// Answers of a division, in the mean.
    pub n: f64,
    /// Expected calibration error, 15 bins of equal mass.
    pub ece: f64,
    /// The central 95 % of divisions.
    pub ece_interval: Interval,
    /// What the ECE of a calibrated confidence would be on so many answers.
    pub ece_if_calibrated: f64,
    /// Root of the mean squared calibration error without what chance adds; 0 where chance explains all of it.
    pub rmsce: f64,
    /// Brier score.
    pub brier: f64,
    /// Negative log-likelihood in nats.
    pub nll: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
}

/// Divides the answers `n` times, or so many of them (`sample`), drawn anew each time.
///
/// # Errors
/// [`Error::Gate`] where a division cannot be fitted.
pub(super) fn divide(
    examples: &[Example],
    fit: &FitOptions,
    n: u64,
    sample: Option<usize>,
) -> Result<Divisions> {
    let alpha = fit.alpha;
    let (mut kept_nothing, mut exceeded, mut exceeded_outside) = (0, 0, 0);
    let (mut kept, mut errors, mut asked) = (0, 0, 0);
    let (mut test, mut outside) = (KINDS.map(|_| Vec::new()), KINDS.map(|_| Vec::new()));
    for seed in 0..n {
        let (divided, others) = draw(examples, seed, sample);
        let measured = |e: &&Example| split(e.hash) == Split::Test;
        let test_part: Vec<Example> = divided.iter().filter(measured).copied().collect();
        let mut gates = Vec::new();
        for (at, (_, kind)) in KINDS.into_iter().enumerate() {
            let options = FitOptions {
                calibration: Some(kind),
                ..fit.clone()
            };
            let gate = gate::fit(&divided, &options).map_err(|source| Error::Gate { source })?;
            test[at].extend(figures(&gate, &test_part, seed));
            outside[at].extend(figures(&gate, &others, seed));
            gates.push(gate);
        }
        // What is kept depends on the order of confidences, which is the same for all kinds.
        let gate = &gates[0];
        let counted = gate.fitted_on().test;
        kept_nothing += u64::from(gate.keeps_nothing());
        exceeded += u64::from(counted.errors as f64 > alpha * counted.kept as f64);
        exceeded_outside += u64::from(is_exceeded(gate, &others, alpha));
        kept += counted.kept;
        errors += counted.errors;
        asked += counted.n;
    }
    let table = |figures: [Vec<[f64; FIGURES]>; 2]| -> Vec<Calibration> {
        let kinds = KINDS.into_iter().zip(figures);
        let filled = kinds.filter(|(_, figures)| !figures.is_empty());
        filled
            .map(|((kind, _), figures)| mean(kind, &figures))
            .collect()
    };
    Ok(Divisions {
        n,
        kept_nothing,
        exceeded,
        sample,
        exceeded_outside: sample.map(|_| exceeded_outside),
        coverage: kept as f64 / asked.max(1) as f64,
        risk: (kept > 0).then(|| errors as f64 / kept as f64),
        test: table(test),
        outside: table(outside),
    })
}

/// The answers of a division, and those outside of it.
fn draw(examples: &[Example], seed: u64, sample: Option<usize>) -> (Vec<Example>, Vec<Example>) {
    let mut divided: Vec<_> = examples.iter().map(|e| e.in_division(seed)).collect();
    let mut others = Vec::new();
    if let Some(size) = sample.filter(|size| *size < divided.len()) {
        // Hashes of another seed, so that who is drawn says nothing of the part.
        divided.sort_by_cached_key(|e| e.in_division(seed).hash);
        others = divided.split_off(size);
    }
    (divided, others)
}

/// Number of answers, ECE, ECE if calibrated, debiased squared calibration error, Brier, NLL, AUROC.
const FIGURES: usize = 7;

/// `None` where one of them is not defined, as the AUROC of answers that are all right.
fn figures(gate: &Gate, answers: &[Example], seed: u64) -> Option<[f64; FIGURES]> {
    let confidence = answers.iter().map(|e| gate.confidence_of(&e.features));
    let confidence: Vec<f32> = confidence.collect();
    let correct: Vec<bool> = answers.iter().map(|e| e.correct).collect();
    let chance = metrics::ece_if_calibrated(&confidence, ECE_BINS, DRAWS, seed);
    Some([
        answers.len() as f64,
        metrics::ece(&confidence, &correct, ECE_BINS).ok()?,
        chance.ok()?.0,
        metrics::debiased_squared_ce(&confidence, &correct, ECE_BINS).ok()?,
        metrics::brier(&confidence, &correct).ok()?,
        metrics::nll(&confidence, &correct).ok()?,
        metrics::auroc(&confidence, &correct).ok()?,
    ])
}

fn mean(kind: &'static str, figures: &[[f64; FIGURES]]) -> Calibration {
    let count = figures.len() as f64;
    let mean = |at: usize| figures.iter().map(|f| f[at]).sum::<f64>() / count;
    let mut ece: Vec<f64> = figures.iter().map(|f| f[1]).collect();
    ece.sort_by(f64::total_cmp);
    let at = |q: f64| ece[(q * (ece.len() - 1) as f64).round() as usize];
    Calibration {
        kind,
        n: mean(0),
        ece: mean(1),
        ece_interval: Interval {
            low: at(0.025),
            high: at(0.975),
        },
        ece_if_calibrated: mean(2),
        // The mean of squares first: single ones scatter around 0.
        rmsce: mean(3).max(0.0).sqrt(),
        brier: mean(4),
        nll: mean(5),
        auroc: mean(6),
    }
}

/// Whether more than alpha of the answers that a gate keeps are wrong.
fn is_exceeded(gate: &Gate, answers: &[Example], alpha: f64) -> bool {
    let kept = answers
        .iter()
        .filter(|e| gate.keeps(gate.confidence_of(&e.features)));
    let (kept, errors) = kept.fold((0_u64, 0_u64), |(kept, errors), example| {
        (kept + 1, errors + u64::from(!example.correct))
    });
    errors as f64 > alpha * kept as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_route::signals::{Signals, TokenSignal};

    /// Answers whose margin is their chance to be right.
    fn answers(n: u64, right: impl Fn(u64, f32) -> bool) -> Vec<Example> {
        let answer = |i: u64| {
            let margin = (i * 37 % 101) as f32 / 101.0;
            let token = TokenSignal {
                logprob: margin - 1.0,
                margin,
                entropy: 1.0 - margin,
            };
            let signals: Signals = [token].into_iter().collect();
            Example::new(&signals, right(i, margin), i)
        };
        (0..n).map(answer).collect()
    }

    #[test]
    fn both_kinds_are_measured_inside_and_outside() {
        let examples = answers(1000, |i, margin| (i * 61 % 97) as f32 / 97.0 < margin);
        let divided = divide(&examples, &FitOptions::default(), 5, Some(600)).unwrap();
        for (part, n) in [(&divided.test, 120.0), (&divided.outside, 400.0)] {
            let [plain, mapped] = &part[..] else {
                panic!("{part:?}");
            };
            assert_eq!((plain.kind, mapped.kind), ("logistic", "isotonic"));
            // The map keeps the order.
            assert_eq!(plain.auroc, mapped.auroc);
            assert!(plain.auroc > 0.7 && (plain.n - n).abs() < 30.0, "{plain:?}");
            let interval = plain.ece_interval;
            assert!(interval.low <= plain.ece && plain.ece <= interval.high);
            assert!(
                plain.rmsce < 0.2 && plain.ece_if_calibrated > 0.01,
                "{plain:?}"
            );
        }
        assert_eq!(
            divided,
            divide(&examples, &FitOptions::default(), 5, Some(600)).unwrap()
        );
    }

    #[test]
    fn one_sided_answers_have_no_figures() {
        let examples = answers(300, |_, _| true);
        let divided = divide(&examples, &FitOptions::default(), 3, None).unwrap();
        assert!(divided.test.is_empty() && divided.outside.is_empty());
        assert_eq!(divided.risk, Some(0.0));
    }
}
