//! A circuit breaker: a server that fails again and again is left alone for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts failures in a row. Times are given to it, so that tests need not wait.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All may ask; failures in a row so far.
    Closed(u32),
    /// Nobody may ask before then.
    Open(Instant),
    /// One asks, to find out.
    Probing,
}

/// The right to ask once. Dropping it says nothing about the server.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    /// Whether this is the one that finds out.
    probe: bool,
}

impl Breaker {
    /// Opens after `limit` failures in a row, for `pause`.
    pub(super) fn new(limit: u32, pause: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            pause,
            state: Mutex::new(State::Closed(0)),
        })
    }

    /// Lets a request pass, or says when to try again.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Duration> {
        let mut state = self.state();
        let probe = match *state {
            State::Closed(_) => false,
            State::Open(until) if now < until => return Err(until - now),
            State::Open(_) => true,
            State::Probing => return Err(Duration::from_secs(1)),
        };
        if probe {
            *state = State::Probing;
        }
        Ok(Pass {
            breaker: Arc::clone(self),
            probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The server has begun to answer: others may ask too, but one more failure opens at once.
    pub(super) fn begun(&mut self) {
        if std::mem::take(&mut self.probe) {
            *self.breaker.state() = State::Closed(self.breaker.limit - 1);
        }
    }

    /// The server has answered.
    pub(super) fn succeeded(mut self) {
        let probe = std::mem::take(&mut self.probe);
        let mut state = self.breaker.state();
        // What was begun before it opened does not close it.
        if probe || matches!(*state, State::Closed(_)) {
            *state = State::Closed(0);
        }
    }

    /// The server has failed.
    pub(super) fn failed(mut self, now: Instant) {
        let probe = std::mem::take(&mut self.probe);
        let mut state = self.breaker.state();
        let failures = match *state {
            State::Closed(failures) => failures + 1,
            _ if probe => self.breaker.limit,
            _ => return,
        };
        *state = if failures >= self.breaker.limit {
            State::Open(now + self.breaker.pause)
        } else {
            State::Closed(failures)
        };
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // The one that was to find out has gone: the next may.
        if self.probe {
            *self.breaker.state() = State::Open(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let breaker = Breaker::new(2, PAUSE);
        let now = Instant::now();
        let enter = |at| breaker.enter(at);
        enter(now).unwrap().failed(now);
        enter(now).unwrap().succeeded();
        enter(now).unwrap().failed(now);
        let late = enter(now).unwrap();
        enter(now).unwrap().failed(now);
        assert_eq!(enter(now).unwrap_err(), PAUSE);
        // An answer that was begun before changes nothing.
        late.succeeded();
        assert_eq!(enter(now + PAUSE / 2).unwrap_err(), PAUSE / 2);
        let probe = enter(now + PAUSE).unwrap();
        assert!(enter(now + PAUSE).is_err(), "one asks, not two");
        probe.failed(now + PAUSE);
        assert_eq!(enter(now + PAUSE).unwrap_err(), PAUSE);
        enter(now + PAUSE * 2).unwrap().succeeded();
        enter(now).unwrap().failed(now);
        assert!(enter(now).is_ok());
    }

    #[test]
    fn a_probe_that_begins_to_answer_lets_others_in() {
        let breaker = Breaker::new(3, Duration::ZERO);
        let now = Instant::now();
        for _ in 0..3 {
            breaker.enter(now).unwrap().failed(now + PAUSE);
        }
        assert!(breaker.enter(now).is_err());
        let mut probe = breaker.enter(now + PAUSE).unwrap();
        probe.begun();
        assert!(breaker.enter(now).is_ok());
        probe.failed(now + PAUSE);
        assert!(breaker.enter(now).is_err(), "it is still on trial");
    }

    #[test]
    fn a_probe_that_is_cancelled_makes_room_for_another() {
        let breaker = Breaker::new(1, Duration::ZERO);
        let now = Instant::now();
        breaker.enter(now).unwrap().failed(now);
        drop(breaker.enter(now).unwrap());
        assert!(breaker.enter(Instant::now()).is_ok());
    }
}
