//! Training operations in one pass each, for the CPU.
//!
//! burn derives a gradient from elementary operations; for softmax, SwiGLU, RMSNorm and the rest
//! that is some twenty passes over memory where one or two suffice, and a call to `expf` per
//! number. On a CPU that costs as much time as all matrix products. Here the forward and backward
//! passes are written out for burn-flex and registered with burn's autodiff.
//!
//! They serve tensors that live on the CPU **and** record gradients ([`usable`]); everything else,
//! inference above all, takes the plain operations.

mod kernels;
#[cfg(test)]
mod tests;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Int, Tensor, TensorData};

use crate::cpu::contiguous;
use kernels::Heads;

type Float = FloatTensor<Autodiff<Flex>>;

/// Whether the operations of this module can be used on `x`.
pub(crate) fn usable<const D: usize>(x: &Tensor<D>) -> bool {
    x.is_autodiff()
        && x.dtype() == DType::F32
        && x.device() == Device::flex()
        && x.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Disabled)
}

fn lower<const D: usize>(x: Tensor<D>) -> Float {
    x.try_into_primitive::<Autodiff<Flex>>()
        .expect("callers ask `usable` first")
}

fn raise<const D: usize>(x: Float) -> Tensor<D> {
    Tensor::from_primitive::<Autodiff<Flex>>(x)
}

fn flex(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Causal attention weights of scores `[batch, kv heads, groups * time, time]` (query heads of one
/// group stacked along the third dimension): softmax of `scale * score` over keys that are not in
/// the query's future, 0 for the others.
pub(crate) fn causal_softmax(scores: Tensor<4>, scale: f32) -> Tensor<4> {
    #[derive(Debug)]
    struct Op;

    impl Backward<Flex, 1> for Op {
        type State = (FlexTensor, usize, f32);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (weights, time, scale) = ops.state;
            unary::<Flex, _>(ops.parents, ops.node, grads, |gradient| {
                let mut gradient = contiguous(gradient);
                let weights = weights.storage::<f32>();
                kernels::causal_softmax_backward(weights, gradient.storage_mut(), time, scale);
                gradient
            });
        }
    }

    let time = scores.dims()[3];
    let (scores, node) = lower(scores).into_parts();
    let mut weights = contiguous(scores);
    kernels::causal_softmax(weights.storage_mut(), time, scale);
    raise(
        match Op
            .prepare::<NoCheckpointing>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((weights.clone(), time, scale), weights),
            OpsKind::UnTracked(prep) => prep.finish(weights),
        },
    )
}

/// `silu(gate) * up`, elementwise.
pub(crate) fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    #[derive(Debug)]
    struct Op;

    impl Backward<Flex, 2> for Op {
        type State = (FlexTensor, FlexTensor);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (gate, up) = ops.state;
            let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
            let shape = gate.layout().shape().clone();
            let (gate, up) = (gate.storage::<f32>(), up.storage::<f32>());
            let mut by_gate = Vec::with_capacity(gate.len());
            kernels::swiglu_backward(gate, up, gradient.storage_mut(), &mut by_gate);
            let [gate_node, up_node] = ops.parents;
            if let Some(node) = gate_node {
                grads.register::<Flex>(node.id, flex(by_gate, shape));
            }
            if let Some(node) = up_node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }

    let (gate, gate_node) = lower(gate).into_parts();
    let (up, up_node) = lower(up).into_parts();
    let (gate, up) = (contiguous(gate), contiguous(up));
    let mut out = Vec::with_capacity(gate.layout().num_elements());
    kernels::swiglu(gate.storage(), up.storage(), &mut out);
    let out = flex(out, gate.layout().shape().clone());
    raise(
        match Op
            .prepare::<NoCheckpointing>([gate_node, up_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((gate, up), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    #[derive(Debug)]
    struct Op;

    impl Backward<Flex, 2> for Op {
        type State = (FlexTensor, FlexTensor, f32);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (x, weight, eps) = ops.state;
            let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
            let (x, weight) = (x.storage::<f32>(), weight.storage::<f32>());
            let mut by_weight = vec![0f32; weight.len()];
            kernels::rms_norm_backward(x, weight, eps, gradient.storage_mut(), &mut by_weight);
            let [x_node, weight_node] = ops.parents;
            if let Some(node) = x_node {
                grads.register::<Flex>(node.id, gradient);
            }
            if let Some(node) = weight_node {
                let width = by_weight.len();
                grads.register::<Flex>(node.id, flex(by_weight, [width]));
            }
        }
    }

    let (x, x_node) = lower(x).into_parts();
    let (weight, weight_node) = lower(weight).into_parts();
    let (x, weight) = (contiguous(x), contiguous(weight));
    let mut out = Vec::with_capacity(x.layout().num_elements());
    kernels::rms_norm(x.storage(), weight.storage(), eps, &mut out);
    let out = flex(out, x.layout().shape().clone());
    raise(
        match Op
            .prepare::<NoCheckpointing>([x_node, weight_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x, weight, eps), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

/// Splits and turns heads: `[batch, time, heads, width]` to `[batch, heads, time, width]`, rotated
/// by `cos` and `sin` `[1, 1, time, width / 2]`, which are constants.
pub(crate) fn rotate_heads(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    #[derive(Debug)]
    struct Op;

    impl Backward<Flex, 1> for Op {
        type State = (FlexTensor, FlexTensor, Heads);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (cos, sin, n) = ops.state;
            unary::<Flex, _>(ops.parents, ops.node, grads, |gradient| {
                let gradient = contiguous(gradient);
                let (cos, sin) = (cos.storage(), sin.storage());
                let back = kernels::rotate_heads_backward(gradient.storage(), cos, sin, n);
                flex(back, [n.batch, n.time, n.heads, n.width])
            });
        }
    }

    let [batch, time, heads, width] = x.dims();
    let n = Heads {
        batch,
        time,
        heads,
        width,
    };
    let (x, node) = lower(x).into_parts();
    let constant = |x: Tensor<4>| contiguous(lower(x).into_primitive());
    let (x, cos, sin) = (contiguous(x), constant(cos), constant(sin));
    let out = kernels::rotate_heads(x.storage(), cos.storage(), sin.storage(), n);
    let out = flex(out, [batch, heads, time, width]);
    raise(
        match Op
            .prepare::<NoCheckpointing>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((cos, sin, n), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        },
    )
}

/// Sum over rows of -ln softmax(logits)[target], `[1]`, for logits `[rows, vocab]` and targets
/// `[rows, 1]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, targets: Tensor<2, Int>) -> Tensor<1> {
    #[derive(Debug)]
    struct Op;

    impl Backward<Flex, 1> for Op {
        type State = FlexTensor;

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let mut gradient = ops.state;
            unary::<Flex, _>(ops.parents, ops.node, grads, |by_loss| {
                let factor = contiguous(by_loss).storage::<f32>()[0];
                for value in gradient.storage_mut::<f32>() {
                    *value *= factor;
                }
                gradient
            });
        }
    }

    let [_, vocab] = logits.dims();
    let targets: Vec<usize> = targets
        .into_data()
        .iter::<i64>()
        .map(|id| id as usize)
        .collect();
    let (logits, node) = lower(logits).into_parts();
    let mut gradient = contiguous(logits);
    let loss = kernels::cross_entropy(gradient.storage_mut(), vocab, &targets);
    let loss = flex(vec![loss as f32], [1]);
    raise(
        match Op
            .prepare::<NoCheckpointing>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(gradient, loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        },
    )
}
