//! Fitting a gate: confidence on one part of the answers, the threshold on a second, figures on a
//! third. The parts are chosen by a hash of the question, so one question is never in two of them.

use super::{
    Calibration, EARLY_TOKENS, EarlyFigures, Figures, FittedOn, Gate, KEEP_NOTHING, VERSION,
    confidence, early::Early, isotonic::Isotonic, logistic::Logistic,
};
use crate::{
    Error,
    metrics::{self, beta_quantile, clopper_pearson_upper},
    random::SplitMix64,
    signals::{FEATURES, Features, Signals},
};

/// One answer of the model to a question with a known solution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Example {
    /// What the model showed while answering.
    pub features: Features,
    /// The same of its first [`EARLY_TOKENS`] tokens, if it has so many.
    pub early: Option<Features>,
    /// Whether the answer was right.
    pub correct: bool,
    /// A hash of the question, see [`question_hash`]: decides the part it belongs to.
    pub hash: u64,
}

impl Example {
    /// Of an answer with these signals.
    pub fn new(signals: &Signals, correct: bool, hash: u64) -> Self {
        let running = signals.len() >= EARLY_TOKENS;
        Self {
            features: signals.features(),
            early: running.then(|| signals.prefix(EARLY_TOKENS).features()),
            correct,
            hash,
        }
    }

    /// The same answer in another division of the data into parts, drawn by `seed`.
    #[must_use]
    pub fn in_division(self, seed: u64) -> Self {
        let seed = SplitMix64::new(seed).next();
        Self {
            hash: SplitMix64::new(self.hash ^ seed).next(),
            ..self
        }
    }
}

/// How confidence is calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationKind {
    /// The regression's probability as it is. Needs the least data.
    Logistic,
    /// A rising map over it, fitted to what regressions of the other folds say of each answer.
    Isotonic,
}

/// So many answers to fit on, and the isotonic map helps; with fewer it follows chance
/// (docs/router.md).
const ISOTONIC_FROM: usize = 1500;

/// What a gate must promise, and how it is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    /// Largest share of wrong answers among those kept.
    pub alpha: f64,
    /// Probability with which that may fail to hold.
    pub delta: f64,
    /// The bound shall hold also for what is counted: of the answers kept of so many further questions, at most `alpha` are
    /// wrong. None promises it of the risk, which any number of answers scatters around.
    pub next: Option<u64>,
    /// Ridge penalty on the standardized weights.
    pub ridge: f64,
    /// How confidence is calibrated; none takes what suits the number of answers.
    pub calibration: Option<CalibrationKind>,
    /// The data in words, for the record.
    pub data: String,
    /// SHA-256 of the questions and answers, for the record.
    pub data_sha256: Option<String>,
    /// Fingerprint of the model that answered: the gate is for no other one.
    pub model: Option<String>,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            delta: 0.05,
            next: None,
            ridge: 1.0,
            calibration: None,
            data: String::new(),
            data_sha256: None,
            model: None,
        }
    }
}

/// The three parts of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Fits the confidence (60 %).
    Fit,
    /// Chooses the threshold (20 %).
    Calibrate,
    /// Is only measured (20 %).
    Test,
}

/// The part to which a question belongs.
pub fn split(hash: u64) -> Split {
    match SplitMix64::new(hash).unit() {
        part if part < 0.6 => Split::Fit,
        part if part < 0.8 => Split::Calibrate,
        _ => Split::Test,
    }
}

/// The fewest answers that, all kept and all right, show that at most `alpha` of such answers are
/// wrong, except with probability `delta`.
pub fn least_kept(alpha: f64, delta: f64) -> usize {
    // Without an error the Clopper-Pearson bound of n answers is 1 - delta^(1/n).
    libm::ceil(libm::log(delta) / libm::log1p(-alpha)) as usize
}

/// FNV-1a hash of a question in lower case with single spaces, so that trivially different
/// spellings of one question share a part.
pub fn question_hash(question: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut absorb = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for (index, word) in question.to_lowercase().split_whitespace().enumerate() {
        if index > 0 {
            absorb(b' ');
        }
        word.bytes().for_each(&mut absorb);
    }
    hash
}

