//! The report as Markdown tables that also read in a terminal.

use std::fmt::{self, Write};

use super::{Order, Report, Spend};

/// A figure of an order, with how it is printed.
type Figure = (&'static str, fn(&Order) -> Option<f64>, bool);

/// A mean per question, by its name.
type Cost = (&'static str, fn(&Spend) -> Option<f64>);

/// Name, value, and whether it is a share to be printed in per cent.
const FIGURES: [Figure; 10] = [
    ("APGR", |o| o.apgr, false),
    ("APGR, 10 steps", |o| o.apgr_10, false),
    ("CPT(50 %)", |o| o.cpt50, true),
    ("CPT(80 %)", |o| o.cpt80, true),
    ("CPT(95 %)", |o| o.cpt95, true),
    ("CPT(100 %)", |o| o.cpt100, true),
    ("AUC-DF", |o| o.auc_df, false),
    ("AIQ", |o| o.aiq, false),
    ("best accuracy", |o| o.peak_accuracy, true),
    ("at calls", |o| o.peak_calls, true),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        f.write_str("\n")?;
        write_table(f, &self.orders())?;
        f.write_str("\n")?;
        write_table(f, &self.confidences())?;
        f.write_str("\n")?;
        write_table(f, &self.spending())?;
        if !self.groups.is_empty() {
            f.write_str("\n")?;
            write_table(f, &self.by_group())?;
        }
        if let Some(words) = self.threshold_words() {
            write!(f, "\n{words}\n")?;
        }
        if let Some(gate) = &self.gate {
            let (micros, bytes) = (gate.nanoseconds / 1e3, gate.bytes);
            write!(
                f,
                "\nThe gate took {micros:.1} µs an answer (median) and is {bytes} bytes of the pack.\n"
            )?;
        }
        for (name, reason) in &self.undefined {
            write!(f, "\nNo {name}: {reason}.")?;
        }
        if !self.undefined.is_empty() {
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl Report {
    /// The questions in a sentence or two.
    pub(super) fn summary(&self) -> String {
        let outcomes = &self.outcomes;
        format!(
            "{} questions: the device has {} right{}, the cloud {}{}. Both {}, only the device {}, only the cloud {}, \
             none {}. The cloud keeps {} of what the device has right, and saves {} of the rest.\n",
            self.n,
            percent(self.edge_accuracy),
            self.interval("edge_accuracy", true),
            percent(self.cloud_accuracy),
            self.interval("cloud_accuracy", true),
            percent(outcomes.both),
            percent(outcomes.edge_only),
            percent(outcomes.cloud_only),
            percent(outcomes.neither),
            outcomes.keeps.map_or_else(|| "none".to_owned(), percent),
            outcomes.saves.map_or_else(|| "none".to_owned(), percent),
        )
    }

    /// What each order buys, a column an order.
    pub(super) fn orders(&self) -> Vec<Vec<String>> {
        let others = &self.baselines;
        let mut columns = vec![("random", &others.random)];
        columns.extend(others.length.as_ref().map(|length| ("length", length)));
        columns.push(("self-confidence", &others.self_confidence));
        columns.push(("oracle", &others.oracle));
        let mut head = vec!["what calls buy".to_owned(), "router (95 %)".to_owned()];
        head.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
        let row = |(name, value, share): Figure| {
            let show = |order| number(value(order), share);
            let interval = match name {
                "APGR" => self.interval("apgr", false),
                "CPT(50 %)" => self.interval("cpt50", true),
                "CPT(80 %)" => self.interval("cpt80", true),
                "CPT(95 %)" => self.interval("cpt95", true),
                "AUC-DF" => self.interval("auc_df", false),
                _ => String::new(),
            };
            let mut row = vec![name.to_owned(), format!("{}{interval}", show(&self.order))];
            row.extend(columns.iter().map(|(_, order)| show(order)));
            row
        };
        std::iter::once(head).chain(FIGURES.map(row)).collect()
    }

    /// How good the confidence is.
    pub(super) fn confidences(&self) -> Vec<Vec<String>> {
        let c = &self.confidence;
        let rows = [
            ("AUROC", c.auroc, "auroc", false),
            ("ECE (15 bins)", c.ece, "ece", false),
            (
                "ECE if calibrated",
                c.ece_if_calibrated,
                "ece_if_calibrated",
                false,
            ),
            ("RMSCE, debiased", c.rmsce, "", false),
            ("Brier", c.brier, "brier", false),
            ("NLL", c.nll, "", false),
            ("AURC", c.aurc, "", false),
            ("E-AURC", c.e_aurc, "", false),
            ("risk at 20 %", c.risk_at_20, "", true),
            ("risk at 50 %", c.risk_at_50, "", true),
            ("risk at 80 %", c.risk_at_80, "", true),
        ];
        let row = |(name, value, interval, share): (&str, _, _, _)| {
            let value = format!("{}{}", number(value, share), self.interval(interval, share));
            vec![name.to_owned(), value]
        };
        let head = vec!["confidence".to_owned(), "router (95 %)".to_owned()];
        std::iter::once(head).chain(rows.map(row)).collect()
    }

    /// Means per question of cost and seconds.
    pub(super) fn spending(&self) -> Vec<Vec<String>> {
        let mut head = vec!["a question, mean".to_owned(), "cost".to_owned()];
        head.extend(self.seconds.iter().map(|_| "seconds".to_owned()));
        let mut rows = vec![head];
        let values: [Cost; 6] = [
            ("always device", |s| Some(s.always_edge)),
            ("always cloud", |s| Some(s.always_cloud)),
            ("router at CPT(50 %)", |s| s.at_cpt50),
            ("router at CPT(80 %)", |s| s.at_cpt80),
            ("router at CPT(95 %)", |s| s.at_cpt95),
            ("router at CPT(100 %)", |s| s.at_cpt100),
        ];
        for (name, value) in values {
            let show = |spend| value(spend).map_or("-".into(), |value| format!("{value:.4}"));
            let mut row = vec![name.to_owned(), show(&self.cost)];
            row.extend(self.seconds.iter().map(show));
            rows.push(row);
        }
        rows
    }

    /// A row for each kind of question.
    pub(super) fn by_group(&self) -> Vec<Vec<String>> {
        let head = [
            "kind (n)",
            "device",
            "cloud",
            "AUROC",
            "ECE",
            "APGR",
            "kept",
            "wrong of kept",
        ];
        let mut rows = vec![head.map(String::from).to_vec()];
        for g in &self.groups {
            rows.push(vec![
                format!("{} ({})", g.group, g.n),
                percent(g.edge_accuracy),
                percent(g.cloud_accuracy),
                number(g.auroc, false),
                number(g.ece, false),
                number(g.apgr, false),
                number(g.coverage, true),
                number(g.risk, true),
            ]);
        }
        rows
    }

    pub(super) fn threshold_words(&self) -> Option<String> {
        let at = self.at_threshold.as_ref()?;
        let mut words = format!(
            "At the threshold {:.3} the device keeps {}",
            at.threshold,
            percent(at.coverage)
        );
        if let Some(risk) = at.risk {
            let _ = write!(words, ", {} of them wrong", percent(risk));
        }
        let _ = write!(words, "; together {} are right", percent(at.accuracy));
        if let Some(pgr) = at.pgr {
            let _ = write!(words, " (PGR {pgr:.3})");
        }
        let _ = write!(words, ", at a cost of {:.4} a question", at.cost);
        if let Some(s) = at.seconds {
            let (mean, p50, p95) = (s.mean, s.p50, s.p95);
            let _ = write!(
                words,
                " and {mean:.3} s (median {p50:.3}, 95th percentile {p95:.3})"
            );
        }
        words.push('.');
        Some(words)
    }

    /// An interval in brackets, or nothing.
    fn interval(&self, name: &str, share: bool) -> String {
        match self.intervals.get(name) {
            Some(i) if share => format!(" ({:.1}-{:.1})", 100.0 * i.low, 100.0 * i.high),
            Some(i) => format!(" ({:.3}-{:.3})", i.low, i.high),
            None => String::new(),
        }
    }
}

fn number(value: Option<f64>, share: bool) -> String {
    match value {
        Some(value) if share => percent(value),
        Some(value) => format!("{value:.3}"),
        None => "-".to_owned(),
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Aligned Markdown; the first row is the head.
fn write_table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| wide(c).unwrap_or(0).max(3)).collect();
    for (i, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(c, (cell, &width))| match c {
            0 => format!("{:<width$}", cell.replace('|', "/")),
            _ => format!("{cell:>width$}"),
        });
        writeln!(f, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
        if i == 0 {
            let rules = widths.iter().enumerate();
            let rules = rules.map(|(c, &width)| match c {
                0 => "-".repeat(width),
                _ => format!("{}:", "-".repeat(width - 1)),
            });
            writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
        }
    }
    Ok(())
}
