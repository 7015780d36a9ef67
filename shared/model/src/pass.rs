//! What all layers share in one pass: positions, rotations, masks.

use burn::tensor::{Device, Tensor, TensorData};

use crate::ModelConfig;
use crate::config::MixerConfig;
use crate::rope::Rope;

/// One pass over `time` new positions that follow `start` earlier ones.
pub(crate) struct Pass {
    pub(crate) start: usize,
    pub(crate) time: usize,
    pub(crate) ropes: Vec<Rope>,
    /// One mask per window that the model's layers have.
    masks: Vec<(Option<usize>, Tensor<4>)>,
}

impl Pass {
    /// `length` is that of the whole text, as far as it is known.
    pub(crate) fn new(
        config: &ModelConfig,
        start: usize,
        time: usize,
        length: usize,
        device: &Device,
    ) -> Self {
        let rope = |rope| Rope::new(rope, start..start + time, length, device);
        let mut pass = Self {
            start,
            time,
            ropes: config.ropes.iter().map(rope).collect(),
            masks: Vec::new(),
        };
        // A single position sees all keys that it is given.
        if time > 1 {
            for layer in &config.layers {
                let window = match layer.mixer {
                    MixerConfig::Attention(attention) => attention.window,
                    MixerConfig::Latent(_) => None,
                    MixerConfig::ShortConv(_) => continue,
                };
                if !pass.masks.iter().any(|(known, _)| *known == window) {
                    let mask = pass.make_mask(window, device);
                    pass.masks.push((window, mask));
                }
            }
        }
        pass
    }

    /// The first position that a layer with this window looks at.
    pub(crate) fn first_key(&self, window: Option<usize>) -> usize {
        window.map_or(0, |window| (self.start + 1).saturating_sub(window))
    }

    /// What is added to the scores `[batch, heads, groups * time, keys]` of a layer with this
    /// window, whose keys begin at [`Pass::first_key`].
    pub(crate) fn mask(&self, window: Option<usize>, groups: usize) -> Option<Tensor<4>> {
        let (_, mask) = self.masks.iter().find(|(known, _)| *known == window)?;
        Some(match groups {
            1 => mask.clone(),
            _ => mask.clone().repeat_dim(2, groups),
        })
    }

    /// `[1, 1, time, keys]`: 0 where a query may look, a large negative number where the key lies
    /// in its future or before its window. Finite, so that no backend makes NaN of it.
    fn make_mask(&self, window: Option<usize>, device: &Device) -> Tensor<4> {
        let first = self.first_key(window);
        let keys = self.start + self.time - first;
        let mut mask = vec![-1e9f32; self.time * keys];
        for (query, row) in mask.chunks_exact_mut(keys).enumerate() {
            let end = self.start + query + 1;
            let begin = window.map_or(0, |window| end.saturating_sub(window));
            row[begin.saturating_sub(first)..end - first].fill(0.0);
        }
        Tensor::from_data(TensorData::new(mask, [1, 1, self.time, keys]), device)
    }
}
