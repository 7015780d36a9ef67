//! Grouped-query attention with rotary positions (arXiv 2305.13245).

use crate::tensor::Tensor;
use crate::tensor::activation::softmax;
use crate::tensor::module::Module;

use crate::cache::Seat;
use crate::config::{AttentionConfig, QkNorm};
#[cfg(feature = "gpu")]
use crate::gpu::Angles;
use crate::layers::{Input, Linear, Maps, RmsNorm, Shapes, Weights, normed};
use crate::matrix::matmul;
use crate::pass::{Pass, Passes, Place};
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
    /// Queries, keys and values as one map, on a GPU.
    #[cfg(feature = "gpu")]
    #[module(skip)]
    qkv: Option<Linear>,
    /// What queries and then keys are multiplied with after their norms of a head's width, and eps, on a GPU.
    #[cfg(feature = "gpu")]
    #[module(skip)]
    head_norms: Option<(Tensor<1>, f32)>,
    #[module(skip)]
    config: AttentionConfig,
    #[cfg(feature = "cpu")]
    #[module(skip)]
    is_one_pass: bool,
}

/// Queries, keys and values before their norms and turns.
// One lives for as long as a layer takes.
#[allow(clippy::large_enum_variant)]
enum Projected {
    /// `[batch, time, heads * d]` each.
    Apart([Tensor<3>; 3]),
    /// Side by side, as the kernels of a GPU want them.
    #[cfg(feature = "gpu")]
    Stacked(Tensor<3>),
}

impl Projected {
    /// Those of some positions.
    fn narrow(&self, start: usize, time: usize) -> Self {
        let part = |x: &Tensor<3>| x.clone().narrow(1, start, time);
        match self {
            Self::Apart(qkv) => Self::Apart(qkv.each_ref().map(part)),
            #[cfg(feature = "gpu")]
            Self::Stacked(qkv) => Self::Stacked(part(qkv)),
        }
    }
}

/// Sizes and scale of the heads, as the passes of a CPU and a GPU want them.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads.
    pub(crate) kv_heads: usize,
    /// Width of a head.
    pub(crate) width: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    /// Positions that a query looks back on, itself included; all of them without.
    pub(crate) window: Option<usize>,
}

impl AttentionConfig {
    #[cfg(any(feature = "cpu", feature = "gpu"))]
    fn sizes(&self) -> Heads {
        Heads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.head_dim,
            scale: self.scale as f32,
            window: self.window,
        }
    }

    /// Widths of queries and of keys or values, all heads together.
    fn widths(&self) -> (usize, usize) {
        (self.heads * self.head_dim, self.kv_heads * self.head_dim)
    }

    /// Whether a CPU, and with few exceptions a GPU, does all between the projections in one pass: norms are of heads, and all
    /// of a head is turned, half a head apart.
    pub(crate) fn is_one_pass(&self, model: &ModelConfig) -> bool {
        let plain = |rope: usize| {
            let rope = &model.ropes[rope];
            !rope.interleaved && 2 * rope.frequencies.len() == self.head_dim
        };
        self.qk_norm != QkNorm::Full && self.rope.is_none_or(plain)
    }

    /// Widths of the norms of queries and keys.
    fn norm_widths(&self) -> Option<(usize, usize)> {
        match self.qk_norm {
            QkNorm::None => None,
            QkNorm::Head => Some((self.head_dim, self.head_dim)),
            QkNorm::Full => Some(self.widths()),
        }
    }

    /// Names and shapes of the tensors below the layer's `self_attn`.
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        let (h, (q, kv), names) = (model.hidden_size, self.widths(), model.names());
        let mut all = Vec::new();
        match self.fused {
            true => Linear::shapes("qkv_proj", q + 2 * kv, h, self.qkv_bias, &mut all),
            false => {
                for (name, out) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                    Linear::shapes(name, out, h, self.qkv_bias, &mut all);
                }
            }
        }
        Linear::shapes(names.attention_output, h, q, self.output_bias, &mut all);
        if let Some((q, k)) = self.norm_widths() {
            all.push((format!("{}.weight", names.q_norm), vec![q]));
            all.push((format!("{}.weight", names.k_norm), vec![k]));
        }
        all
    }
}

