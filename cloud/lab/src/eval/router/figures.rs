//! From records to the report.

use std::collections::{BTreeMap, BTreeSet};

use sprat_route::metrics::{
    self, Cost, CostPoint, ECE_BINS, Interval, Pair, RiskPoint, aiq, apgr, apgr_binned, cost_curve,
    cpt, wilson,
};

use super::{
    AtThreshold, Baselines, Confidence, Group, OracleGap, Order, Outcomes, Point, Questions,
    Record, Report, ReportOptions, Seconds, Spend,
};
use crate::{Error, Result};

/// Why a figure is not there, by its name.
type Undefined = BTreeMap<&'static str, String>;

/// Every figure of these records. Their order does not matter.
///
/// # Errors
/// [`Error::Metric`] without records, for a threshold that is no number, or for records whose
/// numbers are out of range.
pub fn report(records: &[Record], options: &ReportOptions) -> Result<Report> {
    if options.threshold.is_some_and(|t| !t.is_finite()) {
        return Err(Error::Metric(metric(
            "the figures at a threshold",
            "the threshold is not a number",
        )));
    }
    let questions = Questions::new(records);
    let curve = cost_curve(&questions.pairs, &questions.costs()).map_err(Error::Metric)?;
    let seconds = match questions.seconds() {
        Some(seconds) => Some(cost_curve(&questions.pairs, &seconds).map_err(Error::Metric)?),
        None => None,
    };
    let mut undefined = Undefined::new();
    let dearest = curve[curve.len() - 1].cost;
    let order = order(
        &questions.pairs,
        &questions.costs(),
        dearest,
        &mut undefined,
    );
    let mut intervals = intervals(&questions, options);
    let confidence = confidence(&questions, options, &mut intervals, &mut undefined);
    missing(&questions, &mut undefined);
    let baselines = baselines(&questions, &order, dearest);
    let spend = |curve: &[CostPoint], cloud: f64| spend(curve, cloud, &order);
    Ok(Report {
        n: records.len(),
        edge_accuracy: curve[0].quality,
        cloud_accuracy: curve[curve.len() - 1].quality,
        outcomes: outcomes(&questions),
        oracle_gap: oracle_gap(&order, &baselines.oracle),
        intervals,
        cost: spend(&curve, questions.mean(|r| r.cloud_cost)),
        seconds: seconds.as_deref().map(|curve| {
            spend(
                curve,
                questions.mean(|r| r.cloud_seconds.unwrap_or_default()),
            )
        }),
        at_threshold: options.threshold.map(|t| at_threshold(&questions, t)),
        gate: None,
        groups: groups(&questions, options.threshold),
        curve: points(&questions, &curve, seconds.as_deref()),
        risk_coverage: risk_coverage(&questions),
        reliability: metrics::reliability(&questions.confidence, &questions.correct, ECE_BINS)
            .map_err(Error::Metric)?,
        order,
        confidence,
        baselines,
        undefined,
    })
}

fn metric(metric: &'static str, problem: &str) -> sprat_route::Error {
    sprat_route::Error::Metric {
        metric,
        problem: problem.to_owned(),
    }
}

/// A figure, or none and the reason.
fn or_why(
    undefined: &mut Undefined,
    name: &'static str,
    value: std::result::Result<f64, sprat_route::Error>,
) -> Option<f64> {
    match value {
        Ok(value) => Some(value),
        Err(sprat_route::Error::Metric { problem, .. }) => {
            undefined.insert(name, problem);
            None
        }
        Err(other) => {
            undefined.insert(name, other.to_string());
            None
        }
    }
}

/// What the order of these pairs buys. `dearest` is where the range of AIQ ends for all orders.
fn order(pairs: &[Pair], costs: &[Cost], dearest: f64, undefined: &mut Undefined) -> Order {
    let improvement = cost_curve(pairs, costs).and_then(|mut points| {
        if let Some(&last) = points.last() {
            let cost = dearest.max(last.cost);
            points.push(CostPoint { cost, ..last });
        }
        aiq(&points)
    });
    let random = 0.5 * (mean(pairs, |p| p.weak) + mean(pairs, |p| p.strong));
    let area = metrics::auc_df(pairs);
    let over_random = match (&area, random > 0.0) {
        (Ok(area), true) => Ok(area / random - 1.0),
        _ => Err(metric("AUC-DF", "random sending has nothing right")),
    };
    let peak = metrics::peak(pairs).ok();
    let mut figure = |name, value| or_why(undefined, name, value);
    Order {
        apgr: figure("apgr", apgr(pairs)),
        apgr_10: figure("apgr_10", apgr_binned(pairs, 10)),
        cpt50: figure("cpt50", cpt(pairs, 0.5)),
        cpt80: figure("cpt80", cpt(pairs, 0.8)),
        cpt95: figure("cpt95", cpt(pairs, 0.95)),
        cpt100: figure("cpt100", cpt(pairs, 1.0)),
        auc_df: figure("auc_df", area),
        auc_df_over_random: figure("auc_df_over_random", over_random),
        aiq: figure("aiq", improvement),
        peak_accuracy: peak.map(|peak| peak.quality),
        peak_calls: peak.map(|peak| peak.calls),
    }
}

