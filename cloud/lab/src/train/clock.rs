//! The wall clock of a run, and what it says about how many steps are left.

use std::time::Instant;

use super::checkpoint::State;
use super::recipe::TrainConfig;

/// Steps before the first plan by the clock; the first one warms up and is not measured.
const MEASURED: usize = 5;
/// Seconds between two looks at the clock, for runs with a budget.
const REPLAN: f64 = 20.0;

/// The wall clock of a run: how long it took, how fast it is, when it would end.
pub(super) struct Clock {
    began: Instant,
    before: f64,
    budget: Option<f64>,
    /// Step and time where the current measurement began, and when it may end.
    mark: (usize, f64),
    next_plan: f64,
    last: f64,
    smooth: Option<f64>,
}

impl Clock {
    pub(super) fn new(state: &State, train: &TrainConfig) -> Self {
        let budget = train
            .max_minutes
            .filter(|_| train.plan.is_empty())
            .map(|m| m * 60.0);
        Self {
            began: Instant::now(),
            before: state.seconds,
            budget,
            mark: (state.step, state.seconds),
            next_plan: 0.0,
            last: state.seconds,
            smooth: None,
        }
    }

    /// Seconds of training, over all resumes.
    pub(super) fn elapsed(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }

    /// After a step: seconds since the last one.
    pub(super) fn tick(&mut self) -> f64 {
        let now = self.elapsed();
        let taken = now - self.last;
        self.last = now;
        self.smooth = Some(
            self.smooth
                .map_or(taken, |smooth| 0.9 * smooth + 0.1 * taken),
        );
        taken
    }

    pub(super) fn seconds_per_step(&self) -> f64 {
        self.smooth.unwrap_or(1.0).max(1e-6)
    }

    /// With a budget, now and then: how many steps the run can have. `most` 0 means no limit.
    pub(super) fn plan(&mut self, state: &State, most: usize) -> Option<usize> {
        let budget = self.budget?;
        let (from, since) = self.mark;
        let now = self.elapsed();
        if state.step == from + 1 && self.next_plan == 0.0 {
            self.mark = (state.step, now);
            self.next_plan = f64::MIN_POSITIVE;
            return None;
        }
        if state.step < from + MEASURED || now < self.next_plan {
            return None;
        }
        let speed = (state.step - from) as f64 / (now - since).max(1e-6);
        self.mark = (state.step, now);
        self.next_plan = now + REPLAN.min(budget / 10.0);
        let left = ((budget - now).max(0.0) * speed) as usize;
        let total = state.step + left;
        Some(if most > 0 { total.min(most) } else { total })
    }
}
