//! Grouped-query attention over the cache: from products to context in two dispatches, in three for long
//! texts.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, lower_int, raise};
use crate::attention::Heads;
use crate::cache::Rows;
use crate::rope::{Rope, RopeConfig};

/// Keys that one workgroup looks at, one a unit. A longer text is shared out among several.
const CHUNK: usize = 256;
/// Units that join what all of them found.
const SIDE: usize = 16;

/// Where a pass over new positions stands, for kernels.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Of each of the model's ropes.
    pub(crate) angles: Vec<Angles>,
    /// How many positions come before, in the first number: on the device, so that the same launches can
    /// be made again for the next token.
    pub(crate) start: Tensor<1, Int>,
    /// Positions with the new ones, or more: workgroups for keys that there are none of do nothing.
    pub(crate) end: usize,
}

impl Place {
    /// That of `time` positions after `start`.
    pub(crate) fn new(angles: Vec<Angles>, start: usize, time: usize, device: &Device) -> Self {
        Self {
            angles,
            start: Tensor::from_data(
                TensorData::new(vec![start as u32], [1]),
                (device, DType::U32),
            ),
            end: start + time,
        }
    }
}

/// Cosines and sines `[positions, width]` of every position that a cache has room for, on the device:
/// a pass takes those of its positions without bringing anything there.
#[derive(Debug, Clone)]
pub(crate) struct Angles {
    table: Tensor<2>,
    frequencies: Vec<f32>,
    interleaved: bool,
}

impl Angles {
    /// Those of the first `positions` of a text of `length`.
    pub(crate) fn new(
        config: &RopeConfig,
        positions: usize,
        length: usize,
        device: &Device,
    ) -> Self {
        let rows = Rope::angles(config, 0..positions, length);
        let width = rows.len() / positions;
        let rows = TensorData::new(rows, [positions, width]);
        Self {
            table: Tensor::from_data(rows, device),
            frequencies: config.frequencies_of(length).into_owned(),
            interleaved: config.interleaved,
        }
    }

    /// Whether they are those that [`Angles::new`] would make.
    pub(crate) fn fit(&self, config: &RopeConfig, positions: usize, length: usize) -> bool {
        self.table.dims()[0] == positions && self.frequencies == *config.frequencies_of(length)
    }

    /// Width of a head that they turn as a whole, half a head apart; 0 if they turn none so.
    pub(crate) fn width(&self) -> usize {
        match self.interleaved {
            true => 0,
            false => self.table.dims()[1],
        }
    }
}

/// From products to context: heads are normed and turned, keys and values go to the cache, and every
/// query attends to what it may see.
///
/// `qkv` is `[1, time, (heads + 2 kv_heads) * width]`, the width a multiple of 4: a position's queries, then its keys, then its
/// values. The norm has weights of a head's width for queries, then for keys, and an eps; the rope is one of
/// the place's. Returns `[1, time, heads * width]`.
pub(crate) fn attention(
    qkv: Tensor<3>,
    heads: &Heads,
    norm: Option<(Tensor<1>, f32)>,
    rope: Option<usize>,
    place: &Place,
    cache: &mut Rows,
) -> Tensor<3> {
    let time = qkv.dims()[1];
    let qkv = lower(qkv);
    let (keys, values) = cache.tensors_mut();
    // The buffers are written in place: nobody else holds the cache's rows.
    let (keys, values) = (lower(keys.clone()), lower(values.clone()));
    let start = lower_int(place.start.clone());
    let angles = rope.map(|rope| &place.angles[rope]);
    let q = turn(&qkv, heads, norm, angles, &start, [&keys, &values]);
    let context = attend(q, keys, values, heads, start, place.end, time);
    raise(context)
}