fn mean(pairs: &[Pair], value: fn(&Pair) -> f64) -> f64 {
    pairs.iter().map(value).sum::<f64>() / pairs.len().max(1) as f64
}

fn confidence(
    questions: &Questions<'_>,
    options: &ReportOptions,
    intervals: &mut BTreeMap<&'static str, Interval>,
    undefined: &mut Undefined,
) -> Confidence {
    let (confidence, correct) = (&questions.confidence, &questions.correct);
    let mut figure = |name, value| or_why(undefined, name, value);
    let chance = metrics::ece_if_calibrated(confidence, ECE_BINS, options.resamples, options.seed);
    let chance = chance.map(|(mean, interval)| {
        intervals.insert("ece_if_calibrated", interval);
        mean
    });
    let squared = metrics::debiased_squared_ce(confidence, correct, ECE_BINS);
    let risk = |coverage| metrics::risk_at(confidence, correct, coverage);
    Confidence {
        ece: figure("ece", metrics::ece(confidence, correct, ECE_BINS)),
        ece_if_calibrated: figure("ece_if_calibrated", chance),
        rmsce: figure("rmsce", squared.map(|squared| squared.max(0.0).sqrt())),
        brier: figure("brier", metrics::brier(confidence, correct)),
        nll: figure("nll", metrics::nll(confidence, correct)),
        auroc: figure("auroc", metrics::auroc(confidence, correct)),
        aurc: figure("aurc", metrics::aurc(confidence, correct)),
        e_aurc: figure("e_aurc", metrics::e_aurc(confidence, correct)),
        risk_at_20: figure("risk_at_20", risk(0.2)),
        risk_at_50: figure("risk_at_50", risk(0.5)),
        risk_at_80: figure("risk_at_80", risk(0.8)),
    }
}

/// Says which optional fields are missing.
fn missing(questions: &Questions<'_>, undefined: &mut Undefined) {
    let n = questions.records.len();
    let mut check = |name, fields, has: fn(&Record) -> bool| {
        let without = questions.records.iter().filter(|r| !has(r)).count();
        if without > 0 {
            undefined.insert(name, format!("{without} of {n} records have no {fields}"));
        }
    };
    check("seconds", "edge_seconds and cloud_seconds", |r| {
        r.edge_seconds.is_some() && r.cloud_seconds.is_some()
    });
    check("length", "length", |r| r.length.is_some());
}

fn outcomes(questions: &Questions<'_>) -> Outcomes {
    let share = |edge: bool, cloud: bool| {
        questions.mean(|r| f64::from(r.edge_correct == edge && r.cloud_correct == cloud))
    };
    let (both, edge_only) = (share(true, true), share(true, false));
    let (cloud_only, neither) = (share(false, true), share(false, false));
    let part = |part: f64, other: f64| (part + other > 0.0).then(|| part / (part + other));
    Outcomes {
        both,
        edge_only,
        cloud_only,
        neither,
        keeps: part(both, edge_only),
        saves: part(cloud_only, neither),
    }
}

