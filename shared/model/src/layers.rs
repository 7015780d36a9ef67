//! The two small layers everything is made of: a linear map and RMSNorm.

mod low_rank;

use crate::tensor::module::{Module, Param};
use crate::tensor::{Device, Tensor, TensorData};

#[cfg(feature = "gpu")]
use crate::config::Activation;
use crate::matrix::Matrix;
#[cfg(feature = "gpu")]
use crate::matrix::gated;
use crate::weights::Path;
use crate::{Error, ModelConfig};
pub(crate) use low_rank::LowRank;

/// Tensors on the host with their Hugging Face names.
pub(crate) type Weights = Vec<(String, TensorData)>;
/// Names and shapes of tensors.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;
/// Linear maps by the Hugging Face names of their modules. The rows of one module's maps are one behind the other there.
pub(crate) type Maps<'a> = Vec<(String, Vec<&'a mut Linear>)>;

/// What a layer is given: a tensor, to be normed first where there is a norm.
#[derive(Clone)]
pub(crate) struct Input<'a, const D: usize> {
    pub(crate) x: Tensor<D>,
    pub(crate) norm: Option<&'a RmsNorm>,
}

impl<'a, const D: usize> Input<'a, D> {
    pub(crate) fn new(x: Tensor<D>, norm: &'a Option<RmsNorm>) -> Self {
        let norm = norm.as_ref();
        Self { x, norm }
    }

    /// The tensor after its norm.
    pub(crate) fn value(self) -> Tensor<D> {
        match self.norm {
            Some(norm) => norm.forward(self.x),
            None => self.x,
        }
    }
}

impl<const D: usize> From<Tensor<D>> for Input<'_, D> {
    fn from(x: Tensor<D>) -> Self {
        Self { x, norm: None }
    }
}

/// `x W^T + b`, and what an adapter adds.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    weight: Matrix,
    bias: Option<Param<Tensor<1>>>,
    // Boxed: most models have none, and a layer is moved a few times while it is loaded.
    #[module(skip)]
    low_rank: Option<Box<LowRank>>,
}

impl Linear {
    pub(crate) fn load(
        out: usize,
        input: usize,
        bias: bool,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let weight = path.matrix("weight", [out, input])?;
        let bias = bias.then(|| path.vector("bias", [out])).transpose()?;
        Ok(Self::new(weight, bias))
    }

    fn new(weight: Matrix, bias: Option<Param<Tensor<1>>>) -> Self {
        let low_rank = None;
        Self {
            weight,
            bias,
            low_rank,
        }
    }

    /// Several linear maps of one input that the checkpoint holds in one matrix.
    pub(crate) fn load_parts<const N: usize>(
        outs: [usize; N],
        input: usize,
        bias: bool,
        mut path: Path<'_>,
    ) -> Result<[Self; N], Error> {
        let weights = path.matrices("weight", outs, input)?;
        let bias = bias.then(|| path.vector("bias", [outs.iter().sum()]));
        let bias = bias.transpose()?;
        let mut start = 0;
        Ok(weights.map(|weight| {
            let [out, _] = weight.shape();
            start += out;
            let part = |bias: &Param<Tensor<1>>| bias.val().narrow(0, start - out, out);
            let bias = bias.as_ref().map(|bias| Param::from_tensor(part(bias)));
            Self::new(weight, bias)
        }))
    }

    /// A map whose weights are also used in other ways: as floats.
    pub(crate) fn load_floats(out: usize, input: usize, mut path: Path<'_>) -> Result<Self, Error> {
        let weight = Matrix::floats(path.floats("weight", [out, input])?);
        Ok(Self::new(weight, None))
    }

    /// The names and shapes that [`Linear::load`] wants.
    pub(crate) fn shapes(name: &str, out: usize, input: usize, bias: bool, all: &mut Shapes) {
        all.push((format!("{name}.weight"), vec![out, input]));
        if bias {
            all.push((format!("{name}.bias"), vec![out]));
        }
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [y] = Self::forward_all([self], x);
        y
    }

