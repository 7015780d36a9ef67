//! Quantized matrices on a GPU, in the layout of `sprat-kernels`, whose products are what these are
//! tested against.

mod kernel;

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cubecl::prelude::*;
use sprat_kernels::{BLOCK, Bits, TILE};

use super::{UNITS, count, elements, empty, has_f16, is_software, lower, lower_int, raise};
use crate::config::Activation;
use crate::storage::Blocks;
use half::f16;
use kernel::{Added, GROUPS, gather, product};

/// Words `[tiles, blocks, bits.words(), TILE]` and scales `[tiles, blocks, TILE]`.
#[derive(Debug, Clone)]
pub(crate) struct Quantized {
    words: Tensor<1, Int>,
    /// As f16, or as f32 on adapters without: exact in both.
    scales: Tensor<1>,
    shape: [usize; 2],
    bits: Bits,
}

/// Tokens that a unit sums at once: a word is decoded once for all of them.
const TOKENS: usize = 8;
/// Units side by side that have a tile's rows, four each.
const QUADS: usize = TILE / 4;

/// How a product is spread over units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Units that share a row, each with every n-th word of it. 1 is a kernel without barriers, which are
    /// ruinous on software adapters.
    pub(crate) slots: usize,
    /// Words of a row that a unit asks for before it uses the first.
    pub(crate) depth: usize,
}

impl Spread {
    /// The best one for so many tiles of so many blocks a row, by `sprat bench kernels --device cuda`, where
    /// at most `most` units share a row.
    pub(super) fn of(tiles: usize, blocks: usize, bits: Bits, tokens: usize, most: usize) -> Self {
        if is_software() {
            return Self { slots: 1, depth: 1 };
        }
        if tokens > 1 {
            // As many as their sums fit into the memory that every adapter's workgroups share.
            let slots = 64 / tokens.min(TOKENS).next_power_of_two();
            return Self { slots, depth: 1 };
        }
        let words = blocks * bits.words();
        // Few tiles have to keep all of a card busy with as many units each as there can be.
        let wanted = match tiles {
            0..256 => 256,
            256..512 => 128,
            _ => 64,
        };
        let mut slots = usize::min(wanted, most);
        // At most half of them have nothing to do.
        while slots > 64 && words <= slots / 2 {
            slots /= 2;
        }
        let rounds = words.div_ceil(slots);
        let depth = match bits {
            Bits::Eight => 1,
            Bits::Four => [4, 2, 1].into_iter().find(|d| rounds % d == 0).unwrap_or(1),
        };
        Self { slots, depth }
    }
}

/// What happens to a product's input and output in the same dispatch.
pub(crate) struct Around<const D: usize> {
    /// RMSNorm of the input: weight and eps.
    pub(crate) norm: Option<(Tensor<1>, f32)>,
    /// Added to each token's output.
    pub(crate) bias: Option<Tensor<1>>,
    /// Added to the output.
    pub(crate) residual: Option<Tensor<D>>,
    /// The rows are those of a gate and as many of what it gates: the output is `act(gate) * up`, without a
    /// residual.
    pub(crate) gate: Option<Activation>,
}

impl<const D: usize> Default for Around<D> {
    fn default() -> Self {
        Self {
            norm: None,
            bias: None,
            residual: None,
            gate: None,
        }
    }
}

impl Quantized {
    pub(crate) fn new(blocks: &Blocks<'_>, device: &Device) -> Self {
        let (words, scales) = blocks.rows().tiled();
        Self::of_tiles(&words, &scales, blocks.shape, blocks.bits, device)
    }

    /// Of words and scales as `sprat-kernels` lays them out, scales as the bits of f16.
    pub(super) fn of_tiles(
        words: &[u32],
        scales: &[u16],
        shape: [usize; 2],
        bits: Bits,
        device: &Device,
    ) -> Self {
        let (words_len, scales_len) = (words.len(), scales.len());
        let words = Tensor::from_data(
            TensorData::new(words.to_vec(), [words_len]),
            (device, DType::U32),
        );
        let scales = scales.iter().map(|s| f16::from_bits(*s));
        let scales = match has_f16(&lower_int(words.clone()).client) {
            true => Tensor::from_data(
                TensorData::new(scales.collect::<Vec<f16>>(), [scales_len]),
                (device, DType::F16),
            ),
            false => Tensor::from_data(
                TensorData::new(scales.map(f16::to_f32).collect::<Vec<f32>>(), [scales_len]),
                (device, DType::F32),
            ),
        };
        Self {
            words,
            scales,
            shape,
            bits,
        }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whole tiles of rows.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let blocks = self.shape[1] / BLOCK;
        let words = blocks * self.bits.words();
        let cut = |each: usize| (rows.start * each, rows.len() * each);
        let ((first, words), (first_scale, scales)) = (cut(words), cut(blocks));
        Self {
            words: self.words.clone().narrow(0, first, words),
            scales: self.scales.clone().narrow(0, first_scale, scales),
            shape: [rows.len(), self.shape[1]],
            bits: self.bits,
        }
    }

    /// One matrix of the rows of several, in their order; None if they are of several kinds or not cut
    /// at tiles.
    pub(crate) fn stack(parts: &[&Self]) -> Option<Self> {
        let first = *parts.first()?;
        let fits = |part: &&Self| {
            part.bits == first.bits
                && part.shape[1] == first.shape[1]
                && part.shape[0].is_multiple_of(TILE)
        };
        if !parts.iter().all(fits) {
            return None;
        }
        let words = parts.iter().map(|part| part.words.clone()).collect();
        let scales = parts.iter().map(|part| part.scales.clone()).collect();
        Some(Self {
            words: Tensor::cat(words, 0),
            scales: Tensor::cat(scales, 0),
            shape: [parts.iter().map(|part| part.shape[0]).sum(), first.shape[1]],
            bits: first.bits,
        })
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn project<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.project_around(x, Around::default())
    }

