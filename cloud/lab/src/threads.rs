//! Threads for work that is parallel in itself.

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// On the CPU one pool of one thread per core, so that what runs inside a pool does not spread
/// over the others; none on a device that has one queue anyway, or on one core.
pub(crate) fn pools(device: &Device) -> Result<Vec<ThreadPool>> {
    let cores = match is_cpu(device) {
        true => std::thread::available_parallelism().map_or(1, usize::from),
        false => 1,
    };
    if cores < 2 {
        return Ok(Vec::new());
    }
    let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
    (0..cores)
        .map(pool)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::Io {
            action: "start",
            path: "threads".into(),
            source: std::io::Error::other(e),
        })
}

#[cfg(feature = "flex")]
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

#[cfg(not(feature = "flex"))]
pub(crate) fn is_cpu(_device: &Device) -> bool {
    false
}
