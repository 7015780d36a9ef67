//! The kernels of quantized matrices. A tile has 16 rows, whose words lie side by side: a word row is the
//! `i`-th word of each. Neighbouring units read four words each, of a row of words after another, so that a
//! workgroup reads a tile from its beginning to its end, 16 bytes a unit.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::config::Activation;

/// What is added to a product in its dispatch.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Added {
    Nothing,
    /// One number a row.
    Bias,
    /// One number a row and token.
    Residual,
}

/// Sums that the units of a workgroup add up in two steps: this many of the first.
pub(super) const GROUPS: usize = 4;

/// `out [tokens, rows] = x [tokens, blocks * 32] · wᵀ`, with what is around it. A workgroup has whole
/// tiles; a unit sums four rows for `at_once` tokens over every `slots`-th word row, `depth` of which it
/// asks for at once. A normed product is `Σ w x n / rms(x)`: the squares of `x` are summed along with it.
/// With a gate a unit sums four rows more, `rows` further on.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
// What is known when the kernel is compiled does not mix with what is not.
#[allow(clippy::collapsible_if)]
pub(super) fn product<S: Float, N: Size>(
    x: &[Vector<f32, N>],
    norm: &[Vector<f32, N>],
    words: &[Vector<u32, N>],
    scales: &[Vector<S, N>],
    addend: &[f32],
    out: &mut [f32],
    rows: u32,
    blocks: u32,
    tokens: u32,
    eps: f32,
    #[comptime] per_block: usize,
    #[comptime] at_once: usize,
    #[comptime] slots: usize,
    #[comptime] depth: usize,
    #[comptime] normed: bool,
    #[comptime] added: Added,
    #[comptime] gate: Option<Activation>,
    #[define(S)] _elements: ElemType,
) {
    let rows = rows as usize;
    let blocks = blocks as usize;
    let tokens = tokens as usize;
    let parts = comptime!(if gate.is_some() { 2usize } else { 1usize });
    // Numbers that a word holds.
    let in_word = comptime!(32 / per_block);
    let unit = UNIT_POS as usize;
    let quad = unit % 4;
    let slot = (unit / 4) % slots;
    let tiles_in_group = CUBE_DIM as usize / (4 * slots);
    let tile = CUBE_POS_Y as usize * tiles_in_group + unit / (4 * slots);
    let first = CUBE_POS_X as usize * at_once;
    let word_rows = blocks * per_block;

    // Of each part and token four rows; then of each token the squares.
    let mut sums = Array::<f32>::new(comptime!((4 * parts + 1) * at_once));
    #[unroll]
    for i in 0..comptime!((4 * parts + 1) * at_once) {
        sums[i] = 0.0;
    }
    if tile * 16 < rows {
        let rounds = word_rows.div_ceil(slots * depth);
        for round in 0..rounds {
            let mut asked = Array::<u32>::new(comptime!(4 * depth * parts));
            #[unroll]
            for d in 0..depth {
                // Past the end the last word row is read once more, and its products are nothing.
                let wanted = (round * depth + d) * slots + slot;
                let i = select(wanted < word_rows, wanted, word_rows - 1);
                #[unroll]
                for part in 0..parts {
                    let from = (tile + part * (rows / 16)) * word_rows + i;
                    let four = words[from * 4 + quad];
                    #[unroll]
                    for r in 0..4usize {
                        asked[comptime!(4 * (d * parts + part) + r)] = four.extract(r);
                    }
                }
            }
            #[unroll]
            for d in 0..depth {
                let wanted = (round * depth + d) * slots + slot;
                let inside = wanted < word_rows;
                let i = select(inside, wanted, word_rows - 1);
                let block = i / per_block;
                let w = i % per_block;
                let mut values = Array::<f32>::new(comptime!(at_once * in_word));
                let mut totals = Array::<f32>::new(at_once);
                #[unroll]
                for t in 0..at_once {
                    totals[t] = 0.0;
                }
                #[unroll]
                for half in 0..comptime!(in_word / 4) {
                    let at = w + comptime!(4 * half);
                    #[unroll]
                    for t in 0..at_once {
                        // A token past the last one reads the last one again.
                        let token = select(first + t < tokens, first + t, tokens - 1);
                        let four = x[(token * blocks + block) * 8 + at];
                        #[unroll]
                        for k in 0..4usize {
                            let mut value = select(inside, four.extract(k), 0.0f32);
                            if comptime!(normed) {
                                sums[comptime!(4 * parts * at_once + t)] += value * value;
                                value *= norm[block * 8 + at].extract(k);
                            }
                            totals[t] += value;
                            values[comptime!(t * in_word + 4 * half + k)] = value;
                        }
                    }
                }
                #[unroll]
                for part in 0..parts {
                    let place = (tile + part * (rows / 16)) * blocks + block;
                    let scale = scales[place * 4 + quad];
                    #[unroll]
                    for r in 0..4usize {
                        let weights =
                            numbers(asked[comptime!(4 * (d * parts + part) + r)], in_word);
                        #[unroll]
                        for t in 0..at_once {
                            // Weights are stored with what makes them positive, which is taken off here.
                            let mut dot = totals[t]
                                * comptime!(if in_word == 4 { -128.0f32 } else { -8.0f32 });
                            #[unroll]
                            for k in 0..in_word {
                                dot += weights[k] * values[comptime!(t * in_word + k)];
                            }
                            sums[comptime!(4 * (part * at_once + t) + r)] +=
                                dot * f32::cast_from(scale.extract(r));
                        }
                    }
                }
            }
        }
    }
    let columns = (blocks * 32) as f32;
    if comptime!(slots == 1) {
        #[unroll]
        for t in 0..at_once {
            #[unroll]
            for r in 0..4usize {
                let row = tile * 16 + quad * 4 + r;
                let sum = sums[comptime!(4 * t + r)];
                let up = sums[comptime!(4 * ((parts - 1) * at_once + t) + r)];
                let squares = sums[comptime!(4 * parts * at_once + t)];
                if row < rows && first + t < tokens {
                    let factor = factor_of(squares / columns, eps, normed);
                    finish(
                        addend,
                        out,
                        row,
                        rows,
                        first + t,
                        sum * factor,
                        up * factor,
                        added,
                        gate,
                    );
                }
            }
        }
    } else {
        // Of every slot the sums of the tile's rows, by part and token, then squares.
        let kinds = comptime!(16 * parts * at_once + if normed { at_once } else { 0usize });
        let mut found = Shared::new_slice(comptime!(slots * kinds));
        #[unroll]
        for i in 0..comptime!(parts * at_once) {
            #[unroll]
            for r in 0..4usize {
                found[slot * kinds + comptime!(16 * i + r) + quad * 4] = sums[comptime!(4 * i + r)];
            }
        }
        if comptime!(normed) {
            if quad == 0 {
                #[unroll]
                for t in 0..at_once {
                    found[slot * kinds + comptime!(16 * parts * at_once + t)] =
                        sums[comptime!(4 * parts * at_once + t)];
                }
            }
        }
        sync_cube();
        let mut grouped = Shared::new_slice(comptime!(GROUPS * kinds));
        for i in range_stepped(unit, comptime!(GROUPS * kinds), comptime!(4 * slots)) {
            let group = i / kinds;
            let kind = i % kinds;
            let mut sum = 0.0f32;
            #[unroll]
            for s in 0..comptime!(slots / GROUPS) {
                sum += found[(group * comptime!(slots / GROUPS) + s) * kinds + kind];
            }
            grouped[i] = sum;
        }
        sync_cube();
        for i in range_stepped(unit, comptime!(16 * at_once), comptime!(4 * slots)) {
            let t = i / 16;
            let row = tile * 16 + i % 16;
            if row < rows && first + t < tokens {
                let mut sum = 0.0f32;
                let mut up = 0.0f32;
                let mut squares = 0.0f32;
                #[unroll]
                for group in 0..GROUPS {
                    sum += grouped[comptime!(group * kinds) + i];
                    up += grouped[comptime!(group * kinds + 16 * (parts - 1) * at_once) + i];
                    if comptime!(normed) {
                        squares += grouped[comptime!(group * kinds + 16 * parts * at_once) + t];
                    }
                }
                let factor = factor_of(squares / columns, eps, normed);
                finish(
                    addend,
                    out,
                    row,
                    rows,
                    first + t,
                    sum * factor,
                    up * factor,
                    added,
                    gate,
                );
            }
        }
    }
}

