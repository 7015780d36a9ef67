//! What logits say, without bringing them to the host: the likeliest token and how sure the model is of it, and the few
//! tokens that one is drawn from.

mod picks;
mod shortlist;

use cubecl::prelude::*;

use burn_cubecl::tensor::CubeTensor;

use super::{UNITS, count, empty};
pub(crate) use picks::{PICK, Picks, ROWS, Reading};
pub(crate) use shortlist::{LISTED, shortlists};

/// Units that look through a row of logits.
const READERS: usize = 4096;
/// Units that join what these find; a power of two.
const JOINERS: usize = 256;
/// What each of them finds: its largest logit, that one's id, its second largest logit, its sums of
/// `exp(l - largest)` and `exp(l - largest) (l - largest)`, 0 if one was not finite, and its sum of
/// `exp((l - largest) / temperature)`.
const FOUND: usize = 7;
/// Below all logits, but finite: drivers may take for granted that nothing is not.
const LOWEST: f32 = -3.0e38;

/// What [`READERS`] units find in each row of `logits` `[rows, vocab]`: `[rows, READERS, FOUND]`. Without temperatures, of
/// which there is one's inverse for each row, the last of what is found means nothing.
fn look(
    logits: &CubeTensor,
    vocab: usize,
    inverse_temperatures: Option<&CubeTensor>,
) -> CubeTensor {
    let rows = logits.meta.num_elements() / vocab;
    let found = empty(logits, [rows, READERS, FOUND]);
    count();
    // SAFETY: each unit reads logits of its row and writes its own numbers.
    #[allow(unsafe_code)]
    unsafe {
        look_through::launch_unchecked(
            &found.client.clone(),
            CubeCount::Static((READERS / UNITS) as u32, rows as u32, 1),
            CubeDim::new_1d(UNITS as u32),
            logits.clone().into_buffer_arg(),
            // What is not used is bound to something that is there.
            inverse_temperatures
                .unwrap_or(logits)
                .clone()
                .into_buffer_arg(),
            found.clone().into_buffer_arg(),
            vocab as u32,
            inverse_temperatures.is_some(),
        );
    }
    found
}

/// Each of [`READERS`] units looks at every so many-th logit of a row.
#[cube(launch_unchecked)]
fn look_through(
    logits: &[f32],
    inverse_temperatures: &[f32],
    found: &mut [f32],
    vocab: u32,
    #[comptime] tempered: bool,
) {
    let unit = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let row = CUBE_POS_Y as usize;
    let vocab = vocab as usize;
    let mut inverse = 1.0f32;
    if comptime!(tempered) {
        inverse = inverse_temperatures[row];
    }
    let mut best = nothing_found();
    for i in range_stepped(unit, vocab, READERS) {
        let logit = logits[row * vocab + i];
        // By its bits: comparisons with NaN are what drivers make of them.
        let finite = (u32::reinterpret(logit) & 0x7f80_0000u32) != 0x7f80_0000u32;
        let mut one = Array::<f32>::new(FOUND);
        one[0] = logit;
        one[1] = i as f32;
        one[2] = f32::new(LOWEST);
        one[3] = 1.0;
        one[4] = 0.0;
        one[5] = select(finite, 1.0f32, 0.0f32);
        one[6] = 1.0;
        join(&mut best, &one, inverse, tempered);
    }
    let to = (row * READERS + unit) * FOUND;
    #[unroll]
    for i in 0..FOUND {
        found[to + i] = best[i];
    }
}

/// What the units of a workgroup, each of which has joined what some readers found, have found together: the first unit
/// knows it.
#[cube]
fn join_units(
    best: &mut Array<f32>,
    unit: usize,
    inverse: f32,
    #[comptime] units: usize,
    #[comptime] tempered: bool,
) {
    let mut shared = Shared::new_slice(comptime!(units * FOUND));
    #[unroll]
    for i in 0..FOUND {
        shared[unit * FOUND + i] = best[i];
    }
    #[unroll]
    for round in 0..comptime!(units.ilog2() as usize) {
        // Half as many units as had something join it with the other half's.
        let half = comptime!(units >> (round + 1));
        sync_cube();
        if unit < half {
            join_at(best, &shared, (unit + half) * FOUND, inverse, tempered);
            #[unroll]
            for i in 0..FOUND {
                shared[unit * FOUND + i] = best[i];
            }
        }
    }
}

/// Writes what was found in all logits as a pick, which begins `at` there.
#[cube]
fn tell(best: &Array<f32>, picks: &mut [f32], at: usize) {
    let log_sum = best[3].ln();
    picks[at] = best[1];
    picks[at + 1] = -log_sum;
    picks[at + 2] = (1.0 - (best[2] - best[0]).exp()) / best[3];
    picks[at + 3] = max(log_sum - best[4] / best[3], 0.0f32);
    picks[at + 4] = best[5];
}

/// Adds what a unit found, which begins `at` there.
#[cube]
fn join_at(
    best: &mut Array<f32>,
    found: &[f32],
    at: usize,
    inverse: f32,
    #[comptime] tempered: bool,
) {
    let mut one = Array::<f32>::new(FOUND);
    #[unroll]
    for i in 0..FOUND {
        one[i] = found[at + i];
    }
    join(best, &one, inverse, tempered);
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
    best[6] = 0.0;
    best
}

/// Adds what was found in other logits. Of equals the first in the vocabulary is the likeliest.
#[cube]
fn join(best: &mut Array<f32>, one: &Array<f32>, inverse: f32, #[comptime] tempered: bool) {
    let (old, largest) = (best[0], one[0]);
    let new = max(old, largest);
    let better = largest > old || (largest == old && one[1] < best[1]);
    best[1] = select(better, one[1], best[1]);
    best[2] = max(max(best[2], one[2]), min(old, largest));
    let (old, other) = (
        max(old - new, f32::new(-1.0e4)),
        max(largest - new, f32::new(-1.0e4)),
    );
    let (by_old, by_other) = (old.exp(), other.exp());
    best[4] = by_old * (best[4] + best[3] * old) + by_other * (one[4] + one[3] * other);
    best[3] = best[3] * by_old + one[3] * by_other;
    best[0] = new;
    best[5] = min(best[5], one[5]);
    if comptime!(tempered) {
        best[6] = best[6] * (old * inverse).exp() + one[6] * (other * inverse).exp();
    }
}
