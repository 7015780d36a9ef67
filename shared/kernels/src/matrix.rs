//! A matrix that owns its tiles, or its share of them.

use std::ops::Range;
use std::sync::Arc;

use crate::crew::{self, Remote};
use crate::layout::{Share, tile_sizes};
use crate::{Bits, Quantized, Rows, Stored, TILE, row};

/// A quantized matrix in memory. Where there is a crew when it is made, and it is large enough to be worth it, its tiles
/// are dealt out, and what is here is a share; see [`crate::crew`].
#[derive(Debug)]
pub struct Matrix {
    words: Stored<u32>,
    scales: Stored<u16>,
    shape: [usize; 2],
    bits: Bits,
    share: Share,
    /// Where the other tiles are, and the number there of this matrix's first tile.
    remote: Option<(Arc<Remote>, usize)>,
}

impl Matrix {
    /// Puts rows of a file into tiles.
    pub fn new(rows: &Rows<'_>) -> Self {
        let remote = crew::deal_out(rows);
        let step = remote.as_ref().map_or(1, |remote| remote.members());
        let share = Share::of(0, step);
        let (words, scales) = rows.tiled_share(share);
        Self {
            words,
            scales,
            shape: rows.shape,
            bits: rows.bits,
            share,
            remote: remote.map(|remote| (Arc::new(remote), 0)),
        }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// What is multiplied.
    pub fn view(&self) -> Quantized<'_> {
        let away = self.remote.as_ref();
        let away = away.map(|(remote, first)| remote.from(*first));
        Quantized::shared(
            &self.words,
            &self.scales,
            self.shape,
            self.bits,
            self.share,
            away,
        )
    }

    /// A matrix of some of the rows, which are whole tiles but for the matrix's last.
    ///
    /// # Panics
    /// When there are no such rows, or they do not begin with a tile.
    pub fn part(&self, rows: Range<usize>) -> Self {
        assert!(
            rows.start.is_multiple_of(TILE) && rows.end <= self.shape[0],
            "whole tiles of the matrix"
        );
        let start = rows.start / TILE;
        let (share, tiles) = self.share.part(start..rows.end.div_ceil(TILE));
        let (words, scales) = tile_sizes(self.shape[1], self.bits);
        let remote = self.remote.as_ref();
        Self {
            words: Stored::new(&self.words[tiles.start * words..tiles.end * words]),
            scales: Stored::new(&self.scales[tiles.start * scales..tiles.end * scales]),
            shape: [rows.len(), self.shape[1]],
            bits: self.bits,
            share,
            remote: remote.map(|(remote, first)| (remote.clone(), first + start)),
        }
    }

    /// Some rows as f32, `[numbers, columns]`: what looking tokens up in an embedding table takes.
    ///
    /// # Panics
    /// When there is no such row, or `out` is not as large.
    pub fn rows(&self, numbers: &[usize], out: &mut [f32]) {
        let [rows, columns] = self.shape;
        assert_eq!(out.len(), numbers.len() * columns, "a row for each number");
        assert!(
            numbers.iter().all(|number| *number < rows),
            "rows of the matrix"
        );
        let view = self.view();
        let Share { first, step } = self.share;
        for (number, out) in numbers.iter().zip(out.chunks_exact_mut(columns)) {
            let tile = (number / TILE).checked_sub(first);
            if let Some(tile) = tile.filter(|tile| tile.is_multiple_of(step)) {
                row(&view, tile / step * TILE + number % TILE, out);
            }
        }
        if let Some(away) = view.away {
            crew::fetch_rows(away, numbers, columns, out);
        }
    }
}
