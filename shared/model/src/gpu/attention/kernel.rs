//! The kernels of attention.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::cache::PAGE;

/// Keys that one workgroup looks at, one a unit. A longer text is shared out among several.
pub(super) const CHUNK: usize = 256;
/// Units that join what all of them found.
const SIDE: usize = 16;

/// Whose the new positions of a pass are.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Texts {
    /// One text's, whose positions are at the rows of their numbers.
    One,
    /// One text's, in pages.
    OneInPages,
    /// Several texts', in pages.
    Several,
}

/// The row of a position of a head whose rows begin at `base`, of a text whose pages begin at `pages` in the table.
#[cube]
fn row_of(
    table: &[u32],
    pages: usize,
    base: usize,
    position: usize,
    #[comptime] texts: Texts,
) -> usize {
    let mut row = position;
    if comptime!(texts != Texts::One) {
        row = table[pages + position / PAGE] as usize * PAGE + position % PAGE;
    }
    base + row
}

/// The position in its text of the new one with number `time`.
#[cube]
fn position_of(places: &[u32], time: usize, #[comptime] texts: Texts) -> usize {
    if comptime!(texts == Texts::Several) {
        places[2 * time] as usize
    } else {
        places[0] as usize + time
    }
}

/// Where the pages of its text begin in the table.
#[cube]
fn pages_of(places: &[u32], time: usize, #[comptime] texts: Texts) -> usize {
    let mut pages = 0usize;
    if comptime!(texts == Texts::Several) {
        pages = places[2 * time + 1] as usize;
    }
    pages
}

/// A unit turns one pair of one head, half a head apart; those of values it only stores.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub(super) fn turn_heads<K: Float>(
    qkv: &[f32],
    norms: &[f32],
    angles: &[f32],
    places: &[u32],
    table: &[u32],
    q: &mut [f32],
    keys: &mut [K],
    values: &mut [K],
    units: u32,
    capacity: u32,
    eps: f32,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] width: usize,
    #[comptime] normed: bool,
    #[comptime] turned: bool,
    #[comptime] texts: Texts,
    #[define(K)] _kept: ElemType,
) {
    let unit = ABSOLUTE_POS;
    if unit < units as usize {
        let half = comptime!(width / 2);
        let slots = comptime!(heads + 2 * kv_heads);
        let pair = unit % half;
        let slot = (unit / half) % slots;
        let time = unit / (half * slots);
        let position = position_of(places, time, texts);
        let pages = pages_of(places, time, texts);
        let base = (time * slots + slot) * width;
        let mut first = qkv[base + pair];
        let mut second = qkv[base + pair + half];
        if slot < heads + kv_heads {
            let is_key = slot >= heads;
            let both = turned_pair(
                qkv, norms, angles, base, pair, position, is_key, eps, width, normed, turned,
            );
            first = both[0];
            second = both[1];
        }
        if slot < heads {
            let to = (time * heads + slot) * width + pair;
            q[to] = first;
            q[to + half] = second;
        } else if slot < heads + kv_heads {
            let base = (slot - heads) * capacity as usize;
            let to = row_of(table, pages, base, position, texts) * width + pair;
            keys[to] = K::cast_from(first);
            keys[to + half] = K::cast_from(second);
        } else {
            let base = (slot - heads - kv_heads) * capacity as usize;
            let to = row_of(table, pages, base, position, texts) * width + pair;
            values[to] = K::cast_from(first);
            values[to + half] = K::cast_from(second);
        }
    }
}

