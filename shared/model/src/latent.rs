//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1).
//!
//! Keys and values of all heads are made from one latent per position, and only that latent and one
//! turned key that all heads share are cached: `kv_rank + rope_dim` numbers per position and layer.
//! A prompt expands the latents into keys and values; a single token takes the expansion into its
//! query and output instead ("absorbed"), so that nothing is ever expanded while decoding.

use crate::tensor::Tensor;
use crate::tensor::activation::softmax;
use crate::tensor::module::Module;

use crate::cache::Seat;
use crate::config::LatentConfig;
use crate::layers::{Linear, Maps, RmsNorm, Shapes, Weights};
use crate::matrix::matmul;
use crate::pass::Pass;
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// Latent attention of one layer.
#[derive(Module, Debug)]
pub(crate) struct LatentAttention {
    q: Queries,
    kv_a_proj_with_mqa: Linear,
    kv_a_layernorm: RmsNorm,
    kv_b_proj: Linear,
    o_proj: Linear,
    #[module(skip)]
    config: LatentConfig,
}

/// Queries, at once or through a latent of their own.
#[derive(Module, Debug)]
// There is one per layer, and none is ever moved; sizes depend on the backend.
#[allow(clippy::large_enum_variant)]
enum Queries {
    Direct(Linear),
    Latent(LatentQueries),
}

#[derive(Module, Debug)]
struct LatentQueries {
    q_a_proj: Linear,
    q_a_layernorm: RmsNorm,
    q_b_proj: Linear,
}

/// The latents' norms have this eps, whatever `rms_norm_eps` says (DeepSeek's code, transformers).
const LATENT_EPS: f64 = 1e-6;

impl LatentConfig {
    /// Names and shapes of the tensors below the layer's `self_attn`.
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        let (h, heads) = (model.hidden_size, self.heads);
        let q = heads * (self.nope_dim + self.rope_dim);
        let mut all = Vec::new();
        match self.q_rank {
            None => Linear::shapes("q_proj", q, h, false, &mut all),
            Some(rank) => {
                Linear::shapes("q_a_proj", rank, h, self.bias, &mut all);
                all.push(("q_a_layernorm.weight".into(), vec![rank]));
                Linear::shapes("q_b_proj", q, rank, false, &mut all);
            }
        }
        let latent = self.kv_rank + self.rope_dim;
        Linear::shapes("kv_a_proj_with_mqa", latent, h, self.bias, &mut all);
        all.push(("kv_a_layernorm.weight".into(), vec![self.kv_rank]));
        let expanded = heads * (self.nope_dim + self.value_dim);
        Linear::shapes("kv_b_proj", expanded, self.kv_rank, false, &mut all);
        Linear::shapes("o_proj", h, heads * self.value_dim, self.bias, &mut all);
        all
    }
}

impl LatentAttention {
    pub(crate) fn load(
        model: &ModelConfig,
        config: LatentConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let (h, heads, bias) = (model.hidden_size, config.heads, config.bias);
        let q = heads * (config.nope_dim + config.rope_dim);
        let latent = config.kv_rank + config.rope_dim;
        let expanded = heads * (config.nope_dim + config.value_dim);
        let value = heads * config.value_dim;
        Ok(Self {
            q: match config.q_rank {
                None => Queries::Direct(Linear::load(q, h, false, path.join("q_proj"))?),
                Some(rank) => Queries::Latent(LatentQueries {
                    q_a_proj: Linear::load(rank, h, bias, path.join("q_a_proj"))?,
                    q_a_layernorm: RmsNorm::load(model, rank, path.join("q_a_layernorm"))?
                        .with_eps(LATENT_EPS),
                    q_b_proj: Linear::load(q, rank, false, path.join("q_b_proj"))?,
                }),
            },
            kv_a_proj_with_mqa: Linear::load(latent, h, bias, path.join("kv_a_proj_with_mqa"))?,
            kv_a_layernorm: RmsNorm::load(model, config.kv_rank, path.join("kv_a_layernorm"))?
                .with_eps(LATENT_EPS),
            kv_b_proj: Linear::load_floats(expanded, config.kv_rank, path.join("kv_b_proj"))?,
            o_proj: Linear::load(h, value, bias, path.join("o_proj"))?,
            config,
        })
    }