impl Attention {
    pub(crate) fn load(
        model: &ModelConfig,
        config: AttentionConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let (h, (q, kv), names) = (model.hidden_size, config.widths(), model.names());
        let bias = config.qkv_bias;
        #[allow(unused_mut, reason = "only a GPU's are stacked")]
        let [mut q_proj, mut k_proj, mut v_proj] = match config.fused {
            true => Linear::load_parts([q, kv, kv], h, bias, path.join("qkv_proj"))?,
            false => [
                Linear::load(q, h, bias, path.join("q_proj"))?,
                Linear::load(kv, h, bias, path.join("k_proj"))?,
                Linear::load(kv, h, bias, path.join("v_proj"))?,
            ],
        };
        let output = path.join(names.attention_output);
        let o_proj = Linear::load(h, q, config.output_bias, output)?;
        let (q_norm, k_norm) = match config.norm_widths() {
            None => (None, None),
            Some((q, k)) => (
                Some(RmsNorm::load(model, q, path.join(names.q_norm))?),
                Some(RmsNorm::load(model, k, path.join(names.k_norm))?),
            ),
        };
        Ok(Self {
            #[cfg(feature = "gpu")]
            qkv: Linear::stack([&mut q_proj, &mut k_proj, &mut v_proj]),
            #[cfg(feature = "gpu")]
            head_norms: q_norm.as_ref().zip(k_norm.as_ref()).and_then(|(q, k)| {
                let ((q, eps), (k, _)) = (q.parts(), k.parts());
                crate::gpu::usable(&q).then(|| (Tensor::cat(vec![q, k], 0), eps))
            }),
            q_proj,
            k_proj,
            v_proj,
            o_proj,
            q_norm,
            k_norm,
            #[cfg(feature = "cpu")]
            is_one_pass: config.is_one_pass(model),
            config,
        })
    }

    /// `[batch, time, hidden]` to the same, added to `residual` if there is one. With a cache, the
    /// positions before the pass come from it, and the new keys and values are appended to it.
    pub(crate) fn forward(
        &self,
        input: Input<'_, 3>,
        residual: Option<Tensor<3>>,
        pass: &Pass<'_>,
        cache: Option<Seat<'_>>,
    ) -> Tensor<3> {
        let place = pass.place.as_ref().filter(|_| cache.is_some());
        let projected = self.project(input, place);
        let context = self.attend(projected, pass, cache);
        self.o_proj.forward_onto(context.into(), residual)
    }

    /// The same for the new positions of several texts, one behind the other in `input` `[1, time, hidden]`: products are
    /// of all of them, and each text attends to itself.
    pub(crate) fn forward_parts(
        &self,
        input: Input<'_, 3>,
        residual: Option<Tensor<3>>,
        passes: &Passes<'_>,
        seats: Vec<Seat<'_>>,
    ) -> Tensor<3> {
        let Some((first, seat)) = passes.each.first().zip(seats.first()) else {
            return residual.unwrap_or(input.x);
        };
        let place = passes.place.as_ref().or(first.place.as_ref());
        let projected = match self.project(input, place) {
            #[cfg(feature = "cpu")]
            Projected::Apart(qkv) if self.fits_cpu(&qkv[0]) => {
                let parts: Vec<_> = passes.each.iter().zip(seats).collect();
                let context = self.on_cpu(qkv, &parts);
                return self.o_proj.forward_onto(context.into(), residual);
            }
            projected => projected,
        };
        #[cfg(feature = "gpu")]
        if let (Projected::Stacked(qkv), Some(place)) = (&projected, &passes.place) {
            let context = self.on_gpu(qkv.clone(), place, *seat);
            return self.o_proj.forward_onto(context.into(), residual);
        }
        #[cfg(not(feature = "gpu"))]
        let _ = seat;
        let mut start = 0;
        let contexts = passes.each.iter().zip(seats).map(|(pass, seat)| {
            let own = projected.narrow(start, pass.time);
            start += pass.time;
            self.attend(own, pass, Some(seat))
        });
        let context = Tensor::cat(contexts.collect(), 1);
        self.o_proj.forward_onto(context.into(), residual)
    }

