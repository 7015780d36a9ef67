//! How good a confidence is, and how good a router is. Definitions follow the literature named at
//! each function; goldens in `goldens/metrics.json` come from scikit-learn and scipy.
//!
//! Confidences may be `f32` or `f64`, in `[0, 1]`. Every function says in an [`Error`] why it is
//! not defined on its input (empty, different lengths, NaN, a class missing) instead of a NaN.

mod beta;
mod calibration;
mod deferral;
mod interval;
mod router;

pub use beta::{beta_cdf, beta_quantile};
pub use calibration::{
    Bin, ECE_BINS, RiskPoint, aurc, auroc, brier, debiased_squared_ce, e_aurc, ece,
    ece_if_calibrated, nll, reliability, risk_at, risk_coverage,
};
pub use deferral::{DeferralPoint, Pair, apgr, apgr_binned, cpt, deferral_curve, oracle};
pub use interval::{
    Interval, bootstrap, bootstrap_each, clopper_pearson, clopper_pearson_upper, next_exceeds,
    wilson,
};
pub use router::{Cost, CostPoint, aiq, auc_df, cost_curve, peak, pgr, self_confidence};

use crate::Error;

/// Confidences as `f64` next to what came true, or why they are unusable.
fn checked<C: Into<f64> + Copy>(
    metric: &'static str,
    confidence: &[C],
    correct: &[bool],
) -> Result<Vec<(f64, bool)>, Error> {
    if confidence.is_empty() {
        return Err(Error::metric(metric, "there are no answers"));
    }
    if confidence.len() != correct.len() {
        let problem = format!(
            "{} confidences for {} answers",
            confidence.len(),
            correct.len()
        );
        return Err(Error::metric(metric, problem));
    }
    let pairs: Vec<(f64, bool)> = confidence
        .iter()
        .map(|&c| c.into())
        .zip(correct.iter().copied())
        .collect();
    match pairs.iter().find(|(c, _)| !(0.0..=1.0).contains(c)) {
        Some((bad, _)) => Err(Error::metric(metric, format!("a confidence is {bad}"))),
        None => Ok(pairs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn goldens() -> Value {
        serde_json::from_str(include_str!("../goldens/metrics.json")).unwrap()
    }

    fn floats(value: &Value) -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    }

    fn close(name: &str, ours: f64, golden: f64, tolerance: f64) {
        let scale = golden.abs().max(1.0);
        assert!(
            (ours - golden).abs() <= tolerance * scale,
            "{name}: {ours} against {golden}"
        );
    }

    #[test]
    fn scores_equal_scikit_learn() {
        for case in goldens()["scores"].as_array().unwrap() {
            let confidence = floats(&case["confidence"]);
            let correct: Vec<bool> = case["correct"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_bool().unwrap())
                .collect();
            let golden = |name: &str| case[name].as_f64().unwrap();
            close(
                "auroc",
                auroc(&confidence, &correct).unwrap(),
                golden("auroc"),
                1e-12,
            );
            close(
                "brier",
                brier(&confidence, &correct).unwrap(),
                golden("brier"),
                1e-12,
            );
            close(
                "nll",
                nll(&confidence, &correct).unwrap(),
                golden("nll"),
                1e-12,
            );
            close(
                "ece",
                ece(&confidence, &correct, ECE_BINS).unwrap(),
                golden("ece"),
                1e-12,
            );
            close(
                "debiased squared calibration error",
                debiased_squared_ce(&confidence, &correct, ECE_BINS).unwrap(),
                golden("debiased_squared_ce"),
                1e-12,
            );
            close(
                "aurc",
                aurc(&confidence, &correct).unwrap(),
                golden("aurc"),
                1e-12,
            );
        }
    }

    #[test]
    fn intervals_equal_scipy() {
        for case in goldens()["intervals"].as_array().unwrap() {
            let (k, n) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap());
            let level = case["level"].as_f64().unwrap();
            let golden = |name: &str| floats(&case[name]);
            let exact = clopper_pearson(k, n, level).unwrap();
            close(
                "clopper-pearson low",
                exact.low,
                golden("clopper_pearson")[0],
                1e-9,
            );
            close(
                "clopper-pearson high",
                exact.high,
                golden("clopper_pearson")[1],
                1e-9,
            );
            let score = wilson(k, n, level).unwrap();
            close("wilson low", score.low, golden("wilson")[0], 1e-9);
            close("wilson high", score.high, golden("wilson")[1], 1e-9);
            let upper = clopper_pearson_upper(k, n, 1.0 - level).unwrap();
            close(
                "clopper-pearson upper",
                upper,
                case["upper"].as_f64().unwrap(),
                1e-9,
            );
        }
    }

    #[test]
    fn beta_equals_scipy() {
        for case in goldens()["beta"].as_array().unwrap() {
            let golden = |name: &str| case[name].as_f64().unwrap();
            let (a, b) = (golden("a"), golden("b"));
            close(
                "cdf",
                beta_cdf(golden("x"), a, b).unwrap(),
                golden("cdf"),
                1e-9,
            );
            close(
                "quantile",
                beta_quantile(golden("p"), a, b).unwrap(),
                golden("quantile"),
                1e-9,
            );
        }
    }

    #[test]
    fn bad_input_is_named() {
        let none: [f64; 0] = [];
        assert!(brier(&none, &[]).is_err());
        assert!(brier(&[0.5], &[true, false]).is_err());
        assert!(ece(&[f64::NAN], &[true], 15).is_err());
        assert!(ece(&[0.5], &[true], 0).is_err());
        assert!(nll(&[1.5_f32], &[true]).is_err());
        let error = auroc(&[0.5, 0.7], &[true, true]).unwrap_err().to_string();
        assert!(
            error.contains("auroc") && error.contains("right and wrong"),
            "{error}"
        );
    }
}
