//! Does a confidence mean what it says, and does it put right answers above wrong ones?

use core::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Interval, checked};
use crate::{Error, random::SplitMix64};

/// The usual number of bins for [`ece`].
pub const ECE_BINS: usize = 15;

/// What the functions of bins are called in errors.
const CALIBRATION_ERROR: &str = "the calibration error";

/// Mean squared distance between confidence and outcome; lower is better. G. W. Brier (1950).
///
/// # Errors
/// Where there are no answers, lengths differ, or a confidence is outside `[0, 1]`.
pub fn brier<C: Into<f64> + Copy>(confidence: &[C], correct: &[bool]) -> Result<f64, Error> {
    let pairs = checked("the Brier score", confidence, correct)?;
    let squares = pairs
        .iter()
        .map(|&(c, y)| (c - f64::from(y)) * (c - f64::from(y)));
    Ok(squares.sum::<f64>() / pairs.len() as f64)
}

/// Mean negative log-likelihood in nats. Confidences are kept 2^-52 away from 0 and 1, as
/// scikit-learn's `log_loss` does, so that one certain mistake costs about 36 nats and not infinity.
///
/// # Errors
/// As [`brier`].
pub fn nll<C: Into<f64> + Copy>(confidence: &[C], correct: &[bool]) -> Result<f64, Error> {
    let pairs = checked("the negative log-likelihood", confidence, correct)?;
    let sum: f64 = pairs
        .iter()
        .map(|&(c, y)| {
            let c = c.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
            -libm::log(if y { c } else { 1.0 - c })
        })
        .sum();
    Ok(sum / pairs.len() as f64)
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Answers in it.
    pub n: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// Answers sorted by confidence and cut into `bins` of equal mass. Equal confidences stay in one
/// bin, so the result does not depend on the order of the answers; there may be fewer bins.
///
/// # Errors
/// As [`brier`], and where `bins` is 0.
pub fn reliability<C: Into<f64> + Copy>(
    confidence: &[C],
    correct: &[bool],
    bins: usize,
) -> Result<Vec<Bin>, Error> {
    let mut pairs = checked(CALIBRATION_ERROR, confidence, correct)?;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bins = equal_mass(&pairs, bins)?;
    let diagram = bins.into_iter().map(|bin| {
        let inside = &pairs[bin];
        let count = inside.len() as f64;
        Bin {
            n: inside.len(),
            confidence: inside.iter().map(|p| p.0).sum::<f64>() / count,
            accuracy: inside.iter().filter(|p| p.1).count() as f64 / count,
        }
    });
    Ok(diagram.collect())
}

/// Places of the bins among sorted answers.
fn equal_mass(sorted: &[(f64, bool)], bins: usize) -> Result<Vec<Range<usize>>, Error> {
    if bins == 0 {
        return Err(Error::metric(CALIBRATION_ERROR, "there are no bins"));
    }
    let n = sorted.len();
    let mut places = Vec::with_capacity(bins);
    let mut start = 0;
    for bin in 1..=bins {
        let mut end = (bin * n).div_ceil(bins);
        while end > start && end < n && sorted[end].0 == sorted[end - 1].0 {
            end += 1;
        }
        if end > start {
            places.push(start..end);
            start = end;
        }
    }
    Ok(places)
}

/// Expected calibration error over equal-mass bins: the mean gap between confidence and accuracy.
/// Naeini et al. (AAAI 2015) with the equal-mass bins of Nixon et al. (2019).
///
/// # Errors
/// As [`reliability`].
pub fn ece<C: Into<f64> + Copy>(
    confidence: &[C],
    correct: &[bool],
    bins: usize,
) -> Result<f64, Error> {
    let diagram = reliability(confidence, correct, bins)?;
    let gap = |bin: &Bin| bin.n as f64 * (bin.confidence - bin.accuracy).abs();
    Ok(diagram.iter().map(gap).sum::<f64>() / confidence.len() as f64)
}

/// The [`ece`] to be expected of a confidence that is calibrated, and its central 95 %: outcomes are
/// drawn `draws` times from the confidences themselves. ECE is never below 0, so chance alone gives
/// the more of it the fewer answers a bin has. Bröcker and Smith ("Increasing the reliability of
/// reliability diagrams", 2007); Vaicenavicius et al. (AISTATS 2019).
///
/// # Errors
/// As [`reliability`], and where `draws` is 0.
pub fn ece_if_calibrated<C: Into<f64> + Copy>(
    confidence: &[C],
    bins: usize,
    draws: usize,
    seed: u64,
) -> Result<(f64, Interval), Error> {
    let nobody = vec![false; confidence.len()];
    let mut pairs = checked(CALIBRATION_ERROR, confidence, &nobody)?;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bins = equal_mass(&pairs, bins)?;
    if draws == 0 {
        return Err(Error::metric(CALIBRATION_ERROR, "there are no draws"));
    }
    let mut random = SplitMix64::new(seed);
    let mut draw = || {
        let gaps = bins.iter().map(|bin| {
            let gap = pairs[bin.clone()].iter();
            gap.map(|p| p.0 - f64::from(random.unit() < p.0))
                .sum::<f64>()
                .abs()
        });
        gaps.sum::<f64>() / pairs.len() as f64
    };
    let mut drawn: Vec<f64> = (0..draws).map(|_| draw()).collect();
    drawn.sort_by(f64::total_cmp);
    let at = |q: f64| drawn[libm::round(q * (draws - 1) as f64) as usize];
    let interval = Interval {
        low: at(0.025),
        high: at(0.975),
    };
    Ok((drawn.iter().sum::<f64>() / draws as f64, interval))
}

/// Squared calibration error over equal-mass bins without what chance adds to it: the mean squared
/// gap between confidence and accuracy, each less its variance. Its mean over samples is that of
/// the bins' true gaps, so it may be below 0. Bröcker (2012), Ferro and Fricker (2012); Kumar,
/// Liang and Ma ("Verified Uncertainty Calibration", NeurIPS 2019) take its root.
///
/// # Errors
/// As [`reliability`].
pub fn debiased_squared_ce<C: Into<f64> + Copy>(
    confidence: &[C],
    correct: &[bool],
    bins: usize,
) -> Result<f64, Error> {
    let diagram = reliability(confidence, correct, bins)?;
    // One answer says nothing of its variance.
    let told = diagram.iter().filter(|bin| bin.n > 1);
    let squares = told.map(|bin| {
        let (n, gap) = (bin.n as f64, bin.confidence - bin.accuracy);
        n * (gap * gap - bin.accuracy * (1.0 - bin.accuracy) / (n - 1.0))
    });
    Ok(squares.sum::<f64>() / confidence.len() as f64)
}

/// Probability that a right answer has a higher confidence than a wrong one; a tie counts half.
///
/// # Errors
/// As [`brier`], and where all answers are right or all are wrong.
pub fn auroc<C: Into<f64> + Copy>(confidence: &[C], correct: &[bool]) -> Result<f64, Error> {
    const NAME: &str = "auroc";
    let mut pairs = checked(NAME, confidence, correct)?;
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let right = pairs.iter().filter(|p| p.1).count() as f64;
    let wrong = pairs.len() as f64 - right;
    if right == 0.0 || wrong == 0.0 {
        return Err(Error::metric(NAME, "it needs both right and wrong answers"));
    }
    let (mut wins, mut wrong_below) = (0.0, 0.0);
    for tied in pairs.chunk_by(|a, b| a.0 == b.0) {
        let right_here = tied.iter().filter(|p| p.1).count() as f64;
        let wrong_here = tied.len() as f64 - right_here;
        wins += right_here * (wrong_below + 0.5 * wrong_here);
        wrong_below += wrong_here;
    }
    Ok(wins / (right * wrong))
}

/// One point of the risk-coverage curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Answers with at least this confidence are kept.
    pub threshold: f64,
    /// Share of answers kept.
    pub coverage: f64,
    /// Share of wrong ones among the kept.
    pub risk: f64,
}

