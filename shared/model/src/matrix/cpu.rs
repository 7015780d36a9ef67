//! Quantized matrices on the CPU: `sprat-kernels` on the tensors' own memory.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use sprat_kernels::{Activations, Bits, matmul, row};

use crate::cpu::{lower, raise};
use crate::storage::Blocks;

/// Blocks of 32 weights in tiles of 16 rows; see `sprat_kernels`. Copies share the weights.
#[derive(Debug, Clone)]
pub(super) struct Quantized(Arc<Tiles>);

#[derive(Debug)]
struct Tiles {
    words: Vec<u32>,
    scales: Vec<u16>,
    shape: [usize; 2],
    bits: Bits,
}

impl Quantized {
    pub(super) fn new(blocks: &Blocks) -> Self {
        let (words, scales) = blocks.tiled();
        Self(Arc::new(Tiles {
            words,
            scales,
            shape: blocks.shape,
            bits: blocks.bits,
        }))
    }

    fn view(&self) -> sprat_kernels::Quantized<'_> {
        let tiles = &*self.0;
        sprat_kernels::Quantized::new(&tiles.words, &tiles.scales, tiles.shape, tiles.bits)
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        self.0.shape
    }

    pub(super) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [product] = Self::project_all([self], x);
        product
    }

    pub(super) fn project_all<const D: usize, const N: usize>(
        matrices: [&Self; N],
        x: Tensor<D>,
    ) -> [Tensor<D>; N] {
        let shape = x.dims();
        let x = lower(x);
        let activations = Activations::new(x.storage(), shape[D - 1]);
        matrices.map(|matrix| {
            let mut shape = shape;
            shape[D - 1] = matrix.shape()[0];
            let mut sums = vec![0.0; activations.tokens() * matrix.shape()[0]];
            matmul(&matrix.view(), &activations, &mut sums);
            raise(sums, shape)
        })
    }

    pub(super) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let numbers = numbers.into_data();
        let numbers: Vec<usize> = numbers.iter::<i64>().map(|n| n as usize).collect();
        self.collect(numbers.into_iter())
    }

    pub(super) fn to_floats(&self) -> Tensor<2> {
        self.collect(0..self.0.shape[0])
    }

    fn collect(&self, numbers: impl ExactSizeIterator<Item = usize>) -> Tensor<2> {
        let (view, width) = (self.view(), self.0.shape[1]);
        let count = numbers.len();
        let mut values = vec![0.0; count * width];
        for (number, values) in numbers.zip(values.chunks_exact_mut(width)) {
            row(&view, number, values);
        }
        raise(values, [count, width])
    }
}
