//! What a decoder does between its matrix products, in one pass each, on the CPU and without gradients.
//!
//! burn composes a norm or a rotation of elementary operations; each of them is a pass over memory and
//! an allocation, and a step of a small model has thousands. Everything here has its plain form in the
//! module that calls it, which is what other devices and training run.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Device, Tensor, TensorData};
use sprat_kernels::{for_each_chunk, vector};

use crate::attention::Heads;
use crate::cache::{Rows, Seat};
use crate::rope::Rope;

/// Whether the operations of this module can be used on `x`.
pub(crate) fn usable<const D: usize>(x: &Tensor<D>) -> bool {
    !x.is_autodiff() && x.dtype() == DType::F32 && x.device() == Device::flex()
}

/// The tensor as one contiguous buffer, copied only if it is none.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let whole = x.layout().num_elements() * size_of::<f32>() == x.bytes().len();
    match whole && x.is_contiguous() && x.layout().start_offset() == 0 {
        true => x,
        false => x.to_contiguous(),
    }
}

/// The buffer of a tensor that [`usable`] accepted.
pub(crate) fn lower<const D: usize>(x: Tensor<D>) -> FlexTensor {
    let x = x.try_into_primitive::<Flex>();
    contiguous(x.expect("callers ask `usable` first"))
}

/// A tensor of values in row-major order.
pub(crate) fn raise<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    let shape = x.dims();
    let (x, weight) = (lower(x), lower(weight));
    let mut out = vec![0.0; x.layout().num_elements()];
    vector::rms_norm(x.storage(), weight.storage(), eps, &mut out);
    raise(out, shape)
}

/// `silu(gate) * up`.
pub(crate) fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    let (mut gate, up) = (lower(gate), lower(up));
    vector::swiglu(gate.storage_mut(), up.storage());
    Tensor::from_primitive::<Flex>(gate)
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
            let mut normed = vec![0.0; x.layout().num_elements()];
            vector::rms_norm(x.storage(), lower(weight).storage(), eps, &mut normed);
            x.storage_mut::<f32>().copy_from_slice(&normed);
        }
        x
    };
    let [q_norm, k_norm] = norms;
    let (mut q, mut k, v) = (normed(q, q_norm), normed(k, k_norm), lower(v));
    let (q_row, kv_row) = (heads.heads * heads.width, heads.kv_heads * heads.width);
    let mut at = 0;
    for text in texts {
        let [own_q, own_kv] = [q_row, kv_row].map(|row| at * row..(at + text.time) * row);
        at += text.time;
        if let Some(rope) = text.rope {
            let angles = [&rope.cos, &rope.sin].map(|angles| lower(angles.clone()));
            let [cos, sin] = angles.each_ref().map(|angles| angles.storage());
            turn(&mut q.storage_mut()[own_q], text.time, cos, sin);
            turn(&mut k.storage_mut()[own_kv.clone()], text.time, cos, sin);
        }
        let new = [&k, &v].map(|new| &new.storage()[own_kv.clone()]);
        text.write(heads.width, new);
    }
    let context = attend(q.storage(), heads, texts);
    raise(context, [1, time, q_row])
}

/// Turns the heads of each position `[time, heads * width]` by its angles `[time, width / 2]`.
fn turn(x: &mut [f32], time: usize, cos: &[f32], sin: &[f32]) {
    let (row, half) = (x.len() / time, cos.len() / time);
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (x, (cos, sin)) in x.chunks_exact_mut(row).zip(angles) {
        vector::rotate(x, cos, sin);
    }
}

/// Queries times positions above which heads are shared out among threads.
const WORTH_THREADS: usize = 1 << 11;

fn attend(q: &[f32], n: &Heads, texts: &[Text<'_>]) -> Vec<f32> {
    let group = n.heads / n.kv_heads * n.width;
    let row = n.heads * n.width;
    let rows: Vec<[FlexTensor; 2]> = texts
        .iter()
        .map(|text| text.seat.rows().buffers())
        .collect();
    // The text of each position, and the end of what it sees.
    let position = |(i, text): (usize, &Text<'_>)| {
        let first = text.start + 1;
        (first..first + text.time).map(move |end| (i, end))
    };
    let seen: Vec<(usize, usize)> = texts.iter().enumerate().flat_map(position).collect();
    let work: usize = seen.iter().map(|(_, end)| end).sum();
    let shared = work * n.heads >= WORTH_THREADS;
    let mut out = vec![0.0; seen.len() * row];
    // One piece is a position's queries of one key head.
    for_each_chunk(&mut out, group, shared, |index, out| {
        let (t, head) = (index / n.kv_heads, index % n.kv_heads);
        let (text, end) = seen[t];
        let first = n.window.map_or(0, |window| end.saturating_sub(window));
        let [keys, values] = rows[text].each_ref().map(|rows| rows.storage::<f32>());
        let capacity = keys.len() / (n.kv_heads * n.width);
        let own = head * capacity * n.width..(head + 1) * capacity * n.width;
        let runs: Vec<_> = texts[text].seat.table.runs(first..end).collect();
        let mut scores = vec![0.0; (end - first) * n.heads / n.kv_heads];
        let q = &q[t * row + head * group..][..group];
        let rows = [&keys[own.clone()], &values[own]];
        vector::attend(q, rows, &runs, n.width, n.scale, &mut scores, out);
    });
    out
}

impl Text<'_> {
    /// Writes keys and values `[time, kv_heads * width]` of the new positions, in place.
    fn write(&self, width: usize, [k, v]: [&[f32]; 2]) {
        let put = |tensor: &mut Tensor<4>, mut new: &[f32]| {
            let [_, heads, capacity, _] = tensor.dims();
            tensor.inplace(|old| {
                let mut buffer = lower(old);
                let rows = buffer.storage_mut::<f32>();
                for at in self
                    .seat
                    .table
                    .runs(self.start..self.start + self.time)
                    .flatten()
                {
                    let (position, rest) = new.split_at(heads * width);
                    for (head, new) in position.chunks_exact(width).enumerate() {
                        let at = (head * capacity + at) * width;
                        rows[at..at + width].copy_from_slice(new);
                    }
                    new = rest;
                }
                Tensor::from_primitive::<Flex>(buffer)
            });
        };
        let mut rows = self.seat.rows();
        let (keys, values) = rows.tensors_mut();
        put(keys, k);
        put(values, v);
    }
}

impl Rows {
    /// Keys and values `[1, kv_heads, capacity, width]`.
    fn buffers(&mut self) -> [FlexTensor; 2] {
        let (keys, values) = self.tensors_mut();
        [lower(keys.clone()), lower(values.clone())]
    }
}
