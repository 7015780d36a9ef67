//! Which rows a step sees: a pure function of data, seed and step.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Stream;
use crate::tokenizer::PAD;
use crate::{Error, Result};

/// Rows in one cycle of the schedule; shares are exact to one part in this many.
const SLOTS: usize = 1000;

/// One step's tokens, row-major `[batch, time]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the model reads.
    pub inputs: Vec<i32>,
    /// What it should say next: the inputs shifted left by one.
    pub targets: Vec<i32>,
    /// Which targets count in the loss.
    pub mask: Vec<bool>,
}

/// All batches of one side of a dataset.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    streams: &'a [Stream],
    /// Per stream, where each row begins.
    rows: Vec<Vec<u32>>,
    /// Per slot of a cycle, the stream it takes from and how many slots before it took from it.
    slots: Vec<(usize, usize)>,
    /// Per stream, its slots in a cycle.
    counts: Vec<usize>,
    batch: usize,
    time: usize,
    seed: u64,
}

impl<'a> Batches<'a> {
    pub(super) fn new(streams: &'a [Stream], batch: usize, time: usize, seed: u64) -> Result<Self> {
        if streams.is_empty() {
            return Err(Error::Mixture(
                "there are no documents on this side of the split".into(),
            ));
        }
        if batch == 0 || time == 0 {
            return Err(Error::Mixture("batch and time must be at least 1".into()));
        }
        let counts = shares(streams);
        let mut slots: Vec<_> = counts
            .iter()
            .enumerate()
            .flat_map(|(stream, &count)| std::iter::repeat_n((stream, 0), count))
            .collect();
        slots.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut used = vec![0; streams.len()];
        for (stream, rank) in &mut slots {
            *rank = used[*stream];
            used[*stream] += 1;
        }
        let rows = streams
            .iter()
            .map(|stream| row_starts(stream, time))
            .collect();
        Ok(Self {
            streams,
            rows,
            slots,
            counts,
            batch,
            time,
            seed,
        })
    }

    /// How many different rows there are, over all parts.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    /// The batch of a step.
    ///
    /// Within a part, no row comes twice before all have come once; the parts keep their shares
    /// over every thousand rows. A row that reaches the end of its part is filled with
    /// [`PAD`], which never counts.
    #[must_use]
    pub fn get(&self, step: usize) -> Batch {
        let size = self.batch * self.time;
        let mut batch = Batch {
            inputs: Vec::with_capacity(size),
            targets: Vec::with_capacity(size),
            mask: Vec::with_capacity(size),
        };
        for row in 0..self.batch {
            let (stream, start) = self.row(step * self.batch + row);
            let (tokens, mask) = (&stream.tokens, &stream.mask);
            let token = |i: usize| i32::from(tokens.get(i).copied().unwrap_or(PAD as u16));
            for i in start..start + self.time {
                batch.inputs.push(token(i));
                batch.targets.push(token(i + 1));
                batch.mask.push(mask.get(i + 1).copied().unwrap_or(false));
            }
        }
        batch
    }

    /// The `n`-th row of the run: its stream, and where it begins there.
    fn row(&self, n: usize) -> (&'a Stream, usize) {
        let (cycle, slot) = (n / self.slots.len(), n % self.slots.len());
        let (stream, rank) = self.slots[slot];
        let rows = &self.rows[stream];
        let draw = cycle * self.counts[stream] + rank;
        let (epoch, index) = (draw / rows.len(), draw % rows.len());
        let key = mix(self.seed ^ mix((stream as u64) << 32 ^ epoch as u64));
        (
            &self.streams[stream],
            rows[permute(index, rows.len(), key)] as usize,
        )
    }
}

