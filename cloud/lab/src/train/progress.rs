//! What a person sees of a long run.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How a run reports itself while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// A bar on a terminal, else a line every few seconds. Both go to standard error.
    #[default]
    Auto,
    /// Nothing.
    Nothing,
}

/// Seconds between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
    Nothing,
}

/// Where the run is.
pub(crate) struct Status {
    pub(crate) step: usize,
    pub(crate) total: usize,
    pub(crate) loss: f32,
    pub(crate) tokens_per_second: f64,
    /// None until the speed is known.
    pub(crate) seconds_left: Option<f64>,
}

impl Progress {
    pub(crate) fn new(show: Show) -> Self {
        match show {
            Show::Nothing => Self::Nothing,
            Show::Auto if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::new(1);
                let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                Self::Bar(bar)
            }
            Show::Auto => Self::Lines { last: None },
        }
    }

    /// A sentence that stays.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Self::Lines { .. } => eprintln!("{text}"),
            Self::Nothing => {}
        }
    }

    pub(crate) fn update(&mut self, status: &Status) {
        let planned = status.total < super::schedule::OPEN;
        match self {
            Self::Bar(bar) => {
                bar.set_length(if planned {
                    status.total as u64
                } else {
                    status.step as u64 + 1
                });
                bar.set_position(status.step as u64);
                bar.set_message(status.words());
            }
            Self::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= EVERY) {
                    *last = Some(Instant::now());
                    match planned {
                        true => eprintln!("{}/{} {}", status.step, status.total, status.words()),
                        false => eprintln!("{} {}", status.step, status.words()),
                    }
                }
            }
            Self::Nothing => {}
        }
    }

    pub(crate) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}

impl Status {
    fn words(&self) -> String {
        let left = match self.seconds_left {
            Some(seconds) => format!(", {} left", duration(seconds)),
            None => String::new(),
        };
        format!(
            "loss {:.3}, {:.0} tokens/s{left}",
            self.loss, self.tokens_per_second
        )
    }
}

/// "40 s", "12 min", "3 h 05 min".
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..=99 => format!("{whole} s"),
        100..=5999 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_read_well() {
        let words = [(39.6, "40 s"), (119.0, "2 min"), (11_100.0, "3 h 05 min")];
        for (seconds, expected) in words {
            assert_eq!(super::duration(seconds), expected);
        }
    }
}
