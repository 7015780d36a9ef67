//! Tokens in flight: a GPU takes its own picks as the next steps' input, so that it never waits for the
//! host to read one.

use std::collections::VecDeque;

use super::sample::{PICK, Picks};
use crate::cache::KvCache;
use crate::sampler::Confidence;
use crate::{Decoder, Error};

/// Steps that are read back at once. While these are read, as many more are on their way; what is picked
/// past an answer's end is forgotten.
const STEPS: usize = 4;

/// The likeliest tokens of one answer: read and not given out yet, and in flight.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    read: VecDeque<Pick>,
    flights: VecDeque<Flight>,
    launched: usize,
}

/// A token that a device picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pick {
    pub(crate) id: u32,
    pub(crate) stats: Confidence,
    /// Whether all logits were numbers; if not, the rest means nothing.
    pub(crate) finite: bool,
}

#[derive(Debug)]
struct Flight {
    picks: Picks,
    steps: usize,
}

impl Ahead {
    /// The next pick, of `most` in all. The first one comes after `pending` were run on what `cache` holds.
    ///
    /// # Errors
    /// [`Error::Prompt`] if nothing is pending at first, [`Error::Device`].
    pub(crate) async fn next(
        &mut self,
        decoder: &Decoder,
        cache: &mut KvCache,
        pending: &[u32],
        most: usize,
    ) -> Result<Pick, Error> {
        loop {
            if let Some(pick) = self.read.pop_front() {
                return Ok(pick);
            }
            if self.flights.is_empty() {
                self.begin(decoder, cache, pending)?;
            }
            if self.flights.len() == 1 {
                self.go_on(decoder, cache, most);
            }
            let Some(flight) = self.flights.front() else {
                continue;
            };
            let (picks, steps) = (flight.picks.all(), flight.steps);
            let picks = picks.into_data_async().await;
            let picks = picks.map_err(|e| Error::Device(e.to_string()))?;
            let picks = picks.try_to_vec::<f32>();
            let picks = picks.map_err(|e| Error::Device(e.to_string()))?;
            // Only now: whoever drops this future in between asks for the same flight again.
            self.flights.pop_front();
            let picks = picks.chunks_exact(PICK).take(steps);
            self.read.extend(picks.map(Pick::new));
        }
    }

    /// Launches the first step, alone: nothing is read sooner than by itself.
    fn begin(
        &mut self,
        decoder: &Decoder,
        cache: &mut KvCache,
        pending: &[u32],
    ) -> Result<(), Error> {
        let logits = decoder.run(pending, cache)?;
        let mut picks = Picks::new(STEPS, &logits.device());
        picks.pick(logits, 0);
        self.launched += 1;
        self.flights.push_back(Flight { picks, steps: 1 });
        Ok(())
    }

    /// Launches the next steps after those that are in flight.
    fn go_on(&mut self, decoder: &Decoder, cache: &mut KvCache, most: usize) {
        let steps = STEPS.min(most.saturating_sub(self.launched));
        let Some(last) = self.flights.back().filter(|_| steps > 0) else {
            return;
        };
        let mut picks = last.picks.follow();
        for step in 0..steps {
            let logits = decoder.forward_cached(picks.token(), cache);
            picks.pick(logits, step);
        }
        self.launched += steps;
        self.flights.push_back(Flight { picks, steps });
    }
}

impl Pick {
    fn new(numbers: &[f32]) -> Self {
        Self {
            id: numbers[0] as u32,
            stats: Confidence {
                logprob: numbers[1],
                margin: numbers[2],
                entropy: numbers[3],
            },
            finite: numbers[4] == 1.0,
        }
    }
}
