//! Grouped-query attention over the cache: from products to context in two dispatches, in three for long
//! texts.

mod kernel;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{UNITS, count, empty, is_software, lower, lower_int, raise};
use crate::attention::Heads;
use crate::cache::Rows;
use crate::rope::{Rope, RopeConfig};
use kernel::{CHUNK, attend_chunk, join_chunks, turn_heads};

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
    /// The pages of the text, where its positions are not at the rows of their numbers.
    pub(crate) table: Option<Tensor<1, Int>>,
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
            table: None,
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
    let table = place.table.clone().map(lower_int);
    let angles = rope.map(|rope| &place.angles[rope]);
    let turning = Turning {
        eps: norm.as_ref().map_or(0.0, |(_, eps)| *eps),
        normed: norm.is_some(),
        turned: angles.is_some(),
        // What is not used is bound to something that is there.
        norms: norm.map_or_else(|| qkv.clone(), |(both, _)| lower(both)),
        angles: angles.map_or_else(|| qkv.clone(), |angles| lower(angles.table.clone())),
        paged: table.is_some(),
        table: table.unwrap_or_else(|| start.clone()),
        start,
    };
    // A single position's heads are turned by those who attend.
    let q = match time {
        1 => qkv,
        _ => turn(&qkv, heads, &turning, [&keys, &values]),
    };
    raise(attend(q, [keys, values], heads, turning, place.end, time))
}

/// What heads are normed and turned with.
struct Turning {
    normed: bool,
    turned: bool,
    norms: CubeTensor,
    eps: f32,
    angles: CubeTensor,
    start: CubeTensor,
    paged: bool,
    table: CubeTensor,
}

/// Queries `[time, heads, width]`, normed and turned; keys and values go to the cache at `start`.
fn turn(qkv: &CubeTensor, n: &Heads, by: &Turning, [keys, values]: [&CubeTensor; 2]) -> CubeTensor {
    let slots = n.heads + 2 * n.kv_heads;
    let time = qkv.meta.num_elements() / (slots * n.width);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
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
            by.norms.clone().into_buffer_arg(),
            by.angles.clone().into_buffer_arg(),
            by.start.clone().into_buffer_arg(),
            by.table.clone().into_buffer_arg(),
            q.clone().into_buffer_arg(),
            keys.clone().into_buffer_arg(),
            values.clone().into_buffer_arg(),
            units as u32,
            capacity as u32,
            by.eps,
            n.heads,
            n.kv_heads,
            n.width,
            by.normed,
            by.turned,
            by.paged,
        );
    }
    q
}

/// The context of queries `[time, heads, width]`; or of a single position's products, whose heads are turned
/// here, and whose key and value go to the cache.
fn attend(
    q: CubeTensor,
    [keys, values]: [CubeTensor; 2],
    n: &Heads,
    by: Turning,
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
    // cache has room for; it writes what belongs to its query and chunk. A single position's key and value
    // are written by one workgroup and read by none.
    #[allow(unsafe_code)]
    unsafe {
        attend_chunk::launch_unchecked(
            &context.client.clone(),
            CubeCount::Static(n.heads as u32, time as u32, chunks as u32),
            CubeDim::new_1d(units as u32),
            4,
            q.into_buffer_arg(),
            keys.into_buffer_arg(),
            values.into_buffer_arg(),
            by.norms.into_buffer_arg(),
            by.angles.into_buffer_arg(),
            by.start.into_buffer_arg(),
            by.table.into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            capacity as u32,
            n.window.map_or(u32::MAX, |window| window as u32),
            n.scale,
            by.eps,
            n.width,
            n.heads,
            n.kv_heads,
            units,
            chunks == 1,
            (time == 1).then_some((by.normed, by.turned)),
            by.paged,
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
