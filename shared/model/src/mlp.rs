//! Gated feed-forward networks (arXiv 2002.05202).

use crate::tensor::Tensor;
use crate::tensor::activation::{sigmoid, silu};
use crate::tensor::module::Module;

use crate::config::{Activation, MlpConfig};
use crate::layers::{Input, Linear, Maps, Shapes, Weights};
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// `down(act(gate(x)) * up(x))`.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    /// Gate and up as one map, on a GPU.
    #[cfg(feature = "gpu")]
    #[module(skip)]
    gate_up: Option<Linear>,
    #[module(skip)]
    config: MlpConfig,
}

impl MlpConfig {
    /// Names and shapes of the tensors below the layer's feed-forward network.
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        let (h, names) = (model.hidden_size, model.names());
        let (width, bias) = (self.width, self.bias);
        let mut all = Vec::new();
        match self.fused {
            true => Linear::shapes("gate_up_proj", 2 * width, h, bias, &mut all),
            false => {
                Linear::shapes(names.gate, width, h, bias, &mut all);
                Linear::shapes(names.up, width, h, bias, &mut all);
            }
        }
        Linear::shapes(names.down, h, width, bias, &mut all);
        all
    }
}

impl Activation {
    /// The gate's function, element by element.
    pub(crate) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Silu => silu(x),
            // tanh(u) is 2 sigmoid(2u) - 1. Some drivers compute tanh by exponentials that overflow to
            // NaN; those of a sigmoid overflow to its limits.
            Self::GeluTanh => {
                let inner = x.clone() + x.clone().powi_scalar(3) * 0.044715;
                x * sigmoid(inner * (2.0 * (2.0 / std::f64::consts::PI).sqrt()))
            }
        }
    }
}

impl Mlp {
    pub(crate) fn load(
        model: &ModelConfig,
        config: MlpConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let (h, names) = (model.hidden_size, model.names());
        let (width, bias) = (config.width, config.bias);
        #[allow(unused_mut, reason = "only a GPU's are stacked")]
        let [mut gate_proj, mut up_proj] = match config.fused {
            true => Linear::load_parts([width; 2], h, bias, path.join("gate_up_proj"))?,
            false => [
                Linear::load(width, h, bias, path.join(names.gate))?,
                Linear::load(width, h, bias, path.join(names.up))?,
            ],
        };
        Ok(Self {
            #[cfg(feature = "gpu")]
            gate_up: Linear::stack([&mut gate_proj, &mut up_proj]),
            gate_proj,
            up_proj,
            down_proj: Linear::load(h, width, bias, path.join(names.down))?,
            config,
        })
    }

    /// `[.., hidden]` to `[.., hidden]`, added to `residual` if there is one.
    pub(crate) fn forward<const D: usize>(
        &self,
        input: Input<'_, D>,
        residual: Option<Tensor<D>>,
    ) -> Tensor<D> {
        let gated = self.gated(input);
        self.down_proj.forward_onto(gated.into(), residual)
    }

    /// `[.., hidden]` to `[.., width]`.
    fn gated<const D: usize>(&self, input: Input<'_, D>) -> Tensor<D> {
        #[cfg(feature = "gpu")]
        if let Some(both) = &self.gate_up {
            return both.forward_gated(input, self.config.activation);
        }
        let x = input.value();
        let [gate, up] = Linear::forward_all([&self.gate_proj, &self.up_proj], x);
        #[cfg(feature = "cpu")]
        if self.config.activation == Activation::Silu && crate::cpu::usable(&gate) {
            return crate::cpu::swiglu(gate, up);
        }
        #[cfg(all(feature = "train", feature = "flex"))]
        if self.config.activation == Activation::Silu && crate::fused::usable(&gate) {
            return crate::fused::swiglu(gate, up);
        }
        self.config.activation.apply(gate) * up
    }

    /// Its linear maps.
    pub(crate) fn maps<'a>(&'a mut self, model: &ModelConfig, prefix: &str, out: &mut Maps<'a>) {
        let names = model.names();
        let (gate, up) = (&mut self.gate_proj, &mut self.up_proj);
        match self.config.fused {
            true => out.push((format!("{prefix}.gate_up_proj"), vec![gate, up])),
            false => {
                out.push((format!("{prefix}.{}", names.gate), vec![gate]));
                out.push((format!("{prefix}.{}", names.up), vec![up]));
            }
        }
        let down = &mut self.down_proj;
        out.push((format!("{prefix}.{}", names.down), vec![down]));
    }

    /// Gives the stacked maps what was added to the single ones.
    #[cfg(feature = "gpu")]
    pub(crate) fn adapt_stacks(&mut self) {
        if let Some(both) = &mut self.gate_up {
            both.adapt_stack([&self.gate_proj, &self.up_proj]);
        }
    }

    pub(crate) fn save(&self, model: &ModelConfig, prefix: &str, out: &mut Weights) {
        let names = model.names();
        match self.config.fused {
            true => {
                let parts = [&self.gate_proj, &self.up_proj];
                Linear::save_parts(&parts, &format!("{prefix}.gate_up_proj"), out);
            }
            false => {
                self.gate_proj
                    .save(&format!("{prefix}.{}", names.gate), out);
                self.up_proj.save(&format!("{prefix}.{}", names.up), out);
            }
        }
        self.down_proj
            .save(&format!("{prefix}.{}", names.down), out);
    }
}
