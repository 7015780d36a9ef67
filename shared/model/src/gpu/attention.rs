//! Grouped-query attention over the cache: from products to context in two dispatches, in three for long
//! texts.

use burn::tensor::{Device, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, raise};
use crate::attention::Heads;
use crate::cache::Rows;
use crate::rope::{Rope, RopeConfig};

/// Keys that one workgroup looks at. A longer text is shared out among several.
const CHUNK: usize = 256;

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
/// values; positions begin at `start`. The norm has weights of a head's width for queries and for keys, and
/// an eps. Returns `[1, time, heads * width]`.
pub(crate) fn attention(
    qkv: Tensor<3>,
    heads: &Heads,
    norm: Option<([Tensor<1>; 2], f32)>,
    angles: Option<&Angles>,
    start: usize,
    cache: &mut Rows,
) -> Tensor<3> {
    let time = qkv.dims()[1];
    let qkv = lower(qkv);
    let (keys, values) = cache.tensors_mut();
    // The buffers are written in place: nobody else holds the cache's rows.
    let (keys, values) = (lower(keys.clone()), lower(values.clone()));
    let q = turn(&qkv, heads, norm, angles, start, [&keys, &values]);
    let context = attend(q, keys, values, heads, start, time);
    raise(context)
}

/// Queries `[time, heads, width]`, normed and turned; keys and values go to the cache at `start`.
fn turn(
    qkv: &CubeTensor,
    n: &Heads,
    norm: Option<([Tensor<1>; 2], f32)>,
    angles: Option<&Angles>,
    start: usize,
    [keys, values]: [&CubeTensor; 2],
) -> CubeTensor {
    let slots = n.heads + 2 * n.kv_heads;
    let time = qkv.meta.num_elements() / (slots * n.width);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let (normed, turned) = (norm.is_some(), angles.is_some());
    let eps = norm.as_ref().map_or(0.0, |(_, eps)| *eps);
    // What is not used is bound to something that is there.
    let norms = norm.map_or_else(
        || qkv.clone(),
        |(both, _)| lower(Tensor::cat(both.into(), 0)),
    );
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
            q.clone().into_buffer_arg(),
            keys.clone().into_buffer_arg(),
            values.clone().into_buffer_arg(),
            units as u32,
            start as u32,
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
    start: usize,
    time: usize,
) -> CubeTensor {
    let longest = n.window.map_or(start + time, |w| w.min(start + time));
    let chunks = longest.div_ceil(CHUNK);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let context = empty(&q, [1, time, n.heads * n.width]);
    // Of each chunk its context, its largest score and its sum of exponentials.
    let parts = match chunks {
        1 => context.clone(),
        _ => empty(&q, [time, n.heads, chunks, n.width + 2]),
    };
    let units = if is_software() { 1 } else { UNITS };
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
            parts.clone().into_buffer_arg(),
            start as u32,
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
    q: &mut [f32],
    keys: &mut [f32],
    values: &mut [f32],
    units: u32,
    start: u32,
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
        let position = start as usize + time;
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
    values: &[f32],
    out: &mut [f32],
    start: u32,
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
    let end = start as usize + time + 1;
    let begin = end - select(end < window as usize, end, window as usize);
    let first = begin + chunk * CHUNK;
    let after = select(first + CHUNK < end, first + CHUNK, end);
    let count = select(first < after, after - first, 0usize);
    let row = (head / group) * capacity as usize + first;
    let query = (time * heads + head) * fours;

    let mut scores = Shared::new_slice(CHUNK);
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
    }
    if comptime!(units > 1) {
        sync_cube();
    }
    // Finite, so that a chunk without keys weighs nothing instead of making NaN.
    let mut largest = f32::new(-1.0e30);
    for key in 0..count {
        largest = max(largest, scores[key]);
    }
    if comptime!(units > 1) {
        sync_cube();
    }
    for key in range_stepped(unit, count, units) {
        scores[key] = (scores[key] - largest).exp();
    }
    if comptime!(units > 1) {
        sync_cube();
    }
    let mut total = 0.0f32;
    for key in 0..count {
        total += scores[key];
    }
    let place = time * heads + head;
    for i in range_stepped(unit, width, units) {
        let mut sum = 0.0f32;
        for key in 0..count {
            sum += scores[key] * values[(row + key) * width + i];
        }
        if comptime!(whole) {
            out[place * width + i] = sum / total;
        } else {
            out[(place * CUBE_COUNT_Z as usize + chunk) * (width + 2) + i] = sum;
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