/// Fits a gate. The same examples, in the same order, give the same gate.
///
/// The isotonic map keeps the order of confidences, so that it changes neither which answers are
/// kept nor the bound, only the number that is shown.
///
/// The threshold is the lowest in an unbroken run of thresholds whose upper Clopper-Pearson bound
/// on the error among kept answers is at most `alpha`, on answers that neither the confidence nor
/// the run's start depend on (fixed-sequence testing: Angelopoulos et al., "Learn then Test",
/// arXiv 2110.01052). So the bound holds with probability 1 - `delta` over new questions of the
/// same kind, with and without the early decision. Where no threshold meets it, the gate keeps nothing and its note says so.
/// With [`FitOptions::next`] each threshold must pass a second test, see [`metrics::next_exceeds`].
///
/// # Errors
/// [`Error::Fit`] where an option is out of range or fewer than 10 usable answers are left to fit
/// the confidence on.
pub fn fit(examples: &[Example], options: &FitOptions) -> Result<Gate, Error> {
    check(options)?;
    let part = |wanted: Split| -> Vec<&Example> {
        examples
            .iter()
            .filter(|example| split(example.hash) == wanted)
            .collect()
    };
    let (fitting, calibrate, test) = (part(Split::Fit), part(Split::Calibrate), part(Split::Test));
    let (logistic, calibration) = fit_confidence(&fitting, options)?;
    let whole = |example: &Example| confidence(&logistic, &calibration, &example.features);
    let fitted: Vec<(&Example, f32)> = fitting.iter().map(|e| (*e, whole(e))).collect();
    let kept = likely_threshold(&fitted, options.alpha);
    let early = Early::fit(&fitted, kept, options.ridge);
    let score = |part: &[&Example]| -> Vec<Scored> {
        let scored = part.iter().map(|example| Scored {
            confidence: whole(example),
            correct: example.correct,
            given_up: early.as_ref().is_some_and(|e| e.gives_up(example)),
        });
        scored.collect()
    };
    let sequence = Sequence::plan(&score(&fitting), calibrate.len(), options)?;
    let chosen = sequence.walk(&score(&calibrate), options)?;
    let threshold = chosen
        .as_ref()
        .map_or(KEEP_NOTHING, |chosen| chosen.threshold);
    let mut test_figures = figures(&score(&test), threshold);
    test_figures.early = early
        .as_ref()
        .map(|early| early_figures(&test, &score(&test), early, threshold));
    let right = examples.iter().filter(|example| example.correct).count();
    let fitted_on = FittedOn {
        data: options.data.clone(),
        data_sha256: options.data_sha256.clone(),
        model: options.model.clone(),
        n: examples.len(),
        accuracy: right as f64 / examples.len() as f64,
        fit: fitting.len(),
        calibrate: calibrate.len(),
        alpha: options.alpha,
        delta: options.delta,
        next: options.next,
        kept: chosen.as_ref().map_or(0, |chosen| chosen.kept),
        errors: chosen.as_ref().map_or(0, |chosen| chosen.errors),
        bound: chosen.as_ref().map(|chosen| chosen.bound),
        test: test_figures,
        note: note(chosen.as_ref(), calibrate.len(), options),
    };
    let features = FEATURES.map(String::from).into();
    Ok(Gate {
        version: VERSION,
        features,
        logistic,
        calibration,
        threshold,
        early,
        fitted_on: serde_json::to_value(fitted_on).expect("a record of numbers and texts"),
    })
}

/// An answer as the gate sees it.
#[derive(Clone, Copy)]
struct Scored {
    confidence: f32,
    correct: bool,
    /// Whether the early decision hands it over.
    given_up: bool,
}

/// The lowest confidence above which the fitting part's own errors are at most `alpha`.
fn likely_threshold(fitted: &[(&Example, f32)], alpha: f64) -> Option<f32> {
    let mut sorted: Vec<(f32, bool)> = fitted.iter().map(|(e, c)| (*c, e.correct)).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut kept, mut errors, mut lowest) = (0, 0, None);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        kept += tied.len();
        errors += tied.iter().filter(|answer| !answer.1).count();
        if errors as f64 <= alpha * kept as f64 {
            lowest = Some(tied[0].0);
        }
    }
    lowest
}

fn early_figures(
    test: &[&Example],
    scored: &[Scored],
    early: &Early,
    threshold: f32,
) -> EarlyFigures {
    let known = test
        .iter()
        .zip(scored)
        .map(|(example, scored)| match &example.early {
            Some(features) => early.judge(features),
            None => scored.confidence,
        });
    let known: Vec<f32> = known.collect();
    let correct: Vec<bool> = scored.iter().map(|s| s.correct).collect();
    let lost = |s: &&Scored| s.given_up && s.correct && s.confidence >= threshold;
    EarlyFigures {
        tokens: early.tokens,
        running: test.iter().filter(|e| e.early.is_some()).count(),
        given_up: scored.iter().filter(|s| s.given_up).count(),
        lost: scored.iter().filter(lost).count(),
        auroc: metrics::auroc(&known, &correct).ok(),
    }
}

