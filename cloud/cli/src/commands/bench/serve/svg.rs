//! A report as a drawing: tokens per second, and how long they are waited for, over the load.

use std::ffi::OsString;
use std::fmt::{Result as FmtResult, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::report::{LevelReport, Report, ServerReport};
use super::scale::{Scale, round};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Of a panel, inside its axes.
const PANEL: [f64; 2] = [350.0, 220.0];
const TOP: f64 = 96.0;
/// Left edges of the panels.
const LEFT: [f64; 2] = [64.0, 524.0];
/// Classes of the servers' colors.
const COLORS: [&str; 2] = ["one", "two"];

/// Colors for light and dark pages; a name's class stands for both.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#52514e}\
.title{font-size:16px;font-weight:600;fill:#0b0b0b}.panel{font-weight:600;fill:#0b0b0b}\
.page{fill:#fcfcfb}.grid{stroke:#e1e0d9}.axis{stroke:#898781}\
.line{fill:none;stroke-width:2}.p99{stroke-dasharray:5 4}\
.one{stroke:#2a78d6}.two{stroke:#c2410c}.any{stroke:#52514e}\
.one.dot{fill:#2a78d6}.two.dot{fill:#c2410c}.any.dot{fill:#52514e}\
@media (prefers-color-scheme:dark){\
text{fill:#c3c2b7}.title,.panel{fill:#fff}\
.page{fill:#1a1a19}.grid{stroke:#2c2c2a}.axis{stroke:#898781}\
.one{stroke:#3987e5}.two{stroke:#f0803c}.any{stroke:#c3c2b7}\
.one.dot{fill:#3987e5}.two.dot{fill:#f0803c}.any.dot{fill:#c3c2b7}}";

/// Draws the report into a file, which is either written whole or left as it was.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(report: &Report, path: &Path) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let drawing = draw(report).with_context(cannot)?;
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = std::fs::write(&part, drawing).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // It may not even be there.
        let _ = std::fs::remove_file(&part);
    }
    written.with_context(cannot)
}

fn draw(report: &Report) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\"><title>Chat server under load</title>\
         <style>{STYLE}</style><rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>"
    )?;
    text(&mut out, [24.0, 32.0], "title", "Chat server under load")?;
    let load = format!("{} requests each, {}", report.load.requests, report.load);
    text(&mut out, [24.0, 52.0], "", &load)?;
    let speed = Panel::new(report, 0, "Tokens per second", Scale::linear);
    speed.frame(&mut out, report)?;
    let waiting = Panel::new(report, 1, "Milliseconds waited (logarithmic)", Scale::log);
    waiting.frame(&mut out, report)?;
    for (server, color) in report.servers.iter().zip(COLORS) {
        for panel in [&speed, &waiting] {
            for curve in CURVES.iter().filter(|curve| curve.panel == panel.number) {
                panel.draw(&mut out, server, curve, color)?;
            }
        }
    }
    legend(&mut out, report)?;
    out.push_str("</svg>\n");
    Ok(out)
}

/// A figure of every level, and how it is drawn.
struct Curve {
    panel: usize,
    is_dashed: bool,
    is_square: bool,
    value: fn(&LevelReport) -> Option<f64>,
}

const CURVES: [Curve; 5] = [
    Curve::new(0, false, false, |level| Some(level.tokens_per_second)),
    Curve::new(1, false, false, |level| Some(level.ttft_ms?.p50)),
    Curve::new(1, true, false, |level| Some(level.ttft_ms?.p99)),
    Curve::new(1, false, true, |level| Some(level.itl_ms?.p50)),
    Curve::new(1, true, true, |level| Some(level.itl_ms?.p99)),
];

impl Curve {
    const fn new(
        panel: usize,
        is_dashed: bool,
        is_square: bool,
        value: fn(&LevelReport) -> Option<f64>,
    ) -> Self {
        Self {
            panel,
            is_dashed,
            is_square,
            value,
        }
    }
}

/// One of the two coordinate systems.
struct Panel {
    number: usize,
    title: &'static str,
    x: Scale,
    y: Scale,
}

impl Panel {
    fn new(report: &Report, number: usize, title: &'static str, y: fn(&[f64]) -> Scale) -> Self {
        let levels = || report.servers.iter().flat_map(|server| &server.levels);
        let curves = CURVES.iter().filter(|curve| curve.panel == number);
        let values = curves.flat_map(|curve| levels().filter_map(curve.value));
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let loads: Vec<f64> = levels().map(|level| level.level.value()).collect();
        Self {
            number,
            title,
            x: Scale::doubling(&loads),
            y: y(&values),
        }
    }

    fn x(&self, value: f64) -> f64 {
        // Room for the marks of the first and the last.
        LEFT[self.number] + 12.0 + (self.x.place)(value) * (PANEL[0] - 24.0)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + PANEL[1] * (1.0 - (self.y.place)(value))
    }

    fn frame(&self, out: &mut String, report: &Report) -> FmtResult {
        let (left, right) = (LEFT[self.number], LEFT[self.number] + PANEL[0]);
        let bottom = TOP + PANEL[1];
        text(out, [left, TOP - 14.0], "panel", self.title)?;
        for &tick in &self.y.ticks {
            let y = self.y(tick);
            line(out, "grid", [left, y], [right, y])?;
            let at = [left - 8.0, y + 4.0];
            aligned_text(out, at, "end", &round(tick))?;
        }
        line(out, "axis", [left, bottom], [right, bottom])?;
        let mut free = f64::NEG_INFINITY;
        for &tick in &self.x.ticks {
            let x = self.x(tick);
            line(out, "axis", [x, bottom], [x, bottom + 4.0])?;
            // Labels that would lie on one another are left out.
            let label = round(tick);
            let half = label.len() as f64 * 3.5 + 3.0;
            if x - half >= free {
                aligned_text(out, [x, bottom + 18.0], "middle", &label)?;
                free = x + half;
            }
        }
        let title = match report.is_open() {
            true => "Requests per second (offered)",
            false => "Streams",
        };
        let middle = [(left + right) / 2.0, bottom + 36.0];
        aligned_text(out, middle, "middle", title)
    }

    fn draw(
        &self,
        out: &mut String,
        server: &ServerReport,
        curve: &Curve,
        color: &str,
    ) -> FmtResult {
        let mut points: Vec<[f64; 2]> = Vec::new();
        for level in &server.levels {
            match (curve.value)(level) {
                Some(value) if value.is_finite() => {
                    points.push([self.x(level.level.value()), self.y(value)]);
                }
                _ => {}
            }
        }
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let dash = if curve.is_dashed { " p99" } else { "" };
        write!(out, "<polyline class=\"line {color}{dash}\" points=\"")?;
        for [x, y] in &points {
            write!(out, "{x:.1},{y:.1} ")?;
        }
        out.push_str("\"/>");
        for point in points {
            mark(out, point, curve.is_square, color)?;
        }
        Ok(())
    }
}

fn legend(out: &mut String, report: &Report) -> FmtResult {
    let y = HEIGHT - 42.0;
    for ((server, color), left) in report.servers.iter().zip(COLORS).zip([24.0, 460.0]) {
        line(out, &format!("line {color}"), [left, y], [left + 28.0, y])?;
        let name = format!("{}, {}", server.name, server.model);
        let short = match name.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name,
        };
        text(out, [left + 36.0, y + 4.0], "", &short)?;
    }
    let y = HEIGHT - 20.0;
    mark(out, [38.0, y], false, "any")?;
    text(out, [60.0, y + 4.0], "", "time to first token (TTFT)")?;
    mark(out, [250.0, y], true, "any")?;
    text(out, [266.0, y + 4.0], "", "between chunks (ITL)")?;
    line(out, "line any", [460.0, y], [488.0, y])?;
    text(out, [496.0, y + 4.0], "", "p50")?;
    line(out, "line any p99", [560.0, y], [588.0, y])?;
    text(out, [596.0, y + 4.0], "", "p99")
}

fn mark(out: &mut String, [x, y]: [f64; 2], is_square: bool, color: &str) -> FmtResult {
    let class = format!("dot {color}");
    match is_square {
        true => write!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"/>",
            x - 3.5,
            y - 3.5
        ),
        false => write!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
        ),
    }
}

fn line(out: &mut String, class: &str, from: [f64; 2], to: [f64; 2]) -> FmtResult {
    let ([x1, y1], [x2, y2]) = (from, to);
    write!(
        out,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    )
}

fn text(out: &mut String, [x, y]: [f64; 2], class: &str, content: &str) -> FmtResult {
    let content = escape(content);
    write!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    )
}

fn aligned_text(out: &mut String, [x, y]: [f64; 2], anchor: &str, content: &str) -> FmtResult {
    let content = escape(content);
    write!(
        out,
        "<text text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    )
}

/// Names are the server's and the user's: anything may stand in them.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML has no way to write these.
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{level, report};
    use super::*;

    /// Whether all elements are closed in order, and all values of attributes quoted.
    fn is_well_formed(xml: &str) -> bool {
        let mut open = Vec::new();
        for part in xml.split('<').skip(1) {
            let Some((tag, content)) = part.split_once('>') else {
                return false;
            };
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            let is_entity = |text: &str| text.contains(';');
            if !content.split('&').skip(1).all(is_entity) || tag.matches('"').count() % 2 != 0 {
                return false;
            }
            match (tag.strip_prefix('/'), tag.ends_with('/')) {
                (Some(name), _) if open.pop() != Some(name) => return false,
                (None, false) => open.push(name),
                _ => {}
            }
        }
        open.is_empty()
    }

    #[test]
    fn odd_results_are_drawn() {
        let reports = [
            report(vec![]),
            report(vec![("none", vec![])]),
            report(vec![("one", vec![level(1, 1.0, &[10])])]),
            report(vec![(
                "failed",
                vec![level(1, 0.0, &[]), level(4, 1.0, &[])],
            )]),
            report(vec![("at once", vec![level(1, 0.0, &[0, 0])])]),
            report(vec![
                (
                    "<a & \"b\">\u{1}",
                    vec![level(4, 1.0, &[1]), level(1, 9.0, &[100_000])],
                ),
                (&"long ".repeat(100), vec![level(256, 1e-9, &[3])]),
            ]),
        ];
        for report in reports {
            let drawing = draw(&report).unwrap();
            assert!(is_well_formed(&drawing), "{drawing}");
            assert!(
                !drawing.contains("NaN") && !drawing.contains("inf"),
                "{drawing}"
            );
        }
    }

    #[test]
    fn drawings_are_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.svg");
        let report = report(vec![("one", vec![level(1, 1.0, &[10])])]);
        write(&report, &path).unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .ends_with("</svg>\n")
        );
        assert!(write(&report, &path.join("below")).is_err());
        assert!(write(&report, folder.path()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
