//! Products of activations with quantized matrices, on a CPU.
//!
//! A matrix `[rows, columns]` is stored in blocks of [`BLOCK`] neighbours along a row, 8 or 4 bits each,
//! with one f16 scale per block. In memory [`TILE`] rows are interleaved, four weights at a time, so
//! that a SIMD lane is a row: sums never cross lanes, and one load of activations serves 16 rows.
//!
//! ```text
//! tile ─▶ block of 32 columns ─▶ group of 4 (8 bits) or 4 + 4 (4 bits) columns ─▶ row ─▶ one u32
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `layout` | from rows in a file to tiles, and one row back |
//! | `quantize` | weights to blocks |
//! | `activations` | f32 to 8-bit integers in blocks |
//! | [`vector`] | what a decoder does between products: norms, gates, rotations, attention |
//! | `plain` | the twin of every kernel in portable Rust: what the others are tested against |
//! | `x86`, `wasm` | AVX2 and AVX-512 VNNI, chosen when run; SIMD128, chosen when compiled |
//!
//! [`matmul`] takes activations in 8 bits, which loses about a thousandth of their size and is what
//! other engines do; [`matmul_f32`] takes them as they are.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activations;
mod layout;
mod multiversion;
mod plain;
mod quantize;
pub mod vector;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use activations::Activations;
pub use layout::{Bits, Quantized, row, tile_q4, tile_q8};
use multiversion::multiversion;
pub use quantize::{quantize_q4, quantize_q8};

/// Columns that share a scale.
pub const BLOCK: usize = 32;
/// Rows that are interleaved.
pub const TILE: usize = 16;

/// Tokens that a kernel takes at once: as many as its sums fit into registers.
const TOKENS: usize = if cfg!(target_arch = "x86_64") { 8 } else { 4 };
/// Weights below which threads cost more than they bring.
#[cfg(feature = "threads")]
const WORTH_THREADS: usize = 1 << 20;

/// `out [tokens, rows] = x [tokens, columns] · wᵀ`, activations in 8 bits.
///
/// # Panics
/// When the lengths of `x`, `out` and `w` do not fit each other.
pub fn matmul(w: &Quantized<'_>, x: &Activations, out: &mut [f32]) {
    assert_eq!(x.columns(), w.columns, "activations as wide as the matrix");
    assert_eq!(out.len(), x.tokens() * w.rows, "one sum per token and row");
    each_tile(w, x.tokens(), out, |tile, first, sums| {
        let count = sums.len();
        integer_tile(w, tile, x, first, count, sums);
    });
}

/// `out [tokens, rows] = x [tokens, columns] · wᵀ`, activations as they are.
///
/// # Panics
/// When the lengths of `x`, `out` and `w` do not fit each other.
pub fn matmul_f32(w: &Quantized<'_>, x: &[f32], out: &mut [f32]) {
    let tokens = x.len() / w.columns;
    assert_eq!(
        x.len(),
        tokens * w.columns,
        "activations as wide as the matrix"
    );
    assert_eq!(out.len(), tokens * w.rows, "one sum per token and row");
    each_tile(w, tokens, out, |tile, first, sums| {
        for (token, sums) in sums.iter_mut().enumerate() {
            let x = &x[(first + token) * w.columns..][..w.columns];
            float_tile(w, tile, x, sums);
        }
    });
}

/// The sums of one tile's rows.
type Sums = [f32; TILE];

/// Runs `kernel(tile, first token, sums)` over all tiles and all tokens, [`TOKENS`] at a time, and
/// writes the sums to their places in `out [tokens, rows]`.
fn each_tile(
    w: &Quantized<'_>,
    tokens: usize,
    out: &mut [f32],
    kernel: impl Fn(usize, usize, &mut [Sums]) + Sync,
) {
    let out = Out {
        start: out.as_mut_ptr(),
        rows: w.rows,
    };
    let run = |tile: usize| {
        let first_row = tile * TILE;
        let rows = TILE.min(w.rows - first_row);
        let mut sums = [[0.0; TILE]; TOKENS];
        for first in (0..tokens).step_by(TOKENS) {
            let sums = &mut sums[..TOKENS.min(tokens - first)];
            kernel(tile, first, sums);
            for (token, sums) in sums.iter().enumerate() {
                out.write(first + token, first_row, &sums[..rows]);
            }
        }
    };
    let tiles = w.rows.div_ceil(TILE);
    #[cfg(feature = "threads")]
    if w.rows * w.columns * tokens >= WORTH_THREADS && rayon::current_num_threads() > 1 {
        use rayon::prelude::*;
        // Few large pieces: a piece costs a wake-up.
        let piece = tiles.div_ceil(4 * rayon::current_num_threads()).max(1);
        return (0..tiles).into_par_iter().with_min_len(piece).for_each(run);
    }
    (0..tiles).for_each(run);
}

/// `out [tokens, rows]`, of which every tile writes its own rows.
struct Out {
    start: *mut f32,
    rows: usize,
}

// SAFETY: `write` is called with places that no two tiles share.
#[allow(unsafe_code)]
unsafe impl Sync for Out {}

impl Out {
    fn write(&self, token: usize, row: usize, sums: &[f32]) {
        debug_assert!(row + sums.len() <= self.rows);
        // SAFETY: `matmul` checked that there is a place for every token and row; the rows of this
        // tile are its alone, and nothing reads `out` before all tiles are done.
        #[allow(unsafe_code)]
        unsafe {
            let place = self.start.add(token * self.rows + row);
            std::ptr::copy_nonoverlapping(sums.as_ptr(), place, sums.len());
        }
    }
}

fn integer_tile(
    w: &Quantized<'_>,
    tile: usize,
    x: &Activations,
    first: usize,
    count: usize,
    sums: &mut [Sums],
) {
    #[cfg(target_arch = "x86_64")]
    if x86::integer_tile(w, tile, x, first, count, sums) {
        return;
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return wasm::integer_tile(w, tile, x, first, count, sums);
    #[allow(unreachable_code)]
    plain::integer_tile(w, tile, x, first, count, sums);
}

fn float_tile(w: &Quantized<'_>, tile: usize, x: &[f32], sums: &mut Sums) {
    #[cfg(target_arch = "x86_64")]
    if x86::float_tile(w, tile, x, sums) {
        return;
    }
    plain::float_tile(w, tile, x, sums);
}

#[cfg(test)]
mod tests;
