//! What a model remembers of the positions seen so far: keys and values or latents in pages of a pool, and the inputs of
//! convolutions. Cut back to a common prefix between turns.

mod pages;
mod pool;
mod rows;
mod saved;
mod snapshots;

use crate::tensor::{Device, Tensor};

use crate::config::{Hop, MixerConfig};
#[cfg(feature = "gpu")]
use crate::gpu::Angles;
#[cfg(feature = "gpu")]
use crate::rope::RopeConfig;
use crate::rope::{Beyond, BeyondRule};
use crate::{Error, ModelConfig};
pub use pages::PAGE;
use pages::{Kin, Serial};
pub use pool::KvPool;
pub use rows::KvType;
#[cfg(feature = "gpu")]
pub(crate) use rows::Rows;
pub(crate) use rows::{Seat, Table};
pub use saved::Fingerprint;
use snapshots::Snapshots;

/// Positions that a text which has its pool for itself grows by at least: each time its rows are copied.
const GROWTH: usize = 128;

/// Whether `device` has numbers of 16 bits for keys and values.
#[cfg(all(feature = "burn", not(target_arch = "wasm32")))]
pub(crate) fn keeps_f16(device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    if crate::gpu::runs_on(device) {
        return crate::gpu::keeps_f16(device);
    }
    #[cfg(feature = "flex")]
    return *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    return false;
}

/// The memory of all hops through layers for the positions of one text seen so far (batch 1).
#[derive(Debug)]
pub struct KvCache {
    pool: KvPool,
    table: Table,
    /// Of the published pages at the beginning.
    serials: Vec<Serial>,
    /// The last inputs of each convolution, `[1, kernel - 1, hidden]`.
    states: Vec<Tensor<3>>,
    len: usize,
    /// How long the text is going to be.
    expected: usize,
    /// Lengths beyond which a rotary embedding changes.
    beyond: Vec<Beyond>,
    /// States of the convolutions at earlier lengths; see [`KvCache::truncate`].
    snapshots: Snapshots,
    /// Whose texts may share pages with this one.
    scope: u64,
    /// The table, where a kernel has asked for it.
    #[cfg(feature = "gpu")]
    table_there: Option<Tensor<1, crate::tensor::Int>>,
}

