//! How many requests may be in the house: a bound, and a fair guess when to come back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::ApiError;

/// Bounds the requests that run or wait. A permit lives as long as its answer is being written.
#[derive(Debug)]
pub(crate) struct Admission {
    capacity: usize,
    inside: watch::Sender<usize>,
    /// Seconds that an answer took lately: an exponential moving average.
    typical: Mutex<f64>,
}

/// The right to be in the house.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    since: Instant,
}

impl Admission {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity: capacity.max(1),
            inside: watch::Sender::new(0),
            typical: Mutex::new(1.0),
        })
    }

    /// Lets a request in, or says when to try again.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Permit, ApiError> {
        let entered = self.inside.send_if_modified(|inside| {
            let free = *inside < self.capacity;
            *inside += usize::from(free);
            free
        });
        if !entered {
            return Err(ApiError::Overloaded {
                retry_after: self.retry_after(),
            });
        }
        Ok(Permit {
            admission: Arc::clone(self),
            since: Instant::now(),
        })
    }

    /// Waits until nobody is inside.
    pub(crate) async fn empty(&self) {
        // Fails only if the sender is gone, and `self` owns it.
        let _ = self
            .inside
            .subscribe()
            .wait_for(|inside| *inside == 0)
            .await;
    }

    /// About the time until one place is free, in whole seconds from 1 to 60: that in which one answer has been
    /// leaving lately.
    fn retry_after(&self) -> Duration {
        let typical = *self.typical.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_secs(typical.ceil().clamp(1.0, 60.0) as u64)
    }

    fn leave(&self, stayed: Duration) {
        // While n are inside, one leaves n times in the time that each stays.
        let seconds = stayed.as_secs_f64() / (*self.inside.borrow()).max(1) as f64;
        let mut typical = self.typical.lock().unwrap_or_else(PoisonError::into_inner);
        *typical += 0.2 * (seconds - *typical);
        drop(typical);
        self.inside.send_modify(|inside| *inside -= 1);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.leave(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_says_when_to_come_back() {
        let admission = Admission::new(2);
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        let refused = admission.enter().unwrap_err();
        assert_eq!(
            refused,
            ApiError::Overloaded {
                retry_after: Duration::from_secs(1)
            }
        );
        drop(first);
        admission.enter().unwrap();
    }

    #[test]
    fn the_wait_follows_what_answers_take() {
        let admission = Admission::new(1);
        for _ in 0..50 {
            admission.inside.send_modify(|inside| *inside += 1);
            admission.leave(Duration::from_secs(5));
        }
        assert_eq!(admission.retry_after(), Duration::from_secs(5));
        for _ in 0..50 {
            admission.inside.send_modify(|inside| *inside += 1);
            admission.leave(Duration::from_secs(5000));
        }
        assert_eq!(admission.retry_after(), Duration::from_secs(60));
    }

    #[tokio::test]
    async fn the_last_to_leave_is_noticed() {
        let admission = Admission::new(2);
        let permits = [admission.enter().unwrap(), admission.enter().unwrap()];
        let waiter = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.empty().await }
        });
        drop(permits);
        waiter.await.unwrap();
    }
}