fn baselines(questions: &Questions<'_>, ours: &Order, dearest: f64) -> Baselines {
    let pairs = &questions.pairs;
    let (gate, one) = (questions.costs(), questions.costs_of_one());
    let ordered = |by: &[f64], costs: &[Cost]| {
        let pairs = pairs.iter().zip(by);
        let pairs = pairs.map(|(pair, &confidence)| Pair {
            confidence,
            ..*pair
        });
        order(
            &pairs.collect::<Vec<_>>(),
            costs,
            dearest,
            &mut Undefined::new(),
        )
    };
    let confidences = |pairs: Vec<Pair>| pairs.iter().map(|p| p.confidence).collect::<Vec<_>>();
    let length = questions.all(|r| r.length);
    let long_first = length.map(|length| length.into_iter().map(|l| -l).collect::<Vec<_>>());
    let point = |calls, accuracy, cost, seconds| Point {
        calls,
        accuracy,
        pgr: ours.apgr.map(|_| calls),
        cost,
        seconds,
    };
    let seconds = |value: fn(&Record) -> Option<f64>| {
        questions.seconds()?;
        Some(questions.mean(|r| value(r).unwrap_or_default()))
    };
    Baselines {
        always_edge: point(
            0.0,
            mean(pairs, |p| p.weak),
            questions.mean(|r| r.edge_cost),
            seconds(|r| r.edge_seconds),
        ),
        always_cloud: point(
            1.0,
            mean(pairs, |p| p.strong),
            questions.mean(|r| r.cloud_cost),
            seconds(|r| r.cloud_seconds),
        ),
        // One tie: everything between is a straight line, as random sending has it.
        random: ordered(&vec![0.5; pairs.len()], &one),
        length_curve: long_first.as_ref().map(|by| {
            let pairs = pairs.iter().zip(by);
            let pairs: Vec<Pair> = pairs
                .map(|(pair, &confidence)| Pair {
                    confidence,
                    ..*pair
                })
                .collect();
            metrics::deferral_curve(&pairs).unwrap_or_default()
        }),
        length: long_first.map(|by| ordered(&by, &one)),
        oracle: ordered(&confidences(metrics::oracle(pairs)), &gate),
        self_confidence: ordered(&confidences(metrics::self_confidence(pairs)), &gate),
    }
}

fn oracle_gap(ours: &Order, oracle: &Order) -> OracleGap {
    let ratio = |ours: Option<f64>, oracle: Option<f64>| {
        oracle
            .filter(|calls| *calls > 0.0)
            .and_then(|calls| Some(ours? / calls))
    };
    OracleGap {
        apgr: oracle.apgr.and_then(|best| Some(best - ours.apgr?)),
        cpt50_ratio: ratio(ours.cpt50, oracle.cpt50),
        cpt80_ratio: ratio(ours.cpt80, oracle.cpt80),
        cpt95_ratio: ratio(ours.cpt95, oracle.cpt95),
        cpt100_ratio: ratio(ours.cpt100, oracle.cpt100),
    }
}

fn intervals(
    questions: &Questions<'_>,
    options: &ReportOptions,
) -> BTreeMap<&'static str, Interval> {
    let n = questions.pairs.len();
    let mut intervals = BTreeMap::new();
    let mut share = |name, right: usize| {
        if let Ok(interval) = wilson(right as u64, n as u64, 0.95) {
            intervals.insert(name, interval);
        }
    };
    share(
        "edge_accuracy",
        questions.correct.iter().filter(|c| **c).count(),
    );
    share(
        "cloud_accuracy",
        questions.pairs.iter().filter(|p| p.strong > 0.5).count(),
    );
    let drawn = metrics::bootstrap_each(n, options.resamples, options.seed, 0.95, |draw| {
        // The questions are sorted by confidence; so is a sorted draw, which sorts fast again.
        let mut draw = draw.to_vec();
        draw.sort_unstable();
        let pairs: Vec<Pair> = draw.iter().map(|&i| questions.pairs[i]).collect();
        let confidence: Vec<f64> = draw.iter().map(|&i| questions.confidence[i]).collect();
        let correct: Vec<bool> = draw.iter().map(|&i| questions.correct[i]).collect();
        [
            apgr(&pairs),
            cpt(&pairs, 0.5),
            cpt(&pairs, 0.8),
            cpt(&pairs, 0.95),
            metrics::auc_df(&pairs),
            metrics::auroc(&confidence, &correct),
            metrics::brier(&confidence, &correct),
            metrics::ece(&confidence, &correct, ECE_BINS),
        ]
        .map(std::result::Result::ok)
    });
    let names = [
        "apgr", "cpt50", "cpt80", "cpt95", "auc_df", "auroc", "brier", "ece",
    ];
    let drawn = drawn
        .into_iter()
        .flat_map(|drawn| names.into_iter().zip(drawn));
    intervals.extend(drawn.filter_map(|(name, interval)| Some((name, interval.ok()?))));
    intervals
}

fn spend(curve: &[CostPoint], always_cloud: f64, order: &Order) -> Spend {
    let at = |calls: Option<f64>| calls.map(|calls| between(curve, calls).cost);
    Spend {
        always_edge: curve[0].cost,
        always_cloud,
        at_cpt50: at(order.cpt50),
        at_cpt80: at(order.cpt80),
        at_cpt95: at(order.cpt95),
        at_cpt100: at(order.cpt100),
    }
}

