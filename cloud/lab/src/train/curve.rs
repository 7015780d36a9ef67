//! The loss curve as an SVG that reads on light and dark pages.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 36.0;
/// More points than pixels show nothing more.
const POINTS: usize = 600;

/// Draws training loss (one value per step, from step 1) and validation losses (by step).
pub(crate) fn draw(title: &str, losses: &[f32], validations: &[(usize, f32)]) -> String {
    let smooth = smoothed(losses);
    let values = smooth
        .iter()
        .chain(validations)
        .map(|(_, loss)| f64::from(*loss));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| v.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    let step_y = nice((high - low).max(1e-3) / 5.0);
    let (low, high) = (
        (low / step_y).floor() * step_y,
        (high / step_y).ceil() * step_y,
    );
    let last = losses
        .len()
        .max(validations.last().map_or(0, |v| v.0))
        .max(1) as f64;
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last;
    let y = |loss: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low).max(1e-9);
    let path = |points: &[(usize, f32)]| {
        let finite = points.iter().filter(|(_, loss)| loss.is_finite());
        finite.fold(String::new(), |mut path, (step, loss)| {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(
                path,
                "{command}{:.1} {:.1}",
                x(*step as f64),
                y(f64::from(*loss))
            );
            path
        })
    };

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{title}: loss over steps\">\n<style>\n\
         svg {{ background: #fff; color: #1c2733; font: 12px system-ui, sans-serif; }}\n\
         text {{ fill: currentColor; }} .grid {{ stroke: currentColor; opacity: .15; }}\n\
         path {{ fill: none; stroke-width: 1.5; }} .train {{ stroke: #2a78b8; }}\n\
         .valid {{ stroke: #c2571a; }} circle {{ fill: #c2571a; }}\n\
         @media (prefers-color-scheme: dark) {{ svg {{ background: #12181f; color: #dde5ec; }}\n\
         .train {{ stroke: #6cb4ec; }} .valid {{ stroke: #f0975a; }} circle {{ fill: #f0975a; }} }}\n\
         </style>\n",
        title = escape(title),
    );
    let mut grid = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    };
    let step_x = nice(last / 6.0).max(1.0);
    let ticks_y = ((high - low) / step_y).round() as usize;
    let ticks_x = (last / step_x).floor() as usize;
    for i in 0..=ticks_y {
        let at = y(low + i as f64 * step_y);
        grid(LEFT, at, WIDTH - RIGHT, at);
    }
    for i in 0..=ticks_x {
        let at = x(i as f64 * step_x);
        grid(at, TOP, at, HEIGHT - BOTTOM);
    }
    for i in 0..=ticks_y {
        let value = low + i as f64 * step_y;
        let digits = if step_y < 0.1 { 2 } else { 1 };
        let (at, left) = (y(value) + 4.0, LEFT - 6.0);
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{at:.1}\" text-anchor=\"end\">{value:.digits$}</text>"
        );
    }
    for i in 0..=ticks_x {
        let (step, below) = (i as f64 * step_x, HEIGHT - BOTTOM + 18.0);
        let at = x(step);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{step:.0}</text>"
        );
    }
    let end = |points: &[(usize, f32)]| points.last().map_or(f32::NAN, |(_, loss)| *loss);
    let _ = writeln!(svg, "<path class=\"train\" d=\"{}\"/>", path(&smooth));
    let _ = writeln!(svg, "<path class=\"valid\" d=\"{}\"/>", path(validations));
    for (step, loss) in validations.iter().filter(|(_, loss)| loss.is_finite()) {
        let (cx, cy) = (x(*step as f64), y(f64::from(*loss)));
        let _ = writeln!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\"/>");
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"22\" font-weight=\"600\">{}</text>\n\
         <text x=\"{right}\" y=\"22\" text-anchor=\"end\"><tspan class=\"label\">loss in nats per \
         token: training {:.3}, validation {:.3}, after {last:.0} steps</tspan></text>\n\
         </svg>",
        escape(title),
        end(&smooth),
        end(validations),
        right = WIDTH - RIGHT,
    );
    svg
}

/// Means over equal stretches of steps, at most [`POINTS`], each placed at its last step.
fn smoothed(losses: &[f32]) -> Vec<(usize, f32)> {
    let width = losses.len().div_ceil(POINTS).max(losses.len() / 100).max(1);
    let chunks = losses.chunks(width).enumerate();
    chunks
        .map(|(i, chunk)| {
            let step = i * width + chunk.len();
            (step, chunk.iter().sum::<f32>() / chunk.len() as f32)
        })
        .collect()
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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_both_lines_and_escapes_the_title() {
        let losses: Vec<f32> = (0..5000).map(|i| 8.0 / (1.0 + i as f32 / 500.0)).collect();
        let svg = draw("a<b>", &losses, &[(2500, 1.5), (5000, 0.9)]);
        assert!(svg.contains("a&lt;b>") && !svg.contains("a<b>"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.len() < 20_000, "{} bytes", svg.len());
    }

    #[test]
    fn survives_nothing_and_not_a_number() {
        for losses in [
            vec![],
            vec![f32::NAN],
            vec![1.0],
            vec![2.0, f32::INFINITY, 1.0],
        ] {
            let svg = draw("x", &losses, &[(1, f32::NAN)]);
            assert!(svg.ends_with("</svg>\n") && !svg.contains("MNaN"));
        }
    }
}
