//! A matrix of weights: floats of the backend, or quantized blocks that a CPU multiplies as they are.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
use crate::storage::Blocks;

/// `[out, in]`, as Hugging Face stores it: rows are contiguous along the sum, which is also the layout
/// a matrix-vector product wants.
#[derive(Module, Debug)]
pub(crate) struct Matrix {
    /// None when quantized.
    floats: Option<Param<Tensor<2>>>,
    #[module(skip)]
    quantized: Option<Quantized>,
}

impl Matrix {
    pub(crate) fn floats(tensor: Tensor<2>) -> Self {
        Self {
            floats: Some(Param::from_tensor(tensor)),
            quantized: None,
        }
    }

    /// A matrix that stays as it is stored. The device must be the CPU.
    #[cfg(feature = "flex")]
    pub(crate) fn quantized(blocks: &Blocks) -> Self {
        Self {
            floats: None,
            quantized: Some(Quantized::new(blocks)),
        }
    }

    /// Rows.
    pub(crate) fn out(&self) -> usize {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => quantized.out(),
            (Some(floats), None) => floats.val().dims()[0],
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// `x wᵀ`, `[.., in]` to `[.., out]`, as one flat product.
    pub(crate) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => quantized.project(x),
            (Some(floats), None) => project(x, floats.val()),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// Products of several matrices with one `x`: where they are quantized, it is quantized once.
    pub(crate) fn project_all<const D: usize, const N: usize>(
        matrices: [&Self; N],
        x: Tensor<D>,
    ) -> [Tensor<D>; N] {
        #[cfg(feature = "flex")]
        {
            let quantized = matrices.map(|matrix| matrix.quantized.as_ref());
            if quantized.iter().all(Option::is_some) {
                let quantized = quantized.map(|q| q.expect("all of them are"));
                return Quantized::project_all(quantized, x);
            }
        }
        matrices.map(|matrix| matrix.project(x.clone()))
    }

    /// Rows by their numbers `[n]`: `[n, in]`.
    pub(crate) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => quantized.rows(numbers),
            (Some(floats), None) => floats.val().select(0, numbers),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// All of it as floats.
    pub(crate) fn to_floats(&self) -> Tensor<2> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => quantized.to_floats(),
            (Some(floats), None) => floats.val(),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }
}

/// `x wᵀ` for `x` `[.., in]` and `w` `[out, in]`, as one flat matrix product.
fn project<const D: usize>(x: Tensor<D>, w: Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let [out, input] = w.dims();
    let rows: usize = shape[..D - 1].iter().product();
    shape[D - 1] = out;
    x.reshape([rows, input])
        .matmul(w.transpose())
        .reshape(shape)
}

#[cfg(feature = "flex")]
use cpu::Quantized;

/// Without a CPU backend there is nothing that multiplies blocks.
#[cfg(not(feature = "flex"))]
#[derive(Debug, Clone)]
enum Quantized {}

#[cfg(not(feature = "flex"))]
impl Quantized {
    fn project<const D: usize>(&self, _: Tensor<D>) -> Tensor<D> {
        match *self {}
    }

    fn rows(&self, _: Tensor<1, Int>) -> Tensor<2> {
        match *self {}
    }

    fn to_floats(&self) -> Tensor<2> {
        match *self {}
    }

    fn out(&self) -> usize {
        match *self {}
    }
}

#[cfg(feature = "flex")]
mod cpu {
    use std::sync::Arc;

    use sprat_kernels::{Activations, Bits, matmul, row};

    use super::*;
    use crate::cpu::{lower, raise};

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

        pub(super) fn out(&self) -> usize {
            self.0.shape[0]
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
                shape[D - 1] = matrix.out();
                let mut sums = vec![0.0; activations.tokens() * matrix.out()];
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
}