/// The memory of one layer.
pub(crate) enum LayerCache<'a> {
    /// One row per position.
    Rows(Seat<'a>),
    /// The last inputs of a convolution, `[1, kernel - 1, hidden]`.
    State(&'a mut Tensor<3>),
}

impl KvCache {
    /// An empty cache with memory of its own, which grows, in `f32`.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        Self::of_type(config, KvType::F32, device)
    }

    /// An empty cache with memory of its own, which grows.
    pub fn of_type(config: &ModelConfig, kept: KvType, device: &Device) -> Self {
        let pool = KvPool::for_one(config, GROWTH / PAGE, kept, device);
        Self::in_pool(&pool, 0, config, device)
    }

    /// An empty cache of a text in a pool that was made for the same model. It begins with the pages of an earlier text if
    /// that was of the same scope and began alike.
    pub fn in_pool(pool: &KvPool, scope: u64, config: &ModelConfig, device: &Device) -> Self {
        let state = |hop: &Hop| match config.layers[hop.layer].mixer {
            MixerConfig::ShortConv(conv) => {
                let shape = [1, conv.kernel - 1, config.hidden_size];
                Some(Tensor::zeros(shape, device))
            }
            MixerConfig::Attention(_) | MixerConfig::Latent(_) => None,
        };
        let states: Vec<_> = config.hops.iter().filter_map(state).collect();
        Self {
            pool: pool.clone(),
            table: Table::default(),
            serials: Vec::new(),
            snapshots: Snapshots::begin(&states),
            states,
            len: 0,
            expected: 0,
            beyond: config
                .ropes
                .iter()
                .filter_map(|rope| rope.beyond.clone())
                .collect(),
            scope,
            #[cfg(feature = "gpu")]
            table_there: None,
        }
    }

    /// Shares pages from now on with texts of another scope: the bits in which it differs from the one before. The cache is
    /// empty.
    pub(crate) fn move_scope(&mut self, difference: u64) {
        self.scope ^= difference;
    }

    /// A text of its own that begins as this one, whose positions are those of `tokens`: with a copy of the keys and values,
    /// or in a shared pool with the published pages of them.
    pub(crate) fn fork(&self, tokens: &[u32], config: &ModelConfig, device: &Device) -> Self {
        if self.pool.is_shared() {
            let mut fork = Self::in_pool(&self.pool, self.scope, config, device);
            fork.expected = self.expected;
            fork.adopt(tokens);
            return fork;
        }
        let pages = self.len.next_multiple_of(GROWTH) / PAGE;
        let pool = self.pool.fork(self.len, pages);
        let mut fork = Self::in_pool(&pool, self.scope, config, device);
        fork.expected = self.expected;
        fork.states = self.states.clone();
        fork.snapshots = self.snapshots.clone();
        fork.len = self.len;
        let all: Vec<u32> = (0..pages as u32).collect();
        fork.table.extend(&all);
        fork
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that one position takes in all layers.
    pub fn bytes_per_token(&self) -> usize {
        self.pool.bytes_per_position()
    }

    /// Bytes that it takes, or in a shared pool the pages of its text.
    pub(crate) fn bytes(&self) -> usize {
        let positions = match self.pool.is_shared() {
            true => self.table.positions(),
            false => self.pool.positions(),
        };
        positions * self.bytes_per_token()
    }

    /// Positions of the longest text that there can be memory for.
    pub(crate) fn longest(&self) -> usize {
        self.pool.longest()
    }

    /// Positions of all texts that the memory is for.
    #[cfg(feature = "gpu")]
    pub(crate) fn capacity(&self) -> usize {
        self.pool.positions()
    }

    /// Whether any length that the cache has had can be gone back to.
    pub(crate) fn is_cut_freely(&self) -> bool {
        self.states.is_empty()
    }

    /// Forgets the positions from `len` on, and returns how many are left: fewer than `len` in a
    /// model with convolutions, whose states are kept for some lengths only, and where a page is shared. Memory of its own
    /// stays for the next turn.
    pub fn truncate(&mut self, len: usize) -> usize {
        if len >= self.len {
            return self.len;
        }
        let mut left = len;
        loop {
            left = self.snapshots.restore(left, &mut self.states);
            // Nothing is written to a published page.
            if left / PAGE >= self.serials.len() {
                break;
            }
            self.serials.truncate(left / PAGE);
            left = left / PAGE * PAGE;
        }
        self.len = left;
        if self.pool.is_shared() {
            let pages = self.table.split_off(left.div_ceil(PAGE));
            self.pool.leave(&pages);
            self.forget_table_there();
        }
        left
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
    ///
    /// # Errors
    /// [`Error::CacheFull`] in a pool that has no more pages.
    pub(crate) fn reserve(&mut self, positions: usize) -> Result<(), Error> {
        if positions <= self.table.positions() {
            return Ok(());
        }
        let room = self.pool.positions();
        if self.pool.is_shared() {
            self.pool.reserve(&mut self.table, positions)?;
        } else {
            if positions > room {
                // Twice as much at least, up to what the text is going to need: copies stay few.
                let wanted = positions.max(self.expected.min(2 * positions));
                self.pool.grow(self.len, wanted.next_multiple_of(GROWTH));
            }
            let all = self.pool.positions();
            self.pool.reserve(&mut self.table, all)?;
        }
        self.forget_table_there();
        Ok(())
    }

    /// Takes over the pages of an earlier text that begins with the same tokens, if this one is empty; returns how many
    /// positions it holds now.
    pub fn adopt(&mut self, tokens: &[u32]) -> usize {
        if self.len == 0
            && let Some(kin) = self.kin()
            && let Some(adopted) = self.pool.adopt(&kin, tokens, !self.states.is_empty())
        {
            let unused = self.table.split_off(0);
            self.pool.leave(&unused);
            self.len = adopted.pages.len() * PAGE;
            self.table.extend(&adopted.pages);
            self.serials = adopted.serials;
            self.forget_table_there();
            if let Some(states) = adopted.states.filter(|_| !self.states.is_empty()) {
                self.states = states;
                self.snapshots.take(self.len, true, &self.states);
            }
        }
        self.len
    }

    /// Lets other texts that begin with the same `tokens`, which are all that the cache holds, take over full pages.
    pub fn publish(&mut self, tokens: &[u32]) {
        let full = tokens.len().min(self.len) / PAGE;
        if full <= self.serials.len() {
            return;
        }
        let Some(kin) = self.kin() else { return };
        let mut before = match self.serials.last() {
            Some(serial) => *serial,
            None => match self.pool.beginning(&kin) {
                Some(beginning) => beginning,
                None => return,
            },
        };
        let pages = self.table.pages().iter().zip(tokens.chunks_exact(PAGE));
        for (i, (&page, tokens)) in pages.enumerate().take(full).skip(self.serials.len()) {
            let is_last = (i + 1) * PAGE == self.len;
            let states = (is_last && !self.states.is_empty()).then(|| self.states.clone());
            let Some(serial) = self.pool.publish(page, before, tokens, states) else {
                break;
            };
            self.serials.push(serial);
            before = serial;
        }
    }

    /// Whose pages are like this text's; nobody's where keys depend on the text's exact length.
    fn kin(&self) -> Option<Kin> {
        if !self.pool.is_shared() {
            return None;
        }
        let beyond = self.beyond.iter().map(|beyond| match beyond.rule {
            BeyondRule::Fixed(_) => Some(self.expected > beyond.positions),
            BeyondRule::Growing { .. } => None,
        });
        let beyond = beyond.collect::<Option<_>>()?;
        let scope = self.scope;
        Some(Kin { scope, beyond })
    }

    /// Angles of each rope for as many positions as there is room for, in a text of `length`.
    #[cfg(feature = "gpu")]
    pub(crate) fn angles(
        &self,
        ropes: &[RopeConfig],
        length: usize,
        device: &Device,
    ) -> Vec<Angles> {
        self.pool.angles(ropes, length, device)
    }

    /// Whether each position is in the row of its number.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_plain(&self) -> bool {
        self.table.is_plain()
    }

    /// Whether both texts have pages of one pool.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.pool.is(&other.pool)
    }

    /// The text's pages, in its order.
    #[cfg(feature = "gpu")]
    pub(crate) fn pages(&self) -> &[u32] {
        self.table.pages()
    }

    /// The pages, where kernels can read them.
    #[cfg(feature = "gpu")]
    pub(crate) fn table_there(&mut self, device: &Device) -> Tensor<1, crate::tensor::Int> {
        let pages = self.table.pages();
        let there = self.table_there.get_or_insert_with(|| {
            let pages = crate::tensor::TensorData::new(pages.to_vec(), [pages.len()]);
            Tensor::from_data(pages, (device, crate::tensor::DType::U32))
        });
        there.clone()
    }

    fn forget_table_there(&mut self) {
        #[cfg(feature = "gpu")]
        {
            self.table_there = None;
        }
    }

    /// The memory of each hop, in order.
    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = LayerCache<'_>> {
        let (pool, table) = (&self.pool, &self.table);
        let mut states = self.states.iter_mut();
        (0..).map_while(move |hop| match pool.layer(hop) {
            Some(rows) => Some(LayerCache::Rows(Seat::new(rows, table))),
            None => states.next().map(LayerCache::State),
        })
    }

    pub(crate) fn advance(&mut self, positions: usize) {
        self.len += positions;
        self.snapshots.take(self.len, positions > 1, &self.states);
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.pool.leave(self.table.pages());
    }
}

impl<'a> LayerCache<'a> {
    /// The rows of an attention layer.
    ///
    /// # Panics
    /// In a layer of another kind: caches are made from the decoder's own config.
    pub(crate) fn rows(self) -> Seat<'a> {
        match self {
            Self::Rows(seat) => seat,
            Self::State(_) => unreachable!("an attention layer's cache holds rows"),
        }
    }

    /// The state of a convolution.
    ///
    /// # Panics
    /// In a layer of another kind, as [`LayerCache::rows`].
    pub(crate) fn state(self) -> &'a mut Tensor<3> {
        match self {
            Self::State(state) => state,
            Self::Rows(_) => unreachable!("a convolution's cache holds its state"),
        }
    }
}
