//! The learning rate: linear warm-up, then a cosine that a time budget may re-plan.

use serde::{Deserialize, Serialize};

/// The total of a run whose length the clock has not decided yet.
pub(crate) const OPEN: usize = u32::MAX as usize;

/// From `step` on, the run is planned to end after `total` optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Steps done when the plan was made.
    pub step: usize,
    /// Steps the whole run shall have.
    pub total: usize,
}

/// Warm-up, then a half cosine (arXiv 1608.03983) from the peak to `final_ratio` of it.
///
/// The cosine runs over a *fraction* of the run, which is continuous over re-planning: a plan made
/// at step s spreads what is left of the cosine over the steps that are left. The plans are data,
/// so a run that followed the clock can be repeated step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    peak: f64,
    final_ratio: f64,
    warmup: usize,
    plans: Vec<Plan>,
}

impl Schedule {
    /// `peak` learning rate after `warmup` steps; `plans` in order of their steps, at least one.
    pub fn new(peak: f64, final_ratio: f64, warmup: usize, plans: Vec<Plan>) -> Self {
        Self {
            peak,
            final_ratio,
            warmup,
            plans,
        }
    }

    /// The steps the run shall have, as planned last.
    pub fn total(&self) -> usize {
        self.plans.last().map_or(0, |plan| plan.total)
    }

    /// The plans so far.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// From `step` on, end after `total` steps.
    pub fn replan(&mut self, step: usize, total: usize) {
        self.plans.retain(|plan| plan.step < step);
        self.plans.push(Plan {
            step,
            total: total.max(step),
        });
    }

    /// The learning rate of the optimizer step after `step` finished ones.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * self.fraction(step)).cos());
        self.peak * (self.final_ratio + (1.0 - self.final_ratio) * cosine)
    }

    /// How much of the cosine lies behind, 0 to 1.
    fn fraction(&self, step: usize) -> f64 {
        let mut fraction = 0.0;
        for (i, plan) in self.plans.iter().enumerate() {
            let until = self
                .plans
                .get(i + 1)
                .map_or(step, |next| next.step.min(step));
            let from = plan.step.max(self.warmup);
            if until <= from {
                continue;
            }
            let left = plan.total.saturating_sub(from).max(1) as f64;
            fraction += (1.0 - fraction) * ((until - from) as f64 / left).min(1.0);
        }
        fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(total: usize) -> Schedule {
        Schedule::new(1.0, 0.1, 10, vec![Plan { step: 0, total }])
    }

    #[test]
    fn climbs_to_the_peak_and_falls_to_the_end() {
        let schedule = plain(110);
        assert!((schedule.rate(0) - 0.1).abs() < 1e-12);
        assert!((schedule.rate(9) - 1.0).abs() < 1e-12);
        assert!(
            (schedule.rate(60) - 0.55).abs() < 1e-12,
            "half way is half way down"
        );
        assert!((schedule.rate(110) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_new_plan_does_not_jump_and_still_ends_at_the_bottom() {
        let mut schedule = plain(110);
        let before = schedule.rate(60);
        schedule.replan(60, 300);
        assert!((schedule.rate(60) - before).abs() < 1e-12);
        assert!(schedule.rate(110) > 0.4);
        assert!((schedule.rate(300) - 0.1).abs() < 1e-12);
        assert_eq!(schedule.total(), 300);
    }

    proptest! {
        #[test]
        fn never_leaves_its_bounds(total in 0usize..400, at in 0usize..400, new in 0usize..400, step in 0usize..500) {
            let mut schedule = plain(total);
            schedule.replan(at, new);
            let rate = schedule.rate(step);
            prop_assert!((0.0..=1.0).contains(&rate));
        }
    }
}
