//! The report as a Markdown table, aligned so that it also reads in a terminal.

use std::fmt;

use super::{EvalReport, ModelResult, SkillResult};

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            self.row("skill (n)", |model| model.name.clone()),
            self.row("parameters", |model| millions(model.parameters)),
            self.row("size", |model| {
                format!("{:.1} MB", model.bytes as f64 / 1e6)
            }),
        ];
        for (i, skill) in self
            .models
            .first()
            .iter()
            .flat_map(|m| &m.skills)
            .enumerate()
        {
            let name = format!("{} ({})", skill.skill, skill.n);
            rows.push(self.row(&name, |model| {
                model.skills.get(i).map_or("-".into(), accuracy)
            }));
        }
        rows.push(self.row("mean of skills", |model| percent(mean(model))));
        rows.push(self.row("perplexity", |model| match model.perplexity {
            Some((perplexity, _)) => format!("{perplexity:.2}"),
            None => "-".to_owned(),
        }));
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        };
        let widths: Vec<usize> = (0..=self.models.len()).map(width).collect();
        for (i, row) in rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            writeln!(f, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
            if i == 0 {
                let rules = widths
                    .iter()
                    .enumerate()
                    .map(|(column, &width)| match column {
                        0 => "-".repeat(width),
                        _ => format!("{}:", "-".repeat(width - 1)),
                    });
                writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
            }
        }
        for reason in &self.skipped {
            writeln!(f, "\nNot asked: {reason}.")?;
        }
        Ok(())
    }
}

impl EvalReport {
    fn row(&self, name: &str, cell: impl Fn(&ModelResult) -> String) -> Vec<String> {
        let cells = self.models.iter().map(cell);
        std::iter::once(name.to_owned())
            .chain(cells)
            .map(|text| text.replace('|', "/"))
            .collect()
    }
}

fn accuracy(result: &SkillResult) -> String {
    let (low, high) = (result.low * 100.0, result.high * 100.0);
    format!("{} ({low:.0}-{high:.0})", percent(result.accuracy()))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn mean(model: &ModelResult) -> f64 {
    let sum: f64 = model.skills.iter().map(SkillResult::accuracy).sum();
    sum / model.skills.len().max(1) as f64
}

fn millions(parameters: u64) -> String {
    format!("{:.2} M", parameters as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_route::metrics::wilson;

    #[test]
    fn a_table_is_aligned_markdown() {
        let model = |name: &str, right: usize| ModelResult {
            name: name.into(),
            parameters: 3_150_000,
            bytes: 3_400_000,
            skills: vec![SkillResult {
                skill: "arithmetic",
                n: 300,
                right,
                low: wilson(right as u64, 300, 0.95).unwrap().low,
                high: wilson(right as u64, 300, 0.95).unwrap().high,
            }],
            perplexity: Some((12.345, 1000)),
            seconds: 1.0,
            tokens: 10,
        };
        let report = EvalReport {
            models: vec![model("a", 0), model("a-longer-name", 291)],
            skipped: vec!["chitchat needs data".into()],
        };
        let text = report.to_string();
        let lines: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with('|'))
            .collect();
        assert!(
            lines.iter().all(|line| line.len() == lines[0].len()),
            "{text}"
        );
        assert!(
            text.contains("97.0 % (94-98)") && text.contains("0.0 % (0-1)"),
            "{text}"
        );
        assert!(
            text.contains("| arithmetic (300) |") && text.contains("12.35"),
            "{text}"
        );
        assert!(text.contains("Not asked: chitchat needs data."));
    }
}
