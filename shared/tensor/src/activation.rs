//! Functions of networks.

use sprat_kernels::vector;

use crate::Tensor;
use crate::arithmetic::map;

/// `e^x / Σ e^x` over a dimension, which must be the last.
pub fn softmax<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    assert_eq!(dim, D - 1, "only rows are summed here");
    let mut x = x.contiguous();
    let width = x.shape[dim];
    vector::softmax(x.as_mut_slice(), width);
    x
}

/// `1 / (1 + e^-x)`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, |x| 1.0 / (1.0 + vector::exp(-x)))
}

/// `x / (1 + e^-x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map(x, |x| x / (1.0 + vector::exp(-x)))
}
