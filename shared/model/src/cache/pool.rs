//! Memory for keys and values that texts have pages of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tensor::{Device, Tensor};

use super::pages::{Adopted, Kin, PAGE, Pages, Serial};
use super::rows::{KvType, Rows, Table};
use crate::config::{Hop, MixerConfig};
#[cfg(feature = "gpu")]
use crate::gpu::Angles;
#[cfg(feature = "gpu")]
use crate::rope::RopeConfig;
use crate::{Error, ModelConfig};

/// Sets of angles that a pool keeps: those of texts within a model's trained length and of texts beyond it.
#[cfg(feature = "gpu")]
const ANGLES: usize = 2;

/// Memory for the keys and values of many texts, in pages of [`PAGE`] positions. Texts that begin alike share the pages of
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
    /// Who holds which pages; none in a pool that one text has for itself, which grows with it and holds all of them.
    shared: Option<Mutex<Pages>>,
    /// How many pages there are.
    count: AtomicUsize,
    /// Positions of the longest text.
    longest: usize,
    /// Of each rope, for all positions that a text can have: what a GPU turns heads by. Those of long texts and of short ones
    /// may be others; the latest first.
    #[cfg(feature = "gpu")]
    angles: Mutex<Vec<Vec<Angles>>>,
}

impl KvPool {
    /// A pool for `positions`, in whole pages, of texts of a model of this shape. Never grows.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(config: &ModelConfig, positions: usize, kept: KvType, device: &Device) -> Self {
        let count = positions.div_ceil(PAGE);
        let mut pages = Pages::default();
        pages.add(count);
        let longest = positions.min(config.context()).next_multiple_of(PAGE);
        Self::with_pages(config, count, Some(pages), longest, (kept, device))
    }

    /// A pool for one text.
    pub(super) fn for_one(
        config: &ModelConfig,
        pages: usize,
        kept: KvType,
        device: &Device,
    ) -> Self {
        Self::with_pages(config, pages, None, usize::MAX, (kept, device))
    }

    fn with_pages(
        config: &ModelConfig,
        count: usize,
        shared: Option<Pages>,
        longest: usize,
        (kept, device): (KvType, &Device),
    ) -> Self {
        let rows = |heads, widths, kept| {
            let rows = Rows::new(heads, count * PAGE, widths, kept, device);
            Some(Mutex::new(rows))
        };
        let mixer = |hop: &Hop| match config.layers[hop.layer].mixer {
            MixerConfig::Attention(a) => {
                // Others than these would turn all of them to floats at each step.
                let kept = if a.is_one_pass(config) {
                    kept
                } else {
                    KvType::F32
                };
                rows(a.kv_heads, [a.head_dim; 2], kept)
            }
            MixerConfig::Latent(l) => rows(1, [l.kv_rank, l.rope_dim], KvType::F32),
            MixerConfig::ShortConv(_) => None,
        };
        Self {
            inner: Arc::new(Inner {
                layers: config.hops.iter().map(mixer).collect(),
                shared: shared.map(Mutex::new),
                count: AtomicUsize::new(count),
                longest,
                #[cfg(feature = "gpu")]
                angles: Mutex::default(),
            }),
        }
    }

    /// A pool for one text that begins with the first `held` positions of the one that has this pool for itself.
    pub(super) fn fork(&self, held: usize, pages: usize) -> Self {
        let copy = |rows: &Mutex<Rows>| Mutex::new(locked(rows).copy(held, pages * PAGE));
        let layers = self.inner.layers.iter();
        Self {
            inner: Arc::new(Inner {
                layers: layers.map(|rows| rows.as_ref().map(copy)).collect(),
                shared: None,
                count: AtomicUsize::new(pages),
                longest: self.inner.longest,
                #[cfg(feature = "gpu")]
                angles: Mutex::default(),
            }),
        }
    }

    /// Who holds which pages, if more than one text can. In a page there is only ever one; saying so here leaves the rest
    /// out of its module.
    fn shared(&self) -> Option<MutexGuard<'_, Pages>> {
        match cfg!(target_arch = "wasm32") {
            true => None,
            false => self.inner.shared.as_ref().map(locked),
        }
    }

    /// Positions that it has room for, of all texts together.
    pub fn positions(&self) -> usize {
        self.inner.count.load(Ordering::Relaxed) * PAGE
    }

    /// Those of them in pages that no text holds now. What is in them may still be taken over by a text that begins alike.
    pub fn free(&self) -> usize {
        self.shared().map_or(0, |pages| pages.free() * PAGE)
    }

    /// Bytes that one position takes in all layers.
    pub fn bytes_per_position(&self) -> usize {
        let layers = self.inner.layers.iter().flatten();
        layers.map(|rows| locked(rows).bytes()).sum()
    }

    /// Lets no new text take over what is held now: something went wrong, and nobody knows where it is.
    pub fn forget(&self) {
        if let Some(mut pages) = self.shared() {
            pages.forget();
        }
    }

    /// Positions of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.inner.longest
    }

    /// Whether more than one text has pages of it.
    pub(super) fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    /// Whether both are the same pool.
    #[cfg(feature = "gpu")]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(super) fn layer(&self, hop: usize) -> Option<&Mutex<Rows>> {
        self.inner.layers.get(hop)?.as_ref()
    }

    /// Gives a text's table room for `positions`.
    ///
    /// # Errors
    /// [`Error::CacheFull`] if there are not as many pages that nobody holds.
    pub(super) fn reserve(&self, table: &mut Table, positions: usize) -> Result<(), Error> {
        let Some(mut pages) = self.shared() else {
            let (held, all) = (table.pages().len(), self.positions() / PAGE);
            let rest: Vec<u32> = (held as u32..all as u32).collect();
            table.extend(&rest);
            return Ok(());
        };
        let missing = positions.saturating_sub(table.positions()).div_ceil(PAGE);
        let full = Error::CacheFull {
            positions,
            free: pages.free() * PAGE,
        };
        if positions > self.inner.longest {
            return Err(full);
        }
        table.extend(&pages.take(missing).ok_or(full)?);
        Ok(())
    }

    /// Makes room for `positions` in all, of which the first `held` are in use, in a pool that one text has for itself.
    pub(super) fn grow(&self, held: usize, positions: usize) {
        let count = positions.div_ceil(PAGE);
        for rows in self.inner.layers.iter().flatten() {
            locked(rows).grow(held, count * PAGE);
        }
        self.inner.count.store(count, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, pages: &[u32]) {
        if let Some(mut shared) = self.shared() {
            shared.leave(pages);
        }
    }

    pub(super) fn publish(
        &self,
        page: u32,
        before: Serial,
        tokens: &[u32],
        states: Option<Vec<Tensor<3>>>,
    ) -> Option<Serial> {
        self.shared()?.publish(page, before, tokens, states)
    }

    pub(super) fn beginning(&self, kin: &Kin) -> Option<Serial> {
        Some(self.shared()?.beginning(kin))
    }

    pub(super) fn adopt(&self, kin: &Kin, tokens: &[u32], stateful: bool) -> Option<Adopted> {
        let mut pages = self.shared()?;
        let beginning = pages.beginning(kin);
        Some(pages.adopt(beginning, tokens, stateful))
    }

    /// Angles of each rope for as many positions as a text can have, in a text of `length`.
    #[cfg(feature = "gpu")]
    pub(super) fn angles(
        &self,
        ropes: &[RopeConfig],
        length: usize,
        device: &Device,
    ) -> Vec<Angles> {
        let room = self.inner.longest.min(self.positions());
        let mut known = locked(&self.inner.angles);
        let fit = |of_ropes: &Vec<Angles>| {
            let mut both = of_ropes.iter().zip(ropes);
            of_ropes.len() == ropes.len()
                && both.all(|(angles, rope)| angles.fit(rope, room, length))
        };
        match known.iter().position(fit) {
            Some(place) => known.swap(0, place),
            None => {
                let make = |rope| Angles::new(rope, room, length, device);
                known.insert(0, ropes.iter().map(make).collect());
                known.truncate(ANGLES);
            }
        }
        known[0].clone()
    }
}

/// A thread that panicked in the middle has left nothing that others would read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
