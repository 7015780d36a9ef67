//! Grouped-query attention over the cache: from products to context in two dispatches, in three for long
//! texts.

mod kernel;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{UNITS, count, elements, empty, is_software, lower, lower_int, raise};
use crate::attention::Heads;
use crate::cache::Rows;
use crate::rope::{Rope, RopeConfig};
use kernel::{CHUNK, Texts, attend_chunk, join_chunks, turn_heads};

/// Where a pass over new positions stands, for kernels.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Of each of the model's ropes.
    pub(crate) angles: Vec<Angles>,
    /// Positions of the longest text with the new ones, or more: workgroups for keys that there are none of do next to nothing.
    end: usize,
    /// Whether each new position is its text's only one.
    single: bool,
    texts: Texts,
    /// How many positions come before, in the first number: on the device, so that the same launches can
    /// be made again for the next token. Of several texts' new positions, of each its own and where its text's pages
    /// begin in the table.
    places: Tensor<1, Int>,
    /// Pages of the texts, one text's behind the other's.
    table: Option<Tensor<1, Int>>,
}

impl Place {
    /// That of `time` positions after `start` in a text, whose pages are in `table` where its positions are not at the rows
    /// of their numbers.
    pub(crate) fn new(
        angles: Vec<Angles>,
        start: usize,
        time: usize,
        table: Option<Tensor<1, Int>>,
        device: &Device,
    ) -> Self {
        Self {
            end: start + time,
            single: time == 1,
            ..Self::of_next(
                angles,
                words(vec![start as u32], device),
                start + time,
                table,
            )
        }
    }

    /// That of a text's next position, which is in the first number of `start`. `end` is a number of positions that has
    /// it.
    pub(crate) fn of_next(
        angles: Vec<Angles>,
        start: Tensor<1, Int>,
        end: usize,
        table: Option<Tensor<1, Int>>,
    ) -> Self {
        Self {
            angles,
            end,
            single: true,
            texts: match &table {
                None => Texts::One,
                Some(_) => Texts::OneInPages,
            },
            places: start,
            table,
        }
    }

    /// That of the new positions of several texts of one pool: of each text where it stands, how many are new, and its
    /// pages.
    pub(crate) fn of_several(
        angles: Vec<Angles>,
        texts: &[(usize, usize, &[u32])],
        device: &Device,
    ) -> Self {
        let (mut places, mut table) = (Vec::new(), Vec::new());
        for &(start, time, pages) in texts {
            for position in start..start + time {
                places.extend([position as u32, table.len() as u32]);
            }
            table.extend_from_slice(pages);
        }
        let ends = texts.iter().map(|(start, time, _)| start + time);
        Self {
            angles,
            end: ends.max().unwrap_or(0),
            single: texts.iter().all(|(_, time, _)| *time == 1),
            texts: Texts::Several,
            places: words(places, device),
            table: Some(words(table, device)),
        }
    }

    /// Launches workgroups for so many positions more.
    #[cfg(all(test, feature = "cpu", feature = "wgpu"))]
    pub(super) fn spare(&mut self, positions: usize) {
        self.end += positions;
    }
}

/// Whole numbers, where kernels can read them.
fn words(numbers: Vec<u32>, device: &Device) -> Tensor<1, Int> {
    let len = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [len]), (device, DType::U32))
}

#[cfg(test)]
thread_local! {
    /// How many tables of angles were made.
    pub(super) static MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
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
        #[cfg(test)]
        MADE.set(MADE.get() + 1);
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
    let places = lower_int(place.places.clone());
    let table = place.table.clone().map(lower_int);
    let angles = rope.map(|rope| &place.angles[rope]);
    let turning = Turning {
        eps: norm.as_ref().map_or(0.0, |(_, eps)| *eps),
        normed: norm.is_some(),
        turned: angles.is_some(),
        // What is not used is bound to something that is there.
        norms: norm.map_or_else(|| qkv.clone(), |(both, _)| lower(both)),
        angles: angles.map_or_else(|| qkv.clone(), |angles| lower(angles.table.clone())),
        texts: place.texts,
        table: table.unwrap_or_else(|| places.clone()),
        places,
    };
    // The heads of a single position are turned by those who attend.
    let q = match place.single {
        true => qkv,
        false => turn(&qkv, heads, &turning, [&keys, &values]),
    };
    raise(attend(q, [keys, values], heads, turning, place, time))
}

/// What heads are normed and turned with.
struct Turning {
    normed: bool,
    turned: bool,
    norms: CubeTensor,
    eps: f32,
    angles: CubeTensor,
    places: CubeTensor,
    texts: Texts,
    table: CubeTensor,
}

/// Queries `[time, heads, width]`, normed and turned; keys and values go to the cache.
fn turn(qkv: &CubeTensor, n: &Heads, by: &Turning, [keys, values]: [&CubeTensor; 2]) -> CubeTensor {
    let slots = n.heads + 2 * n.kv_heads;
    let time = qkv.meta.num_elements() / (slots * n.width);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let q = empty(qkv, [time, n.heads, n.width]);
    let units = time * slots * n.width / 2;
    count();
    // SAFETY: units past the end do nothing; the cache has room for the new positions, and angles
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
            by.places.clone().into_buffer_arg(),
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
            by.texts,
            elements(keys.dtype),
        );
    }
    q
}

/// The context of queries `[time, heads, width]`; or of products of positions that are each its text's only new one, whose
/// heads are turned here, and whose keys and values go to the cache.
fn attend(
    q: CubeTensor,
    [keys, values]: [CubeTensor; 2],
    n: &Heads,
    by: Turning,
    place: &Place,
    time: usize,
) -> CubeTensor {
    let end = n.window.map_or(place.end, |window| window.min(place.end));
    let chunks = end.div_ceil(CHUNK);
    let kept = elements(keys.dtype);
    let capacity = keys.meta.num_elements() / (n.kv_heads * n.width);
    let context = empty(&q, [1, time, n.heads * n.width]);
    // Of each chunk its context, its largest score and its sum of exponentials.
    let parts = match chunks {
        1 => context.clone(),
        _ => empty(&q, [time, n.heads, chunks, n.width + 2]),
    };
    let units = if is_software() { 1 } else { CHUNK };
    count();
    // SAFETY: a workgroup reads its query, and keys and values of positions up to its own, which the
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
            by.places.into_buffer_arg(),
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
            place.single.then_some((by.normed, by.turned)),
            by.texts,
            kept,
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
