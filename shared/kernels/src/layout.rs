//! Where a weight lies in memory.

use half::f16;

use crate::{BLOCK, Stored, TILE};

/// How many bits a weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// -127 to 127, times the block's scale.
    Eight,
    /// 0 to 15, minus 8, times the block's scale.
    Four,
}

impl Bits {
    /// u32 words that a block of one row takes.
    pub const fn words(self) -> usize {
        match self {
            Self::Eight => BLOCK / 4,
            Self::Four => BLOCK / 8,
        }
    }
}

/// A matrix in tiles. Rows are filled up to whole tiles with scales of 0.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a> {
    words: &'a [u32],
    /// f16, one per block and row: `[tiles, blocks, TILE]`.
    scales: &'a [u16],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) bits: Bits,
}

impl<'a> Quantized<'a> {
    /// A view of words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
    ///
    /// # Panics
    /// When a length does not fit, or `columns` is no multiple of [`BLOCK`].
    pub fn new(
        words: &'a [u32],
        scales: &'a [u16],
        [rows, columns]: [usize; 2],
        bits: Bits,
    ) -> Self {
        assert!(columns.is_multiple_of(BLOCK), "whole blocks in a row");
        let blocks = rows.div_ceil(TILE) * (columns / BLOCK);
        assert_eq!(scales.len(), blocks * TILE, "a scale for every block");
        assert_eq!(
            words.len(),
            blocks * TILE * bits.words(),
            "words for every block"
        );
        Self {
            words,
            scales,
            rows,
            columns,
            bits,
        }
    }

    /// The words of a tile, block by block, and its scales.
    pub(crate) fn tile(&self, tile: usize) -> (&'a [u32], &'a [u16]) {
        let blocks = self.columns / BLOCK;
        let words = blocks * TILE * self.bits.words();
        let scales = blocks * TILE;
        (
            &self.words[tile * words..][..words],
            &self.scales[tile * scales..][..scales],
        )
    }
}

/// Words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
pub type Tiles = (Stored<u32>, Stored<u16>);

/// Tiles of a matrix whose rows are 8-bit integers with f16 scales `[rows, columns / BLOCK]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn tile_q8(quants: &[i8], scales: &[f16], rows: usize, columns: usize) -> Tiles {
    assert_eq!(quants.len(), rows * columns, "a weight for every place");
    tile(
        bytemuck::cast_slice(quants),
        scales,
        rows,
        columns,
        Bits::Eight,
    )
}

/// Tiles of a matrix whose rows are 4-bit integers, two in a byte: in each block of 16 bytes, byte `i`
/// holds weight `i` in its low half and weight `i + 16` in its high one.
///
/// # Panics
/// When the lengths do not fit.
pub fn tile_q4(quants: &[u8], scales: &[f16], rows: usize, columns: usize) -> Tiles {
    assert_eq!(
        quants.len(),
        rows * columns / 2,
        "half a byte for every place"
    );
    tile(quants, scales, rows, columns, Bits::Four)
}

fn tile(bytes: &[u8], scales: &[f16], rows: usize, columns: usize, bits: Bits) -> Tiles {
    assert!(columns.is_multiple_of(BLOCK), "whole blocks in a row");
    let (blocks, words) = (columns / BLOCK, bits.words());
    assert_eq!(scales.len(), rows * blocks, "a scale for every block");
    let places = rows.div_ceil(TILE) * blocks * TILE;
    let tiled = Stored::filled(places * words, |tiled: &mut [u32]| {
        each_block(rows, blocks, |from, to, lane| {
            let from = &bytes[from * words * 4..][..words * 4];
            for (word, four) in from.as_chunks::<4>().0.iter().enumerate() {
                let four = match bits {
                    // -128 has no opposite, which kernels need; no quantization here makes it.
                    Bits::Eight => four.map(|byte| (byte as i8).max(-127) as u8),
                    Bits::Four => *four,
                };
                tiled[(to * words + word) * TILE + lane] = u32::from_le_bytes(four);
            }
        });
    });
    let tiled_scales = Stored::filled(places, |tiled: &mut [u16]| {
        each_block(rows, blocks, |from, to, lane| {
            tiled[to * TILE + lane] = scales[from].to_bits();
        });
    });
    (tiled, tiled_scales)
}

/// Calls with each block's place in the file, the place of its tile's block in memory, and its lane.
fn each_block(rows: usize, blocks: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for row in 0..rows {
        for block in 0..blocks {
            visit(
                row * blocks + block,
                row / TILE * blocks + block,
                row % TILE,
            );
        }
    }
}

/// One row as f32: what looking a token up in an embedding table takes.
///
/// # Panics
/// When there is no such row, or `out` is not as long as a row.
pub fn row(w: &Quantized<'_>, row: usize, out: &mut [f32]) {
    assert!(
        row < w.rows && out.len() == w.columns,
        "a row of the matrix"
    );
    let (words, scales) = w.tile(row / TILE);
    let (lane, count) = (row % TILE, w.bits.words());
    for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        let scale = f16::from_bits(scales[block * TILE + lane]).to_f32();
        for word in 0..count {
            let bytes = words[(block * count + word) * TILE + lane].to_le_bytes();
            for (i, byte) in bytes.into_iter().enumerate() {
                match w.bits {
                    Bits::Eight => out[4 * word + i] = f32::from(byte as i8) * scale,
                    Bits::Four => {
                        let weight = |half: u8| (f32::from(half) - 8.0) * scale;
                        out[4 * word + i] = weight(byte & 15);
                        out[4 * word + i + BLOCK / 2] = weight(byte >> 4);
                    }
                }
            }
        }
    }
}