fn check(options: &FitOptions) -> Result<(), Error> {
    for (name, value) in [("alpha", options.alpha), ("delta", options.delta)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Error::Fit(format!(
                "{name} is {value}; choose it between 0 and 1"
            )));
        }
    }
    if options.next == Some(0) {
        return Err(Error::Fit("the next 0 questions promise nothing".into()));
    }
    if !(options.ridge > 0.0 && options.ridge.is_finite()) {
        let ridge = options.ridge;
        return Err(Error::Fit(format!(
            "the ridge penalty is {ridge}; choose it above 0"
        )));
    }
    Ok(())
}

fn fit_confidence(
    fitting: &[&Example],
    options: &FitOptions,
) -> Result<(Logistic, Calibration), Error> {
    const LEAST: usize = 10;
    let usable: Vec<&Example> = fitting
        .iter()
        .copied()
        .filter(|example| example.features.is_valid())
        .collect();
    if usable.len() < LEAST {
        return Err(Error::Fit(format!(
            "only {} usable answers are left to fit on, at least {LEAST} are needed; \
             give it more questions",
            usable.len()
        )));
    }
    let logistic = regression(&usable, options.ridge);
    let enough = match usable.len() >= ISOTONIC_FROM {
        true => CalibrationKind::Isotonic,
        false => CalibrationKind::Logistic,
    };
    let map = match options.calibration.unwrap_or(enough) {
        CalibrationKind::Logistic => None,
        CalibrationKind::Isotonic => {
            let (scores, correct) = cross_fitted(&usable, options.ridge);
            Isotonic::fit(&scores, &correct)
        }
    };
    Ok((
        logistic,
        map.map_or(Calibration::Logistic, Calibration::Isotonic),
    ))
}

fn regression(answers: &[&Example], ridge: f64) -> Logistic {
    let rows: Vec<&[f64]> = answers
        .iter()
        .map(|e| e.features.values().as_slice())
        .collect();
    let outcomes: Vec<bool> = answers.iter().map(|example| example.correct).collect();
    Logistic::fit(&rows, &outcomes, ridge)
}

/// Each answer's probability by a regression on the other folds, which has not seen it, and whether
/// it is right. No answer is set aside for the map in this way (Platt, "Probabilistic outputs for
/// support vector machines", 1999; scikit-learn's `CalibratedClassifierCV(ensemble=False)`).
fn cross_fitted(usable: &[&Example], ridge: f64) -> (Vec<f64>, Vec<bool>) {
    const FOLDS: usize = 5;
    // The second number of the hash's stream; the first one chose the part.
    let fold = |example: &Example| {
        let mut stream = SplitMix64::new(example.hash);
        stream.next();
        stream.below(FOLDS)
    };
    let (mut scores, mut correct) = (Vec::new(), Vec::new());
    for out in 0..FOLDS {
        let (own, others): (Vec<&Example>, Vec<&Example>) =
            usable.iter().partition(|example| fold(example) == out);
        let logistic = regression(&others, ridge);
        scores.extend(
            own.iter()
                .map(|e| logistic.probability(e.features.values())),
        );
        correct.extend(own.iter().map(|e| e.correct));
    }
    (scores, correct)
}

/// Thresholds to be tested in a fixed order, strict to lenient, from the first to a failure.
/// Everything here is decided without looking at the calibration part.
struct Sequence {
    thresholds: Vec<f32>,
}

struct Chosen {
    threshold: f32,
    kept: usize,
    errors: usize,
    bound: f64,
}

impl Sequence {
    /// One threshold for each per cent of the fitting part, from the one that is likeliest to pass
    /// on `size` new answers: a stricter one would be lost for want of answers, not for errors.
    fn plan(fitting: &[Scored], size: usize, options: &FitOptions) -> Result<Self, Error> {
        const STEPS: usize = 100;
        let mut sorted = fitting.to_vec();
        sorted.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let n = sorted.len();
        let mut thresholds: Vec<f32> = (1..=STEPS)
            .map(|step| sorted[(step * n).div_ceil(STEPS) - 1].confidence)
            .collect();
        thresholds.dedup();
        thresholds.retain(|threshold| *threshold > 0.0);
        let shrink = size as f64 / n as f64;
        let mut start = (f64::INFINITY, 0);
        for (index, &threshold) in thresholds.iter().enumerate() {
            let (kept, errors) = count(fitting, threshold);
            let (kept, errors) = (kept as f64 * shrink, errors as f64 * shrink);
            // The Clopper-Pearson bound for the counts to be expected, which need not be whole.
            let bound = if kept > errors {
                beta_quantile(1.0 - options.delta, errors + 1.0, kept - errors)?
            } else {
                1.0
            };
            if bound < start.0 {
                start = (bound, index);
            }
        }
        thresholds.drain(..start.1);
        Ok(Self { thresholds })
    }

