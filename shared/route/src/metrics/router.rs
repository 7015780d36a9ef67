//! A router as a whole: what its order of questions buys, at which cost, and what no order can buy.

use serde::{Deserialize, Serialize};

use super::deferral::{DeferralPoint, Pair, deferral_curve, interpolate, recovered};
use crate::Error;

/// Performance gap recovered when the share `calls` is sent: 0 is the device alone, 1 the cloud
/// alone. Above 1 where the device's own wins are kept. RouteLLM, arXiv 2406.18665.
///
/// # Errors
/// As [`super::apgr`], and where `calls` is outside `[0, 1]`.
pub fn pgr(pairs: &[Pair], calls: f64) -> Result<f64, Error> {
    const NAME: &str = "PGR";
    if !(0.0..=1.0).contains(&calls) {
        let problem = format!("the share of calls {calls} is outside 0 to 1");
        return Err(Error::metric(NAME, problem));
    }
    Ok(interpolate(&recovered(NAME, pairs)?, calls))
}

/// Area under the deferral curve: the mean quality over all shares of calls (Gupta et al., arXiv
/// 2404.10136). Random sending has the mean of both sides' qualities.
///
/// # Errors
/// As [`deferral_curve`].
pub fn auc_df(pairs: &[Pair]) -> Result<f64, Error> {
    let curve = deferral_curve(pairs)?;
    Ok(area(curve.iter().map(|point| (point.calls, point.quality))))
}

/// The best mix that this order of questions can have, with the fewest calls that reach it.
///
/// # Errors
/// As [`deferral_curve`].
pub fn peak(pairs: &[Pair]) -> Result<DeferralPoint, Error> {
    let curve = deferral_curve(pairs)?;
    let better = |best: DeferralPoint, point: &DeferralPoint| match point.quality > best.quality {
        true => *point,
        false => best,
    };
    Ok(curve.iter().fold(curve[0], better))
}

/// The same questions in the order of a device that knows which of its answers are right, but not
/// whether the cloud's are: its wrong ones go first. `apgr(&self_confidence(pairs))` is the
/// ceiling of every gate that judges the device's answer alone.
pub fn self_confidence(pairs: &[Pair]) -> Vec<Pair> {
    let knows = |pair: &Pair| Pair {
        confidence: pair.weak,
        ..*pair
    };
    pairs.iter().map(knows).collect()
}

/// What one question costs, in any unit: money, seconds, joules.
///
/// A gate that reads the device's answer pays for it always: `sent` is both sides together. A
/// router that decides before any answer pays for one side only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Where the device's answer stands.
    pub kept: f64,
    /// Where the cloud answers.
    pub sent: f64,
}

/// One point of the deferral curve, with its cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostPoint {
    /// Share of questions sent to the cloud.
    pub calls: f64,
    /// Mean score of the mix.
    pub quality: f64,
    /// Mean cost of a question.
    pub cost: f64,
}

/// [`deferral_curve`] with the mean cost at each of its points.
///
/// # Errors
/// As [`deferral_curve`]; where there are not as many costs as questions, or one is negative or
/// not finite.
pub fn cost_curve(pairs: &[Pair], costs: &[Cost]) -> Result<Vec<CostPoint>, Error> {
    const NAME: &str = "the cost curve";
    if pairs.len() != costs.len() {
        let problem = format!("{} costs for {} questions", costs.len(), pairs.len());
        return Err(Error::metric(NAME, problem));
    }
    let usable = |cost: f64| cost.is_finite() && cost >= 0.0;
    if !costs.iter().all(|c| usable(c.kept) && usable(c.sent)) {
        return Err(Error::metric(NAME, "a cost is negative or not finite"));
    }
    // Costs mix as scores do: the same order, the same ties.
    let spent = pairs.iter().zip(costs).map(|(pair, cost)| Pair {
        weak: cost.kept,
        strong: cost.sent,
        confidence: pair.confidence,
    });
    let spent = deferral_curve(&spent.collect::<Vec<_>>())?;
    let both = deferral_curve(pairs)?.into_iter().zip(spent);
    let point = |(point, spent): (DeferralPoint, DeferralPoint)| CostPoint {
        calls: point.calls,
        quality: point.quality,
        cost: spent.quality,
    };
    Ok(both.map(point).collect())
}

/// Average improvement in quality (`RouterBench`, Hu et al., arXiv 2403.12031): the mean, over all
/// costs between the cheapest and the dearest point, of the non-decreasing upper hull of quality.
/// Two routers may be compared by it only over the same range of costs.
///
/// # Errors
/// Where there are no points, one is not finite, or all cost the same.
pub fn aiq(points: &[CostPoint]) -> Result<f64, Error> {
    const NAME: &str = "AIQ";
    let finite = |p: &CostPoint| p.cost.is_finite() && p.quality.is_finite();
    if points.is_empty() || !points.iter().all(finite) {
        return Err(Error::metric(NAME, "no points, or one that is not finite"));
    }
    let hull = hull(points);
    let dearest = points.iter().map(|p| p.cost).fold(hull[0].0, f64::max);
    let range = dearest - hull[0].0;
    if range <= 0.0 {
        return Err(Error::metric(NAME, "every mix costs the same"));
    }
    // Behind the best point nobody would pay for less: its quality stays.
    let best = hull[hull.len() - 1].1;
    let flat = std::iter::once((dearest, best));
    Ok(area(hull.into_iter().chain(flat)) / range)
}

