//! Where a weight lies in memory.

use std::ops::Range;

use half::f16;

use crate::crew::Away;
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

/// Which of a matrix's tiles lie here: every `step`th from `first` on. The others are multiplied elsewhere; see
/// [`crate::crew`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) first: usize,
    pub(crate) step: usize,
}

impl Share {
    pub(crate) const ALL: Self = Self { first: 0, step: 1 };

    /// That of a member of a crew.
    pub(crate) const fn of(member: usize, members: usize) -> Self {
        Self {
            first: member,
            step: members,
        }
    }

    /// How many tiles of a matrix of so many rows.
    pub(crate) fn tiles(self, rows: usize) -> usize {
        self.before(rows.div_ceil(TILE))
    }

    /// How many of the tiles before `tile`.
    fn before(self, tile: usize) -> usize {
        tile.saturating_sub(self.first).div_ceil(self.step)
    }

    /// This share of only those tiles that are in `tiles`, counted from there, and which of the tiles here they are.
    pub(crate) fn part(self, tiles: Range<usize>) -> (Self, Range<usize>) {
        let here = self.before(tiles.start)..self.before(tiles.end);
        let share = Self {
            first: self.first + here.start * self.step - tiles.start,
            step: self.step,
        };
        (share, here)
    }

    /// The matrix's rows that are in the `tile`th tile here.
    pub(crate) fn rows(self, tile: usize, rows: usize) -> Range<usize> {
        let start = (self.first + tile * self.step) * TILE;
        start..rows.min(start + TILE)
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
    pub(crate) share: Share,
    /// Where the other tiles are, if not all are here.
    pub(crate) away: Option<Away>,
}

impl<'a> Quantized<'a> {
    /// A view of words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
    ///
    /// # Panics
    /// When a length does not fit, or `columns` is no multiple of [`BLOCK`].
    pub fn new(words: &'a [u32], scales: &'a [u16], shape: [usize; 2], bits: Bits) -> Self {
        Self::shared(words, scales, shape, bits, Share::ALL, None)
    }

    /// [`Quantized::new`] of the tiles of a share.
    pub(crate) fn shared(
        words: &'a [u32],
        scales: &'a [u16],
        [rows, columns]: [usize; 2],
        bits: Bits,
        share: Share,
        away: Option<Away>,
    ) -> Self {
        assert!(columns.is_multiple_of(BLOCK), "whole blocks in a row");
        let blocks = share.tiles(rows) * (columns / BLOCK);
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
            share,
            away,
        }
    }

    /// How many tiles are here.
    pub(crate) fn tiles(&self) -> usize {
        self.share.tiles(self.rows)
    }

    /// The words of a tile, block by block, and its scales.
    pub(crate) fn tile(&self, tile: usize) -> (&'a [u32], &'a [u16]) {
        let (words, scales) = tile_sizes(self.columns, self.bits);
        (
            &self.words[tile * words..][..words],
            &self.scales[tile * scales..][..scales],
        )
    }
}

/// Words and scales of a tile.
pub(crate) const fn tile_sizes(columns: usize, bits: Bits) -> (usize, usize) {
    let scales = columns / BLOCK * TILE;
    (scales * bits.words(), scales)
}

/// A quantized matrix as a file has it: row by row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    scales: &'a [f16],
    pub(crate) shape: [usize; 2],
    pub(crate) bits: Bits,
}

impl<'a> Rows<'a> {
    /// A matrix `[rows, columns]` of 8-bit integers with f16 scales `[rows, columns / BLOCK]`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn q8(quants: &'a [i8], scales: &'a [f16], shape: [usize; 2]) -> Self {
        Self::new(bytemuck::cast_slice(quants), scales, shape, Bits::Eight)
    }

    /// A matrix of 4-bit integers, two in a byte: in each block of 16 bytes, byte `i` holds weight `i` in its low half and
    /// weight `i + 16` in its high one.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn q4(quants: &'a [u8], scales: &'a [f16], shape: [usize; 2]) -> Self {
        Self::new(quants, scales, shape, Bits::Four)
    }

    fn new(bytes: &'a [u8], scales: &'a [f16], shape: [usize; 2], bits: Bits) -> Self {
        let [rows, columns] = shape;
        assert!(columns.is_multiple_of(BLOCK), "whole blocks in a row");
        let blocks = rows * (columns / BLOCK);
        assert_eq!(scales.len(), blocks, "a scale for every block");
        assert_eq!(
            bytes.len(),
            blocks * bits.words() * 4,
            "a weight for every place"
        );
        Self {
            bytes,
            scales,
            shape,
            bits,
        }
    }

    /// Tiles of all rows.
    pub fn tiled(&self) -> Tiles {
        self.tiled_share(Share::ALL)
    }

    pub(crate) fn tiled_share(&self, share: Share) -> Tiles {
        let [rows, columns] = self.shape;
        let (words, scales) = tile_sizes(columns, self.bits);
        let tiles = share.tiles(rows);
        let number = |tile: usize| share.first + tile * share.step;
        (
            Stored::filled(tiles * words, |all: &mut [u32]| {
                for (tile, place) in all.chunks_exact_mut(words.max(1)).enumerate() {
                    self.write_words(number(tile), place);
                }
            }),
            Stored::filled(tiles * scales, |all: &mut [u16]| {
                for (tile, place) in all.chunks_exact_mut(scales.max(1)).enumerate() {
                    self.write_scales(number(tile), place);
                }
            }),
        )
    }

    /// Writes a tile's words over zeros.
    pub(crate) fn write_words(&self, tile: usize, place: &mut [u32]) {
        let words = self.bits.words();
        self.each_block(tile, |from, to, lane| {
            let from = &self.bytes[from * words * 4..][..words * 4];
            for (word, four) in from.as_chunks::<4>().0.iter().enumerate() {
                let four = match self.bits {
                    // -128 has no opposite, which kernels need; no quantization here makes it.
                    Bits::Eight => four.map(|byte| (byte as i8).max(-127) as u8),
                    Bits::Four => *four,
                };
                place[(to * words + word) * TILE + lane] = u32::from_le_bytes(four);
            }
        });
    }

    /// Writes a tile's scales over zeros.
    pub(crate) fn write_scales(&self, tile: usize, place: &mut [u16]) {
        self.each_block(tile, |from, to, lane| {
            place[to * TILE + lane] = self.scales[from].to_bits();
        });
    }

    /// Calls with the place in the file of each of a tile's blocks, the number of the tile's block, and its lane.
    fn each_block(&self, tile: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let [rows, columns] = self.shape;
        let blocks = columns / BLOCK;
        for row in tile * TILE..rows.min((tile + 1) * TILE) {
            for block in 0..blocks {
                visit(row * blocks + block, block, row % TILE);
            }
        }
    }
}

/// Words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
pub type Tiles = (Stored<u32>, Stored<u16>);

/// One row of those here as f32: what looking a token up in an embedding table takes.
///
/// # Panics
/// When there is no such row, or `out` is not as long as a row.
pub fn row(w: &Quantized<'_>, row: usize, out: &mut [f32]) {
    assert!(
        row < w.tiles() * TILE && out.len() == w.columns,
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