/// What a product's norm multiplies it with, by the mean of the squares.
#[cube]
fn factor_of(mean: f32, eps: f32, #[comptime] normed: bool) -> f32 {
    let mut factor = 1.0f32;
    if comptime!(normed) {
        factor = (mean + eps).inverse_sqrt();
    }
    factor
}

/// Writes a row's product for a token, with what is added or gated.
#[cube]
#[allow(clippy::too_many_arguments)]
fn finish(
    addend: &[f32],
    out: &mut [f32],
    row: usize,
    rows: usize,
    token: usize,
    sum: f32,
    up: f32,
    #[comptime] added: Added,
    #[comptime] gate: Option<Activation>,
) {
    let place = token * rows + row;
    let mut value = sum;
    if comptime!(added == Added::Bias) {
        value += addend[row];
    }
    if comptime!(gate.is_some()) {
        let mut up = up;
        if comptime!(added == Added::Bias) {
            up += addend[rows + row];
        }
        value = activated(value, gate) * up;
    }
    if comptime!(added == Added::Residual) {
        value += addend[place];
    }
    out[place] = value;
}

/// The numbers of a word, in the order of their columns, and as much more as makes them positive: four of 8
/// bits, 128 more; or four of 4 bits, and four others half a block further on, 8 more.
#[cube]
fn numbers(word: u32, #[comptime] in_word: usize) -> Array<f32> {
    let mut numbers = Array::<f32>::new(in_word);
    if comptime!(in_word == 4) {
        // From two's complement.
        let word = word ^ 0x8080_8080u32;
        #[unroll]
        for k in 0..4usize {
            numbers[k] = f32::cast_from((word >> comptime!(8 * k as u32)) & 255u32);
        }
    } else {
        #[unroll]
        for k in 0..8usize {
            let at = comptime!(4 * (2 * (k % 4) + k / 4) as u32);
            numbers[k] = f32::cast_from((word >> at) & 15u32);
        }
    }
    numbers
}

