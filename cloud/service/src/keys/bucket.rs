//! A limit per minute that fills up again steadily (a token bucket).

use std::time::{Duration, Instant};

use super::Left;

/// So much may be used at once, and comes back within a minute.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: u32,
    /// May be less than 0 where more was used than there was.
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        Self {
            limit,
            level: f64::from(limit),
            at: now,
        }
    }

    fn per_second(&self) -> f64 {
        f64::from(self.limit) / 60.0
    }

    fn refill(&mut self, now: Instant) {
        // A clock that goes back gives nothing and takes nothing.
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second()).min(f64::from(self.limit));
        self.at = self.at.max(now);
    }

    /// # Errors
    /// How long until there is so much.
    pub(super) fn wait_for(&mut self, amount: f64, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        match amount - self.level {
            missing if missing <= 0.0 => Ok(()),
            missing => Err(self.time_for(missing)),
        }
    }

    /// # Errors
    /// As [`Bucket::wait_for`]; nothing is taken then.
    pub(super) fn take(&mut self, amount: f64, now: Instant) -> Result<(), Duration> {
        self.wait_for(amount, now)?;
        self.level -= amount;
        Ok(())
    }

    /// Takes what has been used already.
    pub(super) fn charge(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        self.level -= amount;
    }

    pub(super) fn left(&mut self, now: Instant) -> Left {
        self.refill(now);
        Left {
            limit: self.limit,
            remaining: self.level.max(0.0) as u32,
            reset: self.time_for(f64::from(self.limit) - self.level),
        }
    }

    fn time_for(&self, amount: f64) -> Duration {
        // A limit of 0 never lets anything through; a day is as good as never.
        let seconds = (amount / self.per_second()).clamp(0.0, 86_400.0);
        Duration::from_secs_f64(if seconds.is_nan() { 86_400.0 } else { seconds })
    }
}
