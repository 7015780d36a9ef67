//! Activations in 8 bits.

use std::ops::Range;

use crate::{BLOCK, multiversion};

/// Rows of activations as 8-bit integers in blocks of [`BLOCK`], with a scale each.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    /// Four neighbours in a word, the first in its lowest byte.
    pub(crate) quants: Vec<[i32; BLOCK / 4]>,
    pub(crate) scales: Vec<f32>,
    /// The sum of each block's integers: what an offset in the weights adds, to be taken off again.
    pub(crate) sums: Vec<i32>,
    columns: usize,
}

impl Activations {
    /// Quantizes `x` `[tokens, columns]`. A block of zeros has a scale of 0; NaN and infinity reach
    /// the product through the scale.
    ///
    /// # Panics
    /// When `columns` is no multiple of [`BLOCK`], or `x` is not whole rows.
    #[inline(never)]
    pub fn new(x: &[f32], columns: usize) -> Self {
        assert!(
            columns.is_multiple_of(BLOCK) && x.len().is_multiple_of(columns.max(1)),
            "whole blocks"
        );
        let blocks = x.len() / BLOCK;
        let mut all = Self {
            quants: vec![[0; BLOCK / 4]; blocks],
            scales: Vec::with_capacity(blocks),
            sums: Vec::with_capacity(blocks),
            columns,
        };
        quantize_all(x, &mut all);
        all
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.quants.len() * BLOCK / self.columns.max(1)
    }

    /// How many words [`Activations::write`] makes of a token.
    pub(crate) const fn words(columns: usize) -> usize {
        columns / BLOCK * (BLOCK / 4 + 2)
    }

    /// Appends some tokens: their integers, scales and sums.
    pub(crate) fn write(&self, tokens: Range<usize>, words: &mut Vec<u32>) {
        let blocks = self.columns / BLOCK;
        let blocks = tokens.start * blocks..tokens.end * blocks;
        let quants = self.quants[blocks.clone()].as_flattened();
        words.extend_from_slice(bytemuck::cast_slice(quants));
        words.extend_from_slice(bytemuck::cast_slice(&self.scales[blocks.clone()]));
        words.extend_from_slice(bytemuck::cast_slice(&self.sums[blocks]));
    }

    /// What [`Activations::write`] has written.
    pub(crate) fn read(words: &[u32], columns: usize) -> Self {
        let blocks = words.len() / (BLOCK / 4 + 2);
        let (quants, rest) = words.split_at(blocks * (BLOCK / 4));
        let (scales, sums) = rest.split_at(blocks);
        let (quants, _) = bytemuck::cast_slice::<u32, i32>(quants).as_chunks();
        Self {
            quants: quants.to_vec(),
            scales: bytemuck::cast_slice(scales).to_vec(),
            sums: bytemuck::cast_slice(sums).to_vec(),
            columns,
        }
    }

    /// The integers of a block.
    pub(crate) fn integers(&self, block: usize) -> [i8; BLOCK] {
        let bytes = self.quants[block].map(i32::to_le_bytes);
        std::array::from_fn(|i| bytes[i / 4][i % 4] as i8)
    }

    /// Values in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

multiversion! {
    fn quantize_all(x: &[f32], all: &mut Activations) {
        let (blocks, _) = x.as_chunks::<BLOCK>();
        for (block, words) in blocks.iter().zip(&mut all.quants) {
            let mut quants = [0i8; BLOCK];
            let (scale, sum) = quantize(block, &mut quants);
            for (word, four) in words.iter_mut().zip(quants.as_chunks::<4>().0) {
                *word = i32::from_le_bytes(four.map(|quant| quant as u8));
            }
            all.scales.push(scale);
            all.sums.push(sum);
        }
    }
}

/// One block; returns its scale and the sum of its integers.
#[inline(always)]
fn quantize(block: &[f32; BLOCK], quants: &mut [i8; BLOCK]) -> (f32, i32) {
    // A maximum by bits: it needs no order of NaN, and loops over it vectorize.
    let magnitude = block
        .iter()
        .fold(0u32, |max, v| max.max(v.to_bits() & 0x7fff_ffff));
    let magnitude = f32::from_bits(magnitude);
    if magnitude == 0.0 || !magnitude.is_finite() {
        quants.fill(i8::from(magnitude != 0.0));
        let sum = i32::from(magnitude != 0.0) * BLOCK as i32;
        return (magnitude, sum);
    }
    let inverse = 127.0 / magnitude;
    let mut sum = 0;
    for (value, quant) in block.iter().zip(quants) {
        // To nearest: adding 1.5 * 2^23 rounds in f32 itself, which vectorizes where `round` does not.
        let rounded = (value * inverse + 12_582_912.0).to_bits() as i32 - 0x4b40_0000;
        *quant = rounded as i8;
        sum += rounded;
    }
    (magnitude / 127.0, sum)
}