/// The function of a gate. GELU's tanh is written as a sigmoid, whose exponential overflows to a limit.
#[cube]
fn activated(x: f32, #[comptime] gate: Option<Activation>) -> f32 {
    let mut inner = x;
    if comptime!(gate == Some(Activation::GeluTanh)) {
        inner = 1.595_769f32 * (x + 0.044_715f32 * x * x * x);
    }
    x / (1.0 + (-inner).exp())
}

/// Rows of the matrix as floats; a unit decodes one word.
#[cube(launch_unchecked)]
pub(super) fn gather<S: Float>(
    wanted: &[u32],
    words: &[u32],
    scales: &[S],
    out: &mut [f32],
    units: u32,
    blocks: u32,
    #[comptime] per_block: usize,
    #[define(S)] _elements: ElemType,
) {
    let unit = ABSOLUTE_POS;
    if unit < units as usize {
        let blocks = blocks as usize;
        let w = unit % per_block;
        let block = (unit / per_block) % blocks;
        let index = unit / (per_block * blocks);
        let row = wanted[index] as usize;
        let place = (row / 16) * blocks + block;
        let lane = row % 16;
        let scale = f32::cast_from(scales[place * 16 + lane]);
        let word = words[(place * per_block + w) * 16 + lane];
        let to = (index * blocks + block) * 32 + 4 * w;
        let numbers = numbers(word, comptime!(32 / per_block));
        #[unroll]
        for i in 0..4usize {
            if comptime!(per_block == 8) {
                out[to + i] = (numbers[i] - 128.0) * scale;
            } else {
                out[to + i] = (numbers[i] - 8.0) * scale;
                out[to + i + 16] = (numbers[comptime!(i + 4)] - 8.0) * scale;
            }
        }
    }
}
