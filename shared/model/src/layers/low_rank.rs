//! What an adapter adds to a linear map: a product of two thin matrices (LoRA, arXiv 2106.09685).

use std::sync::OnceLock;

use crate::tensor::{Device, Tensor, TensorData};

use crate::adapter::Factors;
use crate::matrix::{matmul, project};

/// `B (A x)`, beside weights that stay as they are: in blocks, on their device, shared.
#[derive(Debug, Clone)]
pub(crate) struct LowRank {
    /// `[rank, in]`
    a: Tensor<2>,
    /// `[out, rank]`, with the adapter's scale in it.
    b: Tensor<2>,
    /// The map's weights with `B A` added, for maps whose weights are used in other ways too.
    weight: OnceLock<Tensor<2>>,
}

impl LowRank {
    fn new(a: Tensor<2>, b: Tensor<2>) -> Self {
        let weight = OnceLock::new();
        Self { a, b, weight }
    }

    /// What is added to the maps whose rows, so many each, are one module's in the adapter: they share A.
    pub(crate) fn parts(factors: &Factors, outs: &[usize], device: &Device) -> Vec<Self> {
        let Factors { rank, input, .. } = *factors;
        let tensor = |values: &[f32], shape| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        let a = tensor(&factors.a, [rank, input]);
        let mut rest = &*factors.b;
        let parts = outs.iter().map(|&out| {
            let (own, others) = rest.split_at(out * rank);
            rest = others;
            Self::new(a.clone(), tensor(own, [out, rank]))
        });
        parts.collect()
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (a, b) = (self.a.clone(), self.b.clone());
        #[cfg(feature = "cpu")]
        if crate::cpu::usable(&x) && x.dims()[..D - 1].iter().product::<usize>() <= crate::cpu::FEW
        {
            return crate::cpu::low_rank(x, a, b);
        }
        project(project(x, a), b)
    }

    /// `W + B A`, made once.
    pub(crate) fn added_to(&self, weight: impl FnOnce() -> Tensor<2>) -> Tensor<2> {
        let made = || weight() + matmul(self.b.clone(), self.a.clone());
        self.weight.get_or_init(made).clone()
    }

    /// What is added to the rows of several maps of one input, one behind the other: their B on a diagonal of blocks. Each
    /// part has its number of rows, and what is added to them, if anything is.
    #[cfg(feature = "gpu")]
    pub(crate) fn stack(parts: &[(usize, Option<&Self>)]) -> Option<Self> {
        let own: Vec<&Self> = parts.iter().filter_map(|(_, own)| *own).collect();
        let device = own.first()?.a.device();
        let a = Tensor::cat(own.iter().map(|own| own.a.clone()).collect(), 0);
        let rows = parts.iter().map(|(out, _)| out).sum();
        let mut b = Tensor::zeros([rows, a.dims()[0]], &device);
        let (mut row, mut column) = (0, 0);
        for (out, own) in parts {
            if let Some(own) = own {
                let rank = own.a.dims()[0];
                b = b.slice_assign([row..row + out, column..column + rank], own.b.clone());
                column += rank;
            }
            row += out;
        }
        Some(Self::new(a, b))
    }
}
