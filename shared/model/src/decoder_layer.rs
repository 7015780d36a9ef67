//! One layer of a decoder: what looks at other positions, then what looks at one.

use crate::tensor::Tensor;
use crate::tensor::module::Module;

use crate::attention::Attention;
use crate::cache::LayerCache;
use crate::config::{FeedForwardConfig, LayerConfig, MixerConfig};
use crate::experts::Experts;
use crate::latent::LatentAttention;
use crate::layers::{Input, Maps, RmsNorm, Shapes, Weights};
use crate::mlp::Mlp;
use crate::pass::{Pass, Passes};
use crate::short_conv::ShortConv;
use crate::weights::Path;
use crate::{Error, ModelConfig};

/// One layer: a mixer, then a feed-forward network, each added to the residual stream. Norms stand
/// before (Llama), after (OLMo 2) or on both sides (Gemma 3) of what is added.
#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    before_mixer: Option<RmsNorm>,
    pub(crate) mixer: Mixer,
    after_mixer: Option<RmsNorm>,
    pub(crate) before_feed_forward: Option<RmsNorm>,
    pub(crate) feed_forward: FeedForward,
    after_feed_forward: Option<RmsNorm>,
}

/// The half of a layer that looks at other positions.
#[derive(Module, Debug)]
// There is one per layer, and none is ever moved; sizes depend on the backend.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Mixer {
    Attention(Attention),
    Latent(LatentAttention),
    ShortConv(ShortConv),
}

/// The half of a layer that looks at one position.
#[derive(Module, Debug)]
// There is one per layer, and none is ever moved; sizes depend on the backend.
#[allow(clippy::large_enum_variant)]
pub(crate) enum FeedForward {
    Dense(Mlp),
    Experts(Experts),
}

pub(crate) fn mixer_name(mixer: &MixerConfig) -> &'static str {
    match mixer {
        MixerConfig::Attention(_) | MixerConfig::Latent(_) => "self_attn",
        MixerConfig::ShortConv(_) => "conv",
    }
}

impl MixerConfig {
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        match self {
            Self::Attention(config) => config.shapes(model),
            Self::Latent(config) => config.shapes(model),
            Self::ShortConv(config) => config.shapes(model),
        }
    }
}

impl FeedForwardConfig {
    pub(crate) fn shapes(&self, model: &ModelConfig) -> Shapes {
        match self {
            Self::Dense(config) => config.shapes(model),
            Self::Experts(config) => config.shapes(model),
        }
    }
}

/// `x` and what `update` makes, after its norm. Where there is no norm, `update` gets `x` to add to: many
/// a product can do that by itself.
fn add(
    x: Tensor<3>,
    norm: &Option<RmsNorm>,
    update: impl FnOnce(Option<Tensor<3>>) -> Tensor<3>,
) -> Tensor<3> {
    match norm {
        Some(norm) => x + norm.forward(update(None)),
        None => update(Some(x)),
    }
}

fn plus(residual: Option<Tensor<3>>, update: Tensor<3>) -> Tensor<3> {
    match residual {
        Some(residual) => residual + update,
        None => update,
    }
}

/// What `mix` makes of each text's positions in `x`, one behind the other.
fn each_part(
    x: Tensor<3>,
    passes: &Passes<'_>,
    caches: Vec<LayerCache<'_>>,
    mix: impl Fn(Tensor<3>, &Pass<'_>, LayerCache<'_>) -> Tensor<3>,
) -> Tensor<3> {
    let mut start = 0;
    let mixed = passes.each.iter().zip(caches).map(|(pass, cache)| {
        let own = x.clone().narrow(1, start, pass.time);
        start += pass.time;
        mix(own, pass, cache)
    });
    Tensor::cat(mixed.collect(), 1)
}

