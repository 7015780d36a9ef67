//! How full a model's memory is, as its thread last said.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::EngineLoad;

/// Written by the thread that computes, read by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Load {
    used: AtomicUsize,
    all: AtomicUsize,
    set_aside: AtomicU64,
}

impl Load {
    /// So many positions of the cache are held, of all.
    pub(super) fn cache(&self, used: usize, all: usize) {
        self.used.store(used, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    /// An answer has given its memory to an older one.
    pub(super) fn set_aside(&self) {
        self.set_aside.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> EngineLoad {
        let [used, all] = [&self.used, &self.all].map(|n| n.load(Ordering::Relaxed));
        EngineLoad {
            cache_used: used,
            cache_positions: all,
            preemptions: self.set_aside.load(Ordering::Relaxed),
        }
    }
}
