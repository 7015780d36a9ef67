//! How much of the cloud's quality a router buys with how many calls. Definitions of RouteLLM
//! (Ong et al., arXiv 2406.18665), on every cut point instead of ten.

use serde::{Deserialize, Serialize};

use crate::Error;

/// One question, answered by both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Score of the device's answer, in `[0, 1]`; 1 is right.
    pub weak: f64,
    /// Score of the cloud's answer, in `[0, 1]`.
    pub strong: f64,
    /// The gate's confidence in the device's answer. The least confident are sent first; only the
    /// order matters.
    pub confidence: f64,
}

/// One point of the deferral curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeferralPoint {
    /// Share of questions sent to the cloud.
    pub calls: f64,
    /// Mean score of the mix.
    pub quality: f64,
}

/// Quality of the mix for every share of calls, from none to all. Questions of equal confidence
/// are sent together. Points between are reached by sending a random part: straight lines.
///
/// # Errors
/// Where there are no questions, or a value is not finite.
pub fn deferral_curve(pairs: &[Pair]) -> Result<Vec<DeferralPoint>, Error> {
    const NAME: &str = "the deferral curve";
    if pairs.is_empty() {
        return Err(Error::metric(NAME, "there are no questions"));
    }
    let finite = |p: &Pair| p.weak.is_finite() && p.strong.is_finite() && p.confidence.is_finite();
    if !pairs.iter().all(finite) {
        return Err(Error::metric(
            NAME,
            "a score or a confidence is not a finite number",
        ));
    }
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let n = sorted.len() as f64;
    let mut total: f64 = sorted.iter().map(|p| p.weak).sum();
    let mut sent = 0;
    let mut curve = vec![DeferralPoint {
        calls: 0.0,
        quality: total / n,
    }];
    for tied in sorted.chunk_by(|a, b| a.confidence == b.confidence) {
        total += tied.iter().map(|p| p.strong - p.weak).sum::<f64>();
        sent += tied.len();
        curve.push(DeferralPoint {
            calls: sent as f64 / n,
            quality: total / n,
        });
    }
    Ok(curve)
}

/// Average performance gap recovered: the area under (r(c) - r_weak) / (r_strong - r_weak) over
/// the share of calls c in `[0, 1]`. Random sending gives 0.5.
///
/// # Errors
/// As [`deferral_curve`], and where the cloud is not better than the device.
pub fn apgr(pairs: &[Pair]) -> Result<f64, Error> {
    let curve = recovered("APGR", pairs)?;
    let area =
        |w: &[DeferralPoint]| 0.5 * (w[0].quality + w[1].quality) * (w[1].calls - w[0].calls);
    Ok(curve.windows(2).map(area).sum())
}

/// [`apgr`] on `bins` equally wide steps of the share of calls, as RouteLLM's evaluation does with
/// 10: only for comparison with published numbers.
///
/// # Errors
/// As [`apgr`], and where `bins` is 0.
pub fn apgr_binned(pairs: &[Pair], bins: usize) -> Result<f64, Error> {
    const NAME: &str = "binned APGR";
    if bins == 0 {
        return Err(Error::metric(NAME, "there are no bins"));
    }
    let curve = recovered(NAME, pairs)?;
    let at = |step: usize| interpolate(&curve, step as f64 / bins as f64);
    let sum: f64 = (0..bins).map(|step| 0.5 * (at(step) + at(step + 1))).sum();
    Ok(sum / bins as f64)
}

/// Call-performance threshold: the smallest share of calls that recovers `target` (0.5 for
/// CPT(50 %)) of the gap. Random sending needs `target` itself.
///
/// # Errors
/// As [`apgr`], and where `target` is outside `[0, 1]`.
pub fn cpt(pairs: &[Pair], target: f64) -> Result<f64, Error> {
    const NAME: &str = "CPT";
    if !(0.0..=1.0).contains(&target) {
        return Err(Error::metric(
            NAME,
            format!("the target {target} is outside 0 to 1"),
        ));
    }
    let curve = recovered(NAME, pairs)?;
    for step in curve.windows(2) {
        if step[0].quality >= target {
            return Ok(step[0].calls);
        }
        if step[1].quality >= target {
            let part = (target - step[0].quality) / (step[1].quality - step[0].quality);
            return Ok(step[0].calls + part * (step[1].calls - step[0].calls));
        }
    }
    // Sending everything recovers the whole gap; only rounding leads here.
    Ok(1.0)
}

