//! Quantized matrices on the CPU: `sprat-kernels` on the tensors' own memory.

use std::ops::Range;
use std::sync::Arc;

use crate::tensor::{Int, Tensor};
use sprat_kernels::{Activations, BLOCK, Bits, Stored, matmul_all, row};

use crate::cpu::{lower, raise};
use crate::storage::Blocks;

/// Blocks of 32 weights in tiles of 16 rows; see `sprat_kernels`. Copies share the weights.
#[derive(Debug, Clone)]
pub(super) struct Quantized(Arc<Tiles>);

#[derive(Debug)]
struct Tiles {
    words: Stored<u32>,
    scales: Stored<u16>,
    shape: [usize; 2],
    bits: Bits,
}

impl Quantized {
    pub(super) fn new(blocks: &Blocks<'_>) -> Self {
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

    /// Whole tiles of rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        let all = &*self.0;
        let blocks = all.shape[1] / BLOCK;
        let words = blocks * all.bits.words();
        Self(Arc::new(Tiles {
            words: Stored::new(&all.words[rows.start * words..rows.end * words]),
            scales: Stored::new(&all.scales[rows.start * blocks..rows.end * blocks]),
            shape: [rows.len(), all.shape[1]],
            bits: all.bits,
        }))
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
        let activations = Activations::new(x.of(), shape[D - 1]);
        let mut sums = matrices.map(|matrix| vec![0.0; activations.tokens() * matrix.shape()[0]]);
        {
            let mut places = sums.each_mut().into_iter();
            let products = matrices.map(|matrix| {
                let place = places.next().expect("there is one for each matrix");
                (matrix.view(), place.as_mut_slice())
            });
            matmul_all(products, &activations);
        }
        sums.map(|sums| {
            let mut shape = shape;
            shape[D - 1] = sums.len() / activations.tokens().max(1);
            raise(sums, shape)
        })
    }

    pub(super) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let numbers = numbers.into_data().convert::<i32>();
        let numbers: Vec<i32> = numbers.try_to_vec().expect("they were converted");
        let numbers: Vec<usize> = numbers.into_iter().map(|n| n as usize).collect();
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
