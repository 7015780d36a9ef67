//! What is asked, and when: prompts, closed loops and Poisson arrivals.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::answer::{Failure, Outcome};

/// Requests of an open loop that may be under way at once; the machine has no threads for more.
const MAX_IN_FLIGHT: usize = 1024;

/// Words of prompts: common ones, which most vocabularies have as one token each.
const WORDS: [&str; 128] = [
    "about", "above", "after", "again", "air", "also", "animal", "answer", "apple", "area",
    "autumn", "away", "back", "bank", "because", "before", "began", "bird", "black", "blue",
    "boat", "body", "book", "bread", "bridge", "bright", "bring", "brother", "build", "car",
    "carry", "change", "child", "city", "clear", "close", "cloud", "cold", "color", "come",
    "country", "cut", "dance", "dark", "day", "door", "draw", "dream", "early", "earth", "east",
    "eat", "evening", "every", "family", "farm", "fast", "father", "field", "fire", "fish",
    "flower", "follow", "food", "forest", "friend", "garden", "give", "glass", "gold", "good",
    "grass", "great", "green", "hand", "happy", "hear", "help", "high", "hill", "home", "horse",
    "house", "island", "keep", "kind", "kitchen", "lake", "land", "large", "late", "learn",
    "leave", "letter", "light", "line", "list", "little", "long", "market", "money", "moon",
    "morning", "mountain", "music", "name", "night", "north", "number", "ocean", "open", "page",
    "paper", "people", "place", "question", "rain", "river", "road", "school", "sea", "small",
    "song", "stone", "story", "summer", "table", "water",
];

/// Streams of the generator besides those of prompts, which are numbered from 0.
const SHARED_PREFIX: u64 = u64::MAX;
const GAPS: u64 = u64::MAX - 1;

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

fn words(seed: u64, stream: u64, count: usize) -> String {
    let mut generator = generator(seed, stream);
    let words: Vec<&str> = (0..count)
        .map(|_| WORDS[generator.random_range(0..WORDS.len())])
        .collect();
    words.join(" ")
}

/// Prompts of random words that share their beginning and nothing else.
pub(super) struct Prompts {
    seed: u64,
    words: usize,
    shared: String,
}

impl Prompts {
    /// Prompts that begin with the same `shared` words, followed by `words` of their own.
    pub(super) fn new(seed: u64, words_each: usize, shared: usize) -> Self {
        Self {
            seed,
            words: words_each,
            shared: words(seed, SHARED_PREFIX, shared),
        }
    }

    /// The prompt of that number.
    pub(super) fn get(&self, number: u64) -> String {
        let own = words(self.seed, number, self.words);
        match self.shared.is_empty() {
            true => own,
            false => format!("{} {own}", self.shared),
        }
    }
}

/// Moments of `count` Poisson arrivals, `rate` of them per second on average.
pub(super) fn poisson(seed: u64, rate: f64, count: usize) -> Vec<Duration> {
    let mut generator = generator(seed, GAPS);
    let mut at = 0.0;
    let mut arrivals = Vec::with_capacity(count);
    for _ in 0..count {
        // Above 0, whose logarithm is none.
        let uniform = 1.0 - generator.random::<f64>();
        at += -uniform.ln() / rate;
        arrivals.push(Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX));
    }
    arrivals
}

/// Closed loop: each of `streams` asks `requests` times, one after the other. Ends when all are answered.
///
/// `ask` gets the number of its request, from 0, and the moment it was due.
pub(super) fn closed_loop<F>(streams: usize, requests: usize, ask: F) -> Vec<Outcome>
where
    F: Fn(usize, Instant) -> Outcome + Sync,
{
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for stream in 0..streams {
            let (ask, sent) = (&ask, sender.clone());
            let run = move || {
                for request in 0..requests {
                    let number = stream * requests + request;
                    // The receiver outlives the scope.
                    let _ = sent.send(ask(number, Instant::now()));
                }
            };
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                let failures = std::iter::repeat_n(Failure::NotSent, requests);
                failures.for_each(|failure| _ = sender.send(Err(failure)));
            }
        }
    });
    drop(sender);
    outcomes.iter().collect()
}

/// Open loop: asks at every moment of `arrivals`, whether the others are answered or not. Ends when
/// all are answered.
///
/// A request's moment is when it was due, so that whatever delays this program counts as well.
pub(super) fn open_loop<F>(arrivals: &[Duration], ask: F) -> Vec<Outcome>
where
    F: Fn(usize, Instant) -> Outcome + Sync,
{
    let (sender, outcomes) = mpsc::channel();
    let in_flight = AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for (number, &at) in arrivals.iter().enumerate() {
            let due = begin.checked_add(at).unwrap_or(begin);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (ask, sent, in_flight) = (&ask, sender.clone(), &in_flight);
            let run = move || {
                let _ = sent.send(ask(number, due));
                in_flight.fetch_sub(1, Ordering::Relaxed);
            };
            let is_full = in_flight.fetch_add(1, Ordering::Relaxed) >= MAX_IN_FLIGHT;
            if is_full || thread::Builder::new().spawn_scoped(scope, run).is_err() {
                in_flight.fetch_sub(1, Ordering::Relaxed);
                let _ = sender.send(Err(Failure::NotSent));
            }
        }
    });
    drop(sender);
    outcomes.iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn prompts_share_their_beginning_only() {
        let prompts = Prompts::new(7, 24, 5);
        let (a, b) = (prompts.get(0), prompts.get(1));
        let (a, b): (Vec<_>, Vec<_>) = (a.split(' ').collect(), b.split(' ').collect());
        assert_eq!((a.len(), b.len()), (29, 29));
        assert_eq!(a[..5], b[..5]);
        assert_ne!(a[5..], b[5..]);
        assert_eq!(Prompts::new(7, 24, 5).get(1), prompts.get(1));
        assert_ne!(Prompts::new(8, 24, 5).get(1), prompts.get(1));
        let alone = Prompts::new(7, 24, 0);
        assert_eq!(alone.get(0).split(' ').count(), 24);
        let different: BTreeSet<String> = (0..1000).map(|number| alone.get(number)).collect();
        assert_eq!(different.len(), 1000);
    }

    #[test]
    fn gaps_are_exponential() {
        let rate = 20.0;
        let arrivals = poisson(3, rate, 20_000);
        let gaps: Vec<f64> = std::iter::once(&Duration::ZERO)
            .chain(&arrivals)
            .zip(&arrivals)
            .map(|(from, to)| (*to - *from).as_secs_f64() * rate)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        let deviation = (squares / gaps.len() as f64).sqrt();
        // Both are 1 for exponential gaps, whose mean deviates by 1/sqrt(20,000).
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((deviation - 1.0).abs() < 0.05, "{deviation}");
        assert_eq!(arrivals, poisson(3, rate, 20_000));
    }

    #[test]
    fn every_request_is_asked_once() {
        let asked = Mutex::new(BTreeSet::new());
        let ask = |number, _| {
            assert!(asked.lock().unwrap().insert(number));
            Err(Failure::CutOff)
        };
        assert_eq!(closed_loop(5, 3, ask).len(), 15);
        assert_eq!(*asked.lock().unwrap(), (0..15).collect());
        asked.lock().unwrap().clear();
        assert_eq!(open_loop(&[Duration::ZERO; 40], ask).len(), 40);
        assert_eq!(*asked.lock().unwrap(), (0..40).collect());
    }
}