/// Risk at every coverage, from the most confident answer to all of them; one point for each
/// distinct confidence. Geifman and El-Yaniv (NeurIPS 2017).
///
/// # Errors
/// As [`brier`].
pub fn risk_coverage<C: Into<f64> + Copy>(
    confidence: &[C],
    correct: &[bool],
) -> Result<Vec<RiskPoint>, Error> {
    let mut pairs = checked("the risk-coverage curve", confidence, correct)?;
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut kept, mut errors) = (0, 0);
    let points = pairs.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        kept += tied.len();
        errors += tied.iter().filter(|p| !p.1).count();
        RiskPoint {
            threshold: tied[0].0,
            coverage: kept as f64 / pairs.len() as f64,
            risk: errors as f64 / kept as f64,
        }
    });
    Ok(points.collect())
}

/// Area under the risk-coverage curve: the mean, over answers, of the risk at which each is kept.
///
/// # Errors
/// As [`brier`].
pub fn aurc<C: Into<f64> + Copy>(confidence: &[C], correct: &[bool]) -> Result<f64, Error> {
    let points = risk_coverage(confidence, correct)?;
    let mut before = 0.0;
    let areas = points.iter().map(|point| {
        let width = point.coverage - before;
        before = point.coverage;
        width * point.risk
    });
    Ok(areas.sum())
}

