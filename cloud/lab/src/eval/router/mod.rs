//! A router measured the field's way: how much of the cloud's quality it buys with how many calls,
//! at which cost, how calibrated its confidence is, and how far that is from what can be had.
//!
//! Records ([`read_records`]) come from anywhere; [`report`] makes every figure of them.

mod edge;
mod figures;
mod html;
mod records;
mod routellm;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use sprat_route::metrics::{Cost, DeferralPoint, Interval, Pair, RiskPoint};

pub use edge::{EdgeAnswer, GateCost, ask_edge, gate, unseen};
pub use figures::report;
pub(crate) use records::read_lines;
pub use records::{Record, read_records, write_records};
pub use routellm::labels;

/// How a report is made.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportOptions {
    /// Draws of the bootstrap; 0 leaves the intervals away.
    pub resamples: usize,
    /// Seeds them.
    pub seed: u64,
    /// The confidence from which answers are kept, to report what that comes to.
    pub threshold: Option<f64>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            resamples: 1000,
            seed: 1,
            threshold: None,
        }
    }
}

/// Every figure of a router. Shares are between 0 and 1. What is not defined on these records is
/// `null`, and `undefined` says why.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Questions.
    pub n: usize,
    /// Share that the device has right.
    pub edge_accuracy: f64,
    /// Share that the cloud has right.
    pub cloud_accuracy: f64,
    /// Shares that both, only one and none of them have right.
    pub outcomes: Outcomes,
    /// What the order by confidence buys.
    #[serde(flatten)]
    pub order: Order,
    /// Distance to the oracle, which sends what only the cloud has right.
    pub oracle_gap: OracleGap,
    /// How good the confidence itself is.
    #[serde(flatten)]
    pub confidence: Confidence,
    /// 95 % intervals by bootstrap over questions; Wilson's for the accuracies.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// Mean cost of a question, the device's run always paid for.
    pub cost: Spend,
    /// Mean seconds of a question, the device's run always paid for; if every record says both.
    pub seconds: Option<Spend>,
    /// What the threshold that was asked about comes to.
    pub at_threshold: Option<AtThreshold>,
    /// What the gate adds to the device, where one was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateCost>,
    /// The same questions in other orders.
    pub baselines: Baselines,
    /// Each kind of question, if records name it.
    pub groups: Vec<Group>,
    /// Accuracy and cost at every per cent of calls.
    pub curve: Vec<Point>,
    /// Risk among the answers kept, at every per cent of coverage.
    pub risk_coverage: Vec<RiskPoint>,
    /// Confidence against accuracy in 15 bins of equal mass.
    pub reliability: Vec<sprat_route::metrics::Bin>,
    /// Why a figure is `null`.
    pub undefined: BTreeMap<&'static str, String>,
}

/// Whose answers are right, in shares of all questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcomes {
    /// Both.
    pub both: f64,
    /// The device's only.
    pub edge_only: f64,
    /// The cloud's only.
    pub cloud_only: f64,
    /// None.
    pub neither: f64,
    /// Of what the device has right, the share that the cloud has right too; none where it has nothing right.
    pub keeps: Option<f64>,
    /// Of what the device has wrong, the share that the cloud has right; none where it has nothing wrong. A server's
    /// cascade by expected gain is told these two.
    pub saves: Option<f64>,
}

/// What one order of the questions buys, least confident sent first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Order {
    /// Average performance gap recovered, over every cut.
    pub apgr: Option<f64>,
    /// The same over ten equal steps, as RouteLLM's evaluation has it.
    pub apgr_10: Option<f64>,
    /// Least share of calls that recovers half of the gap.
    pub cpt50: Option<f64>,
    /// ... 80 %.
    pub cpt80: Option<f64>,
    /// ... 95 %.
    pub cpt95: Option<f64>,
    /// ... all of it.
    pub cpt100: Option<f64>,
    /// Area under accuracy over share of calls.
    pub auc_df: Option<f64>,
    /// How much larger that is than with random sending, as a share of the latter.
    pub auc_df_over_random: Option<f64>,
    /// Mean of the accuracy's upper hull over cost, up to the cost of running both sides always.
    pub aiq: Option<f64>,
    /// The best accuracy of any cut.
    pub peak_accuracy: Option<f64>,
    /// The share of calls there.
    pub peak_calls: Option<f64>,
}

/// How far from the oracle.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OracleGap {
    /// The oracle's APGR minus ours.
    pub apgr: Option<f64>,
    /// Our calls for half of the gap as a multiple of the oracle's.
    pub cpt50_ratio: Option<f64>,
    /// ... for 80 %.
    pub cpt80_ratio: Option<f64>,
    /// ... for 95 %.
    pub cpt95_ratio: Option<f64>,
    /// ... for all of it.
    pub cpt100_ratio: Option<f64>,
}

/// How good the confidence is as a probability and as an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Confidence {
    /// Expected calibration error, 15 bins of equal mass.
    pub ece: Option<f64>,
    /// What it would be in the mean, were the confidence calibrated: chance's part of it.
    pub ece_if_calibrated: Option<f64>,
    /// Root of the mean squared calibration error without chance's part; 0 if that is all of it.
    pub rmsce: Option<f64>,
    /// Brier score.
    pub brier: Option<f64>,
    /// Negative log-likelihood in nats.
    pub nll: Option<f64>,
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
    /// Area under the risk-coverage curve.
    pub aurc: Option<f64>,
    /// What of it a better order would save.
    pub e_aurc: Option<f64>,
    /// Risk among the 20 % most confident answers.
    pub risk_at_20: Option<f64>,
    /// ... 50 %.
    pub risk_at_50: Option<f64>,
    /// ... 80 %.
    pub risk_at_80: Option<f64>,
}