/// The curve at any share of calls: straight lines between its points.
fn between(curve: &[CostPoint], calls: f64) -> CostPoint {
    let after = curve.partition_point(|p| p.calls < calls);
    let after = after.clamp(1, curve.len() - 1);
    let (a, b) = (curve[after - 1], curve[after]);
    let part = ((calls - a.calls) / (b.calls - a.calls)).clamp(0.0, 1.0);
    CostPoint {
        calls,
        quality: a.quality + part * (b.quality - a.quality),
        cost: a.cost + part * (b.cost - a.cost),
    }
}

fn points(
    questions: &Questions<'_>,
    curve: &[CostPoint],
    seconds: Option<&[CostPoint]>,
) -> Vec<Point> {
    let point = |percent: u8| {
        let calls = f64::from(percent) / 100.0;
        let at = between(curve, calls);
        Point {
            calls,
            accuracy: at.quality,
            pgr: metrics::pgr(&questions.pairs, calls).ok(),
            cost: at.cost,
            seconds: seconds.map(|curve| between(curve, calls).cost),
        }
    };
    (0..=100).map(point).collect()
}

/// The curve's points that are the first to keep one more per cent.
fn risk_coverage(questions: &Questions<'_>) -> Vec<RiskPoint> {
    let points = metrics::risk_coverage(&questions.confidence, &questions.correct);
    let mut percents = BTreeSet::new();
    let mut points = points.unwrap_or_default();
    let whole = points.pop();
    points.retain(|point| percents.insert((100.0 * point.coverage).ceil() as u32));
    points.extend(whole);
    points
}

fn at_threshold(questions: &Questions<'_>, threshold: f64) -> AtThreshold {
    let kept = |r: &Record| r.confidence >= threshold;
    let coverage = questions.mean(|r| f64::from(kept(r)));
    let wrong = questions.mean(|r| f64::from(kept(r) && !r.edge_correct));
    let accuracy = questions.mean(|r| {
        f64::from(match kept(r) {
            true => r.edge_correct,
            false => r.cloud_correct,
        })
    });
    let spent = |cost: &Cost, r: &Record| if kept(r) { cost.kept } else { cost.sent };
    let mix = |costs: Vec<Cost>| -> Vec<f64> {
        let costs = costs.iter().zip(&questions.records);
        costs.map(|(cost, r)| spent(cost, r)).collect()
    };
    let cost = mix(questions.costs());
    AtThreshold {
        threshold,
        coverage,
        risk: (coverage > 0.0).then(|| wrong / coverage),
        accuracy,
        pgr: metrics::pgr(&questions.pairs, 1.0 - coverage).ok(),
        cost: cost.iter().sum::<f64>() / cost.len() as f64,
        seconds: questions
            .seconds()
            .map(|seconds| distribution(mix(seconds))),
    }
}

fn distribution(mut seconds: Vec<f64>) -> Seconds {
    seconds.sort_by(f64::total_cmp);
    let n = seconds.len();
    // The smallest value that so many do not exceed.
    let at = |share: f64| seconds[((share * n as f64).ceil() as usize).clamp(1, n) - 1];
    Seconds {
        mean: seconds.iter().sum::<f64>() / n as f64,
        p50: at(0.5),
        p95: at(0.95),
    }
}

fn groups(questions: &Questions<'_>, threshold: Option<f64>) -> Vec<Group> {
    let names: BTreeSet<&str> = questions
        .records
        .iter()
        .filter_map(|r| r.group.as_deref())
        .collect();
    let group = |name: &str| {
        let inside = questions.records.iter().copied();
        let inside = Questions::new(inside.filter(|r| r.group.as_deref() == Some(name)));
        let (confidence, correct) = (&inside.confidence, &inside.correct);
        let kept = threshold.map(|t| at_threshold(&inside, t));
        Group {
            group: name.to_owned(),
            n: inside.records.len(),
            edge_accuracy: mean(&inside.pairs, |p| p.weak),
            cloud_accuracy: mean(&inside.pairs, |p| p.strong),
            auroc: metrics::auroc(confidence, correct).ok(),
            ece: metrics::ece(confidence, correct, ECE_BINS).ok(),
            apgr: apgr(&inside.pairs).ok(),
            coverage: kept.as_ref().map(|kept| kept.coverage),
            risk: kept.and_then(|kept| kept.risk),
        }
    };
    names.into_iter().map(group).collect()
}
