use super::*;

fn record(id: usize, edge: bool, cloud: bool, confidence: f64) -> Record {
    Record {
        id: id.to_string(),
        edge_correct: edge,
        cloud_correct: cloud,
        confidence,
        edge_cost: 1.0,
        cloud_cost: 10.0,
        edge_seconds: None,
        cloud_seconds: None,
        length: None,
        group: None,
    }
}

/// Sent in order: gain 1, gain 0, loss 1, gain 1.
fn four() -> Vec<Record> {
    [(false, true), (true, true), (true, false), (false, true)]
        .into_iter()
        .enumerate()
        .map(|(i, (edge, cloud))| record(i, edge, cloud, 0.2 * (i + 1) as f64))
        .collect()
}

fn options() -> ReportOptions {
    ReportOptions {
        resamples: 40,
        ..ReportOptions::default()
    }
}

fn close(ours: Option<f64>, by_hand: f64) {
    let ours = ours.unwrap();
    assert!((ours - by_hand).abs() < 1e-12, "{ours} against {by_hand}");
}

#[test]
fn a_report_worked_by_hand() {
    let options = ReportOptions {
        threshold: Some(0.5),
        ..options()
    };
    let report = report(&four(), &options).unwrap();
    assert_eq!((report.edge_accuracy, report.cloud_accuracy), (0.5, 0.75));
    assert_eq!(report.outcomes.cloud_only, 0.5);
    close(report.outcomes.keeps, 0.5);
    close(report.outcomes.saves, 1.0);
    close(report.order.apgr, 0.625);
    close(report.order.cpt50, 0.125);
    close(report.order.cpt100, 0.25);
    // Against 0.625 for random sending.
    close(report.order.auc_df, 21.0 / 32.0);
    close(report.order.auc_df_over_random, 0.05);
    close(report.baselines.oracle.apgr, 1.375);
    close(report.oracle_gap.apgr, 0.75);
    // The oracle has the gap after one of four calls, and half of it after half a call.
    close(report.oracle_gap.cpt50_ratio, 1.0);
    close(report.baselines.random.apgr, 0.5);
    close(report.baselines.random.cpt80, 0.8);
    // The device's run is paid for always: 1, and 10 for a quarter of the questions.
    close(report.cost.at_cpt100, 1.0 + 2.5);
    assert_eq!(
        (report.cost.always_edge, report.cost.always_cloud),
        (1.0, 10.0)
    );
    // Right ones at 0.4 and 0.6, wrong ones at 0.2 and 0.8.
    close(report.confidence.auroc, 0.5);
    // Bins of one answer tell no variance; a calibrated confidence has an error by chance as well.
    close(report.confidence.rmsce, 0.0);
    let chance = report.confidence.ece_if_calibrated.unwrap();
    let interval = report.intervals["ece_if_calibrated"];
    assert!(interval.low <= chance && chance <= interval.high && chance > 0.2);
    close(report.confidence.brier, (0.04 + 0.36 + 0.16 + 0.64) / 4.0);
    let at = report.at_threshold.unwrap();
    assert_eq!((at.coverage, at.risk, at.accuracy), (0.5, Some(0.5), 0.75));
    close(at.pgr, 1.0);
    assert_eq!(at.cost, 1.0 + 5.0);
    let names: Vec<_> = report.undefined.keys().copied().collect();
    assert_eq!(names, ["length", "seconds"]);
}

#[test]
fn the_order_of_a_file_changes_no_bit() {
    let records: Vec<Record> = (0..60)
        .map(|i| record(i, i % 3 == 0, i % 5 != 0, (i * 7 % 11) as f64 / 11.0))
        .collect();
    let json = |records: &[Record]| serde_json::to_string(&report(records, &options()).unwrap());
    let mut turned = records.clone();
    turned.reverse();
    turned.rotate_left(17);
    assert_eq!(json(&records).unwrap(), json(&turned).unwrap());
}

