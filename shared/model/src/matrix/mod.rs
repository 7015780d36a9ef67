//! A matrix of weights: floats of the backend, or quantized blocks that are multiplied as they are.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::storage::Blocks;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub use gpu::gpu_is_software;

/// `[out, in]`, as Hugging Face stores it: rows are contiguous along the sum, which is also the layout
/// a matrix-vector product wants.
#[derive(Module, Debug)]
pub(crate) struct Matrix {
    /// None when quantized.
    floats: Option<Param<Tensor<2>>>,
    #[module(skip)]
    quantized: Option<Quantized>,
}

/// Blocks where they are multiplied.
#[derive(Debug, Clone)]
// There are few, and none is ever moved; which there are depends on the backends compiled in.
#[allow(clippy::large_enum_variant)]
enum Quantized {
    #[cfg(feature = "flex")]
    Cpu(cpu::Quantized),
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Gpu(gpu::Quantized),
}

/// Calls a method of whichever it is.
macro_rules! each {
    ($quantized:expr, $it:ident => $call:expr) => {
        match $quantized {
            #[cfg(feature = "flex")]
            Quantized::Cpu($it) => $call,
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Quantized::Gpu($it) => $call,
        }
    };
}

impl Matrix {
    pub(crate) fn floats(tensor: Tensor<2>) -> Self {
        Self {
            floats: Some(Param::from_tensor(tensor)),
            quantized: None,
        }
    }

    /// A matrix that stays as it is stored, on a device without gradients.
    pub(crate) fn quantized(blocks: &Blocks, device: &Device) -> Self {
        #[cfg(feature = "flex")]
        if *device == Device::flex() {
            return Self {
                floats: None,
                quantized: Some(Quantized::Cpu(cpu::Quantized::new(blocks))),
            };
        }
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        return Self {
            floats: None,
            quantized: Some(Quantized::Gpu(gpu::Quantized::new(blocks, device))),
        };
        #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
        unreachable!("there is no other backend")
    }

    /// Rows.
    pub(crate) fn out(&self) -> usize {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => each!(quantized, it => it.shape()[0]),
            (Some(floats), None) => floats.val().dims()[0],
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// `x wᵀ`, `[.., in]` to `[.., out]`, as one flat product.
    pub(crate) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => each!(quantized, it => it.project(x)),
            (Some(floats), None) => project(x, floats.val()),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// Products of several matrices with one `x`: a CPU quantizes it once for all.
    pub(crate) fn project_all<const D: usize, const N: usize>(
        matrices: [&Self; N],
        x: Tensor<D>,
    ) -> [Tensor<D>; N] {
        #[cfg(feature = "flex")]
        {
            let on_cpu = |matrix: &Self| match &matrix.quantized {
                Some(Quantized::Cpu(quantized)) => Some(quantized.clone()),
                _ => None,
            };
            let quantized = matrices.map(on_cpu);
            if quantized.iter().all(Option::is_some) {
                let quantized = quantized
                    .each_ref()
                    .map(|q| q.as_ref().expect("all of them are"));
                return cpu::Quantized::project_all(quantized, x);
            }
        }
        matrices.map(|matrix| matrix.project(x.clone()))
    }

    /// Rows by their numbers `[n]`: `[n, in]`.
    pub(crate) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => each!(quantized, it => it.rows(numbers)),
            (Some(floats), None) => floats.val().select(0, numbers),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// All of it as floats.
    pub(crate) fn to_floats(&self) -> Tensor<2> {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => each!(quantized, it => it.to_floats()),
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