/// Queries `[time, heads, width]`, normed and turned; keys and values go to the cache at `start`.
fn turn(
    qkv: &CubeTensor,
    n: &Heads,
    norm: Option<(Tensor<1>, f32)>,
    angles: Option<&Angles>,
    start: &CubeTensor,
    [keys, values]: [&CubeTensor; 2],
) -> CubeTensor {
    let slots = n.heads + 2 * n.kv_heads;
    let time = qkv.meta.num_elements() / (slots * n.width);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let (normed, turned) = (norm.is_some(), angles.is_some());
    let eps = norm.as_ref().map_or(0.0, |(_, eps)| *eps);
    // What is not used is bound to something that is there.
    let norms = norm.map_or_else(|| qkv.clone(), |(both, _)| lower(both));
    let angles = angles.map_or_else(|| qkv.clone(), |angles| lower(angles.table.clone()));
    let q = empty(qkv, [time, n.heads, n.width]);
    let units = time * slots * n.width / 2;
    count();
    // SAFETY: units past the end do nothing; the cache has room for `time` positions at `start`, and angles
    // are there for as many as it has room for.
    #[allow(unsafe_code)]
    unsafe {
        turn_heads::launch_unchecked(
            &q.client.clone(),
            CubeCount::Static(units.div_ceil(UNITS) as u32, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            qkv.clone().into_buffer_arg(),
            norms.into_buffer_arg(),
            angles.into_buffer_arg(),
            start.clone().into_buffer_arg(),
            q.clone().into_buffer_arg(),
            keys.clone().into_buffer_arg(),
            values.clone().into_buffer_arg(),
            units as u32,
            capacity as u32,
            eps,
            n.heads,
            n.kv_heads,
            n.width,
            normed,
            turned,
        );
    }
    q
}

fn attend(
    q: CubeTensor,
    keys: CubeTensor,
    values: CubeTensor,
    n: &Heads,
    start: CubeTensor,
    end: usize,
    time: usize,
) -> CubeTensor {
    let chunks = n.window.map_or(end, |w| w.min(end)).div_ceil(CHUNK);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let context = empty(&q, [1, time, n.heads * n.width]);
    // Of each chunk its context, its largest score and its sum of exponentials.
    let parts = match chunks {
        1 => context.clone(),
        _ => empty(&q, [time, n.heads, chunks, n.width + 2]),
    };
    let units = if is_software() { 1 } else { CHUNK };
    count();
    // SAFETY: a workgroup reads its query, and keys and values of positions before `start + time`, which the
    // cache has; it writes what belongs to its query and chunk.
    #[allow(unsafe_code)]
    unsafe {
        attend_chunk::launch_unchecked(
            &q.client.clone(),
            CubeCount::Static(n.heads as u32, time as u32, chunks as u32),
            CubeDim::new_1d(units as u32),
            4,
            q.into_buffer_arg(),
            keys.into_buffer_arg(),
            values.into_buffer_arg(),
            start.into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            capacity as u32,
            n.window.map_or(u32::MAX, |window| window as u32),
            n.scale,
            n.width,
            n.heads,
            n.heads / n.kv_heads,
            units,
            chunks == 1,
        );
    }
    if chunks > 1 {
        let units = time * n.heads * n.width;
        count();
        // SAFETY: units past the end do nothing; each reads its query's parts and writes one number.
        #[allow(unsafe_code)]
        unsafe {
            join_chunks::launch_unchecked(
                &context.client.clone(),
                CubeCount::Static(units.div_ceil(UNITS) as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                parts.into_buffer_arg(),
                context.clone().into_buffer_arg(),
                units as u32,
                chunks as u32,
                n.width,
            );
        }
    }
    context
}

/// A unit turns one pair of one head, half a head apart; those of values it only stores.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn turn_heads(
    qkv: &[f32],
    norms: &[f32],
    angles: &[f32],
    start: &[u32],
    q: &mut [f32],
    keys: &mut [f32],
    values: &mut [f32],
    units: u32,
    capacity: u32,
    eps: f32,
    #[comptime] heads: usize,
    #[comptime] kv_heads: usize,
    #[comptime] width: usize,
    #[comptime] normed: bool,
    #[comptime] turned: bool,
) {
    let unit = ABSOLUTE_POS;
    if unit < units as usize {
        let half = comptime!(width / 2);
        let slots = comptime!(heads + 2 * kv_heads);
        let pair = unit % half;
        let slot = (unit / half) % slots;
        let time = unit / (half * slots);
        let position = start[0] as usize + time;
        let base = (time * slots + slot) * width;
        let mut first = qkv[base + pair];
        let mut second = qkv[base + pair + half];
        if slot < heads + kv_heads {
            if comptime!(normed) {
                let mut squares = 0.0f32;
                for i in 0..width {
                    squares += qkv[base + i] * qkv[base + i];
                }
                let factor = (squares / width as f32 + eps).inverse_sqrt();
                let weights = select(slot < heads, 0usize, width);
                first *= factor * norms[weights + pair];
                second *= factor * norms[weights + pair + half];
            }
            if comptime!(turned) {
                let cos = angles[position * width + pair];
                let sin = angles[position * width + half + pair];
                let turned_first = first * cos - second * sin;
                second = second * cos + first * sin;
                first = turned_first;
            }
        }
        if slot < heads {
            let to = (time * heads + slot) * width + pair;
            q[to] = first;
            q[to + half] = second;
        } else if slot < heads + kv_heads {
            let to = ((slot - heads) * capacity as usize + position) * width + pair;
            keys[to] = first;
            keys[to + half] = second;
        } else {
            let head = slot - heads - kv_heads;
            let to = (head * capacity as usize + position) * width + pair;
            values[to] = first;
            values[to + half] = second;
        }
    }
}

/// A workgroup has one query head of one position and up to [`CHUNK`] of the keys it may see: scores, their
/// exponentials less the largest one's, and the sum of values weighted with these.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
// What is known when the kernel is compiled does not mix with what is not.
#[allow(clippy::collapsible_if)]
fn attend_chunk<N: Size>(
    q: &[Vector<f32, N>],
    keys: &[Vector<f32, N>],
    values: &[Vector<f32, N>],
    start: &[u32],
    out: &mut [f32],
    capacity: u32,
    window: u32,
    scale: f32,
    #[comptime] width: usize,
    #[comptime] heads: usize,
    #[comptime] group: usize,
    #[comptime] units: usize,
    #[comptime] whole: bool,
) {
    let unit = UNIT_POS as usize;
    let head = CUBE_POS_X as usize;
    let time = CUBE_POS_Y as usize;
    let chunk = CUBE_POS_Z as usize;
    let fours = comptime!(width / 4);
    // The query sees positions before `end`, of which the first is `begin`.
    let end = start[0] as usize + time + 1;
    let begin = end - select(end < window as usize, end, window as usize);
    let first = begin + chunk * CHUNK;
    let after = select(first + CHUNK < end, first + CHUNK, end);
    let count = select(first < after, after - first, 0usize);
    let row = (head / group) * capacity as usize + first;
    let query = (time * heads + head) * fours;

    let mut scores = Shared::new_slice(CHUNK);
    // Finite, so that a chunk without keys weighs nothing instead of making NaN.
    let mut largest = f32::new(-1.0e30);
    for key in range_stepped(unit, count, units) {
        let mut sum = 0.0f32;
        for i in 0..fours {
            let a = q[query + i];
            let b = keys[(row + key) * fours + i];
            #[unroll]
            for lane in 0..4usize {
                sum += a.extract(lane) * b.extract(lane);
            }
        }
        scores[key] = sum * scale;
        largest = max(largest, sum * scale);
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
            let mut sum = Vector::<f32, N>::new(0.0);
            for key in range_stepped(unit / fours, count, rows) {
                let weight = Vector::<f32, N>::new(scores[key]);
                sum += weight * values[(row + key) * fours + unit % fours];
            }
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
        for i in range_stepped(unit, width, units) {
            let mut sum = 0.0f32;
            for r in 0..rows {
                sum += sums[r * width + i];
            }
            out[to + i] = sum / divisor;
        }
    } else {
        for four in range_stepped(unit, fours, units) {
            let mut sum = Vector::<f32, N>::new(0.0);
            for key in 0..count {
                sum += Vector::<f32, N>::new(scores[key]) * values[(row + key) * fours + four];
            }
            #[unroll]
            for lane in 0..4usize {
                out[to + four * 4 + lane] = sum.extract(lane) / divisor;
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
fn join_chunks(parts: &[f32], out: &mut [f32], units: u32, chunks: u32, #[comptime] width: usize) {
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
            let factor = (parts[at + width] - largest).exp();
            sum += factor * parts[at + unit % width];
            total += factor * parts[at + width + 1];
        }
        out[unit] = sum / total;
    }
}
