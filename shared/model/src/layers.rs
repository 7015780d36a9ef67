//! The two small layers everything is made of: a linear map and RMSNorm.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use crate::Error;
use crate::weights::Path;

/// `x W^T + b`, with `W` stored `[out, in]` as Hugging Face stores it. Rows of `W` are then
/// contiguous along the sum, which is also the layout a matrix-vector product wants.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    pub(crate) fn load(
        out: usize,
        input: usize,
        bias: bool,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let weight = path.matrix("weight", [out, input])?;
        let bias = if bias {
            Some(path.vector("bias", [out])?)
        } else {
            None
        };
        Ok(Self { weight, bias })
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let y = project(x, self.weight.val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Vec<(String, TensorData)>) {
        out.push((format!("{prefix}.weight"), self.weight.val().into_data()));
        if let Some(bias) = &self.bias {
            out.push((format!("{prefix}.bias"), bias.val().into_data()));
        }
    }
}

/// `x W^T` for `x` `[.., in]` and `W` `[out, in]`, as one flat matrix product.
pub(crate) fn project<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let [out, input] = weight.dims();
    let rows: usize = shape[..D - 1].iter().product();
    shape[D - 1] = out;
    x.reshape([rows, input])
        .matmul(weight.transpose())
        .reshape(shape)
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension (arXiv 1910.07467).
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    weight: Param<Tensor<1>>,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn load(size: usize, eps: f64, mut path: Path<'_>) -> Result<Self, Error> {
        Ok(Self {
            weight: path.vector("weight", [size])?,
            eps,
        })
    }

    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        #[cfg(all(feature = "train", feature = "flex"))]
        if crate::fused::usable(&x) {
            return crate::fused::rms_norm(x, self.weight.val(), self.eps as f32);
        }
        let mean_square = x.clone().square().mean_dim(D - 1);
        let scale = (mean_square + self.eps).sqrt().recip();
        x * scale * self.weight.val().unsqueeze()
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Vec<(String, TensorData)>) {
        out.push((format!("{prefix}.weight"), self.weight.val().into_data()));
    }
}