    /// Queries, keys and values.
    fn project(&self, input: Input<'_, 3>, place: Option<&Place>) -> Projected {
        let maps = [&self.q_proj, &self.k_proj, &self.v_proj];
        #[cfg(feature = "gpu")]
        if let Some(place) = place
            && self.fits_gpu(&place.angles)
            && input.x.dims()[0] == 1
            && crate::gpu::usable(&input.x)
        {
            return Projected::Stacked(match &self.qkv {
                Some(qkv) => qkv.forward_onto(input, None),
                None => Tensor::cat(Linear::forward_all(maps, input.value()).into(), 2),
            });
        }
        #[cfg(not(feature = "gpu"))]
        let _ = place;
        Projected::Apart(Linear::forward_all(maps, input.value()))
    }

    /// What the heads found: `[batch, time, heads * d]`.
    fn attend(&self, projected: Projected, pass: &Pass<'_>, cache: Option<Seat<'_>>) -> Tensor<3> {
        let qkv = match (projected, cache) {
            #[cfg(feature = "gpu")]
            (Projected::Stacked(qkv), Some(seat)) => {
                if let Some(place) = &pass.place {
                    return self.on_gpu(qkv, place, seat);
                }
                self.taken_apart(qkv)
            }
            #[cfg(feature = "gpu")]
            (Projected::Stacked(qkv), None) => self.taken_apart(qkv),
            (Projected::Apart(qkv), _) => qkv,
        };
        let [batch, time, _] = qkv[0].dims();
        let AttentionConfig {
            heads,
            kv_heads: kv,
            head_dim: d,
            scale,
            window,
            ..
        } = self.config;
        let groups = heads / kv;
        #[cfg(feature = "cpu")]
        if let Some(seat) = cache
            && self.fits_cpu(&qkv[0])
        {
            return self.on_cpu(qkv, &[(pass, seat)]);
        }
        let rope = self.config.rope.map(|rope| pass.rope(rope));
        let [q, k, v] = qkv;
        let q = self.rotated(q, heads, &self.q_norm, rope);
        let k = self.rotated(k, kv, &self.k_norm, rope);
        let v = self.split_heads(v, kv);
        // Query heads of one group lie side by side: stacking them along time lets one product
        // serve the group, without repeating keys and values.
        let q = q.reshape([batch, kv, groups * time, d]);
        #[cfg(all(feature = "train", feature = "flex"))]
        if cache.is_none() && window.is_none() && crate::fused::usable(&q) {
            let scores = q.matmul(k.transpose());
            let context = crate::fused::causal_softmax(scores, scale as f32).matmul(v);
            return self.join_heads(context, time);
        }
        let first = pass.first_key(window);
        let (k, v) = match cache {
            Some(cache) => cache.append(k, v, pass.start, first),
            None => (k, v),
        };
        let mut scores = matmul(q.mul_scalar(scale), k.transpose());
        if let Some(mask) = pass.mask(window, groups) {
            scores = scores + mask;
        }
        let context = matmul(softmax(scores, 3), v);
        self.join_heads(context, time)
    }

    /// What the heads found for all new positions that `place` knows of, whose rows are those of `seat`.
    #[cfg(feature = "gpu")]
    fn on_gpu(&self, qkv: Tensor<3>, place: &Place, seat: Seat<'_>) -> Tensor<3> {
        let (heads, norms) = (self.config.sizes(), self.head_norms.clone());
        let rows = &mut seat.rows();
        crate::gpu::attention(qkv, &heads, norms, self.config.rope, place, rows)
    }

    /// Whether [`crate::gpu::attention`] does what this layer wants, at a place with these angles.
    #[cfg(feature = "gpu")]
    pub(crate) fn fits_gpu(&self, angles: &[Angles]) -> bool {
        let config = &self.config;
        let turns = |rope: usize| {
            angles
                .get(rope)
                .is_some_and(|angles| angles.width() == config.head_dim)
        };
        config.rope.is_none_or(turns)
            && config.qk_norm != QkNorm::Full
            && config.head_dim.is_multiple_of(4)
    }

    /// Queries, keys and values that were made as one.
    #[cfg(feature = "gpu")]
    fn taken_apart(&self, qkv: Tensor<3>) -> [Tensor<3>; 3] {
        let (q, kv) = self.config.widths();
        [(0, q), (q, kv), (q + kv, kv)].map(|(start, width)| qkv.clone().narrow(2, start, width))
    }

    /// Whether [`Attention::on_cpu`] does what this layer wants.
    #[cfg(feature = "cpu")]
    fn fits_cpu(&self, q: &Tensor<3>) -> bool {
        self.is_one_pass && q.dims()[0] == 1 && crate::cpu::usable(q)
    }

