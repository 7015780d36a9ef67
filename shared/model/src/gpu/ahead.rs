//! Tokens in flight: a GPU takes its own picks as the next steps' input, so that it never waits for the
//! host to read one. Once its launches are known they are recorded, and made again for each further token.

use std::collections::VecDeque;

use cubecl::client::Graph;
use std::thread::ThreadId;

use super::sample::{PICK, Picks, ROWS, Reading};
use crate::cache::KvCache;
use crate::sampler::Confidence;
use crate::{Decoder, Error};

/// Steps that are read back at once. While these are read, as many more are on their way; what is picked
/// past an answer's end is forgotten.
const STEPS: usize = 4;
const _: () = assert!(2 * STEPS <= ROWS);
/// Steps after which the device's memory for one is as it stays.
const WARM_UP: usize = 2;
/// Tokens to come from which on it pays to record a step.
const WORTHWHILE: usize = 8;
/// Positions that the first recorded step has workgroups for; later ones have twice as many each.
const FIRST_END: usize = 256;

/// The likeliest tokens of one answer: read and not given out yet, and in flight.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    read: VecDeque<Pick>,
    flights: VecDeque<Flight>,
    picks: Option<Picks>,
    launched: usize,
    recorded: Recorded,
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
    reading: Reading,
    /// The number of its first step.
    first: usize,
    steps: usize,
}

/// The launches of a step, to be made again.
#[derive(Debug, Default)]
enum Recorded {
    #[default]
    NotYet,
    Step(Step),
    /// It failed once.
    Impossible,
}

#[derive(Debug)]
struct Step {
    graph: Graph,
    launches: u64,
    thread: ThreadId,
    /// Positions that it is good for.
    end: usize,
    /// That of the cache whose buffers it writes.
    capacity: usize,
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
                self.go_on(decoder, cache, most)?;
            }
            let Some(flight) = self.flights.front_mut() else {
                continue;
            };
            let rows = flight.reading.rows().await?;
            let steps = flight.first..flight.first + flight.steps;
            // Only now: whoever drops this future in between asks for the same flight again.
            self.flights.pop_front();
            let row = |step| &rows[step % ROWS * PICK..][..PICK];
            self.read.extend(steps.map(|step| Pick::new(row(step))));
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
        let mut picks = Picks::new(cache.len(), &logits.device());
        picks.pick(logits);
        self.flights.push_back(Flight {
            reading: picks.read(),
            first: 0,
            steps: 1,
        });
        self.launched = 1;
        self.picks = Some(picks);
        Ok(())
    }

    /// Launches the next steps after those that are in flight.
    fn go_on(&mut self, decoder: &Decoder, cache: &mut KvCache, most: usize) -> Result<(), Error> {
        let left = most.saturating_sub(self.launched);
        let (first, steps) = (self.launched, STEPS.min(left));
        let Some(mut picks) = self.picks.take().filter(|_| steps > 0) else {
            return Ok(());
        };
        let mut done = 0;
        while done < steps {
            cache.reserve(cache.len() + 1)?;
            match &self.recorded {
                Recorded::Step(step) if step.fits(cache) => {
                    step.again()?;
                    cache.advance(1);
                    done += 1;
                }
                Recorded::Impossible => {
                    launch(decoder, cache, &mut picks, cache.len() + 1)?;
                    done += 1;
                }
                _ if left < WORTHWHILE || done + WARM_UP > steps => {
                    launch(decoder, cache, &mut picks, cache.len() + 1)?;
                    done += 1;
                }
                _ => {
                    self.recorded = Recorded::NotYet;
                    self.recorded = record(decoder, cache, &mut picks)?;
                    done += WARM_UP;
                }
            }
        }
        self.launched += steps;
        self.flights.push_back(Flight {
            reading: picks.read(),
            first,
            steps,
        });
        self.picks = Some(picks);
        Ok(())
    }
}

/// Launches one step, with workgroups for `end` positions.
fn launch(
    decoder: &Decoder,
    cache: &mut KvCache,
    picks: &mut Picks,
    end: usize,
) -> Result<(), Error> {
    let logits = decoder.forward_next(picks.token(), picks.position(), end, cache)?;
    picks.pick(logits);
    Ok(())
}

/// Launches [`WARM_UP`] steps, and records one that is not made.
fn record(decoder: &Decoder, cache: &mut KvCache, picks: &mut Picks) -> Result<Recorded, Error> {
    let wanted = cache.len() + WARM_UP + 1;
    cache.reserve(wanted)?;
    let end = wanted.next_power_of_two().max(FIRST_END);
    let client = picks.client();
    let prepared = decoder.steps_are_alike(cache) && client.graph_prepare().is_ok();
    for _ in 0..WARM_UP {
        launch(decoder, cache, picks, end)?;
    }
    if !prepared {
        return Ok(Recorded::Impossible);
    }
    let start = cache.len();
    let opened = client.start_capture();
    let (mut launches, mut launched) = (0, Ok(()));
    if opened.is_ok() {
        launches = super::recorded(|| launched = launch(decoder, cache, picks, end));
        cache.truncate(start);
    }
    let stopped = client.stop_capture();
    launched?;
    Ok(match stopped {
        Ok(graph) if opened.is_ok() => Recorded::Step(Step {
            graph,
            launches,
            thread: std::thread::current().id(),
            end,
            capacity: cache.capacity(),
        }),
        _ => Recorded::Impossible,
    })
}

impl Step {
    /// Whether it is that of the cache's next position.
    fn fits(&self, cache: &KvCache) -> bool {
        cache.len() < self.end
            && cache.capacity() == self.capacity
            && cache.is_plain()
            && std::thread::current().id() == self.thread
    }

    /// Launches it once more.
    fn again(&self) -> Result<(), Error> {
        // SAFETY: the weights, the cache's buffers, which are others only with another capacity, and the
        // picks outlive the answer, and with it this; what lies between is the graph's own. Everything is
        // launched and read by this thread, in its stream.
        #[allow(unsafe_code)]
        let replayed = unsafe { self.graph.replay() };
        super::count_all(self.launches);
        replayed.map_err(|e| Error::Device(e.to_string()))
    }
}

impl Pick {
    /// Of its [`PICK`] numbers.
    pub(super) fn new(numbers: &[f32]) -> Self {
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