    /// `[.., in]` to `[.., out]`, half of it with a gate, with what is around it.
    pub(crate) fn project_around<const D: usize>(
        &self,
        x: Tensor<D>,
        around: Around<D>,
    ) -> Tensor<D> {
        let tokens = x.dims()[..D - 1].iter().product();
        let halves = if around.gate.is_some() { 2 } else { 1 };
        let tiles = (self.shape[0] / halves).div_ceil(TILE);
        let blocks = self.shape[1] / BLOCK;
        let spread = Spread::of(tiles, blocks, self.bits, tokens, self.most_slots());
        self.project_spread(x, around, spread)
    }

    /// How many units may share a row: their sums, those of a gate and of squares among them, are in a
    /// workgroup's memory.
    pub(super) fn most_slots(&self) -> usize {
        let client = lower(self.scales.clone()).client;
        let hardware = &client.properties().hardware;
        let sums = (2 * TILE + 1) * size_of::<f32>();
        let room = (hardware.max_shared_memory_size / sums).saturating_sub(GROUPS);
        let most = room.min(hardware.max_units_per_cube as usize / QUADS);
        // The largest power of two.
        1 << most.max(1).ilog2()
    }

    /// The same with units spread as one likes.
    pub(crate) fn project_spread<const D: usize>(
        &self,
        x: Tensor<D>,
        around: Around<D>,
        spread: Spread,
    ) -> Tensor<D> {
        let [rows, columns] = self.shape;
        let outputs = rows / if around.gate.is_some() { 2 } else { 1 };
        let mut shape = x.dims();
        let tokens: usize = shape[..D - 1].iter().product();
        shape[D - 1] = outputs;
        let (x, norm) = match around.norm {
            // Many tokens are normed once, not once more for every row.
            Some((weight, eps)) if tokens > 1 => (super::rms_norm(x, weight, eps), None),
            norm => (x, norm),
        };
        let (added, left) = match (around.residual, around.bias) {
            (Some(residual), bias) => (Added::Residual, Some((lower(residual), bias))),
            (None, Some(bias)) => (Added::Bias, Some((lower(bias), None))),
            (None, None) => (Added::Nothing, None),
        };
        let (addend, left) = left.unzip();
        let x = lower(x);
        let eps = norm.as_ref().map_or(0.0, |(_, eps)| *eps);
        let norm = norm.map(|(weight, _)| lower(weight));
        let out = empty(&x, [tokens, outputs]);
        let at_once = tokens.min(TOKENS);
        let tiles = outputs.div_ceil(TILE);
        let tiles_in_group = if spread.slots == 1 { 4 } else { 1 };
        let normed = norm.is_some();
        // What is not used is bound to something that is there.
        let norm = norm.unwrap_or_else(|| x.clone());
        let addend = addend.unwrap_or_else(|| x.clone());
        count();
        // SAFETY: the words and scales are as many as the shape says, norms and addends as callers say;
        // rows and tokens past the end are not written, and their inputs not read.
        #[allow(unsafe_code)]
        unsafe {
            product::launch_unchecked(
                &out.client.clone(),
                // Those that read the same weights are neighbours, and find them in the cache.
                CubeCount::Static(
                    tokens.div_ceil(at_once) as u32,
                    tiles.div_ceil(tiles_in_group) as u32,
                    1,
                ),
                CubeDim::new_1d((tiles_in_group * QUADS * spread.slots) as u32),
                4,
                x.into_buffer_arg(),
                norm.into_buffer_arg(),
                lower_int(self.words.clone()).into_buffer_arg(),
                lower(self.scales.clone()).into_buffer_arg(),
                addend.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                outputs as u32,
                (columns / BLOCK) as u32,
                tokens as u32,
                eps,
                self.bits.words(),
                at_once,
                spread.slots,
                spread.depth,
                normed,
                added,
                around.gate,
                elements(self.scales.dtype()),
            );
        }
        let out = raise::<2>(out).reshape(shape);
        match left.flatten() {
            Some(bias) => out + bias.unsqueeze(),
            None => out,
        }
    }

    /// Rows by their numbers `[n]`: `[n, in]`.
    pub(crate) fn rows(&self, numbers: Tensor<1, Int>) -> Tensor<2> {
        let columns = self.shape[1];
        let wanted = numbers.dims()[0];
        let scales = lower(self.scales.clone());
        let out = empty(&scales, [wanted, columns]);
        let units = wanted * columns / BLOCK * self.bits.words();
        let numbers = lower_int(numbers.cast(DType::U32));
        count();
        // SAFETY: numbers are of rows that there are, as callers' token ids are.
        #[allow(unsafe_code)]
        unsafe {
            gather::launch_unchecked(
                &out.client.clone(),
                CubeCount::Static(units.div_ceil(UNITS) as u32, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                numbers.into_buffer_arg(),
                lower_int(self.words.clone()).into_buffer_arg(),
                scales.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                units as u32,
                (columns / BLOCK) as u32,
                self.bits.words(),
                elements(self.scales.dtype()),
            );
        }
        raise(out)
    }

    pub(crate) fn to_floats(&self) -> Tensor<2> {
        let rows = self.shape[0] as i64;
        self.rows(Tensor::arange(0..rows, &self.words.device()))
    }
}
