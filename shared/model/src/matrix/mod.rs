//! A matrix of weights: floats of the backend, or quantized blocks that are multiplied as they are.

#[cfg(feature = "cpu")]
mod cpu;

use std::ops::Range;

use crate::tensor::module::{Module, Param};
use crate::tensor::{Device, Int, Tensor};
use sprat_kernels::TILE;

#[cfg(feature = "gpu")]
use crate::config::Activation;
#[cfg(feature = "gpu")]
use crate::gpu::Around;
use crate::layers::Input;

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

/// Blocks where they are multiplied.
#[derive(Debug, Clone)]
enum Quantized {
    #[cfg(feature = "cpu")]
    Cpu(cpu::Quantized),
    #[cfg(feature = "gpu")]
    Gpu(Box<crate::gpu::Quantized>),
}

/// Calls a method of whichever it is.
macro_rules! each {
    ($quantized:expr, $it:ident => $call:expr) => {
        match $quantized {
            #[cfg(feature = "cpu")]
            Quantized::Cpu($it) => $call,
            #[cfg(feature = "gpu")]
            Quantized::Gpu($it) => $call,
        }
    };
}

impl Quantized {
    fn part(&self, rows: Range<usize>) -> Self {
        match self {
            #[cfg(feature = "cpu")]
            Self::Cpu(it) => Self::Cpu(it.part(rows)),
            #[cfg(feature = "gpu")]
            Self::Gpu(it) => Self::Gpu(Box::new(it.part(rows))),
        }
    }
}

impl Matrix {
    pub(crate) fn floats(tensor: Tensor<2>) -> Self {
        Self {
            floats: Some(Param::from_tensor(tensor)),
            quantized: None,
        }
    }

    /// A matrix that stays as it is stored, on a device without gradients.
    pub(crate) fn quantized(blocks: &Blocks<'_>, device: &Device) -> Self {
        #[cfg(feature = "cpu")]
        if *device == Device::flex() {
            return Self {
                floats: None,
                quantized: Some(Quantized::Cpu(cpu::Quantized::new(blocks))),
            };
        }
        #[cfg(feature = "gpu")]
        return Self {
            floats: None,
            quantized: Some(Quantized::Gpu(Box::new(crate::gpu::Quantized::new(
                blocks, device,
            )))),
        };
        #[cfg(not(feature = "gpu"))]
        unreachable!("there is no other backend")
    }

    /// Whether it is multiplied as blocks.
    #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
    pub(crate) fn is_of_blocks(&self) -> bool {
        self.quantized.is_some()
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> [usize; 2] {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => each!(quantized, it => it.shape()),
            (Some(floats), None) => floats.val().dims(),
            (None, None) => unreachable!("a matrix has weights"),
        }
    }

    /// Whether rows before and from `row` on can be matrices of their own, quantized as they are.
    pub(crate) fn can_be_cut_at(&self, row: usize) -> bool {
        row.is_multiple_of(TILE)
    }

    /// Some of the rows, whose ends [`Matrix::can_be_cut_at`] allows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        match (&self.floats, &self.quantized) {
            (_, Some(quantized)) => Self {
                floats: None,
                quantized: Some(quantized.part(rows)),
            },
            _ => Self::floats(self.to_floats().narrow(0, rows.start, rows.len())),
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

    /// `residual + norm(x) wᵀ + bias`, without what there is none of: on a GPU in one dispatch.
    pub(crate) fn project_onto<const D: usize>(
        &self,
        input: Input<'_, D>,
        bias: Option<Tensor<1>>,
        residual: Option<Tensor<D>>,
    ) -> Tensor<D> {
        #[cfg(feature = "gpu")]
        if let Some(Quantized::Gpu(quantized)) = &self.quantized {
            let around = Around {
                norm: input.norm.map(|norm| norm.parts()),
                bias,
                residual,
                gate: None,
            };
            return quantized.project_around(input.x, around);
        }
        let mut y = self.project(input.value());
        if let Some(bias) = bias {
            y = y + bias.unsqueeze();
        }
        match residual {
            Some(residual) => residual + y,
            None => y,
        }
    }