/// The rising part of the upper hull of (cost, quality): from the cheapest point to the best one.
fn hull(points: &[CostPoint]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = points.iter().map(|p| (p.cost, p.quality)).collect();
    // The better of two that cost the same first.
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for next in sorted {
        if hull.last().is_some_and(|last| next.1 <= last.1) {
            continue;
        }
        while let [.., a, b] = hull[..] {
            // Does b lie on or under the line from a to the next?
            let over = (b.1 - a.1) * (next.0 - a.0) - (next.1 - a.1) * (b.0 - a.0);
            if over > 0.0 {
                break;
            }
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

/// Trapezoids under points of rising x.
fn area(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    let mut sum = 0.0;
    for (x, y) in points {
        if let Some((x0, y0)) = before {
            sum += 0.5 * (y0 + y) * (x - x0);
        }
        before = Some((x, y));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::{apgr, apgr_binned, auroc, cpt, oracle};
    use super::*;
    use proptest::prelude::*;

    fn pair(weak: f64, strong: f64, confidence: f64) -> Pair {
        Pair {
            weak,
            strong,
            confidence,
        }
    }

    /// Sent in order: gain 1, gain 0, loss 1, gain 1; quality 2/4, 3/4, 3/4, 2/4, 3/4.
    const FOUR: [(f64, f64, f64); 4] = [
        (0.0, 1.0, 0.1),
        (1.0, 1.0, 0.2),
        (1.0, 0.0, 0.3),
        (0.0, 1.0, 0.4),
    ];

    fn four() -> Vec<Pair> {
        FOUR.map(|(w, s, c)| pair(w, s, c)).into()
    }

    fn close(ours: f64, by_hand: f64) {
        assert!((ours - by_hand).abs() < 1e-12, "{ours} against {by_hand}");
    }

    #[test]
    fn figures_worked_by_hand() {
        let pairs = four();
        for (calls, recovered) in [
            (0.0, 0.0),
            (0.125, 0.5),
            (0.25, 1.0),
            (0.75, 0.0),
            (1.0, 1.0),
        ] {
            close(pgr(&pairs, calls).unwrap(), recovered);
        }
        // Trapezoids a quarter wide: 5/8, 6/8, 5/8, 5/8.
        close(auc_df(&pairs).unwrap(), 21.0 / 32.0);
        let best = peak(&pairs).unwrap();
        assert_eq!((best.calls, best.quality), (0.25, 0.75));
        // Two of four are wrong, and the cloud has both right: it peaks at half the calls.
        let knows = self_confidence(&pairs);
        let best = peak(&knows).unwrap();
        assert_eq!((best.calls, best.quality), (0.5, 1.0));
        close(cpt(&knows, 1.0).unwrap(), 0.25);
        // Recovered: 0 at 0, 2 at 0.5, 1 at 1 (a tie is a straight line).
        close(apgr(&knows).unwrap(), 0.5 + 0.75);
    }

    #[test]
    fn the_device_run_is_paid_for_always_by_a_gate_and_not_by_a_router() {
        let gate = [Cost {
            kept: 1.0,
            sent: 11.0,
        }; 4];
        let points = cost_curve(&four(), &gate).unwrap();
        let cost: Vec<f64> = points.iter().map(|point| point.cost).collect();
        assert_eq!(cost, [1.0, 3.5, 6.0, 8.5, 11.0]);
        // The hull rises from 1/2 to 3/4 in the first quarter and stays.
        close(aiq(&points).unwrap(), 0.25 * 0.625 + 0.75 * 0.75);
        let router = [Cost {
            kept: 1.0,
            sent: 10.0,
        }; 4];
        let points = cost_curve(&four(), &router).unwrap();
        assert_eq!(points[4].cost, 10.0);
    }

    #[test]
    fn aiq_bridges_what_lies_under_the_hull() {
        let at = |cost, quality| CostPoint {
            calls: 0.0,
            quality,
            cost,
        };
        // The line from (0, 0) to (2, 1) passes over (1, 0.2); from there it stays 1 up to 4.
        let points = [at(4.0, 0.4), at(1.0, 0.2), at(0.0, 0.0), at(2.0, 1.0)];
        close(aiq(&points).unwrap(), (1.0 + 2.0) / 4.0);
        // Of points that cost the same the best counts.
        let points = [at(0.0, 0.0), at(0.0, 0.5), at(1.0, 0.5)];
        close(aiq(&points).unwrap(), 0.5);
        assert!(aiq(&[at(1.0, 0.2), at(1.0, 0.9)]).is_err());
        assert!(aiq(&[]).is_err());
        assert!(aiq(&[at(f64::NAN, 0.2), at(1.0, 0.9)]).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        let pairs = four();
        assert!(pgr(&pairs, 1.5).is_err() && pgr(&pairs, f64::NAN).is_err());
        assert!(pgr(&[pair(1.0, 0.0, 0.5)], 0.5).is_err());
        assert!(auc_df(&[]).is_err() && peak(&[]).is_err());
        let cost = |kept, sent| Cost { kept, sent };
        assert!(cost_curve(&pairs, &[cost(0.0, 1.0); 3]).is_err());
        assert!(cost_curve(&pairs, &[cost(-1.0, 1.0); 4]).is_err());
        assert!(cost_curve(&pairs, &[cost(0.0, f64::INFINITY); 4]).is_err());
    }

    fn questions() -> impl Strategy<Value = Vec<Pair>> {
        let one = (any::<bool>(), any::<bool>(), 0u8..30);
        let one = one.prop_map(|(w, s, c)| pair(f64::from(w), f64::from(s), f64::from(c) / 30.0));
        prop::collection::vec(one, 1..80)
    }

    /// Every figure that a router's order decides.
    fn figures(pairs: &[Pair]) -> Vec<Option<f64>> {
        let best = peak(pairs).unwrap();
        let mut figures = vec![apgr(pairs).ok(), apgr_binned(pairs, 10).ok()];
        figures.extend([0.5, 0.8, 0.95, 1.0].map(|target| cpt(pairs, target).ok()));
        figures.extend([0.1, 0.5, 0.9].map(|calls| pgr(pairs, calls).ok()));
        figures.extend([auc_df(pairs).ok(), Some(best.quality), Some(best.calls)]);
        figures
    }

    proptest! {
        #[test]
        fn only_the_order_of_confidence_counts(pairs in questions()) {
            let bent: Vec<Pair> = pairs
                .iter()
                .map(|p| Pair { confidence: libm::exp(7.0 * p.confidence) - 3.0, ..*p })
                .collect();
            prop_assert_eq!(figures(&pairs), figures(&bent));
        }

        #[test]
        fn the_order_of_questions_does_not_count(pairs in questions(), turn in 0usize..80) {
            let mut turned = pairs.clone();
            turned.rotate_left(turn % pairs.len());
            prop_assert_eq!(figures(&pairs), figures(&turned));
        }

        #[test]
        fn nobody_beats_the_oracle_nor_a_gate_the_self_confidence(pairs in questions()) {
            let (best, ours) = (auc_df(&oracle(&pairs)).unwrap(), auc_df(&pairs).unwrap());
            prop_assert!(ours <= best + 1e-9);
            prop_assert!(auc_df(&self_confidence(&pairs)).unwrap() <= best + 1e-9);
            let peaks = [&pairs, &self_confidence(&pairs)].map(|p| peak(p).unwrap().quality);
            // The oracle's peak is the share that either side has right.
            let either = pairs.iter().map(|p| p.weak.max(p.strong)).sum::<f64>() / pairs.len() as f64;
            prop_assert!((peak(&oracle(&pairs)).unwrap().quality - either).abs() < 1e-9);
            prop_assert!(peaks.iter().all(|peak| *peak <= either + 1e-9));
            // Whoever knows which answers are right has an AUROC of 1.
            let known = self_confidence(&pairs);
            let (confidence, right): (Vec<f64>, Vec<bool>) =
                known.iter().map(|p| (p.confidence, p.weak == 1.0)).unzip();
            if let Ok(area) = auroc(&confidence, &right) {
                prop_assert_eq!(area, 1.0);
            }
        }

        #[test]
        fn aiq_lies_between_the_worst_and_the_best_and_above_the_line(
            pairs in questions(), edge in 0.0f64..2.0, cloud in 0.1f64..9.0,
        ) {
            let costs = vec![Cost { kept: edge, sent: edge + cloud }; pairs.len()];
            let points = cost_curve(&pairs, &costs).unwrap();
            let quality = aiq(&points).unwrap();
            let (first, last) = (points[0].quality, points[points.len() - 1].quality);
            // With one price for all, the hull lies above the deferral curve, that above nothing.
            prop_assert!(quality >= auc_df(&pairs).unwrap() - 1e-9);
            prop_assert!(quality >= 0.5 * (first + last) - 1e-9);
            prop_assert!(quality <= peak(&pairs).unwrap().quality + 1e-9);
        }
    }

    #[test]
    fn a_random_order_recovers_half() {
        // 4000 questions, the cloud better by a third; the mean of 40 random orders.
        let mut random = crate::random::SplitMix64::new(7);
        let mut mean = 0.0;
        for _ in 0..40 {
            let pairs: Vec<Pair> = (0..4000)
                .map(|i| {
                    let weak = f64::from(u8::from(i % 2 == 0));
                    pair(weak, f64::from(u8::from(i % 6 != 5)), random.unit())
                })
                .collect();
            mean += apgr(&pairs).unwrap() / 40.0;
        }
        // Its standard error is below 0.003.
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
