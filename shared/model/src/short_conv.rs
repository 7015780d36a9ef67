//! LFM2's gated short convolution: `out(c * conv(b * x))`, where `b`, `c` and `x` are three linear
//! maps of the input and `conv` is a causal filter of a few positions per channel.

use crate::tensor::Tensor;
use crate::tensor::module::{Module, Param};

use crate::config::ShortConvConfig;
use crate::layers::{Linear, Maps, Shapes, Weights};
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// The convolution of one layer.
#[derive(Module, Debug)]
pub(crate) struct ShortConv {
    in_b: Linear,
    in_c: Linear,
    in_x: Linear,
    /// `[hidden, kernel]`; the last column is the present position's.
    filter: Param<Tensor<2>>,
    filter_bias: Option<Param<Tensor<1>>>,
    out_proj: Linear,
}

impl ShortConvConfig {
    /// Names and shapes of the tensors below the layer's `conv`.
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        let h = model.hidden_size;
        let mut all = Vec::new();
        Linear::shapes("in_proj", 3 * h, h, self.bias, &mut all);
        all.push(("conv.weight".into(), vec![h, 1, self.kernel]));
        if self.bias {
            all.push(("conv.bias".into(), vec![h]));
        }
        Linear::shapes("out_proj", h, h, self.bias, &mut all);
        all
    }
}

impl ShortConv {
    pub(crate) fn load(
        model: &ModelConfig,
        config: ShortConvConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let h = model.hidden_size;
        let input = path.join("in_proj");
        let [in_b, in_c, in_x] = Linear::load_parts([h; 3], h, config.bias, input)?;
        let mut conv = path.join("conv");
        Ok(Self {
            in_b,
            in_c,
            in_x,
            filter: Param::from_tensor(conv.floats("weight", [h, config.kernel])?),
            filter_bias: config.bias.then(|| conv.vector("bias", [h])).transpose()?,
            out_proj: Linear::load(h, h, config.bias, path.join("out_proj"))?,
        })
    }

    /// `x` `[batch, time, hidden]`. `state` holds the inputs of the filter at the positions before
    /// the pass, `[1, kernel - 1, hidden]`, and is moved on; without one they are 0.
    pub(crate) fn forward(&self, x: Tensor<3>, state: Option<&mut Tensor<3>>) -> Tensor<3> {
        let [batch, time, hidden] = x.dims();
        let filter = self.filter.val();
        let kernel = filter.dims()[1];
        let gated = self.in_b.forward(x.clone()) * self.in_x.forward(x.clone());
        let before = match &state {
            Some(state) => (*state).clone(),
            None => Tensor::zeros([batch, kernel - 1, hidden], &x.device()),
        };
        let inputs = Tensor::cat(vec![before, gated], 1);
        if let Some(state) = state {
            *state = inputs.clone().narrow(1, time, kernel - 1);
        }
        let taps = (0..kernel).map(|tap| {
            let weight = filter.clone().narrow(1, tap, 1).reshape([1, 1, hidden]);
            inputs.clone().narrow(1, tap, time) * weight
        });
        let mut filtered = taps
            .reduce(|sum, tap| sum + tap)
            .expect("a filter has taps");
        if let Some(bias) = &self.filter_bias {
            filtered = filtered + bias.val().unsqueeze();
        }
        self.out_proj.forward(self.in_c.forward(x) * filtered)
    }

    /// Its linear maps.
    pub(crate) fn maps<'a>(&'a mut self, prefix: &str, out: &mut Maps<'a>) {
        let parts = vec![&mut self.in_b, &mut self.in_c, &mut self.in_x];
        out.push((format!("{prefix}.in_proj"), parts));
        out.push((format!("{prefix}.out_proj"), vec![&mut self.out_proj]));
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Weights) {
        let parts = [&self.in_b, &self.in_c, &self.in_x];
        Linear::save_parts(&parts, &format!("{prefix}.in_proj"), out);
        let filter = self.filter.val();
        let [hidden, kernel] = filter.dims();
        let filter: Tensor<3> = filter.reshape([hidden, 1, kernel]);
        out.push((format!("{prefix}.conv.weight"), filter.into_data()));
        if let Some(bias) = &self.filter_bias {
            out.push((format!("{prefix}.conv.bias"), bias.val().into_data()));
        }
        self.out_proj.save(&format!("{prefix}.out_proj"), out);
    }
}
