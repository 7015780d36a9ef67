//! What a layer remembers of the positions seen so far: keys and values, latents, convolution
//! inputs. Preallocated, grows in pages, cut back to a common prefix between turns.

use std::collections::VecDeque;

use burn::tensor::{Device, Tensor};

use crate::ModelConfig;
use crate::config::{Hop, MixerConfig};
#[cfg(feature = "gpu")]
use crate::gpu::Angles;
#[cfg(feature = "gpu")]
use crate::rope::RopeConfig;
use crate::rope::{Beyond, BeyondRule};

/// Positions per page. Growing copies the cache once per page, so a page must be many tokens; an
/// unused page costs [`KvCache::bytes_per_token`] for each.
pub(crate) const PAGE: usize = 128;

/// The memory of all hops through layers for the positions seen so far (batch 1, f32).
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
    /// How long the text is going to be.
    expected: usize,
    /// Lengths beyond which a rotary embedding changes.
    beyond: Vec<Beyond>,
    /// States of the convolutions at earlier lengths; see [`KvCache::truncate`].
    snapshots: Snapshots,
    /// Of each rope, for all positions that there is room for: what a GPU turns heads by.
    #[cfg(feature = "gpu")]
    angles: Vec<Angles>,
}

/// The memory of one layer.
#[derive(Debug)]
// There is one per layer, and none is ever moved; sizes depend on the backend.
#[allow(clippy::large_enum_variant)]
pub(crate) enum LayerCache {
    /// One row per position.
    Rows(Rows),
    /// The last inputs of a convolution, `[1, kernel - 1, hidden]`.
    State(Tensor<3>),
}

/// Two tensors with a row per position: keys and values `[1, kv_heads, capacity, head_dim]`, or
/// latents `[1, 1, capacity, kv_rank]` and turned keys `[1, 1, capacity, rope_dim]`.
#[derive(Debug)]
pub(crate) struct Rows {
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl KvCache {
    /// An empty cache with one page.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let rows =
            |heads, keys, values| LayerCache::Rows(Rows::new(heads, PAGE, [keys, values], device));
        let mixer = |hop: &Hop| config.layers[hop.layer].mixer;
        let layers = config.hops.iter().map(mixer).map(|mixer| match mixer {
            MixerConfig::Attention(a) => rows(a.kv_heads, a.head_dim, a.head_dim),
            MixerConfig::Latent(l) => rows(1, l.kv_rank, l.rope_dim),
            MixerConfig::ShortConv(conv) => {
                let shape = [1, conv.kernel - 1, config.hidden_size];
                LayerCache::State(Tensor::zeros(shape, device))
            }
        });
        let layers: Vec<LayerCache> = layers.collect();
        let snapshots = Snapshots::begin(&layers);
        Self {
            layers,
            len: 0,
            capacity: PAGE,
            expected: 0,
            beyond: config
                .ropes
                .iter()
                .filter_map(|rope| rope.beyond.clone())
                .collect(),
            snapshots,
            #[cfg(feature = "gpu")]
            angles: Vec::new(),
        }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that fit without growing.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that one position takes in all layers.
    pub fn bytes_per_token(&self) -> usize {
        let rows = |layer: &LayerCache| match layer {
            LayerCache::Rows(rows) => {
                let elements = [&rows.keys, &rows.values].map(|t| t.dims()[1] * t.dims()[3]);
                elements.iter().sum::<usize>() * size_of::<f32>()
            }
            LayerCache::State(_) => 0,
        };
        self.layers.iter().map(rows).sum()
    }

    /// Whether any length that the cache has had can be gone back to.
    pub(crate) fn is_cut_freely(&self) -> bool {
        self.layers
            .iter()
            .all(|layer| matches!(layer, LayerCache::Rows(_)))
    }

    /// Forgets the positions from `len` on, and returns how many are left: fewer than `len` in a
    /// model with convolutions, whose states are kept for some lengths only. The memory stays for
    /// the next turn.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len < self.len {
            self.len = self.snapshots.restore(len, &mut self.layers);
        }
        self.len
    }

    /// Says how long the text is going to be. Models with LongRoPE or dynamic RoPE turn keys
    /// differently in texts beyond their trained length; when that changes what the cache holds, it
    /// is emptied. Without it, the text's length so far counts.
    pub fn expect(&mut self, positions: usize) {
        let changed = self.beyond.iter().any(|beyond| match beyond.rule {
            BeyondRule::Fixed(_) => {
                (self.expected > beyond.positions) != (positions > beyond.positions)
            }
            BeyondRule::Growing { .. } => {
                self.expected.max(beyond.positions) != positions.max(beyond.positions)
            }
        });
        if changed {
            self.truncate(0);
        }
        self.expected = positions;
    }

    /// The length of the text as a whole, of which `positions` are known.
    pub(crate) fn length_of(&self, positions: usize) -> usize {
        self.expected.max(positions)
    }

    /// Makes room for `positions` in whole pages.
    pub(crate) fn reserve(&mut self, positions: usize) {
        if positions <= self.capacity {
            return;
        }
        // Twice as much at least, up to what the text is going to need: copies stay few.
        let capacity = positions.max(self.expected.min(2 * positions));
        let capacity = capacity.next_multiple_of(PAGE);
        for layer in &mut self.layers {
            if let LayerCache::Rows(rows) = layer {
                rows.grow(self.len, capacity);
            }
        }
        self.capacity = capacity;
    }

    /// Angles of each rope for as many positions as there is room for, in a text of `length`.
    #[cfg(feature = "gpu")]
    pub(crate) fn angles(
        &mut self,
        ropes: &[RopeConfig],
        length: usize,
        device: &Device,
    ) -> Vec<Angles> {
        let room = self.capacity;
        let fit = |(angles, rope): (&Angles, _)| angles.fit(rope, room, length);
        if self.angles.len() != ropes.len() || !self.angles.iter().zip(ropes).all(fit) {
            let make = |rope| Angles::new(rope, room, length, device);
            self.angles = ropes.iter().map(make).collect();
        }
        self.angles.clone()
    }

    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = &mut LayerCache> {
        self.layers.iter_mut()
    }

    pub(crate) fn advance(&mut self, positions: usize) {
        self.len += positions;
        self.snapshots.take(self.len, positions > 1, &self.layers);
    }
}

