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

    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::{Device, TensorData};
    use sprat_kernels::{Activations, Bits, matmul, row};

    use super::*;

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
            let [out, input] = self.0.shape;
            let mut shape = x.dims();
            let tokens: usize = shape[..D - 1].iter().product();
            shape[D - 1] = out;
            let x = contiguous(x);
            let activations = Activations::new(x.storage::<f32>(), input);
            let mut sums = vec![0.0; tokens * out];
            matmul(&self.view(), &activations, &mut sums);
            tensor(sums, shape)
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
            tensor(values, [count, width])
        }
    }

    /// The tensor's values as one buffer, copied only if they are none.
    fn contiguous<const D: usize>(x: Tensor<D>) -> FlexTensor {
        let x = x.try_into_primitive::<Flex>();
        let x = x.expect("quantized matrices are made for the CPU only");
        let whole = x.layout().num_elements() * size_of::<f32>() == x.bytes().len();
        match whole && x.is_contiguous() && x.layout().start_offset() == 0 {
            true => x,
            false => x.to_contiguous(),
        }
    }

    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }
}
