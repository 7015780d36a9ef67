//! The report as pictures, and as one page that needs nothing else.

use std::fmt::Write;

use super::{Order, Point, Report};
use crate::chart::{Chart, Line, PAGE_STYLE, escape};

impl Report {
    /// Its pictures by their names, as SVG.
    pub fn charts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("deferral", self.deferral_chart()),
            ("cost", self.cost_chart()),
            ("risk-coverage", self.risk_chart()),
            ("reliability", self.reliability_chart()),
        ]
    }

    /// A page of HTML with its pictures in it.
    pub fn to_html(&self, title: &str) -> String {
        let title = escape(title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: the router measured</title>\n\
             <style>\n{PAGE_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        let _ = writeln!(page, "<p>{}</p>", escape(&self.summary()));
        if let Some(words) = self.threshold_words() {
            let _ = writeln!(page, "<p>{}</p>", escape(&words));
        }
        let tables = [self.orders(), self.confidences(), self.spending()];
        let charts = self.charts();
        for (i, heading) in ["What calls buy", "Confidence", "Cost"]
            .into_iter()
            .enumerate()
        {
            let _ = writeln!(page, "<h2>{heading}</h2>\n{}", table(&tables[i]));
            let shown: &[usize] = [&[0][..], &[2, 3], &[1]][i];
            for (_, chart) in shown.iter().filter_map(|&at| charts.get(at)) {
                let _ = writeln!(page, "<div class=\"wide\">{chart}</div>");
            }
        }
        if !self.groups.is_empty() {
            let _ = writeln!(
                page,
                "<h2>Kinds of questions</h2>\n{}",
                table(&self.by_group())
            );
        }
        for (name, reason) in &self.undefined {
            let _ = writeln!(page, "<p>No {}: {}.</p>", escape(name), escape(reason));
        }
        page + "</body>\n</html>\n"
    }

    fn deferral_chart(&self) -> String {
        let (edge, cloud) = (self.edge_accuracy, self.cloud_accuracy);
        let ours = |value: fn(&Point) -> f64| -> Vec<(f64, f64)> {
            self.curve
                .iter()
                .map(|p| (100.0 * p.calls, 100.0 * value(p)))
                .collect()
        };
        let straight = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points.iter().map(|(x, y)| (100.0 * x, 100.0 * y)).collect()
        };
        // The two ceilings have a corner or two and straight lines between.
        let ceiling = |order: &Order, stays: f64| {
            let top = order.peak_accuracy.unwrap_or(cloud);
            let calls = order.peak_calls.unwrap_or(1.0);
            straight(&[
                (0.0, edge),
                (calls, top),
                (stays.max(calls), top),
                (1.0, cloud),
            ])
        };
        let oracle = &self.baselines.oracle;
        let mut lines = vec![
            line("router", ours(|p| p.accuracy)),
            line("oracle", ceiling(oracle, 1.0 - self.outcomes.edge_only)),
            line(
                "self-confidence",
                ceiling(&self.baselines.self_confidence, 0.0),
            ),
            line("random", straight(&[(0.0, edge), (1.0, cloud)])),
        ];
        lines.extend(self.baselines.length_curve.as_ref().map(|curve| {
            let points = curve.iter().map(|p| (100.0 * p.calls, 100.0 * p.quality));
            line("length", points.collect())
        }));
        draw(
            "Accuracy over share of calls",
            "per cent right at each per cent of calls",
            &lines,
        )
    }

    fn cost_chart(&self) -> String {
        let cloud = self.cost.always_cloud;
        let unit = if cloud > 0.0 { cloud } else { 1.0 };
        let at = |cost: f64, accuracy: f64| (100.0 * cost / unit, 100.0 * accuracy);
        let (edge_only, cloud_only) = (&self.baselines.always_edge, &self.baselines.always_cloud);
        let ends = vec![
            at(edge_only.cost, edge_only.accuracy),
            at(cloud_only.cost, cloud_only.accuracy),
        ];
        let ours = self.curve.iter().map(|p| at(p.cost, p.accuracy)).collect();
        let mut random = line("always device, random, always cloud", ends);
        random.dots = true;
        let label = "per cent right over the mean cost of a question, in per cent of always asking the cloud";
        draw(
            "Accuracy over cost (always cloud = 100)",
            label,
            &[line("router", ours), random],
        )
    }

    fn risk_chart(&self) -> String {
        let points = self.risk_coverage.iter();
        let points = points
            .map(|p| (100.0 * p.coverage, 100.0 * p.risk))
            .collect();
        let wrong = 100.0 * (1.0 - self.edge_accuracy);
        let lines = [
            line("router", points),
            line("no order", vec![(0.0, wrong), (100.0, wrong)]),
        ];
        draw(
            "Risk over coverage",
            "per cent wrong among the answers kept",
            &lines,
        )
    }

    fn reliability_chart(&self) -> String {
        let bins = self.reliability.iter();
        let mut ours = line(
            "router",
            bins.map(|bin| (100.0 * bin.confidence, 100.0 * bin.accuracy))
                .collect(),
        );
        ours.dots = true;
        let exact = line("calibrated", vec![(0.0, 0.0), (100.0, 100.0)]);
        let label = "per cent right over confidence, 15 bins of equal mass";
        draw("Accuracy over confidence", label, &[ours, exact])
    }
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Line {
    Line {
        name: name.to_owned(),
        points,
        dots: false,
    }
}

fn draw(title: &str, label: &str, lines: &[Line]) -> String {
    Chart {
        title,
        label,
        note: "",
        lines,
    }
    .draw()
}

fn table(rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\"><table>\n");
    for (i, row) in rows.iter().enumerate() {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let kind = if i == 0 || column == 0 { "th" } else { "td" };
            let _ = write!(html, "<{kind}>{}</{kind}>", escape(cell));
        }
        html.push_str("</tr>\n");
    }
    html + "</table></div>"
}
