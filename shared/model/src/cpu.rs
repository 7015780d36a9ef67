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
use crate::cache::Rows;
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

/// From projections to context: heads are normed and turned, keys and values go to the cache, and every
/// query attends to what it may see.
///
/// `q` is `[1, time, heads * width]`, `k` and `v` are `[1, time, kv_heads * width]`; positions begin at
/// `start`. Returns `[1, time, heads * width]`.
pub(crate) fn attention(
    [q, k, v]: [Tensor<3>; 3],
    heads: &Heads,
    norms: [HeadNorm; 2],
    rope: Option<&Rope>,
    start: usize,
    cache: &mut Rows,
) -> Tensor<3> {
    let [_, time, _] = q.dims();
    let angles = rope.map(|rope| [lower(rope.cos.clone()), lower(rope.sin.clone())]);
    let [q_norm, k_norm] = norms;
    let prepare = |x: Tensor<3>, norm: HeadNorm| {
        let mut x = lower(x);
        if let Some((weight, eps)) = norm {
            let mut normed = vec![0.0; x.layout().num_elements()];
            vector::rms_norm(x.storage(), lower(weight).storage(), eps, &mut normed);
            x.storage_mut::<f32>().copy_from_slice(&normed);
        }
        if let Some([cos, sin]) = &angles {
            turn(x.storage_mut(), time, cos.storage(), sin.storage());
        }
        x
    };
    let q = prepare(q, q_norm);
    let k = prepare(k, k_norm);
    let v = lower(v);
    cache.write(start, heads.width, k.storage(), v.storage());
    let (keys, values) = cache.buffers();
    let context = attend(q.storage(), &keys, &values, heads, start, time);
    raise(context, [1, time, heads.heads * heads.width])
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
const WORTH_THREADS: usize = 1 << 15;

fn attend(
    q: &[f32],
    keys: &FlexTensor,
    values: &FlexTensor,
    n: &Heads,
    start: usize,
    time: usize,
) -> Vec<f32> {
    let group = n.heads / n.kv_heads * n.width;
    let row = n.heads * n.width;
    let (keys, values): (&[f32], &[f32]) = (keys.storage(), values.storage());
    let capacity = keys.len() / (n.kv_heads * n.width);
    let mut out = vec![0.0; time * row];
    // One piece is a position's queries of one key head.
    let shared = time * (start + time) * n.heads >= WORTH_THREADS;
    for_each_chunk(&mut out, group, shared, |index, out| {
        let (t, head) = (index / n.kv_heads, index % n.kv_heads);
        let end = start + t + 1;
        let first = n.window.map_or(0, |window| end.saturating_sub(window));
        let seen = (head * capacity + first) * n.width..(head * capacity + end) * n.width;
        let mut scores = vec![0.0; (end - first) * n.heads / n.kv_heads];
        let q = &q[t * row + head * group..][..group];
        let (keys, values) = (&keys[seen.clone()], &values[seen]);
        vector::attend(q, keys, values, n.width, n.scale, &mut scores, out);
    });
    out
}

impl Rows {
    /// Writes `k` and `v` `[time, kv_heads * width]` at positions from `start` on, in place.
    fn write(&mut self, start: usize, width: usize, k: &[f32], v: &[f32]) {
        let put = |tensor: &mut Tensor<4>, new: &[f32]| {
            let [_, heads, capacity, _] = tensor.dims();
            tensor.inplace(|old| {
                let mut buffer = lower(old);
                let rows = buffer.storage_mut::<f32>();
                for (t, new) in new.chunks_exact(heads * width).enumerate() {
                    for (head, new) in new.chunks_exact(width).enumerate() {
                        let at = (head * capacity + start + t) * width;
                        rows[at..at + width].copy_from_slice(new);
                    }
                }
                Tensor::from_primitive::<Flex>(buffer)
            });
        };
        let (keys, values) = self.tensors_mut();
        put(keys, k);
        put(values, v);
    }

    /// Keys and values `[1, kv_heads, capacity, width]`.
    fn buffers(&mut self) -> (FlexTensor, FlexTensor) {
        let (keys, values) = self.tensors_mut();
        (lower(keys.clone()), lower(values.clone()))
    }
}
