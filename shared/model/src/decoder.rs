//! The decoder: embedding, layers of attention and feed-forward, final norm, head.
//!
//! A tensor's name in a checkpoint is its path here; `config::Names` has what families call parts.

mod passes;

use crate::tensor::module::Module;
use crate::tensor::{Device, Int, Tensor, TensorData};

use crate::cache::{KvCache, KvType};
#[cfg(feature = "gpu")]
use crate::decoder_layer::Mixer;
use crate::decoder_layer::{DecoderLayer, FeedForward, mixer_name};
use crate::layers::{Input, Linear, LowRank, Maps, RmsNorm, Shapes, normed};
use crate::matrix::Matrix;
use crate::pass::Pass;
#[cfg(feature = "gpu")]
use crate::pass::Place;
use crate::weights::{Path, TensorMap};
use crate::{Adapter, Error, ModelConfig};

/// Prompt tokens run at once.
const PREFILL: usize = 256;

/// A decoder-only transformer: layers as the config lists them.
#[derive(Module, Debug)]
pub struct Decoder {
    embed_tokens: Matrix,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    /// None when the head is the embedding table.
    lm_head: Option<Linear>,
    #[module(skip)]
    config: ModelConfig,
}

/// A text's part of a pass over several.
pub struct Part<'a> {
    /// Its new tokens, one at least.
    pub tokens: &'a [u32],
    /// What came before them; they are appended to it.
    pub cache: &'a mut KvCache,
}