    /// All between the projections in one pass, for the texts that have their part in it.
    #[cfg(feature = "cpu")]
    fn on_cpu<'p>(&self, qkv: [Tensor<3>; 3], parts: &[(&'p Pass<'p>, Seat<'p>)]) -> Tensor<3> {
        let norms = [&self.q_norm, &self.k_norm].map(|norm| norm.as_ref().map(RmsNorm::parts));
        let texts = parts.iter().map(|&(pass, seat)| crate::cpu::Text {
            start: pass.start,
            time: pass.time,
            rope: self.config.rope.map(|rope| pass.rope(rope)),
            seat,
        });
        let texts: Vec<_> = texts.collect();
        crate::cpu::attention(qkv, &self.config.sizes(), norms, &texts)
    }

    /// `[batch, time, heads * d]` to `[batch, heads, time, d]`, normed and turned.
    fn rotated(
        &self,
        x: Tensor<3>,
        heads: usize,
        norm: &Option<RmsNorm>,
        rope: Option<&Rope>,
    ) -> Tensor<4> {
        let [batch, time, _] = x.dims();
        let d = self.config.head_dim;
        let x = match self.config.qk_norm {
            QkNorm::Full => normed(norm, x).reshape([batch, time, heads, d]),
            _ => normed(norm, x.reshape([batch, time, heads, d])),
        };
        match rope {
            None => x.swap_dims(1, 2),
            #[cfg(all(feature = "train", feature = "flex"))]
            Some(rope) if crate::fused::usable(&x) && rope.is_plain(d) => {
                let [cos, sin] = rope.tensors();
                crate::fused::rotate_heads(x, cos, sin)
            }
            Some(rope) => rope.apply(x.swap_dims(1, 2)),
        }
    }

    /// `[batch, kv heads, groups * time, d]` to `[batch, time, heads * d]`.
    fn join_heads(&self, context: Tensor<4>, time: usize) -> Tensor<3> {
        let ([batch, ..], d) = (context.dims(), self.config.head_dim);
        context
            .reshape([batch, self.config.heads, time, d])
            .swap_dims(1, 2)
            .reshape([batch, time, self.config.heads * d])
    }

    /// `[batch, time, heads * d]` to `[batch, heads, time, d]`.
    fn split_heads(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        let [batch, time, _] = x.dims();
        x.reshape([batch, time, heads, self.config.head_dim])
            .swap_dims(1, 2)
    }

    /// Its linear maps.
    pub(crate) fn maps<'a>(&'a mut self, model: &ModelConfig, prefix: &str, out: &mut Maps<'a>) {
        let parts = [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj];
        match self.config.fused {
            true => out.push((format!("{prefix}.qkv_proj"), parts.into())),
            false => {
                for (name, linear) in ["q_proj", "k_proj", "v_proj"].into_iter().zip(parts) {
                    out.push((format!("{prefix}.{name}"), vec![linear]));
                }
            }
        }
        let output = model.names().attention_output;
        out.push((format!("{prefix}.{output}"), vec![&mut self.o_proj]));
    }

    /// Gives the stacked maps what was added to the single ones.
    #[cfg(feature = "gpu")]
    pub(crate) fn adapt_stacks(&mut self) {
        if let Some(qkv) = &mut self.qkv {
            qkv.adapt_stack([&self.q_proj, &self.k_proj, &self.v_proj]);
        }
    }

    pub(crate) fn save(&self, model: &ModelConfig, prefix: &str, out: &mut Weights) {
        let (names, parts) = (model.names(), [&self.q_proj, &self.k_proj, &self.v_proj]);
        match self.config.fused {
            true => Linear::save_parts(&parts, &format!("{prefix}.qkv_proj"), out),
            false => {
                for (name, linear) in ["q_proj", "k_proj", "v_proj"].into_iter().zip(parts) {
                    linear.save(&format!("{prefix}.{name}"), out);
                }
            }
        }
        self.o_proj
            .save(&format!("{prefix}.{}", names.attention_output), out);
        for (name, norm) in [(names.q_norm, &self.q_norm), (names.k_norm, &self.k_norm)] {
            if let Some(norm) = norm {
                norm.save(&format!("{prefix}.{name}"), out);
            }
        }
    }
}