/// What [`aurc`] could be better: its distance to that of an order with every right answer above
/// every wrong one. Geifman, Uziel and El-Yaniv (ICLR 2019).
///
/// # Errors
/// As [`brier`].
pub fn e_aurc<C: Into<f64> + Copy>(confidence: &[C], correct: &[bool]) -> Result<f64, Error> {
    let area = aurc(confidence, correct)?;
    let right = correct.iter().filter(|c| **c).count();
    let risk = |kept: usize| (kept - right) as f64 / kept as f64;
    let best: f64 = (right + 1..=correct.len()).map(risk).sum();
    Ok(area - best / correct.len() as f64)
}

/// Risk among the most confident answers when at least the share `coverage` is kept: that of the
/// strictest threshold that keeps so many.
///
/// # Errors
/// As [`brier`], and where `coverage` is outside `(0, 1]`.
pub fn risk_at<C: Into<f64> + Copy>(
    confidence: &[C],
    correct: &[bool],
    coverage: f64,
) -> Result<f64, Error> {
    if !(coverage > 0.0 && coverage <= 1.0) {
        let problem = format!("the coverage {coverage} is not between 0 and 1");
        return Err(Error::metric("the risk at a coverage", problem));
    }
    let points = risk_coverage(confidence, correct)?;
    // A share such as 0.2 of 10 has no exact value; the last point keeps everything.
    let enough = points.iter().find(|p| p.coverage >= coverage - 1e-12);
    Ok(enough.map_or(points[points.len() - 1].risk, |point| point.risk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_perfect_and_a_reversed_order() {
        let correct = [true, true, false, false];
        assert_eq!(auroc(&[0.9, 0.8, 0.3, 0.1], &correct).unwrap(), 1.0);
        assert_eq!(auroc(&[0.1, 0.2, 0.7, 0.9], &correct).unwrap(), 0.0);
        assert_eq!(auroc(&[0.5, 0.5, 0.5, 0.5], &correct).unwrap(), 0.5);
    }

    #[test]
    fn one_constant_confidence_is_one_bin() {
        let bins = reliability(&[0.25_f32; 8], &[true, false].repeat(4), ECE_BINS).unwrap();
        assert_eq!(
            bins,
            [Bin {
                n: 8,
                confidence: 0.25,
                accuracy: 0.5
            }]
        );
    }

    #[test]
    fn chance_alone_gives_a_calibration_error() {
        // 15 bins of 60 answers at 0.5. The mean deviation of Binomial(60, 1/2) is
        // 30 C(60, 30) / 2^60 = 3.0773.
        let spread: Vec<f64> = (0..900).map(|i| 0.5 + 1e-9 * f64::from(i)).collect();
        let (mean, interval) = ece_if_calibrated(&spread, ECE_BINS, 400, 1).unwrap();
        assert!((mean - 3.0773 / 60.0).abs() < 1e-3, "{mean}");
        assert!((0.02..0.05).contains(&interval.low) && (0.05..0.08).contains(&interval.high));
        // A certain confidence has none.
        assert_eq!(ece_if_calibrated(&[0.0, 1.0], 2, 9, 1).unwrap().0, 0.0);
        assert!(ece_if_calibrated(&[0.5], 15, 0, 1).is_err());
        assert!(ece_if_calibrated(&[f64::NAN], 15, 9, 1).is_err());
    }

    #[test]
    fn what_chance_adds_is_taken_away_again() {
        // 2000 samples of 40 calibrated answers in 4 bins: the mean is 0, give or take 0.001.
        let confidence: Vec<f64> = (0..40).map(|i| 0.1 + 0.02 * f64::from(i)).collect();
        let mut random = crate::random::SplitMix64::new(3);
        let mut sum = 0.0;
        for _ in 0..2000 {
            let correct: Vec<bool> = confidence.iter().map(|c| random.unit() < *c).collect();
            sum += debiased_squared_ce(&confidence, &correct, 4).unwrap();
        }
        assert!((sum / 2000.0).abs() < 2e-3, "{}", sum / 2000.0);
    }

    #[test]
    fn excess_and_risk_at_a_coverage_worked_by_hand() {
        let (confidence, correct) = ([0.9, 0.8, 0.7, 0.6], [true, false, true, false]);
        // Risks when each is kept: 0, 1/2, 1/3, 1/2. In the best order: 0, 0, 1/3, 1/2.
        let excess = e_aurc(&confidence, &correct).unwrap();
        assert!((excess - 0.125).abs() < 1e-12, "{excess}");
        let perfect = e_aurc(&[0.9, 0.7, 0.8, 0.6], &correct).unwrap();
        assert!(perfect.abs() < 1e-12, "{perfect}");
        for (coverage, risk) in [(0.2, 0.0), (0.25, 0.0), (0.3, 0.5), (0.5, 0.5), (1.0, 0.5)] {
            assert_eq!(risk_at(&confidence, &correct, coverage).unwrap(), risk);
        }
        // Ties are kept together: asking for one of three keeps all three.
        let tied = risk_at(&[0.5, 0.5, 0.5], &[true, false, false], 0.2).unwrap();
        assert!((tied - 2.0 / 3.0).abs() < 1e-12);
        assert!(risk_at(&confidence, &correct, 0.0).is_err());
        assert!(risk_at(&confidence, &correct, f64::NAN).is_err());
    }

    #[test]
    fn risk_ends_at_the_error_rate() {
        let curve = risk_coverage(&[0.9, 0.8, 0.8, 0.1], &[true, true, false, false]).unwrap();
        assert_eq!(curve.len(), 3);
        assert_eq!(
            curve[0],
            RiskPoint {
                threshold: 0.9,
                coverage: 0.25,
                risk: 0.0
            }
        );
        assert_eq!(
            curve[2],
            RiskPoint {
                threshold: 0.1,
                coverage: 1.0,
                risk: 0.5
            }
        );
    }

    proptest! {
        #[test]
        fn the_order_of_the_answers_does_not_matter(
            answers in prop::collection::vec((0u8..20, any::<bool>()), 2..200), bins in 1usize..30,
        ) {
            let split = |answers: &[(u8, bool)]| -> (Vec<f64>, Vec<bool>) {
                answers.iter().map(|&(c, y)| (f64::from(c) / 20.0, y)).unzip()
            };
            let (confidence, correct) = split(&answers);
            let reversed: Vec<_> = answers.iter().rev().copied().collect();
            let (confidence_2, correct_2) = split(&reversed);
            let (one, two) = (ece(&confidence, &correct, bins), ece(&confidence_2, &correct_2, bins));
            prop_assert!((one.unwrap() - two.unwrap()).abs() < 1e-9);
            let total: usize =
                reliability(&confidence, &correct, bins).unwrap().iter().map(|b| b.n).sum();
            prop_assert_eq!(total, answers.len());
            if let Ok(area) = auroc(&confidence, &correct) {
                prop_assert!((area - auroc(&confidence_2, &correct_2).unwrap()).abs() < 1e-12);
                let mirrored: Vec<f64> = confidence.iter().map(|c| 1.0 - c).collect();
                prop_assert!((area + auroc(&mirrored, &correct).unwrap() - 1.0).abs() < 1e-9);
            }
        }
    }
}
