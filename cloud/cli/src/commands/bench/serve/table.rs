//! A report as aligned text.

use std::fmt::{Display, Formatter, Result};

use super::report::{LevelReport, Load, Percentiles, Report, ServerReport};

impl Display for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "prompts of {} words", self.prompt_words)?;
        if self.shared_prefix_words > 0 {
            write!(f, " after {} that all share", self.shared_prefix_words)?;
        }
        write!(
            f,
            ", at most {} tokens an answer, temperature {}, seed {}",
            self.max_tokens, self.temperature, self.seed
        )
    }
}

impl Display for Percentiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = [self.p50, self.p95, self.p99].map(|ms| match ms {
            _ if ms < 10.0 => format!("{ms:.2}"),
            _ if ms < 100.0 => format!("{ms:.1}"),
            _ => format!("{ms:.0}"),
        });
        // Or the width asked for would hold for the first only.
        f.pad(&text.join("/"))
    }
}

/// A value, or a dash where there is none.
fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn times(ratio: Option<f64>) -> String {
    or_dash(ratio.map(|ratio| format!("{ratio:.2}x")))
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let names = self
            .servers
            .iter()
            .map(|server| server.name.chars().count());
        let width = names.max().unwrap_or_default().max("server".len());
        for server in &self.servers {
            let ServerReport {
                name, url, model, ..
            } = server;
            writeln!(f, "{name:<width$}  {url}, model {model}")?;
        }
        let each = match self.is_open() {
            true => "requests at each rate",
            false => "requests of each stream",
        };
        writeln!(f, "{} {each}, {}\n", self.load.requests, self.load)?;
        self.write_head(f, width)?;
        // A level of all servers, then the next one: so they were measured.
        for number in 0..self.servers.first().map_or(0, |s| s.levels.len()) {
            for server in &self.servers {
                if let Some(level) = server.levels.get(number) {
                    write!(f, "\n{:<width$} ", server.name)?;
                    write_level(f, level)?;
                }
            }
        }
        self.write_ratios(f)?;
        let notes = self.notes();
        match notes.is_empty() {
            true => Ok(()),
            false => write!(f, "\n\n{}", notes.join("\n")),
        }
    }
}

impl Report {
    fn write_head(&self, f: &mut Formatter<'_>, width: usize) -> Result {
        write!(f, "{:<width$} ", "server")?;
        match self.is_open() {
            true => write!(f, "{:>7} {:>8} {:>8}", "rate/s", "offered", "reached")?,
            false => write!(f, "{:>7}", "streams")?,
        }
        write!(
            f,
            " {:>9} {:>8} {:>20} {:>20} {:>6} {:>7} {:>6}",
            "tokens/s",
            "of first",
            "TTFT ms p50/p95/p99",
            "ITL ms p50/p95/p99",
            "ok",
            "refused",
            "failed"
        )
    }

    fn write_ratios(&self, f: &mut Formatter<'_>) -> Result {
        let [one, other] = self.servers.as_slice() else {
            return Ok(());
        };
        write!(f, "\n\n{} as a multiple of {}", one.name, other.name)?;
        let unit = if self.is_open() { "rate/s" } else { "streams" };
        write!(
            f,
            "\n{unit:>7} {:>9} {:>9} {:>9}",
            "tokens/s", "TTFT p50", "ITL p50"
        )?;
        for ratios in &self.ratios {
            write!(
                f,
                "\n{:>7} {:>9} {:>9} {:>9}",
                ratios.level.value(),
                times(ratios.tokens_per_second),
                times(ratios.ttft_p50),
                times(ratios.itl_p50)
            )?;
        }
        Ok(())
    }

    /// What was refused or failed, and whose tokens were not counted by the server.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for server in &self.servers {
            for level in &server.levels {
                let (value, unit) = (level.level.value(), level.level.unit());
                for (kind, count) in &level.errors {
                    notes.push(format!(
                        "{}, {value} {unit}: {count} times {kind}",
                        server.name
                    ));
                }
            }
            if server.levels.iter().any(|level| level.without_usage > 0) {
                let name = &server.name;
                notes.push(format!(
                    "{name} counts no tokens; chunks are counted instead"
                ));
            }
        }
        notes
    }
}

fn write_level(f: &mut Formatter<'_>, level: &LevelReport) -> Result {
    write!(f, "{:>7}", level.level.value())?;
    if let Some(offered) = level.offered {
        write!(f, " {offered:>8.2} {:>8.2}", level.reached)?;
    }
    write!(
        f,
        " {:>9.1} {:>8} {:>20} {:>20} {:>6} {:>7} {:>6}",
        level.tokens_per_second,
        times(level.of_first),
        or_dash(level.ttft_ms),
        or_dash(level.itl_ms),
        level.ok,
        level.refused,
        level.failed
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{level, report};

    #[test]
    fn columns_are_aligned_and_failures_are_named() {
        let one = vec![level(1, 1.0, &[10]), level(64, 0.5, &[1234; 4])];
        let other = vec![level(1, 2.0, &[20]), level(64, 1.0, &[])];
        let text = report(vec![("one", one), ("the other", other)]).to_string();
        let start = text.find("server").unwrap();
        let rows: Vec<&str> = text[start..].lines().take(5).collect();
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        assert!(rows[2].starts_with("the other       1"), "{text}");
        assert!(text.contains("2.00x"), "{text}");
        assert!(
            text.contains("the other, 64 streams: 1 times HTTP 429"),
            "{text}"
        );
    }
}
