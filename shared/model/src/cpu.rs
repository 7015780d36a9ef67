//! What a decoder does between its matrix products, in one pass each, on the CPU and without gradients.
//!
//! burn composes a norm or a rotation of elementary operations; each of them is a pass over memory and
//! an allocation, and a step of a small model has thousands. Everything here has its plain form in the
//! module that calls it, which is what other devices and training run.

use std::cell::RefCell;
use std::ops::Range;

use sprat_kernels::{Number, for_each_chunk, vector};

use crate::attention::Heads;
use crate::cache::{Seat, Table};
use crate::rope::Rope;
use crate::tensor::{DType, Device, Tensor};
#[cfg(all(feature = "train", feature = "flex"))]
pub(crate) use buffer::contiguous;
pub(crate) use buffer::{Buffer, Held, lower, raise};

mod buffer;

/// Whether the operations of this module can be used on `x`.
pub(crate) fn usable<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && x.dtype() == DType::F32 && x.device() == Device::flex()
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    let shape = x.dims();
    let (x, weight) = (lower(x), lower(weight));
    let mut out = vec![0.0; x.of::<f32>().len()];
    vector::rms_norm(x.of(), weight.of(), eps, &mut out);
    raise(out, shape)
}

/// `silu(gate) * up`.
pub(crate) fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    let shape = gate.dims();
    let (mut gate, up) = (lower(gate), lower(up));
    vector::swiglu(gate.of_mut(), up.of());
    gate.raise(shape)
}

/// Positions up to which [`low_rank`] is faster than two products of matrices.
pub(crate) const FEW: usize = 32;

/// `B (A x)` for a few positions, without what a product of matrices has to prepare: `a` is `[rank, in]`, `b` `[out, rank]`.
pub(crate) fn low_rank<const D: usize>(x: Tensor<D>, a: Tensor<2>, b: Tensor<2>) -> Tensor<D> {
    let (mut shape, [rank, input], [out, _]) = (x.dims(), a.dims(), b.dims());
    let (x, a, b) = (lower(x), lower(a), lower(b));
    let x: &[f32] = x.of();
    let mut inner = vec![0.0; rank];
    let mut sums = vec![0.0; x.len() / input * out];
    for (x, sums) in x.chunks_exact(input).zip(sums.chunks_exact_mut(out)) {
        vector::matvec(a.of(), x, &mut inner);
        vector::matvec(b.of(), &inner, sums);
    }
    shape[D - 1] = out;
    raise(sums, shape)
}

/// A norm of each head: weight, with the one of "one plus weight" already in it, and eps.
pub(crate) type HeadNorm = Option<(Tensor<1>, f32)>;

/// One text's part of an attention over several.
pub(crate) struct Text<'a> {
    /// Positions before the new ones, and how many these are.
    pub(crate) start: usize,
    pub(crate) time: usize,
    /// The turns of the new positions.
    pub(crate) rope: Option<&'a Rope>,
    pub(crate) seat: Seat<'a>,
}

