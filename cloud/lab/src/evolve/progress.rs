//! What a person sees of evolution.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::history::Generation;
use crate::train::Show;

/// A bar on a terminal, else a line a generation; both go to standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: bool,
    generations: usize,
    began: Instant,
    /// Generations and evaluations since it began.
    done: (usize, usize),
    best: f64,
}

impl Progress {
    pub(super) fn new(show: Show, generations: usize) -> Self {
        let bar = match show {
            Show::Auto => ProgressBar::new(generations as u64),
            Show::Nothing => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            lines: show == Show::Auto && bar.is_hidden(),
            bar,
            generations,
            began: Instant::now(),
            done: (0, 0),
            best: 0.0,
        }
    }

    /// A further search of so many generations.
    pub(super) fn add(&mut self, generations: usize) {
        self.generations += generations;
        self.bar.set_length(self.generations as u64);
    }

    /// One more generation; `new` if it was not known before.
    pub(super) fn generation(&mut self, generation: &Generation, new: bool) {
        let mut fitness: Vec<f64> = generation
            .candidates
            .iter()
            .filter_map(|t| t.fitness)
            .collect();
        fitness.sort_by(f64::total_cmp);
        let best = fitness.last().copied().unwrap_or(0.0);
        let median = fitness.get(fitness.len() / 2).copied().unwrap_or(0.0);
        self.best = self.best.max(best);
        self.bar.set_position(generation.generation as u64 + 1);
        if !new {
            self.began = Instant::now();
            return;
        }
        self.done.0 += 1;
        self.done.1 += generation.candidates.len();
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = self.done.1 as f64 / seconds.max(1e-9);
        let left = (self.generations - generation.generation - 1) as f64;
        let words = format!(
            "best {:.4}, this generation's {best:.4}, median {median:.4}, {rate:.2} candidates/s, {} left",
            self.best,
            crate::train::duration(left * seconds / self.done.0 as f64),
        );
        if self.lines {
            eprintln!("{}/{} {words}", generation.generation + 1, self.generations);
        }
        self.bar.set_message(words);
    }

    /// A sentence that stays.
    pub(super) fn say(&self, text: &str) {
        if self.lines {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
