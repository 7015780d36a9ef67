//! `sprat bench kernels`

use std::fmt::Write;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use sprat_kernels::{Activations, Bits, Quantized, matmul, matmul_f32};

use super::machine::Machine;
use super::{Common, Spread};
use crate::device::DeviceName;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rows and columns of the matrix, ROWSxCOLUMNS; may be repeated
    #[arg(long = "matrix", value_name = "SHAPE", value_parser = shape,
          default_values = ["1024x1024", "4096x1024", "49152x576"])]
    matrices: Vec<[usize; 2]>,
    /// Activations at once; may be repeated
    #[arg(long = "tokens", value_name = "N", default_values_t = [1, 4, 128])]
    tokens: Vec<usize>,
    /// What multiplies; on a card every way to spread a product over its units is timed
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    #[command(flatten)]
    common: Common,
}

fn shape(text: &str) -> Result<[usize; 2], String> {
    let wrong = || format!("{text:?} is not ROWSxCOLUMNS with columns in whole blocks of 32");
    let (rows, columns) = text.split_once('x').ok_or_else(wrong)?;
    match (rows.parse(), columns.parse()) {
        (Ok(rows), Ok(columns)) if rows > 0 && columns > 0 && columns % 32 == 0 => {
            Ok([rows, columns])
        }
        _ => Err(wrong()),
    }
}

#[derive(Serialize)]
struct Row {
    weights: &'static str,
    activations: &'static str,
    rows: usize,
    columns: usize,
    tokens: usize,
    milliseconds: Spread,
    gigabytes_per_second: f64,
    share_of_bandwidth: f64,
    gigaweights_per_second: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.common.start()?;
    let machine = Machine::read(args.device)?;
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if args.device != DeviceName::Cpu {
        return on_card(args, &machine);
    }
    let mut results = Vec::new();
    for &[rows, columns] in &args.matrices {
        for bits in [Bits::Eight, Bits::Four] {
            let matrix = Matrix::new(rows, columns, bits);
            for &tokens in &args.tokens {
                for exact in [false, true] {
                    let seconds = matrix.time(tokens, exact, args.common.repeat)?;
                    let bytes = matrix.bytes() as f64;
                    let products = (rows * columns * tokens) as f64;
                    results.push(Row {
                        weights: if bits == Bits::Eight { "q8" } else { "q4" },
                        activations: if exact { "f32" } else { "8 bits" },
                        rows,
                        columns,
                        tokens,
                        milliseconds: seconds.map(|s| s * 1e3),
                        gigabytes_per_second: bytes / seconds.median / 1e9,
                        share_of_bandwidth: bytes / seconds.median / machine.bandwidth(),
                        gigaweights_per_second: products / seconds.median / 1e9,
                    });
                }
            }
        }
    }
    let mut table =
        "weights activations       matrix tokens              ms   GB/s of memory  Gweights/s"
            .to_owned();
    for row in &results {
        write!(
            table,
            "\n{:<7} {:<11} {:>12} {:>6} {:>22} {:>6.1} {:>7.0} % {:>11.1}",
            row.weights,
            row.activations,
            format!("{}x{}", row.rows, row.columns),
            row.tokens,
            format!("{}", row.milliseconds),
            row.gigabytes_per_second,
            row.share_of_bandwidth * 100.0,
            row.gigaweights_per_second,
        )?;
    }
    args.common.print(&machine, &results, table)
}

/// A matrix on a card.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
#[derive(Serialize)]
struct CardRow {
    weights: &'static str,
    rows: usize,
    columns: usize,
    tokens: usize,
    /// How it is spread: units that share a row, and words that each asks for at once.
    used: [usize; 2],
    microseconds: f64,
    share_of_bandwidth: f64,
    gigaweights_per_second: f64,
    /// What would be fastest, and how long that takes.
    best: [usize; 2],
    best_microseconds: f64,
}