/// Means per question, of cost or of seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spend {
    /// The device alone.
    pub always_edge: f64,
    /// The cloud alone, with no run of the device.
    pub always_cloud: f64,
    /// The gate, where half of the gap is recovered: the device's run and the calls.
    pub at_cpt50: Option<f64>,
    /// ... 80 %.
    pub at_cpt80: Option<f64>,
    /// ... 95 %.
    pub at_cpt95: Option<f64>,
    /// ... all of it.
    pub at_cpt100: Option<f64>,
}

/// What one threshold comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtThreshold {
    /// Answers with at least this confidence are kept.
    pub threshold: f64,
    /// Share kept.
    pub coverage: f64,
    /// Share of wrong ones among the kept; none if nothing is kept.
    pub risk: Option<f64>,
    /// Accuracy of the mix.
    pub accuracy: f64,
    /// Gap recovered; none where the cloud is not better.
    pub pgr: Option<f64>,
    /// Mean cost of a question.
    pub cost: f64,
    /// Seconds of a question: mean, median and 95th percentile.
    pub seconds: Option<Seconds>,
}

/// A distribution of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// What the router is to be compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Baselines {
    /// Nothing is sent.
    pub always_edge: Point,
    /// Everything is sent, and the device does not run.
    pub always_cloud: Point,
    /// A random part is sent, before the device runs: its expectation.
    pub random: Order,
    /// Long questions are sent, before the device runs; if every record has a length.
    pub length: Option<Order>,
    /// Its curve, for the picture.
    #[serde(skip)]
    length_curve: Option<Vec<DeferralPoint>>,
    /// What only the cloud has right is sent first: the ceiling of every router.
    pub oracle: Order,
    /// What the device has wrong is sent first: the ceiling of a gate that knows nothing of the cloud.
    pub self_confidence: Order,
}

/// One kind of question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Questions.
    pub n: usize,
    /// Share that the device has right.
    pub edge_accuracy: f64,
    /// Share that the cloud has right.
    pub cloud_accuracy: f64,
    /// Of the confidence, within the group.
    pub auroc: Option<f64>,
    /// Of the confidence, within the group.
    pub ece: Option<f64>,
    /// Within the group.
    pub apgr: Option<f64>,
    /// Share that the threshold keeps.
    pub coverage: Option<f64>,
    /// Share of wrong ones among the kept.
    pub risk: Option<f64>,
}

/// One mix of device and cloud.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Share of calls.
    pub calls: f64,
    /// Share of right answers.
    pub accuracy: f64,
    /// Gap recovered; none where the cloud is not better.
    pub pgr: Option<f64>,
    /// Mean cost of a question.
    pub cost: f64,
    /// Mean seconds of a question.
    pub seconds: Option<f64>,
}

/// Records as the metrics read them, in an order of their own.
struct Questions<'a> {
    records: Vec<&'a Record>,
    pairs: Vec<Pair>,
    confidence: Vec<f64>,
    correct: Vec<bool>,
}

impl<'a> Questions<'a> {
    /// Sorted by confidence, then by id, so that the order of a file changes no bit of a report.
    fn new(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut records: Vec<&Record> = records.into_iter().collect();
        records.sort_by(|a, b| {
            let order = a.confidence.total_cmp(&b.confidence);
            order.then_with(|| a.id.cmp(&b.id))
        });
        let pair = |record: &&Record| Pair {
            weak: f64::from(record.edge_correct),
            strong: f64::from(record.cloud_correct),
            confidence: record.confidence,
        };
        Self {
            pairs: records.iter().map(pair).collect(),
            confidence: records.iter().map(|r| r.confidence).collect(),
            correct: records.iter().map(|r| r.edge_correct).collect(),
            records,
        }
    }

    fn mean(&self, value: impl Fn(&Record) -> f64) -> f64 {
        self.records.iter().map(|r| value(r)).sum::<f64>() / self.records.len() as f64
    }

    /// A value of each, if each has it.
    fn all(&self, value: impl Fn(&Record) -> Option<f64>) -> Option<Vec<f64>> {
        self.records.iter().map(|r| value(r)).collect()
    }

    /// What each costs with a gate: the device always, the cloud where it is asked.
    fn costs(&self) -> Vec<Cost> {
        let cost = |r: &&Record| Cost {
            kept: r.edge_cost,
            sent: r.edge_cost + r.cloud_cost,
        };
        self.records.iter().map(cost).collect()
    }

    /// What each costs with a router that decides before any answer.
    fn costs_of_one(&self) -> Vec<Cost> {
        let cost = |r: &&Record| Cost {
            kept: r.edge_cost,
            sent: r.cloud_cost,
        };
        self.records.iter().map(cost).collect()
    }

    /// As [`Self::costs`], in seconds.
    fn seconds(&self) -> Option<Vec<Cost>> {
        let edge = self.all(|r| r.edge_seconds)?;
        let cloud = self.all(|r| r.cloud_seconds)?;
        let both = edge.into_iter().zip(cloud);
        let cost = |(edge, cloud)| Cost {
            kept: edge,
            sent: edge + cloud,
        };
        Some(both.map(cost).collect())
    }
}
