//! What a device does by itself, for benchmarks: its memory's bandwidth, and products however they are spread.

use burn::tensor::{Device, Tensor, TensorData};
use cubecl::client::Client;
use cubecl::prelude::*;
use sprat_kernels::{BLOCK, Bits, TILE};
use std::time::{Duration, Instant};

use super::product::{Around, Quantized, Spread};
use super::{empty, lower};
use crate::Error;

/// Larger than any cache of a GPU.
const BUFFER: usize = 256 << 20;
/// Copies that are timed together.
const COPIES: usize = 8;
/// A measurement takes this long at least: clocks and launches are coarse.
const LONG: Duration = Duration::from_millis(50);

/// How a matrix's product with so many tokens is spread over a GPU's units, and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GpuProduct {
    /// Units that share a row.
    pub slots: usize,
    /// Words that a unit asks for at once.
    pub depth: usize,
    /// Of one product, launched among others.
    pub seconds: f64,
    /// Whether products of this shape are spread so.
    pub is_used: bool,
}

/// Bytes per second that a copy within the memory of `device` reads and writes.
///
/// # Errors
/// [`Error::Device`].
pub fn gpu_bandwidth(device: &Device) -> Result<f64, Error> {
    let from = Tensor::<1>::ones([BUFFER / 4], device);
    let from = lower(from);
    let to = empty(&from, [BUFFER / 4]);
    let seconds = seconds(&from.client.clone(), || {
        for _ in 0..COPIES {
            // SAFETY: both buffers have as many vectors as there are units.
            #[allow(unsafe_code)]
            unsafe {
                copy::launch_unchecked(
                    &from.client.clone(),
                    CubeCount::Static((BUFFER / 16 / 256 / 64) as u32, 64, 1),
                    CubeDim::new_1d(256),
                    4,
                    from.clone().into_buffer_arg(),
                    to.clone().into_buffer_arg(),
                );
            }
        }
    })?;
    Ok((COPIES * 2 * BUFFER) as f64 / seconds)
}

/// Times the product of a matrix `[rows, columns]` with `tokens` activations, spread in several ways.
///
/// # Errors
/// [`Error::Device`].
pub fn gpu_products(
    device: &Device,
    [rows, columns]: [usize; 2],
    bits: Bits,
    tokens: usize,
) -> Result<Vec<GpuProduct>, Error> {
    let tiles = rows.div_ceil(TILE);
    let blocks = tiles * columns / BLOCK;
    let words: Vec<u32> = (0..blocks * TILE * bits.words())
        .map(|i| (i as u32).wrapping_mul(2_654_435_761))
        .collect();
    // 2^-8 as f16.
    let tiled = (words, vec![0x1c00; blocks * TILE]);
    let bytes = rows * columns / BLOCK * (4 * bits.words() + 4);
    // As many matrices as no cache holds: a model's token reads each of them once.
    let matrices: Vec<Quantized> = (0..BUFFER.div_ceil(bytes).clamp(1, 64))
        .map(|_| Quantized::of_tiles(&tiled.0, &tiled.1, [rows, columns], bits, device))
        .collect();
    let x: Vec<f32> = (0..tokens * columns)
        .map(|i| (i % 255) as f32 / 128.0 - 1.0)
        .collect();
    let x = Tensor::<2>::from_data(TensorData::new(x, [tokens, columns]), device);
    let client = lower(x.clone()).client;
    let most = matrices[0].most_slots();
    let used = Spread::of(tiles, columns / BLOCK, bits, tokens, most);
    let most = match tokens {
        1 => most,
        // What their sums leave room for.
        _ => 64 / tokens.min(8).next_power_of_two(),
    };
    let slots = [8, 16, 32, 64, 128, 256]
        .into_iter()
        .filter(|slots| *slots <= most);
    let spreads = slots.flat_map(|slots| [1, 2, 4].map(|depth| Spread { slots, depth }));
    let mut spreads: Vec<Spread> = spreads.collect();
    if !spreads.contains(&used) {
        spreads.push(used);
    }
    let time = |spread: Spread| {
        let seconds = seconds(&client, || {
            for matrix in &matrices {
                matrix.project_spread(x.clone(), Around::default(), spread);
            }
        })?;
        Ok(GpuProduct {
            slots: spread.slots,
            depth: spread.depth,
            seconds: seconds / matrices.len() as f64,
            is_used: spread == used,
        })
    };
    spreads.into_iter().map(time).collect()
}

/// Seconds that `launches` take of the device. They are recorded where that can be, so that it is not the
/// host that is measured.
fn seconds(client: &Client, launches: impl Fn()) -> Result<f64, Error> {
    let failed = |e: cubecl::server::ServerError| Error::Device(e.to_string());
    let prepared = client.graph_prepare().is_ok();
    launches();
    launches();
    let mut graph = None;
    if prepared {
        let opened = client.start_capture();
        if opened.is_ok() {
            launches();
        }
        let stopped = client.stop_capture();
        graph = stopped.ok().filter(|_| opened.is_ok());
    }
    let run = || match &graph {
        // SAFETY: what `launches` uses lives as long as it does.
        #[allow(unsafe_code)]
        Some(graph) => unsafe { graph.replay() }.map_err(failed),
        None => {
            launches();
            Ok(())
        }
    };
    let wait = || cubecl::future::block_on(client.sync()).map_err(failed);
    let mut best = f64::INFINITY;
    let mut rounds = 1;
    // The best of a few: other work only makes it longer.
    for _ in 0..6 {
        wait()?;
        let start = Instant::now();
        for _ in 0..rounds {
            run()?;
        }
        wait()?;
        let took = start.elapsed();
        best = best.min(took.as_secs_f64() / f64::from(rounds));
        if took < LONG {
            rounds = (rounds * 4).min(1024);
        }
    }
    Ok(best)
}

/// A unit copies one vector.
#[cube(launch_unchecked)]
fn copy<N: Size>(from: &[Vector<f32, N>], to: &mut [Vector<f32, N>]) {
    let unit = ABSOLUTE_POS;
    to[unit] = from[unit];
}