#[test]
fn one_sided_records_have_the_figures_that_are_left() {
    for (edge, cloud) in [(true, true), (false, false), (true, false)] {
        let records: Vec<Record> = (0..20)
            .map(|i| record(i, edge, cloud, i as f64 / 20.0))
            .collect();
        let report = report(&records, &options()).unwrap();
        for missing in ["apgr", "cpt50", "cpt100", "auroc"] {
            assert!(report.undefined.contains_key(missing), "{missing}");
        }
        assert!(report.order.apgr.is_none() && report.confidence.auroc.is_none());
        assert!(report.confidence.brier.is_some() && report.order.auc_df.is_some());
        assert!(report.undefined["auroc"].contains("right and wrong"));
        assert!(report.undefined["apgr"].contains("not better"));
        assert!(report.to_string().contains("No apgr: "));
        assert!(report.to_html("t").contains("No apgr: "));
    }
    // All of it free: no range of costs.
    let mut free = four();
    free.iter_mut()
        .for_each(|r| (r.edge_cost, r.cloud_cost) = (0.0, 0.0));
    assert!(report(&free, &options()).unwrap().undefined["aiq"].contains("costs the same"));
    assert!(report(&[], &options()).is_err());
    let options = ReportOptions {
        threshold: Some(f64::NAN),
        ..options()
    };
    assert!(report(&four(), &options).is_err());
}

#[test]
fn seconds_lengths_and_groups_are_used_if_all_have_them() {
    let mut records = four();
    for (i, record) in records.iter_mut().enumerate() {
        record.edge_seconds = Some(1.0);
        record.cloud_seconds = Some(0.5 * i as f64);
        record.length = Some([4.0, 2.0, 1.0, 3.0][i]);
        record.group = Some(["a", "b"][i % 2].to_owned());
    }
    let options = ReportOptions {
        threshold: Some(0.5),
        ..options()
    };
    let whole = report(&records, &options).unwrap();
    assert!(whole.undefined.is_empty());
    // The first two are sent: 1 and 1.5 seconds, and two that stay.
    let seconds = whole.at_threshold.unwrap().seconds.unwrap();
    assert_eq!((seconds.mean, seconds.p50, seconds.p95), (1.125, 1.0, 1.5));
    assert_eq!(whole.seconds.unwrap().always_cloud, 0.75);
    // Longest first: both gains, a tie, the loss. The same as the oracle's order, but one run each.
    let length = whole.baselines.length.unwrap();
    close(length.apgr, whole.baselines.oracle.apgr.unwrap());
    assert!(length.aiq.unwrap() > whole.baselines.oracle.aiq.unwrap());
    let groups: Vec<_> = whole
        .groups
        .iter()
        .map(|g| (g.group.as_str(), g.n))
        .collect();
    assert_eq!(groups, [("a", 2), ("b", 2)]);
    assert_eq!(whole.groups[1].edge_accuracy, 0.5);

    records[3].cloud_seconds = None;
    let part = report(&records, &options).unwrap();
    assert!(part.seconds.is_none() && part.curve.iter().all(|p| p.seconds.is_none()));
    assert!(part.undefined["seconds"].starts_with("1 of 4 records"));
}

#[test]
fn charts_and_pages_hold_what_they_should() {
    let mut records = four();
    records[0].group = Some("<b>".to_owned());
    let report = report(&records, &options()).unwrap();
    let charts = report.charts();
    assert_eq!(charts.len(), 4);
    for (name, chart) in &charts {
        assert!(
            chart.starts_with("<svg") && !chart.contains("NaN"),
            "{name}"
        );
    }
    let page = report.to_html("a & b");
    assert!(page.contains("a &amp; b") && !page.contains("<b>"));
    assert_eq!(page.matches("<svg").count(), 4);
    let text = report.to_string();
    assert!(text.contains("| APGR ") && text.contains("0.625"), "{text}");
}