    /// `act(gate) * up` of rows that are those of a gate and as many of what it gates.
    #[cfg(feature = "gpu")]
    pub(crate) fn project_gated<const D: usize>(
        &self,
        input: Input<'_, D>,
        bias: Option<Tensor<1>>,
        activation: Activation,
    ) -> Tensor<D> {
        if let Some(Quantized::Gpu(quantized)) = &self.quantized {
            let around = Around {
                norm: input.norm.map(|norm| norm.parts()),
                bias,
                residual: None,
                gate: Some(activation),
            };
            return quantized.project_around(input.x, around);
        }
        gated(self.project_onto(input, bias, None), activation)
    }

    /// One matrix of the rows of several, for a GPU without gradients; None where it can't be or gains
    /// nothing.
    #[cfg(feature = "gpu")]
    pub(crate) fn stack<const N: usize>(parts: [&Self; N]) -> Option<Self> {
        let quantized: Option<Vec<_>> = parts
            .iter()
            .map(|part| match &part.quantized {
                Some(Quantized::Gpu(quantized)) => Some(&**quantized),
                _ => None,
            })
            .collect();
        if let Some(quantized) = quantized {
            return Some(Self {
                floats: None,
                quantized: Some(Quantized::Gpu(Box::new(crate::gpu::Quantized::stack(
                    &quantized,
                )?))),
            });
        }
        let floats: Option<Vec<_>> = parts
            .iter()
            .map(|part| part.floats.as_ref().map(Param::val))
            .collect();
        let floats = floats.filter(|floats| floats.iter().all(crate::gpu::usable))?;
        Some(Self::floats(Tensor::cat(floats, 0)))
    }

    /// Products of several matrices with one `x`: a CPU quantizes it once for all.
    pub(crate) fn project_all<const D: usize, const N: usize>(
        matrices: [&Self; N],
        x: Tensor<D>,
    ) -> [Tensor<D>; N] {
        #[cfg(feature = "cpu")]
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

/// `act(gate) * up`, of which the one is the first half of `both` and the other the second.
#[cfg(feature = "gpu")]
pub(crate) fn gated<const D: usize>(both: Tensor<D>, activation: Activation) -> Tensor<D> {
    let width = both.dims()[D - 1] / 2;
    let gate = both.clone().narrow(D - 1, 0, width);
    activation.apply(gate) * both.narrow(D - 1, width, width)
}

/// `a b`, of the last two dimensions. In a page's GPU by a kernel of our own: burn's are a sixth of its module.
pub(crate) fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "gpu", target_arch = "wasm32"))]
    return crate::gpu::matmul(a, b);
    #[cfg(not(all(feature = "gpu", target_arch = "wasm32")))]
    a.matmul(b)
}

/// `x wᵀ` for `x` `[.., in]` and `w` `[out, in]`, as one flat matrix product.
pub(crate) fn project<const D: usize>(x: Tensor<D>, w: Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let [out, input] = w.dims();
    let rows: usize = shape[..D - 1].iter().product();
    shape[D - 1] = out;
    matmul(x.reshape([rows, input]), w.transpose()).reshape(shape)
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::Storage;

    fn devices() -> Vec<Device> {
        Vec::from([
            Device::flex(),
            #[cfg(feature = "wgpu")]
            Device::wgpu(crate::DeviceKind::Cpu),
        ])
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// The rows of a part are the whole's, as floats and in products.
    #[test]
    fn parts_are_rows_of_the_whole() {
        let weights: Vec<f32> = (0..48 * 64)
            .map(|i| ((i * 37) % 101) as f32 - 50.0)
            .collect();
        for storage in [Storage::Q8, Storage::Q4] {
            let blocks = Blocks::quantize("w", &[48, 64], &weights, storage);
            let blocks = blocks.unwrap().unwrap();
            for device in devices() {
                let whole = Matrix::quantized(&blocks, &device);
                let floats = values(whole.to_floats());
                assert_eq!(floats, blocks.dequantize());
                assert!(whole.can_be_cut_at(16) && !whole.can_be_cut_at(8));
                let part = whole.part(16..48);
                assert_eq!(part.shape(), [32, 64]);
                assert_eq!(values(part.to_floats()), floats[16 * 64..]);
                let x = Tensor::<2>::ones([3, 64], &device);
                let product = values(whole.project(x.clone()));
                for (all, some) in product.chunks(48).zip(values(part.project(x)).chunks(32)) {
                    assert_eq!(&all[16..], some, "{device:?}");
                }
            }
        }
    }
}