/// A pair of a head at `base`, half a head apart, after its norm and its turn.
#[cube]
#[allow(clippy::too_many_arguments)]
fn turned_pair(
    qkv: &[f32],
    norms: &[f32],
    angles: &[f32],
    base: usize,
    pair: usize,
    position: usize,
    is_key: bool,
    eps: f32,
    #[comptime] width: usize,
    #[comptime] normed: bool,
    #[comptime] turned: bool,
) -> Array<f32> {
    let half = comptime!(width / 2);
    let mut first = qkv[base + pair];
    let mut second = qkv[base + pair + half];
    if comptime!(normed) {
        let mut squares = 0.0f32;
        for i in 0..width {
            squares += qkv[base + i] * qkv[base + i];
        }
        let factor = (squares / width as f32 + eps).inverse_sqrt();
        let weights = select(is_key, width, 0usize);
        first *= factor * norms[weights + pair];
        second *= factor * norms[weights + pair + half];
    }
    let mut both = Array::<f32>::new(2usize);
    both[0] = first;
    both[1] = second;
    if comptime!(turned) {
        let cos = angles[position * width + pair];
        let sin = angles[position * width + half + pair];
        both[0] = first * cos - second * sin;
        both[1] = second * cos + first * sin;
    }
    both
}

/// A workgroup has one query head of one position and up to [`CHUNK`] of the keys it may see: scores, their
/// exponentials less the largest one's, and the sum of values weighted with these. `turning`, with whether
/// heads are normed and turned, is for positions that are each its text's only new one: their products are there
/// for queries, and their own keys and values are not in the cache yet.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
// What is known when the kernel is compiled does not mix with what is not.
#[allow(clippy::collapsible_if, clippy::manual_is_multiple_of)]
pub(super) fn attend_chunk<K: Float, N: Size>(
    q: &[f32],
    keys: &mut [Vector<K, N>],
    values: &mut [Vector<K, N>],
    norms: &[f32],
    angles: &[f32],
    places: &[u32],
    table: &[u32],
    out: &mut [f32],
    capacity: u32,
    window: u32,
    scale: f32,
    eps: f32,
    #[comptime] width: usize,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] units: usize,
    #[comptime] whole: bool,
    #[comptime] turning: Option<(bool, bool)>,
    #[comptime] texts: Texts,
    #[define(K)] _kept: ElemType,
) {
    let unit = UNIT_POS as usize;
    let head = CUBE_POS_X as usize;
    let time = CUBE_POS_Y as usize;
    let chunk = CUBE_POS_Z as usize;
    let fours = comptime!(width / 4);
    let half = comptime!(width / 2);
    let group = comptime!(heads / kv_heads);
    // The query sees positions before `end`, of which the first is `begin`.
    let end = position_of(places, time, texts) + 1;
    let pages = pages_of(places, time, texts);
    let begin = end - select(end < window as usize, end, window as usize);
    let first = begin + chunk * CHUNK;
    let after = select(first + CHUNK < end, first + CHUNK, end);
    let count = select(first < after, after - first, 0usize);
    let base = (head / group) * capacity as usize;
    // Whether the query's own position is here, as the last one.
    let mut own = false;
    if comptime!(turning.is_some()) {
        own = count > 0 && first + count == end;
    }
    // Positions whose keys and values are in the cache.
    let held = select(own, count - 1, count);
    // Of a chunk without keys only its sum is asked for, which is nothing.
    let wanted = select(count > 0, comptime!(width), 0usize);

    // The query; then, of a single position, its key and value.
    let mut new = Shared::new_slice(comptime!(if turning.is_some() { 3 * width } else { width }));
    if comptime!(turning.is_some()) {
        let (normed, turned) = comptime!(turning.unwrap_or((false, false)));
        let kv_head = head / group;
        for i in range_stepped(unit, wanted, units) {
            let is_key = i >= half;
            let pair = i % half;
            let slot = select(is_key, heads + kv_head, head);
            let base = (time * comptime!(heads + 2 * kv_heads) + slot) * width;
            let both = turned_pair(
                q,
                norms,
                angles,
                base,
                pair,
                end - 1,
                is_key,
                eps,
                width,
                normed,
                turned,
            );
            let to = select(is_key, width, 0usize) + pair;
            // A key and a value count as they are kept, whether they are read from the cache or not.
            new[to] = select(is_key, f32::cast_from(K::cast_from(both[0])), both[0]);
            new[to + half] = select(is_key, f32::cast_from(K::cast_from(both[1])), both[1]);
            let slot = time * comptime!(heads + 2 * kv_heads) + heads + kv_heads + kv_head;
            new[2 * width + i] = f32::cast_from(K::cast_from(q[slot * width + i]));
        }
    } else {
        for i in range_stepped(unit, wanted, units) {
            new[i] = q[(time * heads + head) * width + i];
        }
    }
    if comptime!(units > 1) {
        sync_cube();
    }

    let mut scores = Shared::new_slice(CHUNK);
    // Finite, so that a chunk without keys weighs nothing instead of making NaN.
    let mut largest = f32::new(-1.0e30);
    for key in range_stepped(unit, held, units) {
        let mut sum = 0.0f32;
        let row = row_of(table, pages, base, first + key, texts);
        #[unroll]
        for i in 0..fours {
            let four = Vector::<f32, N>::cast_from(keys[row * fours + i]);
            #[unroll]
            for lane in 0..4usize {
                sum += new[i * 4 + lane] * four.extract(lane);
            }
        }
        scores[key] = sum * scale;
        largest = max(largest, sum * scale);
    }
    if comptime!(turning.is_some()) {
        // By the next unit, which has one key less than others at most.
        if own && unit == held % units {
            let mut sum = 0.0f32;
            for i in 0..width {
                sum += new[i] * new[width + i];
            }
            scores[held] = sum * scale;
            largest = max(largest, sum * scale);
        }
        if own && head % group == 0 {
            let row = row_of(table, pages, base, end - 1, texts);
            for four in range_stepped(unit, fours, units) {
                let mut key = Vector::<f32, N>::new(0.0);
                let mut value = Vector::<f32, N>::new(0.0);
                #[unroll]
                for lane in 0..4usize {
                    key.insert(lane, new[width + four * 4 + lane]);
                    value.insert(lane, new[2 * width + four * 4 + lane]);
                }
                keys[row * fours + four] = Vector::cast_from(key);
                values[row * fours + four] = Vector::cast_from(value);
            }
        }
    }
    let mut shared = Shared::new_slice(comptime!(if units > 1 { units + SIDE } else { 1 }));
    if comptime!(units > 1) {
        shared[unit] = largest;
        sync_cube();
        if unit < SIDE {
            for i in 1..comptime!(units / SIDE) {
                largest = max(largest, shared[unit + i * SIDE]);
            }
            shared[units + unit] = largest;
        }
        sync_cube();
        for i in 0..SIDE {
            largest = max(largest, shared[units + i]);
        }
    }
    let mut total = 0.0f32;
    for key in range_stepped(unit, count, units) {
        let weight = (scores[key] - largest).exp();
        scores[key] = weight;
        total += weight;
    }
    if comptime!(units > 1) {
        // Everybody has read the largest of each side by now, or reads it before the next barrier.
        shared[unit] = total;
        sync_cube();
        if unit < SIDE {
            for i in 1..comptime!(units / SIDE) {
                total += shared[unit + i * SIDE];
            }
            shared[units + unit] = total;
        }
        sync_cube();
        total = 0.0;
        for i in 0..SIDE {
            total += shared[units + i];
        }
    }
    // As many keys side by side as there are units for the whole width.
    let rows = comptime!(if units > fours { units / fours } else { 1 });
    let mut sums = Shared::new_slice(comptime!(if rows > 1 { rows * width } else { 1 }));
    if comptime!(rows > 1) {
        if unit < comptime!(rows * fours) {
            // Two sums, and no reading that waits for another: a unit's time is that of its loads.
            let mut sum = Vector::<f32, N>::new(0.0);
            let mut other = Vector::<f32, N>::new(0.0);
            for key in range_stepped(unit / fours, held, comptime!(4 * rows)) {
                let last = held - 1;
                let at1 = min(key + rows, last);
                let at2 = min(key + comptime!(2 * rows), last);
                let at3 = min(key + comptime!(3 * rows), last);
                let row0 = row_of(table, pages, base, first + key, texts);
                let row1 = row_of(table, pages, base, first + at1, texts);
                let row2 = row_of(table, pages, base, first + at2, texts);
                let row3 = row_of(table, pages, base, first + at3, texts);
                let value0 = Vector::<f32, N>::cast_from(values[row0 * fours + unit % fours]);
                let value1 = Vector::<f32, N>::cast_from(values[row1 * fours + unit % fours]);
                let value2 = Vector::<f32, N>::cast_from(values[row2 * fours + unit % fours]);
                let value3 = Vector::<f32, N>::cast_from(values[row3 * fours + unit % fours]);
                let weight1 = select(key + rows < held, scores[at1], 0.0f32);
                let weight2 = select(key + comptime!(2 * rows) < held, scores[at2], 0.0f32);
                let weight3 = select(key + comptime!(3 * rows) < held, scores[at3], 0.0f32);
                sum += Vector::<f32, N>::new(scores[key]) * value0;
                other += Vector::<f32, N>::new(weight1) * value1;
                sum += Vector::<f32, N>::new(weight2) * value2;
                other += Vector::<f32, N>::new(weight3) * value3;
            }
            sum += other;
            #[unroll]
            for lane in 0..4usize {
                sums[unit * 4 + lane] = sum.extract(lane);
            }
        }
        sync_cube();
    }
    let place = time * heads + head;
    let (to, divisor) = if comptime!(whole) {
        (place * width, total)
    } else {
        let part = place * CUBE_COUNT_Z as usize + chunk;
        (part * comptime!(width + 2), 1.0f32)
    };
    if comptime!(rows > 1) {
        for i in range_stepped(unit, wanted, units) {
            let mut sum = 0.0f32;
            for r in 0..rows {
                sum += sums[r * width + i];
            }
            if comptime!(turning.is_some()) {
                if own {
                    sum += scores[held] * new[2 * width + i];
                }
            }
            out[to + i] = sum / divisor;
        }
    } else {
        for four in range_stepped(unit, wanted / 4, units) {
            let mut sum = Vector::<f32, N>::new(0.0);
            for key in 0..held {
                let row = row_of(table, pages, base, first + key, texts);
                let value = Vector::<f32, N>::cast_from(values[row * fours + four]);
                sum += Vector::<f32, N>::new(scores[key]) * value;
            }
            #[unroll]
            for lane in 0..4usize {
                let i = four * 4 + lane;
                let mut all = sum.extract(lane);
                if comptime!(turning.is_some()) {
                    if own {
                        all += scores[held] * new[2 * width + i];
                    }
                }
                out[to + i] = all / divisor;
            }
        }
    }
    if comptime!(!whole) {
        if unit == 0 {
            let at = (place * CUBE_COUNT_Z as usize + chunk) * (width + 2) + width;
            out[at] = largest;
            out[at + 1] = total;
        }
    }
}

/// A unit joins one number of a head's context from its chunks' `[width + 2]`: context, largest score, sum.
#[cube(launch_unchecked)]
pub(super) fn join_chunks(
    parts: &[f32],
    out: &mut [f32],
    units: u32,
    chunks: u32,
    #[comptime] width: usize,
) {
    let unit = ABSOLUTE_POS;
    if unit < units as usize {
        let chunks = chunks as usize;
        let first = (unit / width) * chunks;
        let mut largest = f32::new(-1.0e30);
        for chunk in 0..chunks {
            largest = max(largest, parts[(first + chunk) * (width + 2) + width]);
        }
        let mut sum = 0.0f32;
        let mut total = 0.0f32;
        for chunk in 0..chunks {
            let at = (first + chunk) * (width + 2);
            let part = parts[at + width + 1];
            // A chunk without keys has written no context.
            if part > 0.0 {
                let factor = (parts[at + width] - largest).exp();
                sum += factor * parts[at + unit % width];
                total += factor * part;
            }
        }
        out[unit] = sum / total;
    }
}
