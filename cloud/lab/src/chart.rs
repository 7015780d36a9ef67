//! Line charts as SVG that read on light and dark pages.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 36.0;
/// Colours of the lines, on light and on dark.
const COLOURS: [[&str; 2]; 6] = [
    ["#2a78b8", "#6cb4ec"],
    ["#c2571a", "#f0975a"],
    ["#4b7f2e", "#8fc66b"],
    ["#8a4fa8", "#c897e0"],
    ["#6b7680", "#a3adb6"],
    ["#b0313f", "#f08a92"],
];

/// The style of a page with charts in it.
pub(crate) const PAGE_STYLE: &str = include_str!("page.css");

/// A chart: lines over steps.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// What the picture shows, for who does not see it.
    pub(crate) label: &'a str,
    /// What stands at the upper right.
    pub(crate) note: &'a str,
    pub(crate) lines: &'a [Line],
}

/// One line, named in the chart if it has a name. Points that are no numbers are left out.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point has a dot.
    pub(crate) dots: bool,
}

/// Where a chart's values lie on the picture.
struct Scale {
    last: f64,
    low: f64,
    high: f64,
    step_x: f64,
    step_y: f64,
}

impl Scale {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (_, value) in points().filter(|(_, v)| v.is_finite()) {
            low = low.min(*value);
            high = high.max(*value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let last = points().map(|(step, _)| *step).fold(1.0, f64::max);
        let step_y = nice((high - low).max(1e-3) / 5.0);
        Self {
            last,
            low: (low / step_y).floor() * step_y,
            high: (high / step_y).ceil() * step_y,
            step_x: nice(last / 6.0).max(1.0),
            step_y,
        }
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * step / self.last
    }

    fn y(&self, value: f64) -> f64 {
        let part = (self.high - value) / (self.high - self.low).max(1e-9);
        TOP + (HEIGHT - TOP - BOTTOM) * part
    }

    /// The grid and its numbers.
    fn grid(&self) -> String {
        let mut svg = String::new();
        let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
            );
        };
        let ticks_y = ((self.high - self.low) / self.step_y).round() as usize;
        let ticks_x = (self.last / self.step_x).floor() as usize;
        let values = (0..=ticks_y).map(|i| self.low + i as f64 * self.step_y);
        let steps = (0..=ticks_x).map(|i| i as f64 * self.step_x);
        for value in values.clone() {
            line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value));
        }
        for step in steps.clone() {
            line(self.x(step), TOP, self.x(step), HEIGHT - BOTTOM);
        }
        let digits = if self.step_y < 0.1 { 2 } else { 1 };
        for value in values {
            let (at, left) = (self.y(value) + 4.0, LEFT - 6.0);
            let _ = writeln!(
                svg,
                "<text x=\"{left}\" y=\"{at:.1}\" text-anchor=\"end\">{value:.digits$}</text>"
            );
        }
        for step in steps {
            let (at, below) = (self.x(step), HEIGHT - BOTTOM + 18.0);
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{step:.0}</text>"
            );
        }
        svg
    }

    fn line(&self, number: usize, line: &Line) -> String {
        let finite = line.points.iter().filter(|(_, value)| value.is_finite());
        let path = finite
            .clone()
            .fold(String::new(), |mut path, (step, value)| {
                let command = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", self.x(*step), self.y(*value));
                path
            });
        let mut svg = format!("<path class=\"line{number}\" d=\"{path}\"/>\n");
        for (step, value) in finite.filter(|_| line.dots) {
            let (cx, cy) = (self.x(*step), self.y(*value));
            let _ = writeln!(
                svg,
                "<circle class=\"dot{number}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\"/>"
            );
        }
        svg
    }
}

impl Chart<'_> {
    /// The picture.
    pub(crate) fn draw(&self) -> String {
        let scale = Scale::of(self.lines);
        let (title, label, note) = (escape(self.title), escape(self.label), escape(self.note));
        let lines = self.lines.iter().enumerate();
        let lines: String = lines
            .map(|(i, line)| scale.line(i % COLOURS.len(), line))
            .collect();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}: {label}\">\n<style>\n{}</style>\n{}{lines}\
             <text x=\"{LEFT}\" y=\"22\" font-weight=\"600\">{title}</text>\n\
             <text x=\"{right}\" y=\"22\" text-anchor=\"end\">{note}{legend}</text>\n</svg>\n",
            style(),
            scale.grid(),
            legend = self.legend(),
            right = WIDTH - RIGHT,
        )
    }
}

impl Chart<'_> {
    /// The names of the lines in their colours.
    fn legend(&self) -> String {
        let lines = self.lines.iter().enumerate();
        let named = lines.filter(|(_, line)| !line.name.is_empty());
        let name = |(i, line): (usize, &Line)| {
            let (colour, name) = (i % COLOURS.len(), escape(&line.name));
            format!("<tspan dx=\"12\" class=\"dot{colour}\">{name}</tspan>")
        };
        named.map(name).collect()
    }
}

fn style() -> String {
    let colours = |dark: usize| {
        COLOURS
            .iter()
            .enumerate()
            .fold(String::new(), |mut css, (i, colour)| {
                let colour = colour[dark];
                let _ = writeln!(
                    css,
                    ".line{i} {{ stroke: {colour}; }} .dot{i} {{ fill: {colour}; }}"
                );
                css
            })
    };
    format!(
        "svg {{ background: #fff; color: #1c2733; font: 12px system-ui, sans-serif; }}\n\
         text {{ fill: currentColor; }} .grid {{ stroke: currentColor; opacity: .15; }}\n\
         path {{ fill: none; stroke-width: 1.5; }}\n{}\
         @media (prefers-color-scheme: dark) {{ svg {{ background: #12181f; color: #dde5ec; }}\n{} }}\n",
        colours(0),
        colours(1),
    )
}

/// 1, 2 or 5 times a power of ten, at least `x`.
fn nice(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|v| *v >= x)
        .unwrap_or(x)
}

/// Text as HTML and SVG have it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
