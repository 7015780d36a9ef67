//! The decoder: embedding, layers of attention and feed-forward, final norm, head.
//!
//! Field names are Hugging Face's, so a tensor's name in a checkpoint is its path here.

use burn::module::{Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Attention;
use crate::cache::KvCache;
use crate::layers::{Linear, RmsNorm};
use crate::rope::Rope;
use crate::weights::{Path, TensorMap};
use crate::{Error, ModelConfig};

/// A decoder-only transformer of the Llama kind.
///
/// Formulae: Llama 2 (arXiv 2307.09288) for the layer, GQA (arXiv 2305.13245), RoPE
/// (arXiv 2104.09864) in the rotate-half layout, SwiGLU (arXiv 2002.05202), RMSNorm
/// (arXiv 1910.07467), QK-norm as in Qwen 3 (arXiv 2505.09388).
#[derive(Module, Debug)]
pub struct Decoder {
    embed_tokens: Param<Tensor<2>>,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// None when the head is the embedding table.
    lm_head: Option<Linear>,
    head_dim: usize,
    rope_theta: f64,
}

/// One layer: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

/// SwiGLU: `down(silu(gate(x)) * up(x))`.
#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate_proj.forward(x.clone());
        let up = self.up_proj.forward(x);
        #[cfg(all(feature = "train", feature = "flex"))]
        if crate::fused::usable(&gate) {
            return self.down_proj.forward(crate::fused::swiglu(gate, up));
        }
        self.down_proj.forward(silu(gate) * up)
    }
}

impl Decoder {
    /// A fresh decoder: matrices drawn from N(0, `initializer_range`²), norms 1, biases 0.
    /// The draw happens on the host, so the same seed gives the same weights on every device.
    pub fn new(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        let mut tensors = TensorMap::random(config, seed, device);
        Self::from_tensors(config, &mut tensors).expect("random weights are made from the config")
    }

    /// Builds the decoder from a checkpoint's tensors, taking them out of `tensors`.
    ///
    /// # Errors
    /// [`Error::TensorMissing`] and [`Error::Shape`], naming the tensor.
    pub fn from_tensors(config: &ModelConfig, tensors: &mut TensorMap) -> Result<Self, Error> {
        let (vocab, h) = (config.vocab_size, config.hidden_size);
        let mut root = Path::root(tensors);
        let embed_tokens = root.matrix("model.embed_tokens.weight", [vocab, h])?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| DecoderLayer::load(config, root.join(&format!("model.layers.{i}"))))
            .collect::<Result<_, _>>()?;
        let norm = RmsNorm::load(h, config.rms_norm_eps, root.join("model.norm"))?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::load(vocab, h, false, root.join("lm_head"))?),
        };
        let (head_dim, rope_theta) = (config.head_dim, config.rope_theta);
        Ok(Self {
            embed_tokens,
            layers,
            norm,
            lm_head,
            head_dim,
            rope_theta,
        })
    }

    /// All positions at once, without a cache: `[batch, time]` token ids to
    /// `[batch, time, vocab]` logits. For training and evaluation.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.logits(self.hidden(tokens))
    }

    /// Final hidden states, normed: `[batch, time]` token ids to `[batch, time, hidden]`.
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let time = tokens.dims()[1];
        let rope = Rope::new(self.head_dim, self.rope_theta, 0..time, &tokens.device());
        let mut x = self.embed(tokens);
        for layer in &self.layers {
            x = layer.forward(x, &rope, None);
        }
        self.norm.forward(x)
    }

    /// The head: `[.., hidden]` to `[.., vocab]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => crate::layers::project(hidden, self.embed_tokens.val()),
        }
    }

    /// Runs `tokens` `[1, time]` after what `cache` holds, appends their keys and values, and
    /// returns the logits of the last position: `[1, vocab]`.
    pub fn forward_cached(&self, tokens: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<2> {
        let [batch, time] = tokens.dims();
        let start = cache.len();
        cache.reserve(start + time);
        let positions = start..start + time;
        let rope = Rope::new(self.head_dim, self.rope_theta, positions, &tokens.device());
        let mut x = self.embed(tokens);
        for (layer, slot) in self.layers.iter().zip(cache.layers_mut()) {
            x = layer.forward(x, &rope, Some((slot, start)));
        }
        cache.advance(time);
        let hidden = x.dims()[2];
        let last = x
            .slice([0..batch, time - 1..time, 0..hidden])
            .reshape([batch, hidden]);
        self.logits(self.norm.forward(last))
    }

    /// Every tensor with its Hugging Face name, on the host.
    pub fn named_weights(&self) -> Vec<(String, TensorData)> {
        let mut out = vec![(
            "model.embed_tokens.weight".into(),
            self.embed_tokens.val().into_data(),
        )];
        for (i, layer) in self.layers.iter().enumerate() {
            layer.save(&format!("model.layers.{i}"), &mut out);
        }
        self.norm.save("model.norm", &mut out);
        if let Some(head) = &self.lm_head {
            head.save("lm_head", &mut out);
        }
        out
    }

    fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        let table = self.embed_tokens.val();
        let hidden = table.dims()[1];
        table
            .select(0, tokens.reshape([batch * time]))
            .reshape([batch, time, hidden])
    }
}

impl DecoderLayer {
    fn load(config: &ModelConfig, mut path: Path<'_>) -> Result<Self, Error> {
        let (h, ffn) = (config.hidden_size, config.intermediate_size);
        let (eps, bias) = (config.rms_norm_eps, config.mlp_bias);
        Ok(Self {
            input_layernorm: RmsNorm::load(h, eps, path.join("input_layernorm"))?,
            self_attn: Attention::load(config, path.join("self_attn"))?,
            post_attention_layernorm: RmsNorm::load(h, eps, path.join("post_attention_layernorm"))?,
            mlp: Mlp {
                gate_proj: Linear::load(ffn, h, bias, path.join("mlp.gate_proj"))?,
                up_proj: Linear::load(ffn, h, bias, path.join("mlp.up_proj"))?,
                down_proj: Linear::load(h, ffn, bias, path.join("mlp.down_proj"))?,
            },
        })
    }

    fn forward(
        &self,
        x: Tensor<3>,
        rope: &Rope,
        cache: Option<(&mut crate::cache::LayerCache, usize)>,
    ) -> Tensor<3> {
        let attended = self
            .self_attn
            .forward(self.input_layernorm.forward(x.clone()), rope, cache);
        let x = x + attended;
        let normed = self.post_attention_layernorm.forward(x.clone());
        x + self.mlp.forward(normed)
    }

    fn save(&self, prefix: &str, out: &mut Vec<(String, TensorData)>) {
        self.input_layernorm
            .save(&format!("{prefix}.input_layernorm"), out);
        self.self_attn.save(&format!("{prefix}.self_attn"), out);
        self.post_attention_layernorm
            .save(&format!("{prefix}.post_attention_layernorm"), out);
        self.mlp
            .gate_proj
            .save(&format!("{prefix}.mlp.gate_proj"), out);
        self.mlp.up_proj.save(&format!("{prefix}.mlp.up_proj"), out);
        self.mlp
            .down_proj
            .save(&format!("{prefix}.mlp.down_proj"), out);
    }
}
