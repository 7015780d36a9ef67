//! Quantized matrices on the CPU: `sprat-kernels` on the tensors' own memory.

use std::ops::Range;
use std::sync::Arc;

use crate::tensor::{Int, Tensor};
use sprat_kernels::{Activations, Matrix, matmul_all};

use crate::cpu::{lower, raise};
use crate::storage::Blocks;

/// Blocks of 32 weights in tiles of 16 rows; see `sprat_kernels`. Copies share the weights.
#[derive(Debug, Clone)]
pub(super) struct Quantized(Arc<Matrix>);

impl Quantized {
    pub(super) fn new(blocks: &Blocks<'_>) -> Self {
        Self(Arc::new(Matrix::new(&blocks.rows())))
    }

    pub(super) fn shape(&self) -> [usize; 2] {
        self.0.shape()
    }

    /// Whole tiles of rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        Self(Arc::new(self.0.part(rows)))
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
                (matrix.0.view(), place.as_mut_slice())
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
        self.collect(&numbers)
    }

    pub(super) fn to_floats(&self) -> Tensor<2> {
        let [rows, _] = self.shape();
        self.collect(&Vec::from_iter(0..rows))
    }

    fn collect(&self, numbers: &[usize]) -> Tensor<2> {
        let [_, width] = self.shape();
        let mut values = vec![0.0; numbers.len() * width];
        self.0.rows(numbers, &mut values);
        raise(values, [numbers.len(), width])
    }
}
