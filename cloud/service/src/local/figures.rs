//! How full a model's memory is and how often it came and went, as its thread last said.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{EngineLoad, Unloads};

/// Written by the thread that computes, read by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Figures {
    used: AtomicUsize,
    all: AtomicUsize,
    set_aside: AtomicU64,
    bytes: AtomicU64,
    loads: AtomicU64,
    unloads: [AtomicU64; 3],
}

/// Why a model's weights were given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody has asked it for long.
    Idle,
    /// Another model needed the memory.
    Memory,
    /// The operator wanted it.
    Asked,
}

impl Figures {
    /// So many positions of the cache are held, of all.
    pub(super) fn cache(&self, used: usize, all: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    /// An answer has given its memory to an older one.
    pub(super) fn set_aside(&self) {
        self.set_aside.fetch_add(1, Ordering::Relaxed);
    }

    /// The model is in memory, and takes so many bytes of it.
    pub(super) fn loaded(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    /// It is there no more.
    pub(super) fn unloaded(&self, reason: Reason) {
        self.cache(0, 0);
        self.bytes.store(0, Ordering::Relaxed);
        self.unloads[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> EngineLoad {
        let [used, all] = [&self.used, &self.all].map(|n| n.load(Ordering::Relaxed));
        EngineLoad {
            cache_used: used,
            cache_positions: all,
            preemptions: self.set_aside.load(Ordering::Relaxed),
        }
    }

    /// Bytes in memory now, how often the model was loaded, and how often unloaded.
    pub(super) fn memory(&self) -> (u64, u64, Unloads) {
        let count = |reason| self.unloads[reason as usize].load(Ordering::Relaxed);
        let unloads = Unloads {
            idle: count(Reason::Idle),
            memory: count(Reason::Memory),
            asked: count(Reason::Asked),
        };
        let [bytes, loads] = [&self.bytes, &self.loads].map(|n| n.load(Ordering::Relaxed));
        (bytes, loads, unloads)
    }
}