/// The table that a product's spread is chosen by, measured again.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn on_card(args: &Args, machine: &Machine) -> Result<()> {
    let device = args.device.open()?;
    let mut results = Vec::new();
    let mut table =
        "weights       matrix tokens  spread       us   of memory  Gweights/s   best       us"
            .to_owned();
    for &[rows, columns] in &args.matrices {
        for bits in [Bits::Eight, Bits::Four] {
            for &tokens in &args.tokens {
                let products = sprat_model::gpu_products(&device, [rows, columns], bits, tokens)?;
                let fastest = products
                    .iter()
                    .min_by(|a, b| a.seconds.total_cmp(&b.seconds));
                let used = products.iter().find(|product| product.is_used);
                let (Some(used), Some(best)) = (used, fastest) else {
                    continue;
                };
                let bytes = (rows * columns) as f64 * (bits.words() as f64 * 4.0 + 4.0) / 32.0;
                let row = CardRow {
                    weights: if bits == Bits::Eight { "q8" } else { "q4" },
                    rows,
                    columns,
                    tokens,
                    used: [used.slots, used.depth],
                    microseconds: used.seconds * 1e6,
                    share_of_bandwidth: bytes / used.seconds / machine.bandwidth(),
                    gigaweights_per_second: (rows * columns * tokens) as f64 / used.seconds / 1e9,
                    best: [best.slots, best.depth],
                    best_microseconds: best.seconds * 1e6,
                };
                write!(
                    table,
                    "\n{:<7} {:>12} {tokens:>6} {:>7} {:>8.1} {:>9.0} % {:>11.0} {:>6} {:>8.1}",
                    row.weights,
                    format!("{rows}x{columns}"),
                    format!("{}/{}", used.slots, used.depth),
                    row.microseconds,
                    row.share_of_bandwidth * 100.0,
                    row.gigaweights_per_second,
                    format!("{}/{}", best.slots, best.depth),
                    row.best_microseconds,
                )?;
                results.push(row);
            }
        }
    }
    args.common.print(machine, &results, table)
}

struct Matrix {
    words: Vec<u32>,
    scales: Vec<u16>,
    shape: [usize; 2],
    bits: Bits,
}

impl Matrix {
    fn new(rows: usize, columns: usize, bits: Bits) -> Self {
        let tiles = rows.div_ceil(sprat_kernels::TILE) * sprat_kernels::TILE;
        let blocks = tiles * columns / sprat_kernels::BLOCK;
        let noise = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
        Self {
            words: (0..blocks * bits.words()).map(noise).collect(),
            // 2^-8 as f16.
            scales: vec![0x1c00; blocks],
            shape: [rows, columns],
            bits,
        }
    }

    fn bytes(&self) -> usize {
        self.words.len() * 4 + self.scales.len() * 2
    }

    /// Seconds of one product. Small matrices are repeated until the clock can tell.
    fn time(&self, tokens: usize, exact: bool, repeat: usize) -> Result<Spread> {
        let [rows, columns] = self.shape;
        let w = Quantized::new(&self.words, &self.scales, self.shape, self.bits);
        let x: Vec<f32> = (0..tokens * columns)
            .map(|i| (i % 255) as f32 / 128.0 - 1.0)
            .collect();
        let mut out = vec![0.0; tokens * rows];
        let mut product = || {
            match exact {
                true => matmul_f32(&w, &x, &mut out),
                false => matmul(&w, &Activations::new(&x, columns), &mut out),
            }
            std::hint::black_box(&out);
        };
        let start = Instant::now();
        product();
        let times = (0.05 / start.elapsed().as_secs_f64()).clamp(1.0, 1000.0) as usize;
        let mut measure = || {
            let start = Instant::now();
            (0..times).for_each(|_| product());
            start.elapsed().as_secs_f64() / times as f64
        };
        Spread::of((0..repeat.max(1)).map(|_| measure()).collect())
    }
}
