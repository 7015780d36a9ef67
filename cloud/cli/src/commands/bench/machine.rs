//! What the figures were measured on.

use std::time::Instant;

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use crate::device::DeviceName;

/// A machine, and how fast its memory is.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    pub(super) threads: usize,
    /// Bytes per second that all threads together read from memory.
    bandwidth: f64,
    /// The graphics card, where one computes.
    pub(super) adapter: Option<Adapter>,
}

/// A graphics card, and how fast its memory is.
#[derive(Debug, Serialize)]
pub(super) struct Adapter {
    name: String,
    /// By CUDA, or by Vulkan, Metal or DirectX.
    device: String,
    /// Bytes per second that a copy within its memory reads and writes.
    pub(super) bandwidth: f64,
}

/// Larger than any cache that two cores have to themselves.
const BUFFER: usize = 256 << 20;

impl Machine {
    /// Reads and measures the machine. That takes a large buffer: whatever has to know how much memory it
    /// took itself, asks before.
    pub(super) fn read(device: DeviceName) -> Result<Self> {
        let threads = rayon::current_num_threads();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let name = name.and_then(|rest| Some(rest.split_once(':')?.1.trim().to_owned()));
        Ok(Self {
            processor: name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            bandwidth: bandwidth(threads),
            adapter: Adapter::read(device)?,
        })
    }

    /// Bytes per second that whatever computes gets from its memory.
    pub(super) fn bandwidth(&self) -> f64 {
        self.adapter
            .as_ref()
            .map_or(self.bandwidth, |adapter| adapter.bandwidth)
    }
}

impl Adapter {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn read(device: DeviceName) -> Result<Option<Self>> {
        if device == DeviceName::Cpu {
            return Ok(None);
        }
        let bandwidth = sprat_model::gpu_bandwidth(&device.open()?)?;
        Ok(Some(Self {
            name: device.adapter().unwrap_or_else(|| "unknown".to_owned()),
            device: format!("{device:?}").to_lowercase(),
            bandwidth,
        }))
    }

    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    fn read(_: DeviceName) -> Result<Option<Self>> {
        Ok(None)
    }
}

/// The best of some reads of a large buffer.
fn bandwidth(threads: usize) -> f64 {
    let words = vec![1u64; BUFFER / size_of::<u64>()];
    let piece = words.len().div_ceil(threads.max(1));
    let read = || {
        let start = Instant::now();
        let sum: u64 = words
            .par_chunks(piece)
            .map(|part| part.iter().sum::<u64>())
            .sum();
        std::hint::black_box(sum);
        BUFFER as f64 / start.elapsed().as_secs_f64()
    };
    (0..8).map(|_| read()).fold(0.0, f64::max)
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {} cores, {} threads used, {:.1} GB/s read from memory",
            self.processor,
            self.cores,
            self.threads,
            self.bandwidth / 1e9
        )?;
        match &self.adapter {
            Some(adapter) => write!(
                f,
                "\n{} ({}), {:.0} GB/s copied within its memory",
                adapter.name,
                adapter.device,
                adapter.bandwidth / 1e9
            ),
            None => Ok(()),
        }
    }
}