impl LayerCache {
    /// The rows of an attention layer.
    ///
    /// # Panics
    /// In a layer of another kind: caches are made from the decoder's own config.
    pub(crate) fn rows(&mut self) -> &mut Rows {
        match self {
            Self::Rows(rows) => rows,
            Self::State(_) => unreachable!("an attention layer's cache holds rows"),
        }
    }

    /// The state of a convolution.
    ///
    /// # Panics
    /// In a layer of another kind, as [`LayerCache::rows`].
    pub(crate) fn state(&mut self) -> &mut Tensor<3> {
        match self {
            Self::State(state) => state,
            Self::Rows(_) => unreachable!("a convolution's cache holds its state"),
        }
    }
}

impl Rows {
    /// Room for `capacity` positions of keys and values of these widths.
    pub(crate) fn new(heads: usize, capacity: usize, widths: [usize; 2], device: &Device) -> Self {
        let [keys, values] = widths.map(|width| room([1, heads, capacity, width], device));
        Self { keys, values }
    }

    #[cfg(any(feature = "flex", feature = "gpu"))]
    pub(crate) fn tensors_mut(&mut self) -> (&mut Tensor<4>, &mut Tensor<4>) {
        (&mut self.keys, &mut self.values)
    }

    /// Writes `k` and `v` `[1, heads, time, ..]` at position `start`, in place, and returns the
    /// rows from `first` up to their end.
    pub(crate) fn append(
        &mut self,
        k: Tensor<4>,
        v: Tensor<4>,
        start: usize,
        first: usize,
    ) -> (Tensor<4>, Tensor<4>) {
        let end = start + k.dims()[2];
        let put = |tensor: &mut Tensor<4>, new: Tensor<4>| {
            let [_, heads, _, d] = new.dims();
            tensor.inplace(|old| old.slice_assign([0..1, 0..heads, start..end, 0..d], new));
            tensor.clone().slice([0..1, 0..heads, first..end, 0..d])
        };
        (put(&mut self.keys, k), put(&mut self.values, v))
    }

    fn grow(&mut self, len: usize, capacity: usize) {
        for tensor in [&mut self.keys, &mut self.values] {
            tensor.inplace(|old| {
                let [_, heads, _, d] = old.dims();
                let held = [0..1, 0..heads, 0..len, 0..d];
                let larger = room([1, heads, capacity, d], &old.device());
                if len == 0 {
                    larger
                } else {
                    larger.slice_assign(held.clone(), old.slice(held))
                }
            });
        }
    }
}

/// Rows that nothing is written to yet.
fn room(shape: [usize; 4], device: &Device) -> Tensor<4> {
    #[cfg(feature = "gpu")]
    if crate::gpu::runs_on(device) {
        return crate::gpu::zeros(shape, device);
    }
    Tensor::zeros(shape, device)
}

/// Convolution states at earlier lengths. A state can't be cut back like rows, but it is small: one
/// per prompt and the last few tokens cost less than one page of keys and values.
#[derive(Debug)]
struct Snapshots {
    /// States before the first position.
    empty: Vec<Tensor<3>>,
    /// Length and states after each of the last passes over several tokens.
    prompts: VecDeque<(usize, Vec<Tensor<3>>)>,
    /// The same after each of the last single tokens.
    tokens: VecDeque<(usize, Vec<Tensor<3>>)>,
}

const KEPT_PROMPTS: usize = 8;
const KEPT_TOKENS: usize = 8;

impl Snapshots {
    fn begin(layers: &[LayerCache]) -> Self {
        Self {
            empty: states(layers),
            prompts: VecDeque::new(),
            tokens: VecDeque::new(),
        }
    }

    fn take(&mut self, len: usize, prompt: bool, layers: &[LayerCache]) {
        if self.empty.is_empty() {
            return;
        }
        let (kept, most) = match prompt {
            true => (&mut self.prompts, KEPT_PROMPTS),
            false => (&mut self.tokens, KEPT_TOKENS),
        };
        kept.push_back((len, states(layers)));
        if kept.len() > most {
            kept.pop_front();
        }
    }

    /// Brings back the longest known state of at most `len` positions; returns its length.
    fn restore(&mut self, len: usize, layers: &mut [LayerCache]) -> usize {
        if self.empty.is_empty() {
            return len;
        }
        for kept in [&mut self.prompts, &mut self.tokens] {
            kept.retain(|(at, _)| *at <= len);
        }
        let known = self.prompts.iter().chain(&self.tokens);
        let best = known.max_by_key(|(at, _)| *at);
        let (at, states) = best.map_or((0, &self.empty), |(at, states)| (*at, states));
        let slots = layers.iter_mut().filter_map(|layer| match layer {
            LayerCache::State(state) => Some(state),
            LayerCache::Rows(_) => None,
        });
        for (slot, state) in slots.zip(states) {
            *slot = state.clone();
        }
        at
    }
}

fn states(layers: &[LayerCache]) -> Vec<Tensor<3>> {
    let state = |layer: &LayerCache| match layer {
        LayerCache::State(state) => Some(state.clone()),
        LayerCache::Rows(_) => None,
    };
    layers.iter().filter_map(state).collect()
}
