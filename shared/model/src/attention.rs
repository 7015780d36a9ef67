//! Grouped-query attention with rotary positions (arXiv 2305.13245).

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

use crate::cache::LayerCache;
use crate::layers::{Linear, RmsNorm};
use crate::rope::Rope;
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// Attention of one layer. Several query heads share one key and value head.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Attention {
    pub(crate) fn load(config: &ModelConfig, mut path: Path<'_>) -> Result<Self, Error> {
        let (h, d) = (config.hidden_size, config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let mut linear = |name: &str, out: usize, input: usize, bias: bool| {
            Linear::load(out, input, bias, path.join(name))
        };
        let q_proj = linear("q_proj", heads * d, h, config.qkv_bias)?;
        let k_proj = linear("k_proj", kv_heads * d, h, config.qkv_bias)?;
        let v_proj = linear("v_proj", kv_heads * d, h, config.qkv_bias)?;
        let o_proj = linear("o_proj", h, heads * d, config.output_bias)?;
        let mut norm = |name: &str| match config.qk_norm {
            true => RmsNorm::load(d, config.rms_norm_eps, path.join(name)).map(Some),
            false => Ok(None),
        };
        let (q_norm, k_norm) = (norm("q_norm")?, norm("k_norm")?);
        Ok(Self {
            q_proj,
            k_proj,
            v_proj,
            o_proj,
            q_norm,
            k_norm,
            heads,
            kv_heads,
            head_dim: d,
        })
    }

    /// `x` `[batch, time, hidden]`. With a cache, its first `start` positions come before `x` and
    /// the new keys and values are appended to it.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        rope: &Rope,
        cache: Option<(&mut LayerCache, usize)>,
    ) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let (kv, d) = (self.kv_heads, self.head_dim);
        let groups = self.heads / kv;
        let q = self.rotated(
            self.q_proj.forward(x.clone()),
            self.heads,
            &self.q_norm,
            rope,
        );
        let k = self.rotated(self.k_proj.forward(x.clone()), kv, &self.k_norm, rope);
        let v = self.split_heads(self.v_proj.forward(x), kv);
        #[cfg(all(feature = "train", feature = "flex"))]
        if cache.is_none() && crate::fused::usable(&q) {
            let scale = 1.0 / (d as f32).sqrt();
            let scores = q
                .reshape([batch, kv, groups * time, d])
                .matmul(k.transpose());
            let context = crate::fused::causal_softmax(scores, scale).matmul(v);
            return self.o_proj.forward(self.join_heads(context, time));
        }
        let (k, v, start) = match cache {
            Some((cache, start)) => {
                let (k, v) = cache.append(k, v, start);
                (k, v, start)
            }
            None => (k, v, 0),
        };

        // Query heads of one group lie side by side: stacking them along time lets one product
        // serve the group, without repeating keys and values.
        let scale = 1.0 / (d as f64).sqrt();
        let q = q.mul_scalar(scale).reshape([batch, kv, groups * time, d]);
        let mut scores = q.matmul(k.transpose());
        if time > 1 {
            let mask = causal_mask(time, start, groups, &scores.device());
            scores = scores + mask;
        }
        let context = softmax(scores, 3).matmul(v);
        self.o_proj.forward(self.join_heads(context, time))
    }

    /// `[batch, time, heads * d]` to `[batch, heads, time, d]`, normed and turned.
    fn rotated(
        &self,
        x: Tensor<3>,
        heads: usize,
        norm: &Option<RmsNorm>,
        rope: &Rope,
    ) -> Tensor<4> {
        #[cfg(all(feature = "train", feature = "flex"))]
        if crate::fused::usable(&x) {
            let [batch, time, _] = x.dims();
            let x = norm_heads(norm, x.reshape([batch, time, heads, self.head_dim]));
            return crate::fused::rotate_heads(x, rope.cos.clone(), rope.sin.clone());
        }
        rope.apply(norm_heads(norm, self.split_heads(x, heads)))
    }

    /// `[batch, kv heads, groups * time, d]` to `[batch, time, heads * d]`.
    fn join_heads(&self, context: Tensor<4>, time: usize) -> Tensor<3> {
        let ([batch, ..], d) = (context.dims(), self.head_dim);
        context
            .reshape([batch, self.heads, time, d])
            .swap_dims(1, 2)
            .reshape([batch, time, self.heads * d])
    }

    /// `[batch, time, heads * d]` to `[batch, heads, time, d]`.
    fn split_heads(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        let [batch, time, _] = x.dims();
        x.reshape([batch, time, heads, self.head_dim])
            .swap_dims(1, 2)
    }

    pub(crate) fn save(&self, prefix: &str, out: &mut Vec<(String, TensorData)>) {
        let linears = [
            ("q_proj", &self.q_proj),
            ("k_proj", &self.k_proj),
            ("v_proj", &self.v_proj),
            ("o_proj", &self.o_proj),
        ];
        for (name, linear) in linears {
            linear.save(&format!("{prefix}.{name}"), out);
        }
        for (name, norm) in [("q_norm", &self.q_norm), ("k_norm", &self.k_norm)] {
            if let Some(norm) = norm {
                norm.save(&format!("{prefix}.{name}"), out);
            }
        }
    }
}

fn norm_heads(norm: &Option<RmsNorm>, x: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// `[1, 1, groups * time, start + time]`: 0 where a query may look, a large negative number where
/// the key lies in its future. Finite, so that no backend makes NaN of it.
fn causal_mask(time: usize, start: usize, groups: usize, device: &Device) -> Tensor<4> {
    let keys = start + time;
    let mut mask = vec![0f32; time * keys];
    for (query, row) in mask.chunks_exact_mut(keys).enumerate() {
        row[start + query + 1..].fill(-1e9);
    }
    let mask = Tensor::<4>::from_data(TensorData::new(mask, [1, 1, time, keys]), device);
    if groups == 1 {
        mask
    } else {
        mask.repeat_dim(2, groups)
    }
}