impl DecoderLayer {
    pub(crate) fn load(
        model: &ModelConfig,
        config: &LayerConfig,
        mut path: Path<'_>,
    ) -> Result<Self, Error> {
        let (h, names) = (model.hidden_size, model.names());
        let mixer = path.join(mixer_name(&config.mixer));
        let mixer = match config.mixer {
            MixerConfig::Attention(config) => {
                Mixer::Attention(Attention::load(model, config, mixer)?)
            }
            MixerConfig::Latent(config) => {
                Mixer::Latent(LatentAttention::load(model, config, mixer)?)
            }
            MixerConfig::ShortConv(config) => {
                Mixer::ShortConv(ShortConv::load(model, config, mixer)?)
            }
        };
        let feed_forward = path.join(names.feed_forward);
        let feed_forward = match config.feed_forward {
            FeedForwardConfig::Dense(config) => {
                FeedForward::Dense(Mlp::load(model, config, feed_forward)?)
            }
            FeedForwardConfig::Experts(config) => {
                FeedForward::Experts(Experts::load(model, config, feed_forward)?)
            }
        };
        let mut norm = |name| RmsNorm::load_if(model, h, name, &mut path);
        Ok(Self {
            before_mixer: norm(names.before_mixer)?,
            mixer,
            after_mixer: norm(names.after_mixer)?,
            before_feed_forward: norm(names.before_feed_forward)?,
            feed_forward,
            after_feed_forward: norm(names.after_feed_forward)?,
        })
    }

    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        pass: &Pass<'_>,
        cache: Option<LayerCache<'_>>,
    ) -> Tensor<3> {
        self.feed(self.mix(x, pass, cache))
    }

    pub(crate) fn mix(
        &self,
        x: Tensor<3>,
        pass: &Pass<'_>,
        cache: Option<LayerCache<'_>>,
    ) -> Tensor<3> {
        let input = Input::new(x.clone(), &self.before_mixer);
        let mixed = |residual| match &self.mixer {
            Mixer::Attention(mixer) => {
                mixer.forward(input, residual, pass, cache.map(LayerCache::rows))
            }
            Mixer::Latent(mixer) => {
                let rows = cache.map(LayerCache::rows);
                plus(residual, mixer.forward(input.value(), pass, rows))
            }
            Mixer::ShortConv(mixer) => {
                let state = cache.map(LayerCache::state);
                plus(residual, mixer.forward(input.value(), state))
            }
        };
        add(x, &self.after_mixer, mixed)
    }

    /// [`DecoderLayer::mix`] for the new positions of several texts, one behind the other in `x` `[1, time, hidden]`.
    pub(crate) fn mix_parts(
        &self,
        x: Tensor<3>,
        passes: &Passes<'_>,
        caches: Vec<LayerCache<'_>>,
    ) -> Tensor<3> {
        let input = Input::new(x.clone(), &self.before_mixer);
        let mixed = |residual| match &self.mixer {
            Mixer::Attention(mixer) => {
                let seats = caches.into_iter().map(LayerCache::rows);
                mixer.forward_parts(input, residual, passes, seats.collect())
            }
            // These go text by text; what they have in products of all is little.
            Mixer::Latent(mixer) => {
                let mix = |own, pass: &Pass<'_>, cache: LayerCache<'_>| {
                    mixer.forward(own, pass, Some(cache.rows()))
                };
                plus(residual, each_part(input.value(), passes, caches, mix))
            }
            Mixer::ShortConv(mixer) => {
                let mix = |own, _: &Pass<'_>, cache: LayerCache<'_>| {
                    mixer.forward(own, Some(cache.state()))
                };
                plus(residual, each_part(input.value(), passes, caches, mix))
            }
        };
        add(x, &self.after_mixer, mixed)
    }

    pub(crate) fn feed(&self, x: Tensor<3>) -> Tensor<3> {
        let input = Input::new(x.clone(), &self.before_feed_forward);
        let fed = |residual| match &self.feed_forward {
            FeedForward::Dense(mlp) => mlp.forward(input, residual),
            FeedForward::Experts(experts) => plus(residual, experts.forward(input.value())),
        };
        add(x, &self.after_feed_forward, fed)
    }

    /// Its linear maps.
    pub(crate) fn maps<'a>(&'a mut self, model: &ModelConfig, prefix: &str, out: &mut Maps<'a>) {
        match &mut self.mixer {
            Mixer::Attention(mixer) => mixer.maps(model, &format!("{prefix}.self_attn"), out),
            Mixer::Latent(mixer) => mixer.maps(&format!("{prefix}.self_attn"), out),
            Mixer::ShortConv(mixer) => mixer.maps(&format!("{prefix}.conv"), out),
        }
        let feed_forward = format!("{prefix}.{}", model.names().feed_forward);
        match &mut self.feed_forward {
            FeedForward::Dense(mlp) => mlp.maps(model, &feed_forward, out),
            FeedForward::Experts(experts) => experts.maps(model, &feed_forward, out),
        }
    }

    /// Gives the stacked maps what was added to the single ones.
    #[cfg(feature = "gpu")]
    pub(crate) fn adapt_stacks(&mut self) {
        if let Mixer::Attention(mixer) = &mut self.mixer {
            mixer.adapt_stacks();
        }
        match &mut self.feed_forward {
            FeedForward::Dense(mlp) => mlp.adapt_stacks(),
            FeedForward::Experts(experts) => experts.adapt_stacks(),
        }
    }

    pub(crate) fn save(&self, model: &ModelConfig, prefix: &str, out: &mut Weights) {
        let names = model.names();
        let norm = |norm: &Option<RmsNorm>, name: Option<&str>, out: &mut Weights| {
            if let (Some(norm), Some(name)) = (norm, name) {
                norm.save(&format!("{prefix}.{name}"), out);
            }
        };
        norm(&self.before_mixer, names.before_mixer, out);
        match &self.mixer {
            Mixer::Attention(mixer) => mixer.save(model, &format!("{prefix}.self_attn"), out),
            Mixer::Latent(mixer) => mixer.save(&format!("{prefix}.self_attn"), out),
            Mixer::ShortConv(mixer) => mixer.save(&format!("{prefix}.conv"), out),
        }
        norm(&self.after_mixer, names.after_mixer, out);
        norm(&self.before_feed_forward, names.before_feed_forward, out);
        let feed_forward = format!("{prefix}.{}", names.feed_forward);
        match &self.feed_forward {
            FeedForward::Dense(mlp) => mlp.save(model, &feed_forward, out),
            FeedForward::Experts(experts) => experts.save(model, &feed_forward, out),
        }
        norm(&self.after_feed_forward, names.after_feed_forward, out);
    }
}
