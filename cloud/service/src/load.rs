//! What engines say of themselves for metrics and lists.

use sprat_wire::ModelStatus;

/// How full an engine's memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Positions whose keys and values are held for answers in progress.
    pub cache_used: usize,
    /// Positions that there is memory for; 0 without a cache.
    pub cache_positions: usize,
    /// How often an answer had to give its memory to an older one, to be computed again.
    pub preemptions: u64,
}

/// Where an engine's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Whether they are in memory.
    pub status: ModelStatus,
    /// Bytes that they and the cache take; 0 while they are not there.
    pub bytes: u64,
    /// How often they were loaded since the start.
    pub loads: u64,
    /// How often they were given back.
    pub unloads: Unloads,
}

/// How often weights were given back, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unloads {
    /// Nobody had asked for long.
    pub idle: u64,
    /// Another model needed the memory.
    pub memory: u64,
    /// The operator wanted it.
    pub asked: u64,
}

/// What asking another server came to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpstreamLoad {
    /// Requests sent, each again counted.
    pub tries: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// What they cost in US dollars.
    pub cost_usd: f64,
}