/// The same questions with the best order there is: those on which the cloud gains most go first.
/// `apgr(&oracle(pairs))` is the ceiling of every router on this data.
pub fn oracle(pairs: &[Pair]) -> Vec<Pair> {
    pairs
        .iter()
        .map(|p| Pair {
            confidence: p.weak - p.strong,
            ..*p
        })
        .collect()
}

/// The deferral curve in shares of the gap between device (0) and cloud (1).
pub(super) fn recovered(metric: &'static str, pairs: &[Pair]) -> Result<Vec<DeferralPoint>, Error> {
    let mut curve = deferral_curve(pairs)?;
    let weak = curve[0].quality;
    let gap = curve[curve.len() - 1].quality - weak;
    if gap <= 0.0 {
        return Err(Error::metric(
            metric,
            "the cloud's answers are not better than the device's",
        ));
    }
    curve
        .iter_mut()
        .for_each(|point| point.quality = (point.quality - weak) / gap);
    Ok(curve)
}

pub(super) fn interpolate(curve: &[DeferralPoint], calls: f64) -> f64 {
    let after = curve
        .partition_point(|p| p.calls < calls)
        .clamp(1, curve.len() - 1);
    let (a, b) = (curve[after - 1], curve[after]);
    let part = ((calls - a.calls) / (b.calls - a.calls)).clamp(0.0, 1.0);
    a.quality + part * (b.quality - a.quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(weak: f64, strong: f64, confidence: f64) -> Pair {
        Pair {
            weak,
            strong,
            confidence,
        }
    }

    #[test]
    fn a_constant_confidence_is_random_sending() {
        let pairs = [
            pair(1.0, 1.0, 0.5),
            pair(0.0, 1.0, 0.5),
            pair(0.0, 0.0, 0.5),
        ];
        assert!((apgr(&pairs).unwrap() - 0.5).abs() < 1e-12);
        assert!((apgr_binned(&pairs, 10).unwrap() - 0.5).abs() < 1e-12);
        for target in [0.2, 0.5, 0.8, 1.0] {
            assert!((cpt(&pairs, target).unwrap() - target).abs() < 1e-12);
        }
    }

    #[test]
    fn figures_worked_by_hand() {
        // Sent in order: gain 1, gain 0, loss 1, gain 1. Recovered: 0, 1, 1, 0, 1 of a gap of 1/4.
        let pairs = [
            pair(0.0, 1.0, 0.1),
            pair(1.0, 1.0, 0.2),
            pair(1.0, 0.0, 0.3),
            pair(0.0, 1.0, 0.4),
        ];
        assert!((apgr(&pairs).unwrap() - 0.625).abs() < 1e-12);
        assert!((cpt(&pairs, 0.5).unwrap() - 0.125).abs() < 1e-12);
        assert!((cpt(&pairs, 1.0).unwrap() - 0.25).abs() < 1e-12);
        // The best order sends both gains first, and keeps the device's own win to the last.
        assert!((apgr(&oracle(&pairs)).unwrap() - 1.375).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(apgr(&[]).is_err());
        assert!(apgr(&[pair(1.0, 0.0, 0.5)]).is_err());
        assert!(apgr(&[pair(0.0, f64::NAN, 0.5)]).is_err());
        assert!(cpt(&[pair(0.0, 1.0, 0.5)], 1.5).is_err());
        assert!(apgr_binned(&[pair(0.0, 1.0, 0.5)], 0).is_err());
    }

    proptest! {
        #[test]
        fn nobody_beats_the_oracle(
            data in prop::collection::vec((any::<bool>(), any::<bool>(), 0u8..30), 1..100),
        ) {
            let pairs: Vec<Pair> = data
                .iter()
                .map(|&(w, s, c)| pair(f64::from(w), f64::from(s), f64::from(c)))
                .collect();
            if let Ok(area) = apgr(&pairs) {
                prop_assert!(area <= apgr(&oracle(&pairs)).unwrap() + 1e-9);
                for target in [0.5, 0.8, 1.0] {
                    let ours = cpt(&pairs, target).unwrap();
                    prop_assert!((0.0..=1.0).contains(&ours));
                    prop_assert!(cpt(&oracle(&pairs), target).unwrap() <= ours + 1e-9);
                }
            }
        }
    }
}