    /// The map, added to `residual` if there is one.
    pub(crate) fn forward_onto<const D: usize>(
        &self,
        input: Input<'_, D>,
        residual: Option<Tensor<D>>,
    ) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        let Some(low_rank) = &self.low_rank else {
            return self.weight.project_onto(input, bias, residual);
        };
        let x = input.value();
        let added = low_rank.forward(x.clone());
        let added = match residual {
            Some(residual) => residual + added,
            None => added,
        };
        self.weight.project_onto(x.into(), bias, Some(added))
    }

    /// The rows are those of a gate and as many of what it gates: `act(gate(x)) * up(x)`.
    #[cfg(feature = "gpu")]
    pub(crate) fn forward_gated<const D: usize>(
        &self,
        input: Input<'_, D>,
        activation: Activation,
    ) -> Tensor<D> {
        if self.low_rank.is_some() {
            return gated(self.forward_onto(input, None), activation);
        }
        let bias = self.bias.as_ref().map(Param::val);
        self.weight.project_gated(input, bias, activation)
    }

    /// One map to the outputs of all `parts`, in one product on a GPU; None where several do as well. The
    /// parts become views of it.
    #[cfg(feature = "gpu")]
    pub(crate) fn stack<const N: usize>(mut parts: [&mut Self; N]) -> Option<Self> {
        let weights = parts.each_ref().map(|part| &part.weight);
        let weight = Matrix::stack(weights)?;
        let biases: Option<Vec<_>> = parts
            .iter()
            .map(|part| part.bias.as_ref().map(Param::val))
            .collect();
        let mut start = 0;
        for part in &mut parts {
            let [rows, _] = part.weight.shape();
            part.weight = weight.part(start..start + rows);
            start += rows;
        }
        let bias = biases.map(|biases| Param::from_tensor(Tensor::cat(biases, 0)));
        Some(Self::new(weight, bias))
    }

    /// Gives a stack what was [added](Linear::adapt) to its parts.
    #[cfg(feature = "gpu")]
    pub(crate) fn adapt_stack<const N: usize>(&mut self, parts: [&Self; N]) {
        let parts = parts.map(|part| (part.weight.shape()[0], part.low_rank.as_deref()));
        self.low_rank = LowRank::stack(&parts).map(Box::new);
    }

    /// Rows and columns of `W`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        self.weight.shape()
    }

    /// Adds this to the map, in the place of what was added before.
    pub(crate) fn adapt(&mut self, low_rank: Option<LowRank>) {
        self.low_rank = low_rank.map(Box::new);
    }

    /// Several maps of one input, `[.., in]` to `[.., out]` each.
    pub(crate) fn forward_all<const D: usize, const N: usize>(
        maps: [&Self; N],
        x: Tensor<D>,
    ) -> [Tensor<D>; N] {
        let low_rank = |map: &Self| Some(map.low_rank.as_ref()?.forward(x.clone()));
        let added = maps.map(low_rank);
        let products = Matrix::project_all(maps.map(|map| &map.weight), x);
        let mut sums = maps.iter().zip(added);
        products.map(|mut y| {
            let (map, added) = sums.next().expect("there is one for each map");
            if let Some(bias) = &map.bias {
                y = y + bias.val().unsqueeze();
            }
            match added {
                Some(added) => y + added,
                None => y,
            }
        })
    }

    /// `W`, `[out, in]`, with what is added to it.
    pub(crate) fn weight(&self) -> Tensor<2> {
        match &self.low_rank {
            Some(low_rank) => low_rank.added_to(|| self.weight.to_floats()),
            None => self.weight.to_floats(),
        }
    }

    /// Writes what [`Linear::load_parts`] reads.
    pub(crate) fn save_parts(parts: &[&Self], prefix: &str, out: &mut Weights) {
        let weights = parts.iter().map(|part| part.weight.to_floats()).collect();
        let whole = Tensor::cat(weights, 0);
        out.push((format!("{prefix}.weight"), whole.into_data()));
        let biases: Option<Vec<_>> = parts
            .iter()
            .map(|part| part.bias.as_ref().map(|bias| bias.val()))
            .collect();
        if let Some(biases) = biases {
            let whole = Tensor::cat(biases, 0);
            out.push((format!("{prefix}.bias"), whole.into_data()));
        }
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Weights) {
        out.push((
            format!("{prefix}.weight"),
            self.weight.to_floats().into_data(),
        ));
        if let Some(bias) = &self.bias {
            out.push((format!("{prefix}.bias"), bias.val().into_data()));
        }
    }
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension (arXiv 1910.07467); times
/// `1 + weight` in Gemma.
#[derive(Module, Debug)]
pub(crate) struct RmsNorm {
    weight: Param<Tensor<1>>,
    eps: f64,
    plus_one: bool,
}

impl RmsNorm {
    pub(crate) fn load(
        config: &ModelConfig,
        size: usize,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        Ok(Self {
            weight: path.vector("weight", [size])?,
            eps: config.rms_norm_eps,
            plus_one: config.norm_plus_one,
        })
    }

    /// The same norm with another eps than the config's.
    pub(crate) fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// The norm called `name` below `path`, if the family has one.
    pub(crate) fn load_if(
        config: &ModelConfig,
        size: usize,
        name: Option<&str>,
        path: &mut Path<'_>,
    ) -> Result<Option<Self>, Error> {
        name.map(|name| Self::load(config, size, path.join(name)))
            .transpose()
    }

    /// What the normed values are multiplied with.
    fn factor(&self) -> Tensor<1> {
        match self.plus_one {
            true => self.weight.val() + 1.0,
            false => self.weight.val(),
        }
    }

    /// Where the norm is computed.
    pub(crate) fn device(&self) -> Device {
        self.weight.val().device()
    }

    /// Factor and eps, for a norm that is part of something else.
    #[cfg(any(feature = "cpu", feature = "gpu"))]
    pub(crate) fn parts(&self) -> (Tensor<1>, f32) {
        (self.factor(), self.eps as f32)
    }

    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.factor();
        #[cfg(feature = "cpu")]
        if crate::cpu::usable(&x) {
            return crate::cpu::rms_norm(x, weight, self.eps as f32);
        }
        #[cfg(feature = "gpu")]
        if crate::gpu::usable(&x) {
            return crate::gpu::rms_norm(x, weight, self.eps as f32);
        }
        #[cfg(all(feature = "train", feature = "flex"))]
        if crate::fused::usable(&x) {
            return crate::fused::rms_norm(x, weight, self.eps as f32);
        }
        let mean_square = x.clone().square().mean_dim(D - 1);
        let scale = (mean_square + self.eps).sqrt().recip();
        x * scale * weight.unsqueeze()
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Weights) {
        out.push((format!("{prefix}.weight"), self.weight.val().into_data()));
    }
}

/// `norm(x)`, or `x` where there is no norm.
pub(crate) fn normed<const D: usize>(norm: &Option<RmsNorm>, x: Tensor<D>) -> Tensor<D> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}
