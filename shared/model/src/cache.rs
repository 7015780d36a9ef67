//! The KV cache: preallocated, grows in pages, cut back to a common prefix between turns.

use burn::tensor::{Device, Tensor};

use crate::ModelConfig;

/// Positions per page. Growing copies the cache once per page, so a page must be many tokens; an
/// unused page costs `2 * layers * kv_heads * head_dim * PAGE * 4` bytes.
pub(crate) const PAGE: usize = 128;

/// Keys and values of all layers for the positions seen so far (batch 1, f32).
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
    capacity: usize,
}

/// Keys and values of one layer: `[1, kv_heads, capacity, head_dim]` each.
#[derive(Debug)]
pub(crate) struct LayerCache {
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl KvCache {
    /// An empty cache with one page.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let shape = [1, config.num_key_value_heads, PAGE, config.head_dim];
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerCache {
                keys: Tensor::zeros(shape, device),
                values: Tensor::zeros(shape, device),
            })
            .collect();
        Self {
            layers,
            len: 0,
            capacity: PAGE,
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

    /// Forgets all positions from `len` on; the memory stays for the next turn.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `positions` in whole pages.
    pub(crate) fn reserve(&mut self, positions: usize) {
        if positions <= self.capacity {
            return;
        }
        let capacity = positions.next_multiple_of(PAGE);
        for layer in &mut self.layers {
            layer.grow(self.len, capacity);
        }
        self.capacity = capacity;
    }

    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = &mut LayerCache> {
        self.layers.iter_mut()
    }

    pub(crate) fn advance(&mut self, positions: usize) {
        self.len += positions;
    }
}

impl LayerCache {
    /// Writes `k` and `v` `[1, kv_heads, time, head_dim]` at position `start`, in place, and
    /// returns everything up to their end.
    pub(crate) fn append(
        &mut self,
        k: Tensor<4>,
        v: Tensor<4>,
        start: usize,
    ) -> (Tensor<4>, Tensor<4>) {
        let [_, heads, time, d] = k.dims();
        let place = [0..1, 0..heads, start..start + time, 0..d];
        let held = [0..1, 0..heads, 0..start + time, 0..d];
        self.keys
            .inplace(|keys| keys.slice_assign(place.clone(), k));
        self.values.inplace(|values| values.slice_assign(place, v));
        (
            self.keys.clone().slice(held.clone()),
            self.values.clone().slice(held),
        )
    }

    fn grow(&mut self, len: usize, capacity: usize) {
        for tensor in [&mut self.keys, &mut self.values] {
            tensor.inplace(|old| {
                let [_, heads, _, d] = old.dims();
                let held = [0..1, 0..heads, 0..len, 0..d];
                let larger = Tensor::zeros([1, heads, capacity, d], &old.device());
                if len == 0 {
                    larger
                } else {
                    larger.slice_assign(held.clone(), old.slice(held))
                }
            });
        }
    }
}
