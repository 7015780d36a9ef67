//! Memory for keys and values that texts have pages of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor};

use super::pages::{Adopted, Kin, PAGE, Pages, Serial};
use super::rows::{Rows, Table};
use crate::config::{Hop, MixerConfig};
#[cfg(feature = "gpu")]
use crate::gpu::Angles;
#[cfg(feature = "gpu")]
use crate::rope::RopeConfig;
use crate::{Error, ModelConfig};

/// Memory for the keys and values of many texts (f32), in pages of [`PAGE`] positions. Texts that begin alike share the pages of
/// what they have in common, at the same time or one after the other, as long as no other text needs the memory. Clones are
/// the same pool.
#[derive(Debug, Clone)]
pub struct KvPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Of each hop; none where a layer has no rows.
    layers: Vec<Option<Mutex<Rows>>>,
    pages: Mutex<Pages>,
    /// Positions of the longest text; none for a text that has the pool for itself, which grows with it.
    longest: Option<usize>,
    /// Of each rope, for all positions that a text can have: what a GPU turns heads by.
    #[cfg(feature = "gpu")]
    angles: Mutex<Vec<Angles>>,
}

impl KvPool {
    /// A pool for `positions`, in whole pages, of texts of a model of this shape. Never grows.
    pub fn new(config: &ModelConfig, positions: usize, device: &Device) -> Self {
        let longest = positions.min(config.context()).next_multiple_of(PAGE);
        Self::with_pages(config, positions.div_ceil(PAGE), Some(longest), device)
    }

    /// A pool for one text.
    pub(super) fn for_one(config: &ModelConfig, pages: usize, device: &Device) -> Self {
        Self::with_pages(config, pages, None, device)
    }

    fn with_pages(
        config: &ModelConfig,
        pages: usize,
        longest: Option<usize>,
        device: &Device,
    ) -> Self {
        let rows = |heads, keys, values| {
            let rows = Rows::new(heads, pages * PAGE, [keys, values], device);
            Some(Mutex::new(rows))
        };
        let mixer = |hop: &Hop| match config.layers[hop.layer].mixer {
            MixerConfig::Attention(a) => rows(a.kv_heads, a.head_dim, a.head_dim),
            MixerConfig::Latent(l) => rows(1, l.kv_rank, l.rope_dim),
            MixerConfig::ShortConv(_) => None,
        };
        let mut free = Pages::default();
        free.add(pages);
        Self {
            inner: Arc::new(Inner {
                layers: config.hops.iter().map(mixer).collect(),
                pages: Mutex::new(free),
                longest,
                #[cfg(feature = "gpu")]
                angles: Mutex::default(),
            }),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        locked(&self.inner.pages)
    }

    /// Positions that it has room for, of all texts together.
    pub fn positions(&self) -> usize {
        self.pages().len() * PAGE
    }

    /// Those of them in pages that no text holds now. What is in them may still be taken over by a text that begins alike.
    pub fn free(&self) -> usize {
        self.pages().free() * PAGE
    }

    /// Bytes that one position takes in all layers.
    pub fn bytes_per_position(&self) -> usize {
        let layers = self.inner.layers.iter().flatten();
        layers
            .map(|rows| locked(rows).width() * size_of::<f32>())
            .sum()
    }

    /// Lets no new text take over what is held now: something went wrong, and nobody knows where it is.
    pub fn forget(&self) {
        self.pages().forget();
    }

    /// Positions of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.inner.longest.unwrap_or(usize::MAX)
    }

    /// Whether more than one text has pages of it.
    pub(super) fn is_shared(&self) -> bool {
        self.inner.longest.is_some()
    }

    pub(super) fn layer(&self, hop: usize) -> Option<&Mutex<Rows>> {
        self.inner.layers.get(hop)?.as_ref()
    }

    /// Gives a text's table room for `positions`.
    ///
    /// # Errors
    /// [`Error::CacheFull`] if there are not as many pages that nobody holds.
    pub(super) fn reserve(&self, table: &mut Table, positions: usize) -> Result<(), Error> {
        let missing = positions.saturating_sub(table.positions()).div_ceil(PAGE);
        let mut pages = self.pages();
        let full = Error::CacheFull {
            positions,
            free: pages.free() * PAGE,
        };
        if self
            .inner
            .longest
            .is_some_and(|longest| positions > longest)
        {
            return Err(full);
        }
        table.extend(&pages.take(missing).ok_or(full)?);
        Ok(())
    }

    /// Makes room for `positions` in all, of which the first `held` are in use, in a pool that one text has for itself.
    pub(super) fn grow(&self, held: usize, positions: usize) {
        let mut pages = self.pages();
        let missing = positions.div_ceil(PAGE) - pages.len();
        pages.add(missing);
        for rows in self.inner.layers.iter().flatten() {
            locked(rows).grow(held, pages.len() * PAGE);
        }
    }

    pub(super) fn leave(&self, pages: &[u32]) {
        self.pages().leave(pages);
    }

    pub(super) fn publish(
        &self,
        page: u32,
        before: Serial,
        tokens: &[u32],
        states: Option<Vec<Tensor<3>>>,
    ) -> Option<Serial> {
        self.pages().publish(page, before, tokens, states)
    }

    pub(super) fn beginning(&self, kin: &Kin) -> Serial {
        self.pages().beginning(kin)
    }

    pub(super) fn adopt(&self, kin: &Kin, tokens: &[u32], stateful: bool) -> Adopted {
        let mut pages = self.pages();
        let beginning = pages.beginning(kin);
        pages.adopt(beginning, tokens, stateful)
    }

    /// Angles of each rope for as many positions as a text can have, in a text of `length`.
    #[cfg(feature = "gpu")]
    pub(super) fn angles(
        &self,
        ropes: &[RopeConfig],
        length: usize,
        device: &Device,
    ) -> Vec<Angles> {
        let room = self.inner.longest.unwrap_or_else(|| self.positions());
        let mut known = locked(&self.inner.angles);
        let fit = |(angles, rope): (&Angles, _)| angles.fit(rope, room, length);
        if known.len() != ropes.len() || !known.iter().zip(ropes).all(fit) {
            let make = |rope| Angles::new(rope, room, length, device);
            *known = ropes.iter().map(make).collect();
        }
        known.clone()
    }
}

/// A thread that panicked in the middle has left nothing that others would read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
