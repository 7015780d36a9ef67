//! The likeliest token and how sure the model is of it, without bringing logits to the host.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, lower_int};

/// Numbers of a pick: token id, log-probability, margin, entropy, and 0 if a logit was not finite. An id is
/// exact as f32: vocabularies are far below 2^24.
pub(crate) const PICK: usize = 5;
/// Units that look through a row of logits.
const READERS: usize = 1024;
/// What each of them finds: its largest logit, that one's id, its second largest logit, its sums of
/// `exp(l - largest)` and `exp(l - largest) (l - largest)`, and 0 if one was not finite.
const FOUND: usize = 6;
/// Below all logits, but finite: drivers may take for granted that nothing is not.
const LOWEST: f32 = -3.0e38;

/// The picks of some steps in a row: those that a device has made, and those it is about to make.
#[derive(Debug)]
pub(crate) struct Picks {
    /// `[steps, PICK]`
    picks: Tensor<2>,
    /// The latest step's token, `[1, 1]`.
    token: Tensor<2, Int>,
}

impl Picks {
    /// Room for the picks of `steps`.
    pub(crate) fn new(steps: usize, device: &Device) -> Self {
        let nothing = TensorData::new(vec![0u32], [1, 1]);
        Self {
            picks: Tensor::zeros([steps, PICK], device),
            token: Tensor::from_data(nothing, (device, DType::U32)),
        }
    }

    /// Room for as many steps after these.
    pub(crate) fn follow(&self) -> Self {
        Self {
            picks: Tensor::zeros(self.picks.dims(), &self.picks.device()),
            token: self.token.clone(),
        }
    }

    /// The latest step's token, for the next step: `[1, 1]`.
    pub(crate) fn token(&self) -> Tensor<2, Int> {
        self.token.clone()
    }

    /// All picks `[steps, PICK]`, to be read back.
    pub(crate) fn all(&self) -> Tensor<2> {
        self.picks.clone()
    }

    /// Picks the likeliest of `logits` `[1, vocab]` as the token of step `step`.
    pub(crate) fn pick(&mut self, logits: Tensor<2>, step: usize) {
        let vocab = logits.dims()[1];
        let logits = lower(logits);
        let found = empty(&logits, [READERS, FOUND]);
        // The buffers are written in place: clones of these tensors are read after the last step.
        let (picks, token) = (lower(self.picks.clone()), lower_int(self.token.clone()));
        count();
        // SAFETY: each unit reads logits before `vocab` and writes its own numbers.
        #[allow(unsafe_code)]
        unsafe {
            look_through::launch_unchecked(
                &found.client.clone(),
                CubeCount::Static((READERS / UNITS) as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                logits.clone().into_buffer_arg(),
                found.clone().into_buffer_arg(),
                vocab as u32,
            );
        }
        let units = if is_software() { 1 } else { UNITS };
        count();
        // SAFETY: one workgroup reads what was found, and one logit, and writes the row of `step`.
        #[allow(unsafe_code)]
        unsafe {
            settle::launch_unchecked(
                &found.client.clone(),
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(units as u32),
                found.into_buffer_arg(),
                picks.into_buffer_arg(),
                token.into_buffer_arg(),
                step as u32,
                units,
            );
        }
    }
}

/// Each of [`READERS`] units looks at every so many-th logit.
#[cube(launch_unchecked)]
fn look_through(logits: &[f32], found: &mut [f32], vocab: u32) {
    let unit = ABSOLUTE_POS;
    let mut best = nothing_found();
    for i in range_stepped(unit, vocab as usize, READERS) {
        let logit = logits[i];
        // By its bits: comparisons with NaN are what drivers make of them.
        let finite = (u32::reinterpret(logit) & 0x7f80_0000u32) != 0x7f80_0000u32;
        join(
            &mut best,
            logit,
            i as f32,
            f32::new(LOWEST),
            1.0f32,
            0.0f32,
            select(finite, 1.0f32, 0.0f32),
        );
    }
    #[unroll]
    for i in 0..FOUND {
        found[unit * FOUND + i] = best[i];
    }
}

/// One workgroup joins what [`READERS`] units found: row `step` of the picks, and the token.
#[cube(launch_unchecked)]
fn settle(
    found: &[f32],
    picks: &mut [f32],
    token: &mut [u32],
    step: u32,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let mut best = nothing_found();
    for i in range_stepped(unit, READERS, units) {
        let at = i * FOUND;
        join(
            &mut best,
            found[at],
            found[at + 1],
            found[at + 2],
            found[at + 3],
            found[at + 4],
            found[at + 5],
        );
    }
    if comptime!(units > 1) {
        let mut shared = Shared::new_slice(comptime!(units * FOUND));
        #[unroll]
        for i in 0..FOUND {
            shared[unit * FOUND + i] = best[i];
        }
        sync_cube();
        if unit == 0 {
            for other in 1..units {
                let at = other * FOUND;
                join(
                    &mut best,
                    shared[at],
                    shared[at + 1],
                    shared[at + 2],
                    shared[at + 3],
                    shared[at + 4],
                    shared[at + 5],
                );
            }
        }
    }
    if unit == 0 {
        let log_sum = best[3].ln();
        let entropy = log_sum - best[4] / best[3];
        let at = step as usize * PICK;
        picks[at] = best[1];
        picks[at + 1] = -log_sum;
        picks[at + 2] = (1.0 - (best[2] - best[0]).exp()) / best[3];
        picks[at + 3] = max(entropy, 0.0f32);
        picks[at + 4] = best[5];
        token[0] = best[1] as u32;
    }
}

#[cube]
fn nothing_found() -> Array<f32> {
    let mut best = Array::<f32>::new(FOUND);
    best[0] = f32::new(LOWEST);
    best[1] = 0.0;
    best[2] = f32::new(LOWEST);
    best[3] = 0.0;
    best[4] = 0.0;
    best[5] = 1.0;
    best
}

/// Adds what was found in other logits. Of equals the first in the vocabulary is the likeliest.
#[cube]
fn join(
    best: &mut Array<f32>,
    largest: f32,
    id: f32,
    second: f32,
    sum: f32,
    weighted: f32,
    finite: f32,
) {
    let old = best[0];
    let new = max(old, largest);
    let better = largest > old || (largest == old && id < best[1]);
    best[1] = select(better, id, best[1]);
    best[2] = max(max(best[2], second), min(old, largest));
    let (old, other) = (
        max(old - new, f32::new(-1.0e4)),
        max(largest - new, f32::new(-1.0e4)),
    );
    let (by_old, by_other) = (old.exp(), other.exp());
    best[4] = by_old * (best[4] + best[3] * old) + by_other * (weighted + sum * other);
    best[3] = best[3] * by_old + sum * by_other;
    best[0] = new;
    best[5] = min(best[5], finite);
}