    /// `x` `[batch, time, hidden]`; see [`crate::attention::Attention::forward`].
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        pass: &Pass<'_>,
        cache: Option<Seat<'_>>,
    ) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let c = &self.config;
        let rope = pass.rope(c.rope);
        let q = match &self.q {
            Queries::Direct(q_proj) => q_proj.forward(x.clone()),
            Queries::Latent(q) => {
                let latent = q.q_a_layernorm.forward(q.q_a_proj.forward(x.clone()));
                q.q_b_proj.forward(latent)
            }
        };
        let q = q
            .reshape([batch, time, c.heads, c.nope_dim + c.rope_dim])
            .swap_dims(1, 2)
            .mul_scalar(c.scale);
        let q_nope = q.clone().narrow(3, 0, c.nope_dim);
        let q_rope = rope.apply(q.narrow(3, c.nope_dim, c.rope_dim));

        let compressed = self.kv_a_proj_with_mqa.forward(x);
        let latent = compressed.clone().narrow(2, 0, c.kv_rank);
        let latent = self.kv_a_layernorm.forward(latent).unsqueeze_dim(1);
        let k_rope = compressed.narrow(2, c.kv_rank, c.rope_dim).unsqueeze_dim(1);
        let k_rope = rope.apply(k_rope);
        let (latent, k_rope) = match cache {
            Some(cache) => cache.append(latent, k_rope, pass.start, 0),
            None => (latent, k_rope),
        };
        let turned = matmul(q_rope, k_rope.transpose());
        let context = match time {
            1 => self.absorbed(q_nope, turned, latent),
            _ => self.expanded(q_nope, turned, latent, pass),
        };
        let joined = context
            .swap_dims(1, 2)
            .reshape([batch, time, c.heads * c.value_dim]);
        self.o_proj.forward(joined)
    }

    /// Keys and values made from the latents: `[batch, heads, time, value_dim]`.
    fn expanded(
        &self,
        q_nope: Tensor<4>,
        turned: Tensor<4>,
        latent: Tensor<4>,
        pass: &Pass<'_>,
    ) -> Tensor<4> {
        let c = &self.config;
        let [batch, _, keys, _] = latent.dims();
        let kv = self
            .kv_b_proj
            .forward(latent)
            .reshape([batch, keys, c.heads, c.nope_dim + c.value_dim])
            .swap_dims(1, 2);
        let k = kv.clone().narrow(3, 0, c.nope_dim);
        let v = kv.narrow(3, c.nope_dim, c.value_dim);
        let mut scores = matmul(q_nope, k.transpose()) + turned;
        if let Some(mask) = pass.mask(None, 1) {
            scores = scores + mask;
        }
        matmul(softmax(scores, 3), v)
    }

    /// The same for one position, which may look at all keys, without expanding any:
    /// `q W_UK^T c` for `q (W_UK c)`, and `W_UV (p c)` for `p (W_UV c)`.
    fn absorbed(&self, q_nope: Tensor<4>, turned: Tensor<4>, latent: Tensor<4>) -> Tensor<4> {
        let c = &self.config;
        // [1, heads, nope_dim + value_dim, kv_rank]
        let weight: Tensor<4> =
            self.kv_b_proj
                .weight()
                .reshape([1, c.heads, c.nope_dim + c.value_dim, c.kv_rank]);
        let up_k = weight.clone().narrow(2, 0, c.nope_dim);
        let up_v = weight.narrow(2, c.nope_dim, c.value_dim);
        let scores = matmul(matmul(q_nope, up_k), latent.clone().transpose()) + turned;
        matmul(matmul(softmax(scores, 3), latent), up_v.transpose())
    }

    /// Its linear maps.
    pub(crate) fn maps<'a>(&'a mut self, prefix: &str, out: &mut Maps<'a>) {
        let mut add = |name: &str, map| out.push((format!("{prefix}.{name}"), vec![map]));
        match &mut self.q {
            Queries::Direct(q_proj) => add("q_proj", q_proj),
            Queries::Latent(q) => {
                add("q_a_proj", &mut q.q_a_proj);
                add("q_b_proj", &mut q.q_b_proj);
            }
        }
        add("kv_a_proj_with_mqa", &mut self.kv_a_proj_with_mqa);
        add("kv_b_proj", &mut self.kv_b_proj);
        add("o_proj", &mut self.o_proj);
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Weights) {
        match &self.q {
            Queries::Direct(q_proj) => q_proj.save(&format!("{prefix}.q_proj"), out),
            Queries::Latent(q) => {
                q.q_a_proj.save(&format!("{prefix}.q_a_proj"), out);
                q.q_a_layernorm
                    .save(&format!("{prefix}.q_a_layernorm"), out);
                q.q_b_proj.save(&format!("{prefix}.q_b_proj"), out);
            }
        }
        self.kv_a_proj_with_mqa
            .save(&format!("{prefix}.kv_a_proj_with_mqa"), out);
        self.kv_a_layernorm
            .save(&format!("{prefix}.kv_a_layernorm"), out);
        self.kv_b_proj.save(&format!("{prefix}.kv_b_proj"), out);
        self.o_proj.save(&format!("{prefix}.o_proj"), out);
    }
}