    /// The bound must hold both with the early decision and without it: private questions are never
    /// handed over early, and both kinds of answers are kept by the same threshold.
    fn walk(&self, calibrate: &[Scored], options: &FitOptions) -> Result<Option<Chosen>, Error> {
        let whole: Vec<Scored> = calibrate.iter().filter(|s| !s.given_up).copied().collect();
        let mut chosen = None;
        for &threshold in &self.thresholds {
            let (kept, errors) = count(calibrate, threshold);
            let bound = bound(kept, errors, options)?;
            let (kept_too, errors_too) = count(&whole, threshold);
            let worse = bound.max(self::bound(kept_too, errors_too, options)?);
            let scatters = |kept, errors| scatters(kept, errors, calibrate.len(), options);
            if worse > options.alpha || scatters(kept, errors) || scatters(kept_too, errors_too) {
                break;
            }
            chosen = Some(Chosen {
                threshold,
                kept,
                errors,
                bound,
            });
        }
        Ok(chosen)
    }
}

/// Upper bound on the error; 1 where nothing is kept.
fn bound(kept: usize, errors: usize, options: &FitOptions) -> Result<f64, Error> {
    match kept {
        0 => Ok(1.0),
        _ => clopper_pearson_upper(errors as u64, kept as u64, options.delta),
    }
}

/// Whether more than alpha of the answers kept of the next questions may be wrong, oftener than delta says.
fn scatters(kept: usize, errors: usize, asked: usize, options: &FitOptions) -> bool {
    options.next.is_some_and(|next| {
        // As large a share of them will be kept.
        let kept_next = (kept as f64 * next as f64 / asked as f64).round() as u64;
        let allowed = (options.alpha * kept_next as f64) as u64;
        let chance = metrics::next_exceeds(errors as u64, kept as u64, allowed, kept_next);
        chance > options.delta
    })
}

/// How many answers a threshold keeps, and how many of those are wrong.
fn count(scored: &[Scored], threshold: f32) -> (usize, usize) {
    let kept = scored.iter().filter(|s| s.confidence >= threshold);
    kept.fold((0, 0), |(kept, errors), s| {
        (kept + 1, errors + usize::from(!s.correct))
    })
}

fn figures(test: &[Scored], threshold: f32) -> Figures {
    let (confidence, correct): (Vec<f32>, Vec<bool>) =
        test.iter().map(|s| (s.confidence, s.correct)).unzip();
    let (kept, errors) = count(test, threshold);
    let right = correct.iter().filter(|c| **c).count();
    Figures {
        n: test.len(),
        accuracy: (!test.is_empty()).then(|| right as f64 / test.len() as f64),
        ece: metrics::ece(&confidence, &correct, metrics::ECE_BINS).ok(),
        brier: metrics::brier(&confidence, &correct).ok(),
        nll: metrics::nll(&confidence, &correct).ok(),
        auroc: metrics::auroc(&confidence, &correct).ok(),
        kept,
        errors,
        early: None,
    }
}

fn note(chosen: Option<&Chosen>, calibrate: usize, options: &FitOptions) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let (alpha, delta) = (percent(options.alpha), percent(options.delta));
    let of = match options.next {
        Some(next) => format!("Of the answers kept, also of the next {next} questions'"),
        None => "Of the answers kept".to_owned(),
    };
    match chosen {
        Some(chosen) => format!(
            "{of}, at most {alpha} are wrong, except with probability {delta} \
             ({} wrong of {} kept, of {calibrate}; bound {}).",
            chosen.errors,
            chosen.kept,
            percent(chosen.bound),
        ),
        None => {
            let least = least_kept(options.alpha, options.delta);
            format!(
                "Keeps nothing: no threshold could be shown to keep at most {alpha} wrong answers, \
                 except with probability {delta}, on {calibrate} answers (it takes at least \
                 {least} kept without an error). Calibrate on more questions, allow more errors, \
                 or train a better model."
            )
        }
    }
}

#[cfg(test)]
mod tests;