/// Slots per stream: proportional to the weights by largest remainder, at least one each.
fn shares(streams: &[Stream]) -> Vec<usize> {
    let total: f64 = streams.iter().map(|stream| f64::from(stream.weight)).sum();
    let exact: Vec<f64> = streams
        .iter()
        .map(|stream| f64::from(stream.weight) / total * SLOTS as f64)
        .collect();
    let mut counts: Vec<usize> = exact.iter().map(|&share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..streams.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = SLOTS.saturating_sub(counts.iter().sum());
    for &stream in order.iter().cycle().take(missing) {
        counts[stream] += 1;
    }
    counts.into_iter().map(|count| count.max(1)).collect()
}

/// Where rows of `time` inputs and one more target begin.
///
/// A row begins where a document does. The document that the end of a row cuts begins the next
/// row, unless that would repeat over half a row: then the next row goes on in mid-document.
fn row_starts(stream: &Stream, time: usize) -> Vec<u32> {
    let mut rows = Vec::new();
    let mut at = 0;
    while at + 1 < stream.tokens.len() {
        rows.push(at as u32);
        let end = at + time;
        let next = stream
            .starts
            .partition_point(|&start| start as usize <= end);
        at = match next.checked_sub(1).map(|i| stream.starts[i] as usize) {
            Some(start) if start > at && end - start <= time / 2 => start,
            _ => end,
        };
    }
    rows
}

/// A fixed pseudo-random permutation of `0..n` without storing it: a four-round Feistel network
/// on the next even number of bits, walked until it lands below `n` (Black and Rogaway 2002).
fn permute(index: usize, n: usize, key: u64) -> usize {
    let bits = usize::BITS - (n - 1).leading_zeros();
    let half = bits.div_ceil(2).max(1);
    let low = (1_u64 << half) - 1;
    let mut value = index as u64;
    loop {
        let (mut left, mut right) = (value >> half, value & low);
        for round in 0..4 {
            (left, right) = (right, left ^ (mix(key ^ mix(right ^ round << 56)) & low));
        }
        value = left << half | right;
        if value < n as u64 {
            return value as usize;
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// A stream of documents of the given lengths, tokens counting up.
    fn stream(source: &str, weight: f32, lengths: &[usize]) -> Stream {
        let starts = lengths
            .iter()
            .scan(0, |at, &length| {
                let start = *at;
                *at += length as u32;
                Some(start)
            })
            .collect();
        let n = lengths.iter().sum::<usize>() as u16;
        Stream {
            source: source.into(),
            weight,
            tokens: (1..=n).collect(),
            mask: vec![true; usize::from(n)],
            starts,
            bytes: 0,
        }
    }

    proptest! {
        #[test]
        fn permutations_are_one_to_one(n in 1_usize..300, key in any::<u64>()) {
            let images: HashSet<_> = (0..n).map(|i| permute(i, n, key)).collect();
            prop_assert_eq!(images.len(), n);
            prop_assert!(images.iter().all(|&i| i < n));
        }

        #[test]
        fn every_token_is_a_target_in_some_row(
            lengths in prop::collection::vec(2_usize..60, 1..20), time in 2_usize..40,
        ) {
            let stream = stream("a", 1.0, &lengths);
            let streams = [stream];
            let batches = Batches::new(&streams, 1, time, 7).unwrap();
            let mut targets = HashSet::new();
            for step in 0..batches.rows() {
                let batch = batches.get(step);
                for ((input, target), counts) in
                    batch.inputs.iter().zip(&batch.targets).zip(&batch.mask)
                {
                    if *counts {
                        prop_assert_eq!(*target, input + 1);
                        targets.insert(*target);
                    } else {
                        prop_assert_eq!(*target, PAD as i32);
                    }
                }
            }
            prop_assert_eq!(targets.len(), streams[0].tokens.len() - 1);
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        let streams = [stream("a", 3.0, &[9; 50]), stream("b", 1.0, &[9; 20])];
        let batches = Batches::new(&streams, 10, 8, 1).unwrap();
        let from_a = (0..SLOTS)
            .filter(|&n| batches.row(n).0.source == "a")
            .count();
        assert_eq!(from_a, 750);
        assert_eq!(batches.get(17), batches.get(17));
        assert_ne!(batches.get(17), batches.get(18));
        let other = Batches::new(&streams, 10, 8, 2).unwrap();
        assert_ne!(batches.get(17), other.get(17));
    }

    #[test]
    fn an_epoch_has_every_row_once() {
        let streams = [stream("a", 1.0, &[9; 40])];
        let batches = Batches::new(&streams, 1, 8, 1).unwrap();
        let n = batches.rows();
        let epoch = |k: usize| {
            (k * n..(k + 1) * n)
                .map(|i| batches.row(i).1)
                .collect::<Vec<_>>()
        };
        assert_eq!(epoch(0).iter().collect::<HashSet<_>>().len(), n);
        assert_ne!(epoch(0), epoch(1));
    }

    #[test]
    fn nothing_to_train_on_is_an_error() {
        assert!(matches!(Batches::new(&[], 1, 8, 1), Err(Error::Mixture(_))));
        let streams = [stream("a", 1.0, &[9])];
        assert!(matches!(
            Batches::new(&streams, 0, 8, 1),
            Err(Error::Mixture(_))
        ));
    }
}