/// Names and shapes of all tensors of a decoder, in the order they are written.
pub(crate) fn tensors(config: &ModelConfig) -> Shapes {
    let (h, vocab, names) = (config.hidden_size, config.vocab_size, config.names());
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, h])];
    for (i, layer) in config.layers.iter().enumerate() {
        let mut add = |part: &str, tensors: Shapes| {
            let full = |(name, shape)| (format!("model.layers.{i}.{part}.{name}"), shape);
            all.extend(tensors.into_iter().map(full));
        };
        let norm = || vec![("weight".to_owned(), vec![h])];
        if let Some(name) = names.before_mixer {
            add(name, norm());
        }
        add(mixer_name(&layer.mixer), layer.mixer.shapes(config));
        if let Some(name) = names.after_mixer {
            add(name, norm());
        }
        if let Some(name) = names.before_feed_forward {
            add(name, norm());
        }
        add(names.feed_forward, layer.feed_forward.shapes(config));
        if let Some(name) = names.after_feed_forward {
            add(name, norm());
        }
    }
    all.push((format!("model.{}.weight", names.final_norm), vec![h]));
    if !config.tie_word_embeddings {
        all.push(("lm_head.weight".to_owned(), vec![vocab, h]));
    }
    all
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
        let mut model = root.join("model");
        let layers = config.layers.iter().enumerate();
        let layers = layers
            .map(|(i, layer)| DecoderLayer::load(config, layer, model.join(&format!("layers.{i}"))))
            .collect::<Result<_, _>>()?;
        let norm = RmsNorm::load(config, h, model.join(config.names().final_norm))?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::load(vocab, h, false, root.join("lm_head"))?),
        };
        Ok(Self {
            embed_tokens,
            layers,
            norm,
            lm_head,
            config: config.clone(),
        })
    }

    /// What the keys and values of this model are kept as: in half the bits where its weights are in blocks too. In a page
    /// they stay `f32`, so that what one engine has saved of a conversation can be taken up by the other.
    pub fn kv_type(&self) -> KvType {
        #[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
        if self.embed_tokens.is_of_blocks() && crate::cache::keeps_f16(&self.norm.device()) {
            return KvType::F16;
        }
        KvType::F32
    }

    /// All positions at once, without a cache: `[batch, time]` token ids to
    /// `[batch, time, vocab]` logits. For training and evaluation.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.logits(self.hidden(tokens))
    }

    /// Final hidden states, normed: `[batch, time]` token ids to `[batch, time, hidden]`.
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let time = tokens.dims()[1];
        let pass = Pass::new(&self.config, 0, time, time, &tokens.device());
        let mut x = self.embed(tokens);
        for (layer, scale) in self.hops() {
            x = layer.forward(scaled(x, scale), &pass, None);
        }
        self.norm.forward(x)
    }

    /// The head: `[.., hidden]` to `[.., vocab]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => self.embed_tokens.project(hidden),
        }
    }

    /// Runs `tokens` `[1, time]` after what `cache` holds, appends to it what later positions need,
    /// and returns the logits of the last position: `[1, vocab]`.
    ///
    /// # Errors
    /// [`Error::CacheFull`].
    pub fn forward_cached(
        &self,
        tokens: Tensor<2, Int>,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, Error> {
        self.forward_last(tokens, 1, cache)
    }

    /// The same with the logits of the last `count` positions: `[count, vocab]`.
    fn forward_last(
        &self,
        tokens: Tensor<2, Int>,
        count: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, Error> {
        let pass = self.pass(tokens.dims()[1], cache, &tokens.device())?;
        Ok(self.forward_pass(tokens, count, &pass, cache))
    }

    /// [`Decoder::forward_cached`] of one token on a GPU, which knows its position, the cache's next one, itself: `start` has
    /// it in its first number. `end` is a number of positions that has this one.
    #[cfg(feature = "gpu")]
    pub(crate) fn forward_next(
        &self,
        token: Tensor<2, Int>,
        start: Tensor<1, Int>,
        end: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, Error> {
        let (position, device) = (cache.len(), token.device());
        cache.reserve(position + 1)?;
        let length = cache.length_of(position + 1);
        let mut pass = Pass::new(&self.config, position, 1, length, &device);
        let angles = cache.angles(&self.config.ropes, length, &device);
        let table = (!cache.is_plain()).then(|| cache.table_there(&device));
        pass.place = Some(Place::of_next(angles, start, end, table));
        Ok(self.forward_pass(token, 1, &pass, cache))
    }

    /// Whether [`Decoder::forward_next`] launches the same with every token, but for `end` and `cache`'s capacity.
    #[cfg(feature = "gpu")]
    pub(crate) fn steps_are_alike(&self, cache: &KvCache) -> bool {
        let length = cache.length_of(cache.len() + 1);
        let angles = cache.angles(&self.config.ropes, length, &self.norm.device());
        self.layers.iter().all(|layer| {
            let mixer = match &layer.mixer {
                Mixer::Attention(attention) => attention.fits_gpu(&angles),
                Mixer::Latent(_) | Mixer::ShortConv(_) => false,
            };
            mixer && matches!(layer.feed_forward, FeedForward::Dense(_))
        }) && cache.is_plain()
    }

    fn forward_pass(
        &self,
        tokens: Tensor<2, Int>,
        count: usize,
        pass: &Pass<'_>,
        cache: &mut KvCache,
    ) -> Tensor<2> {
        let time = tokens.dims()[1];
        let mut x = self.embed(tokens);
        for ((layer, scale), slot) in self.hops().zip(cache.layers_mut()) {
            x = layer.forward(scaled(x, scale), pass, Some(slot));
        }
        cache.advance(time);
        let hidden = x.dims()[2];
        let last = x
            .slice([0..1, time - count..time, 0..hidden])
            .reshape([count, hidden]);
        self.head(last)
    }

    /// Hidden states `[count, hidden]` to logits `[count, vocab]`.
    fn head(&self, x: Tensor<2>) -> Tensor<2> {
        let normed = Input {
            x,
            norm: Some(&self.norm),
        };
        match &self.lm_head {
            Some(head) => head.forward_onto(normed, None),
            None => self.embed_tokens.project_onto(normed, None, None),
        }
    }

    /// Runs the new tokens of several texts in one pass, in which products read each weight once for all of them, and
    /// returns the logits of the last position of each: `[parts, vocab]`. Every part has tokens.
    ///
    /// What a text gets does not depend on the others beyond the rounding of products of another size.
    ///
    /// # Errors
    /// [`Error::CacheFull`], before anything is computed.
    pub fn run_together(&self, parts: &mut [Part<'_>]) -> Result<Tensor<2>, Error> {
        let device = self.norm.device();
        let passes = self.passes(parts, &device)?;
        let ids = parts.iter().flat_map(|part| part.tokens);
        let ids: Vec<i32> = ids.map(|&id| id as i32).collect();
        let time = ids.len();
        let mut x = self.embed(Tensor::from_data(TensorData::new(ids, [1, time]), &device));
        let mut slots: Vec<_> = parts
            .iter_mut()
            .map(|part| part.cache.layers_mut())
            .collect();
        for (layer, scale) in self.hops() {
            let slots = slots.iter_mut().filter_map(Iterator::next);
            let mixed = layer.mix_parts(scaled(x, scale), &passes, slots.collect());
            x = layer.feed(mixed);
        }
        drop(slots);
        let (count, hidden) = (parts.len(), x.dims()[2]);
        let mut x = x.reshape([time, hidden]);
        let mut end = 0;
        let mut last = Vec::with_capacity(count);
        for Part { tokens, cache } in parts.iter_mut() {
            cache.advance(tokens.len());
            end += tokens.len();
            last.push(end as i32 - 1);
        }
        if time > count {
            let last = Tensor::<1, Int>::from_data(TensorData::new(last, [count]), &device);
            x = x.select(0, last);
        }
        Ok(self.head(x))
    }

    /// Runs token ids after what `cache` holds, in pieces that bound the memory of attention scores, and
    /// returns the logits of the last position: `[1, vocab]`.
    ///
    /// # Errors
    /// [`Error::Prompt`] without tokens, [`Error::CacheFull`].
    pub(crate) fn run(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor<2>, Error> {
        let mut last = None;
        for chunk in tokens.chunks(PREFILL) {
            last = Some(self.run_at_once(chunk, 1, cache)?);
        }
        last.ok_or_else(|| Error::Prompt("it has no tokens".to_owned()))
    }

    /// Runs a few token ids after what `cache` holds, and returns the logits of the last `count` of them:
    /// `[count, vocab]`.
    ///
    /// # Errors
    /// [`Error::CacheFull`].
    pub(crate) fn run_at_once(
        &self,
        tokens: &[u32],
        count: usize,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, Error> {
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let ids = TensorData::new(ids, [1, tokens.len()]);
        let ids = Tensor::from_data(ids, &self.norm.device());
        self.forward_last(ids, count, cache)
    }

    /// Runs token ids after what `cache` holds and reads the last position's logits back: `vocab`
    /// numbers. Waits for the device; in a browser there is [`crate::Session`].
    ///
    /// # Errors
    /// [`Error::Prompt`] without tokens, [`Error::CacheFull`], [`Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn last_logits(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        device: &Device,
    ) -> Result<Vec<f32>, Error> {
        if tokens.is_empty() {
            return Err(Error::Prompt("it has no tokens".to_owned()));
        }
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let ids = Tensor::from_data(TensorData::new(ids, [1, tokens.len()]), device);
        let logits = self
            .forward_cached(ids, cache)?
            .into_data()
            .convert::<f32>();
        logits
            .try_to_vec()
            .map_err(|e| Error::Device(e.to_string()))
    }

    /// The experts that a layer's router sends each position to, best first: for each layer that
    /// has experts, `[batch * time, per_token]`. For tests and for studies of routing.
    pub fn routes(&self, tokens: Tensor<2, Int>) -> Vec<Tensor<2, Int>> {
        let time = tokens.dims()[1];
        let pass = Pass::new(&self.config, 0, time, time, &tokens.device());
        let mut x = self.embed(tokens);
        let mut routes = Vec::new();
        for (layer, scale) in self.hops() {
            x = layer.mix(scaled(x, scale), &pass, None);
            if let FeedForward::Experts(experts) = &layer.feed_forward {
                let [batch, time, hidden] = x.dims();
                let normed = normed(&layer.before_feed_forward, x.clone());
                let flat = normed.reshape([batch * time, hidden]);
                routes.push(experts.routes(flat).experts);
            }
            x = layer.feed(x);
        }
        routes
    }

    /// Adds an adapter to the weights, in the place of the one before; with none they are again what they were. What is
    /// stored, and on the device, stays as it is: the adapter is computed beside it. Keys and values of one adapter are not
    /// another's: caches must be begun anew.
    ///
    /// # Errors
    /// [`Error::Adapter`] for one that was made for another model; nothing has changed then.
    pub fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        let device = self.norm.device();
        let mut maps = self.maps();
        if let Some(adapter) = adapter {
            adapter.check(&maps)?;
        }
        for (name, parts) in &mut maps {
            let factors = adapter.and_then(|adapter| adapter.factors(name));
            let added = factors.map(|factors| {
                let outs: Vec<_> = parts.iter().map(|part| part.shape()[0]).collect();
                LowRank::parts(factors, &outs, &device)
            });
            let mut added = added.unwrap_or_default().into_iter();
            for part in parts {
                part.adapt(added.next());
            }
        }
        #[cfg(feature = "gpu")]
        self.layers.iter_mut().for_each(DecoderLayer::adapt_stacks);
        Ok(())
    }

    /// Linear maps that an adapter can change.
    fn maps(&mut self) -> Maps<'_> {
        let mut maps = Maps::new();
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.maps(&self.config, &format!("model.layers.{i}"), &mut maps);
        }
        if let Some(head) = &mut self.lm_head {
            maps.push(("lm_head".to_owned(), vec![head]));
        }
        maps
    }

    /// Every tensor with its Hugging Face name, on the host, as without an adapter.
    pub fn named_weights(&self) -> Vec<(String, TensorData)> {
        let mut out = vec![(
            "model.embed_tokens.weight".into(),
            self.embed_tokens.to_floats().into_data(),
        )];
        for (i, layer) in self.layers.iter().enumerate() {
            layer.save(&self.config, &format!("model.layers.{i}"), &mut out);
        }
        let final_norm = format!("model.{}", self.config.names().final_norm);
        self.norm.save(&final_norm, &mut out);
        if let Some(head) = &self.lm_head {
            head.save("lm_head", &mut out);
        }
        out
    }

    /// The layers in the order in which a text goes through them, and what it is multiplied with before each.
    fn hops(&self) -> impl Iterator<Item = (&DecoderLayer, f32)> {
        let hops = self.config.hops.iter();
        hops.map(|hop| (&self.layers[hop.layer], hop.scale))
    }

    fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        let rows = self.embed_tokens.rows(tokens.reshape([batch * time]));
        let rows = rows.reshape([batch, time, self.config.hidden_size]);
        match self.config.embedding_scale {
            1.0 => rows,
            scale => rows.mul_scalar(scale),
        }
    }
}

fn scaled(x: Tensor<3>, scale: f32) -> Tensor<3> {
    match scale {
        1.0 => x,
        scale => x.mul_scalar(scale),
    }
}
