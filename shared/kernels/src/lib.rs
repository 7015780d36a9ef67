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
//! | `arena` | where weights lie: large pieces, huge pages |
//! | `matrix` | a matrix that owns its tiles |
//! | [`crew`] | rows that others hold and multiply, who share no memory: a page's threads |
//! | `activations` | f32 to 8-bit integers in blocks |
//! | [`vector`] | what a decoder does between products: norms, gates, rotations |
//! | [`floats`] | products of matrices that are not quantized |
//! | [`attend()`] | attention over a cache of `f32` or `f16` |
//! | `pool` | threads for pieces of work of ten microseconds |
//! | `plain` | the twin of every kernel in portable Rust: what the others are tested against |
//! | `x86`, `neon`, `wasm` | AVX2 and AVX-512 VNNI, NEON with and without dot products: chosen when run; SIMD128: when compiled |
//!
//! [`matmul`] takes activations in 8 bits, which loses about a thousandth of their size and is what
//! other engines do; [`matmul_f32`] takes them as they are.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activations;
mod arena;
mod attend;
pub mod crew;
pub mod floats;
mod layout;
mod matrix;
mod multiversion;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(feature = "threads")]
mod pool;
mod quantize;
pub mod vector;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;
use std::ops::Range;
#[cfg(feature = "threads")]
use std::sync::{Mutex, PoisonError};

pub use activations::Activations;
pub use arena::Stored;
pub use attend::{Number, attend};
pub use layout::{Bits, Quantized, Rows, Tiles, row};
pub use matrix::Matrix;
use multiversion::multiversion;
pub use quantize::{quantize_q4, quantize_q8};

/// Columns that share a scale.
pub const BLOCK: usize = 32;
/// Rows that are interleaved.
pub const TILE: usize = 16;

/// Tokens that a kernel takes at once: as many as its sums fit into registers.
const TOKENS: usize = if cfg!(target_arch = "x86_64") { 8 } else { 4 };
/// Products below which threads cost more than they bring.
#[cfg(feature = "threads")]
const WORTH_THREADS: usize = 1 << 18;
/// Pieces of a product for each thread.
#[cfg(feature = "threads")]
const PIECES: usize = 4;

/// `out [tokens, rows] = x [tokens, columns] · wᵀ`, activations in 8 bits.
///
/// # Panics
/// When the lengths of `x`, `out` and `w` do not fit each other.
pub fn matmul(w: &Quantized<'_>, x: &Activations, out: &mut [f32]) {
    matmul_all([(*w, out)], x);
}

