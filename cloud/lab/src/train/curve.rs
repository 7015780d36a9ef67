//! The loss curve of a run.

use crate::chart::{Chart, Line};

/// More points than pixels show nothing more.
const POINTS: usize = 600;

/// Draws training loss (one value per step, from step 1) and validation losses (by step).
pub(crate) fn draw(title: &str, losses: &[f32], validations: &[(usize, f32)]) -> String {
    let line = |points: &[(usize, f32)], dots| Line {
        name: String::new(),
        points: points
            .iter()
            .map(|(step, loss)| (*step as f64, f64::from(*loss)))
            .collect(),
        dots,
    };
    let smooth = smoothed(losses);
    let end = |points: &[(usize, f32)]| points.last().map_or(f32::NAN, |(_, loss)| *loss);
    let steps = losses.len().max(validations.last().map_or(0, |v| v.0));
    let note = format!(
        "loss in nats per token: training {:.3}, validation {:.3}, after {steps} steps",
        end(&smooth),
        end(validations),
    );
    let chart = Chart {
        title,
        label: "loss over steps",
        note: &note,
        lines: &[line(&smooth, false), line(validations, true)],
    };
    chart.draw()
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