/// From projections to context: heads are normed and turned, keys and values go to the cache, and every
/// query attends to what it may see of its own text.
///
/// `q` is `[1, time, heads * width]`, `k` and `v` are `[1, time, kv_heads * width]`, with the new positions of the texts one
/// behind the other. Returns `[1, time, heads * width]`.
pub(crate) fn attention(
    [q, k, v]: [Tensor<3>; 3],
    heads: &Heads,
    norms: [HeadNorm; 2],
    texts: &[Text<'_>],
) -> Tensor<3> {
    let [_, time, _] = q.dims();
    let normed = |x: Tensor<3>, norm: HeadNorm| {
        let mut x = lower(x);
        if let Some((weight, eps)) = norm {
            let mut normed = vec![0.0; x.of::<f32>().len()];
            vector::rms_norm(x.of(), lower(weight).of(), eps, &mut normed);
            x.of_mut().copy_from_slice(&normed);
        }
        x
    };
    let [q_norm, k_norm] = norms;
    let (mut q, mut k, v) = (normed(q, q_norm), normed(k, k_norm), lower(v));
    for (x, row) in [(&mut q, heads.heads), (&mut k, heads.kv_heads)] {
        let mut rest = x.of_mut::<f32>();
        for text in texts {
            let (own, others) = rest.split_at_mut(text.time * row * heads.width);
            rest = others;
            if let Some(rope) = text.rope {
                turn(own, text.time, rope.halves());
            }
        }
    }
    let mut new = [k.of::<f32>(), v.of::<f32>()];
    let mut seen = Vec::with_capacity(texts.len());
    // Texts of one pool have the same rows.
    for texts in texts.chunk_by(|a, b| a.seat.is_beside(&b.seat)) {
        let times: usize = texts.iter().map(|text| text.time).sum();
        let own = new.each_mut().map(|new| {
            let (own, others) = new.split_at(times * heads.kv_heads * heads.width);
            *new = others;
            own
        });
        seen.extend(write(texts, own));
    }
    let context = attend(q.of(), heads, texts, &seen);
    raise(context, [1, time, heads.heads * heads.width])
}

/// Turns the heads of each position `[time, heads * width]` by its angles `[time, width / 2]`.
fn turn(x: &mut [f32], time: usize, [cos, sin]: &[Vec<f32>; 2]) {
    let (row, half) = (x.len() / time, cos.len() / time);
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (x, (cos, sin)) in x.chunks_exact_mut(row).zip(angles) {
        vector::rotate(x, cos, sin);
    }
}

/// Queries times positions above which heads are shared out among threads.
const WORTH_THREADS: usize = 1 << 11;

/// Keys and values of the rows that a text has its pages in, as they are kept.
type Kept = [Buffer; 2];

/// What the heads of all new positions found: `[time, heads * width]`, of queries of the same shape. `kept` is of each
/// text.
fn attend(q: &[f32], n: &Heads, texts: &[Text<'_>], kept: &[Kept]) -> Vec<f32> {
    let group = n.heads / n.kv_heads * n.width;
    let row = n.heads * n.width;
    // The text of each position, and the end of what it sees.
    let position = |(i, text): (usize, &Text<'_>)| {
        let first = text.start + 1;
        (first..first + text.time).map(move |end| (i, end))
    };
    let seen: Vec<(usize, usize)> = texts.iter().enumerate().flat_map(position).collect();
    let work: usize = seen.iter().map(|(_, end)| end).sum();
    let shared = work * n.heads >= WORTH_THREADS;
    let tables: Vec<&Table> = texts.iter().map(|text| text.seat.table).collect();
    let mut out = vec![0.0; seen.len() * row];
    // One piece is a position's queries of one key head.
    for_each_chunk(&mut out, group, shared, |index, out| {
        let (t, head) = (index / n.kv_heads, index % n.kv_heads);
        let (text, end) = seen[t];
        let first = n.window.map_or(0, |window| end.saturating_sub(window));
        let q = &q[t * row + head * group..][..group];
        let table = tables[text];
        let runs = table.runs(first..end);
        #[cfg(feature = "burn")]
        if kept[text][0].is_half() {
            return attend_to::<half::f16>(q, &kept[text], head, runs, n, out);
        }
        attend_to::<f32>(q, &kept[text], head, runs, n, out);
    });
    out
}

/// One position's queries that share the key head `head`.
fn attend_to<N: Number + Held>(
    q: &[f32],
    kept: &Kept,
    head: usize,
    runs: impl Iterator<Item = Range<usize>>,
    n: &Heads,
    out: &mut [f32],
) {
    thread_local! {
        static ROOM: RefCell<(Vec<Range<usize>>, Vec<f32>)> = RefCell::default();
    }
    let rows = kept.each_ref().map(|rows| {
        let all = rows.of::<N>();
        let own = all.len() / n.kv_heads;
        &all[head * own..][..own]
    });
    ROOM.with_borrow_mut(|(own_runs, scores)| {
        own_runs.clear();
        own_runs.extend(runs);
        let positions: usize = own_runs.iter().map(ExactSizeIterator::len).sum();
        let heads = q.len() / n.width;
        if scores.len() < heads * positions {
            scores.resize(heads * positions, 0.0);
        }
        let scores = &mut scores[..heads * positions];
        sprat_kernels::attend(q, rows, own_runs, n.width, n.scale, scores, out);
    });
}

/// Writes keys and values `[time, kv_heads * width]` of texts that have the same rows, in place. Returns the rows for each
/// text.
fn write(texts: &[Text<'_>], new: [&[f32]; 2]) -> Vec<Kept> {
    let mut rows = texts[0].seat.rows();
    let (keys, values) = rows.tensors_mut();
    let mut kept = Vec::with_capacity(2);
    for (tensor, new) in [keys, values].into_iter().zip(new) {
        let shape = tensor.dims();
        tensor.inplace(|old| {
            let mut buffer = lower(old);
            #[cfg(feature = "burn")]
            if buffer.is_half() {
                use half::slice::HalfFloatSliceExt;
                put(
                    texts,
                    shape,
                    new,
                    buffer.of_mut::<half::f16>(),
                    |new, place| {
                        place.convert_from_f32_slice(new);
                    },
                );
                return buffer.raise(shape);
            }
            put(texts, shape, new, buffer.of_mut::<f32>(), |new, place| {
                place.copy_from_slice(new);
            });
            buffer.raise(shape)
        });
        kept.push(lower(tensor.clone()));
    }
    match <Kept>::try_from(kept) {
        Ok(kept) => vec![kept; texts.len()],
        Err(_) => unreachable!("keys and values are two"),
    }
}

/// Puts each head of each position into its row of `[kv_heads, capacity, width]`.
fn put<N>(
    texts: &[Text<'_>],
    [_, heads, capacity, width]: [usize; 4],
    new: &[f32],
    rows: &mut [N],
    put: impl Fn(&[f32], &mut [N]),
) {
    let mut new = new.chunks_exact(heads * width);
    for text in texts {
        let positions = text.start..text.start + text.time;
        // Rows are as many as positions.
        for (at, position) in text.seat.table.runs(positions).flatten().zip(&mut new) {
            for (head, new) in position.chunks_exact(width).enumerate() {
                let at = (head * capacity + at) * width;
                put(new, &mut rows[at..at + width]);
            }
        }
    }
}