/// Products of several matrices with the same activations: [`matmul`] of each, but their rows are shared
/// out among threads together.
///
/// # Panics
/// When the lengths of `x`, an `out` and its matrix do not fit each other.
pub fn matmul_all<const N: usize>(products: [(Quantized<'_>, &mut [f32]); N], x: &Activations) {
    run(
        &products.map(|(w, out)| {
            assert_eq!(x.columns(), w.columns, "activations as wide as the matrix");
            Product::new(w, x.tokens(), out)
        }),
        x,
    );
}

/// What [`matmul_all`] does, as neither a generic function nor an inlined one: those are compiled as their
/// callers are, which may be for size.
#[inline(never)]
fn run(products: &[Product<'_>], x: &Activations) {
    match products.iter().any(|product| product.w.away.is_some()) {
        true => crew::multiply(products, x),
        false => multiply_here(products, x, 0..x.tokens()),
    }
}

/// The sums of some tokens with the tiles that are here.
fn multiply_here(products: &[Product<'_>], x: &Activations, tokens: Range<usize>) {
    each_tile(products, tokens, |w, tile, first, sums| {
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
    assert!(w.away.is_none(), "all of the matrix is here");
    let product = Product::new(*w, tokens, out);
    each_tile(&[product], 0..tokens, |w, tile, first, sums| {
        for (token, sums) in sums.iter_mut().enumerate() {
            let x = &x[(first + token) * w.columns..][..w.columns];
            float_tile(w, tile, x, sums);
        }
    });
}

/// The sums of one tile's rows.
type Sums = [f32; TILE];

/// Runs `kernel(matrix, tile, first token, sums)` over all tiles that are here and `tokens`, [`TOKENS`] at a time,
/// and writes the sums to their places.
fn each_tile(
    products: &[Product<'_>],
    tokens: Range<usize>,
    kernel: impl Fn(&Quantized<'_>, usize, usize, &mut [Sums]) + Sync,
) {
    let run = |product: &Product<'_>, tile: usize| {
        let rows = product.w.share.rows(tile, product.w.rows);
        let mut sums = [[0.0; TILE]; TOKENS];
        for first in tokens.clone().step_by(TOKENS) {
            let sums = &mut sums[..TOKENS.min(tokens.end - first)];
            kernel(&product.w, tile, first, sums);
            for (token, sums) in sums.iter().enumerate() {
                product.write(first + token, rows.start, &sums[..rows.len()]);
            }
        }
    };
    #[cfg(feature = "threads")]
    {
        let size =
            |product: &Product<'_>| product.tiles() * TILE * product.w.columns * tokens.len();
        let threads = rayon::current_num_threads();
        if threads > 1 && products.iter().map(size).sum::<usize>() >= WORTH_THREADS {
            let tiles: usize = products.iter().map(Product::tiles).sum();
            // A few for each thread: who is slower, or comes later, does fewer.
            let piece = tiles.div_ceil(PIECES * threads).max(1);
            return pool::pool().run(tiles.div_ceil(piece), &|index| {
                for tile in index * piece..tiles.min((index + 1) * piece) {
                    let mut tile = tile;
                    for product in products {
                        match tile.checked_sub(product.tiles()) {
                            Some(rest) => tile = rest,
                            None => {
                                run(product, tile);
                                break;
                            }
                        }
                    }
                }
            });
        }
    }
    for product in products {
        (0..product.tiles()).for_each(|tile| run(product, tile));
    }
}

/// Calls `call(number, chunk)` for all chunks of `out`, which are `size` long (the last may be shorter), on
/// all threads that there are when `shared` says that it is worth it.
///
/// # Panics
/// When `size` is 0, or a call does.
pub fn for_each_chunk(
    out: &mut [f32],
    size: usize,
    shared: bool,
    call: impl Fn(usize, &mut [f32]) + Sync,
) {
    #[cfg(feature = "threads")]
    if shared && rayon::current_num_threads() > 1 {
        let chunks: Vec<Mutex<&mut [f32]>> = out.chunks_mut(size).map(Mutex::new).collect();
        return pool::pool().run(chunks.len(), &|index| {
            // Nobody else takes this one; the lock only tells the compiler so.
            let mut chunk = chunks[index].lock().unwrap_or_else(PoisonError::into_inner);
            call(index, &mut chunk);
        });
    }
    let _ = shared;
    for (index, chunk) in out.chunks_mut(size).enumerate() {
        call(index, chunk);
    }
}

/// A matrix and `out [tokens, rows]`, of which every tile writes its own rows.
struct Product<'a> {
    w: Quantized<'a>,
    start: *mut f32,
    _out: PhantomData<&'a mut [f32]>,
}

// SAFETY: `write` is called with places that no two tiles share.
#[allow(unsafe_code)]
unsafe impl Sync for Product<'_> {}

impl<'a> Product<'a> {
    fn new(w: Quantized<'a>, tokens: usize, out: &'a mut [f32]) -> Self {
        assert_eq!(out.len(), tokens * w.rows, "one sum per token and row");
        Self {
            w,
            start: out.as_mut_ptr(),
            _out: PhantomData,
        }
    }

    fn tiles(&self) -> usize {
        self.w.tiles()
    }

    fn write(&self, token: usize, row: usize, sums: &[f32]) {
        debug_assert!(row + sums.len() <= self.w.rows);
        // SAFETY: `new` checked that there is a place for every token and row; the rows of a tile are
        // its alone, and nothing reads `out` before all tiles are done.
        #[allow(unsafe_code)]
        unsafe {
            let place = self.start.add(token * self.w.rows + row);
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
    #[cfg(target_arch = "aarch64")]
    return neon::integer_tile(w, tile, x, first, count, sums);
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
