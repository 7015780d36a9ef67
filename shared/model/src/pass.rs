//! What all layers share in one pass: positions, rotations, masks.

use std::cell::{OnceCell, RefCell};

use crate::tensor::{Device, Tensor, TensorData};

use crate::ModelConfig;
#[cfg(feature = "gpu")]
pub(crate) use crate::gpu::Place;
use crate::rope::Rope;

/// Where no GPU is, nothing has a place there.
#[cfg(not(feature = "gpu"))]
pub(crate) enum Place {}

/// One pass over `time` new positions that follow `start` earlier ones. What only some layers or devices
/// need is made when it is asked for.
pub(crate) struct Pass<'a> {
    pub(crate) start: usize,
    pub(crate) time: usize,
    /// Of the whole text, as far as it is known.
    length: usize,
    config: &'a ModelConfig,
    device: Device,
    ropes: Vec<OnceCell<Rope>>,
    /// One mask per window that the model's layers have.
    masks: RefCell<Vec<(Option<usize>, Tensor<4>)>>,
    /// What the kernels of a GPU are told, if they take this text by itself.
    pub(crate) place: Option<Place>,
}

/// Passes over the new positions of several texts, one text's behind the other's.
pub(crate) struct Passes<'a> {
    pub(crate) each: Vec<Pass<'a>>,
    /// Where all of them stand, if the kernels of a GPU can take them at once; otherwise each pass has a place of its own.
    pub(crate) place: Option<Place>,
}

impl<'a> Pass<'a> {
    /// `length` is that of the whole text, as far as it is known.
    pub(crate) fn new(
        config: &'a ModelConfig,
        start: usize,
        time: usize,
        length: usize,
        device: &Device,
    ) -> Self {
        Self {
            start,
            time,
            length,
            config,
            device: device.clone(),
            ropes: config.ropes.iter().map(|_| OnceCell::new()).collect(),
            masks: RefCell::default(),
            place: None,
        }
    }

    /// The rotations of the model's rope number `index`.
    pub(crate) fn rope(&self, index: usize) -> &Rope {
        let positions = self.start..self.start + self.time;
        let make = || {
            Rope::new(
                &self.config.ropes[index],
                positions,
                self.length,
                &self.device,
            )
        };
        self.ropes[index].get_or_init(make)
    }

    /// The first position that a layer with this window looks at.
    pub(crate) fn first_key(&self, window: Option<usize>) -> usize {
        window.map_or(0, |window| (self.start + 1).saturating_sub(window))
    }

    /// What is added to the scores `[batch, heads, groups * time, keys]` of a layer with this
    /// window, whose keys begin at [`Pass::first_key`]. None for a single position, which sees all keys
    /// that it is given.
    pub(crate) fn mask(&self, window: Option<usize>, groups: usize) -> Option<Tensor<4>> {
        if self.time == 1 {
            return None;
        }
        let mut masks = self.masks.borrow_mut();
        let known = masks.iter().position(|(known, _)| *known == window);
        let index = known.unwrap_or_else(|| {
            masks.push((window, self.make_mask(window)));
            masks.len() - 1
        });
        let mask = masks[index].1.clone();
        Some(match groups {
            1 => mask,
            _ => mask.repeat_dim(2, groups),
        })
    }

    /// `[1, 1, time, keys]`: 0 where a query may look, a large negative number where the key lies
    /// in its future or before its window. Finite, so that no backend makes NaN of it.
    fn make_mask(&self, window: Option<usize>) -> Tensor<4> {
        let first = self.first_key(window);
        let keys = self.start + self.time - first;
        let mut mask = vec![-1e9f32; self.time * keys];
        for (query, row) in mask.chunks_exact_mut(keys).enumerate() {
            let end = self.start + query + 1;
            let begin = window.map_or(0, |window| end.saturating_sub(window));
            row[begin.saturating_sub(first)..end - first].fill(0.0);
        }
        let mask = TensorData::new(mask, [1, 1, self.time, keys]);
        Tensor::from_data(mask, &self.device)
    }
}
