//! The few tokens of each row of logits that one is drawn from, likelier than all others, and what must be known of these.

use burn::tensor::{Tensor, TensorData};
use cubecl::prelude::*;

use super::super::ahead::Pick;
use super::super::{count, empty, lower, raise};
use super::{FOUND, JOINERS, PICK, READERS, join_at, join_units, look, nothing_found, tell};
use crate::shortlist::Shortlist;

/// Numbers of a shortlist before its tokens: the likeliest one as a pick, its logit, the sum of
/// `exp((l - largest) / temperature)`, the number of tokens, and the logit that all of them reach and no others.
const HEAD: usize = PICK + 4;
/// Tokens that there is room for; where more reach the limit, the list is of no use.
const MOST: usize = 256;
/// Numbers of a shortlist: of each token its id and its logit follow.
const SHORT: usize = HEAD + 2 * MOST;
/// Tokens that are listed at least, of a vocabulary that has as many, if they are not too many.
pub(crate) const LISTED: usize = 64;

impl Shortlist {
    /// `rows` as they come from the device.
    pub(crate) fn all(rows: &[f32]) -> Vec<Self> {
        rows.chunks_exact(SHORT).map(Self::new).collect()
    }

    fn new(row: &[f32]) -> Self {
        let (head, listed) = row.split_at(HEAD);
        let (pick, rest) = head.split_at(PICK);
        let pick = Pick::new(pick);
        let count = rest[2] as usize;
        let count = if count > MOST { 0 } else { count };
        let tokens = listed[..2 * count].chunks_exact(2);
        let mut tokens: Vec<_> = tokens.map(|token| (token[0] as u32, token[1])).collect();
        tokens.sort_unstable_by_key(|(id, _)| *id);
        Self {
            likeliest: pick.id,
            stats: pick.stats,
            finite: pick.finite,
            largest: rest[0],
            sum: rest[1].into(),
            tokens,
            floor: rest[3],
        }
    }
}

/// Of each row of `logits` `[rows, vocab]` its shortlist, `[rows, SHORT]` ([`Shortlist::all`]), for draws at these
/// temperatures.
pub(crate) fn shortlists(logits: Tensor<2>, temperatures: &[f32]) -> Tensor<2> {
    let [rows, vocab] = logits.dims();
    // What is not cold enough to be told from the likeliest token alone is not too cold for f32.
    let inverse = temperatures.iter().map(|t| (1.0 / t).min(1e30)).collect();
    let inverse = Tensor::<1>::from_data(TensorData::new(inverse, [rows]), &logits.device());
    let (logits, inverse) = (lower(logits), lower(inverse));
    let found = look(&logits, vocab, Some(&inverse));
    let lists = empty(&logits, [rows, SHORT]);
    count();
    // SAFETY: a workgroup reads logits and what was found of its row, and writes its row's list.
    #[allow(unsafe_code)]
    unsafe {
        shortlist::launch_unchecked(
            &lists.client.clone(),
            CubeCount::Static(rows as u32, 1, 1),
            CubeDim::new_1d(JOINERS as u32),
            logits.into_buffer_arg(),
            inverse.into_buffer_arg(),
            found.into_buffer_arg(),
            lists.clone().into_buffer_arg(),
            vocab as u32,
        );
    }
    raise(lists)
}

/// A workgroup joins what was found of its row. Each unit has the logits of some readers: the [`LISTED`]-th largest of the
/// units' largest is what as many logits reach, and few more.
#[cube(launch_unchecked)]
fn shortlist(
    logits: &[f32],
    inverse_temperatures: &[f32],
    found: &[f32],
    lists: &mut [f32],
    vocab: u32,
) {
    let unit = UNIT_POS as usize;
    let row = CUBE_POS_X as usize;
    let vocab = vocab as usize;
    let inverse = inverse_temperatures[row];
    let mut best = nothing_found();
    for i in range_stepped(unit, READERS, JOINERS) {
        join_at(&mut best, found, (row * READERS + i) * FOUND, inverse, true);
    }
    let largest = best[0];
    let mut largest_of = Shared::new_slice(JOINERS);
    largest_of[unit] = largest;
    join_units(&mut best, unit, inverse, JOINERS, true);
    sync_cube();

    // How many units have a larger one, or as large a one and come first.
    let mut before = 0u32;
    for other in 0..JOINERS {
        let theirs = largest_of[other];
        if theirs > largest || (theirs == largest && other < unit) {
            before += 1;
        }
    }
    let mut floor_of = Shared::new_slice(1usize);
    if before == comptime!(LISTED as u32 - 1) {
        floor_of[0] = largest;
    }
    sync_cube();
    let floor = floor_of[0];

    // How many tokens each unit has, and from that where it writes them.
    let mut own = 0u32;
    for reader in range_stepped(unit, READERS, JOINERS) {
        if found[(row * READERS + reader) * FOUND] >= floor {
            for i in range_stepped(reader, vocab, READERS) {
                if logits[row * vocab + i] >= floor {
                    own += 1;
                }
            }
        }
    }
    let mut owned = Shared::new_slice(JOINERS);
    owned[unit] = own;
    sync_cube();
    let mut at = 0u32;
    for other in 0..unit {
        at += owned[other];
    }
    let to = row * SHORT;
    if unit == comptime!(JOINERS - 1) {
        lists[to + PICK + 2] = (at + own) as f32;
        lists[to + PICK + 3] = floor;
    }
    for reader in range_stepped(unit, READERS, JOINERS) {
        if found[(row * READERS + reader) * FOUND] >= floor {
            for i in range_stepped(reader, vocab, READERS) {
                let logit = logits[row * vocab + i];
                if logit >= floor {
                    if at < comptime!(MOST as u32) {
                        let to = to + HEAD + 2 * at as usize;
                        lists[to] = i as f32;
                        lists[to + 1] = logit;
                    }
                    at += 1;
                }
            }
        }
    }
    if unit == 0 {
        tell(&best, lists, to);
        lists[to + PICK] = best[0];
        lists[to + PICK + 1] = best[6];
    }
}
